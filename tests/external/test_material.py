"""What a laboratory brings is read as data: planted code does not run, addresses are not asked, no link is followed."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from forensic.errors import BadInput, ForensicError, UsageError
from forensic.registry.external.material import WEIGHTS, read_material, source_digest
from forensic.registry.external.pipeline_folder import read_folder
from tests.external.networks import FILES, Planted, pipeline_folder

INDEX, UNET = FILES["model_index.json"], FILES["unet/config.json"]


@pytest.mark.parametrize("form", [".pth", ".pt", ".ckpt"])
@pytest.mark.parametrize("key", [None, "params", "params_ema"])
def test_a_pickle_with_planted_code_is_refused_and_does_not_run(tmp_path: Path, form: str, key: str | None) -> None:
    trap = tmp_path / "trap"
    value = Planted(trap) if key is None else {key: {"weight": torch.zeros(2), "more": Planted(trap)}}
    torch.save(value, tmp_path / f"model{form}")
    with pytest.raises(BadInput) as caught:
        read_material(tmp_path / f"model{form}")
    assert caught.value.code == "model.pack-unsafe" and not trap.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_plain_pickle_by_any_name_is_refused_and_does_not_run(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "trap"
    data = pickle.dumps(Planted(trap), protocol)
    for name in ("a.pth", "a.safetensors", "a.pkl", "a.bin", "a"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput):
            read_material(tmp_path / name)
    folder = pipeline_folder(tmp_path / "folder", **{"unet/diffusion_pytorch_model.safetensors": data})
    with pytest.raises(BadInput, match=r"model\.weights-invalid"):
        read_material(folder)
    assert not trap.exists()
    pickle.loads(data)  # noqa: S301 - shows that the plant is live
    assert trap.is_dir()


@pytest.mark.parametrize("root", [None, "params", "params_ema", "state_dict"])
def test_a_torch_file_is_kept_as_safetensors_with_all_its_tensors(tmp_path: Path, root: str | None) -> None:
    state = {"conv.weight": torch.rand(4, 3, 3, 3), "index": torch.arange(6), "half": torch.rand(3).half()}
    torch.save(state if root is None else {root: state, "epoch": 3}, tmp_path / "model.pth")
    found = read_material(tmp_path / "model.pth")
    assert found.engine == "spandrel" and found.source.root == root and found.source.form == "torch"
    kept = safetensors.numpy.load(found.files[WEIGHTS])
    assert kept.keys() == state.keys()
    assert all(np.array_equal(kept[name], value.numpy()) and kept[name].dtype == value.numpy().dtype
               for name, value in state.items())  # fmt: skip


def test_averaged_weights_come_before_the_last_and_a_key_can_be_named(tmp_path: Path) -> None:
    torch.save({"params": {"w": torch.zeros(2)}, "params_ema": {"w": torch.ones(2)}}, tmp_path / "model.pth")
    for root, value in ((None, 1.0), ("params_ema", 1.0), ("params", 0.0)):
        kept = safetensors.numpy.load(read_material(tmp_path / "model.pth", root).files[WEIGHTS])
        assert kept["w"].tolist() == [value, value]
    with pytest.raises(BadInput, match=r"model\.pack-weights"):
        read_material(tmp_path / "model.pth", "nothing")


@pytest.mark.parametrize(
    "address",
    ["https://example.org/model.safetensors", "hf://somebody/model", "somebody/upscaler", "file:///etc/passwd"],
)
def test_an_address_is_not_asked(address: str, no_network: list[object]) -> None:
    with pytest.raises(UsageError, match=r"model\.external-not-local"):
        read_material(Path(address))
    assert not no_network


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.pth")
    assert source_digest(tmp_path / "model.pth") is None
    with pytest.raises(UsageError, match=r"model\.external-not-local"):
        read_material(tmp_path / "model.pth")


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"TFL3")
    with pytest.raises(BadInput, match=r"model\.external-format"):
        read_material(tmp_path / "model.tflite")
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(UsageError, match=r"model\.external-root"):
        read_material(tmp_path / "model.onnx", "params")


def test_a_whole_pipeline_passes_and_texts_about_it_are_left_where_they_are(tmp_path: Path) -> None:
    folder = pipeline_folder(tmp_path / "upscaler", **{"README.md": b"# hello", "LICENSE": b"MIT"})
    files, left_out = read_folder(folder)
    assert left_out == ("LICENSE", "README.md") and len(files) == 6
    found = read_material(folder)
    assert found.engine == "diffusers" and [file.name for file in found.enrolled()] == sorted(files)
    listed = "".join(f"{file.sha256}  {file.name}\n" for file in found.enrolled())
    assert found.source.sha256 == hashlib.sha256(listed.encode()).hexdigest()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"pipeline.py": b"raise SystemExit"}, "code"),
        ({"unet/modeling.py": b"raise SystemExit"}, "code"),
        ({"unet/diffusion_pytorch_model.bin": b"\x80\x04."}, "pickle"),
        ({"vae.ckpt": b"\x80\x04."}, "pickle"),
        ({"unet/config.json": {**UNET, "auto_map": {"AutoModel": "modeling.Mine"}}}, "code"),
        ({"unet/config.json": {**UNET, "inner": [{"custom_pipeline": "mine"}]}}, "code"),
        ({"unet/config.json": {**UNET, "weights": "https://example.org/w"}}, "address"),
        ({"model_index.json": {**INDEX, "_class_name": ["pipeline", "Mine"]}}, "code"),
        ({"model_index.json": {**INDEX, "unet": ["modeling", "UNet2DModel"]}}, "code"),
        ({"model_index.json": {**INDEX, "unet": ["transformers", "AutoModel"]}}, "code"),
        ({"model_index.json": {**INDEX, "unet": [None, None]}}, "code"),
        ({"model_index.json": {**INDEX, "unet": ["diffusers", ["UNet2DModel"]]}}, "pipeline"),
        ({"model_index.json": {**INDEX, "unet": ["diffusers", "FlaxUNet2DConditionModel"]}}, "pipeline"),
        ({"model_index.json": {**INDEX, "safety_checker": ["diffusers", "UNet2DModel"]}}, "pipeline"),
        ({"model_index.json": {**INDEX, "_class_name": "StableDiffusionPipeline"}}, "pipeline"),
        ({"model_index.json": {name: value for name, value in INDEX.items() if name != "vqvae"}}, "pipeline"),
        ({"model_index.json": b"[]"}, "pipeline"),
        ({"model_index.json": b"\xff{"}, "pipeline"),
        ({"model_index.json": None}, "pipeline"),
        ({"unet/config.json": {"_class_name": "VQModel"}}, "pipeline"),
        ({"vqvae/diffusion_pytorch_model.safetensors": None}, "pipeline"),
        ({"vqvae/scheduler_config.json": {}}, "pipeline"),
        ({"unet/deep/config.json": {}}, "file"),
        ({"unet/diffusion_pytorch_model.safetensors.index.json": {}}, "file"),
        ({"unet/diffusion_pytorch_model.fp16.safetensors": b""}, "file"),
        ({"surprise": b""}, "file"),
        ({f"text{number}.md": b"" for number in range(70)}, "file"),
    ],
)
def test_a_folder_that_holds_anything_else_is_refused(tmp_path: Path, changes: dict[str, object], code: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_material(pipeline_folder(tmp_path / "upscaler", **changes))
    assert caught.value.code == f"model.external-{code}", caught.value


@pytest.mark.parametrize("target", ["file", "folder"])
def test_links_in_a_folder_are_not_followed(tmp_path: Path, target: str) -> None:
    folder = pipeline_folder(tmp_path / "upscaler")
    (folder / "unet").rename(tmp_path / "elsewhere")
    if target == "folder":
        (folder / "unet").symlink_to(tmp_path / "elsewhere")
    else:
        (folder / "unet").mkdir()
        for path in (tmp_path / "elsewhere").iterdir():
            (folder / "unet" / path.name).symlink_to(path)
    with pytest.raises(BadInput, match=r"model\.external-link"):
        read_material(folder)


def test_settings_nested_without_end_are_an_error_like_any_other(tmp_path: Path) -> None:
    folder = pipeline_folder(tmp_path / "upscaler", **{"unet/config.json": b'{"a":' * 50_000 + b"1" + b"}" * 50_000})
    with pytest.raises(ForensicError):
        read_material(folder)
