"""What a laboratory brings is read as data: planted code does not run, addresses are not asked, no link is followed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from forensic.errors import BadInput, ForensicError, UsageError
from forensic.registry.external.material import WEIGHTS, read_material, source_digest
from forensic.registry.external.pipeline_folder import read_folder
from forensic.registry.external.pipeline_index import described
from forensic.registry.external.tensor_list import stored_precisions
from tests.external.networks import FILES, LAST, UPSCALER, Planted, numbers, pipeline_folder, upscaler_folder

INDEX, UNET = FILES["model_index.json"], FILES["unet/config.json"]
LARGER = UPSCALER["model_index.json"]
ENCODER, WORDS, SPECIAL, VOCABULARY = (
    UPSCALER[f"{part}.json"]
    for part in ("text_encoder/config", "tokenizer/tokenizer_config", "tokenizer/special_tokens_map", "tokenizer/vocab")
)
HALF = "diffusion_pytorch_model.fp16.safetensors"


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
        ({"unet/diffusion_pytorch_model.fp32.safetensors": b""}, "file"),
        ({"unet/model.safetensors": numbers()}, "pipeline"),
        ({"unet/config.json": {**UNET, "quantization_config": {"bits": 4}}}, "pipeline"),
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


def test_an_upscaler_with_words_passes_and_its_list_of_merges_is_left_where_it_is(tmp_path: Path) -> None:
    files, left_out = read_folder(upscaler_folder(tmp_path / "upscaler", **{"README.md": b"# x4"}))
    assert left_out == ("README.md", "tokenizer/merges.txt")
    assert set(files) == {*UPSCALER, *(f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae")),
                          "text_encoder/model.safetensors"}  # fmt: skip
    assert described(files).tokens == [2, 3] + [0] * 75


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tokenizer/tokenizer_config.json": {**WORDS, "auto_map": {"AutoTokenizer": ["words.Mine", None]}}}, "code"),
        ({"tokenizer/special_tokens_map.json": {**SPECIAL, "inner": {"trust_remote_code": True}}}, "code"),
        ({"tokenizer/tokenizer_config.json": {**WORDS, "name_or_path": "https://example.org/words"}}, "address"),
        ({"tokenizer/tokenizer.json": {"model": {"vocab": VOCABULARY}, "normalizer": {"auto_map": 1}}}, "code"),
        ({"tokenizer/tokenizer.json": {"model": {"vocab": VOCABULARY}, "from": "https://example.org/"}}, "address"),
        ({"tokenizer/words.py": b"raise SystemExit"}, "code"),
        ({"tokenizer/added_tokens.json": {"word": 7}}, "file"),
        ({"tokenizer/chat_template.jinja": b"{{ 1 }}"}, "file"),
        ({"tokenizer/spiece.model": b""}, "file"),
        ({"text_encoder/pytorch_model.bin": b"\x80\x04."}, "pickle"),
        ({"x4-upscaler-ema.ckpt": b"\x80\x04."}, "pickle"),
        ({"x4-upscaler-ema.safetensors": numbers()}, "file"),
        ({"text_encoder/model-00001-of-00002.safetensors": numbers()}, "file"),
        ({"safety_checker/config.json": {}}, "pipeline"),
        ({"model_index.json": {**LARGER, "text_encoder": ["diffusers", "CLIPTextModel"]}}, "code"),
        ({"model_index.json": {**LARGER, "text_encoder": ["modeling", "CLIPTextModel"]}}, "code"),
        ({"model_index.json": {**LARGER, "text_encoder": ["transformers", "AutoModel"]}}, "pipeline"),
        ({"model_index.json": {**LARGER, "text_encoder": ["transformers", "T5EncoderModel"]}}, "pipeline"),
        ({"model_index.json": {**LARGER, "text_encoder": [None, None]}}, "code"),
        ({"model_index.json": {**LARGER, "tokenizer": ["transformers", "AutoTokenizer"]}}, "pipeline"),
        ({"model_index.json": {**LARGER, "unet": ["transformers", "UNet2DConditionModel"]}}, "code"),
        ({"model_index.json": {**LARGER, "low_res_scheduler": ["diffusers", "EulerDiscreteScheduler"]}}, "pipeline"),
        ({"model_index.json": {**LARGER, "scheduler": ["diffusers", "CosineDPMSolverMultistepScheduler"]}}, "pipeline"),
        ({"model_index.json": {**LARGER, "safety_checker": ["stable_diffusion", "Checker"]}}, "pipeline"),
        ({"model_index.json": {**LARGER, "watermarker": ["diffusers", "Marker"]}}, "pipeline"),
        ({"model_index.json": {**LARGER, "requires_safety_checker": True}}, "pipeline"),
        ({"model_index.json": {**LARGER, "max_noise_level": 19}}, "pipeline"),
        ({"model_index.json": {**LARGER, "max_noise_level": "350"}}, "pipeline"),
        ({"model_index.json": {name: value for name, value in LARGER.items() if name != "tokenizer"}}, "pipeline"),
        ({"text_encoder/config.json": {**ENCODER, "architectures": ["CLIPModel"]}}, "pipeline"),
        ({"text_encoder/config.json": {**ENCODER, "use_attention_mask": True}}, "pipeline"),
        (
            {"text_encoder/config.json": {**ENCODER, "quantization_config": {"quant_method": "bitsandbytes"}}},
            "pipeline",
        ),
        ({"text_encoder/model.safetensors": None}, "pipeline"),
        ({"tokenizer/vocab.json": None}, "pipeline"),
        ({"tokenizer/tokenizer_config.json": None}, "pipeline"),
        ({"tokenizer/vocab.json": b'{"a":' * 50_000 + b"1" + b"}" * 50_000}, "pipeline"),
    ],
)
def test_an_upscaler_with_words_that_holds_anything_else_is_refused(
    tmp_path: Path, changes: dict[str, object], code: str
) -> None:
    with pytest.raises(BadInput) as caught:
        read_material(upscaler_folder(tmp_path / "upscaler", **changes))
    assert caught.value.code == f"model.external-{code}", caught.value


def test_a_pickle_in_the_place_of_a_text_encoders_numbers_is_refused_and_does_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for data in (pickle.dumps(Planted(trap)), b"", b"\x08" + bytes(7) + b"[1, 2] {"):
        with pytest.raises(BadInput, match=r"model\.weights-invalid"):
            read_material(upscaler_folder(tmp_path / "upscaler", **{"text_encoder/model.safetensors": data}))
    assert not trap.exists()


def test_a_link_to_a_tokenizer_is_not_followed(tmp_path: Path) -> None:
    folder = upscaler_folder(tmp_path / "upscaler")
    (folder / "tokenizer" / "vocab.json").rename(tmp_path / "vocab.json")
    (folder / "tokenizer" / "vocab.json").symlink_to(tmp_path / "vocab.json")
    with pytest.raises(BadInput, match=r"model\.external-link"):
        read_material(folder)


@pytest.mark.parametrize("variant", ["fp16", "bf16"])
def test_a_folder_of_half_precision_is_taken_and_its_precision_told(tmp_path: Path, variant: str) -> None:
    half = safetensors.torch.save(
        {"weight": torch.zeros(2, dtype=getattr(torch, {"fp16": "half"}.get(variant, "bfloat16")))}
    )
    found = read_material(
        pipeline_folder(
            tmp_path / "upscaler",
            **{
                "unet/diffusion_pytorch_model.safetensors": None,
                f"unet/diffusion_pytorch_model.{variant}.safetensors": half,
                "vqvae/diffusion_pytorch_model.safetensors": half,
            },
        )
    )
    told = {file.name: file.precision for file in found.enrolled() if file.precision}
    word = {"fp16": "float16", "bf16": "bfloat16"}[variant]
    assert told == {
        f"unet/diffusion_pytorch_model.{variant}.safetensors": word, "vqvae/diffusion_pytorch_model.safetensors": word,
    }  # fmt: skip


def test_of_full_and_half_precision_the_full_is_taken_and_the_half_is_said_to_be_left(tmp_path: Path) -> None:
    folder = pipeline_folder(tmp_path / "upscaler", **{f"unet/{HALF}": b"not even looked at"})
    files, left_out = read_folder(folder)
    assert left_out == (f"unet/{HALF}",) and "unet/diffusion_pytorch_model.safetensors" in files
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "diffusion_pytorch_model.bf16.safetensors").write_bytes(numbers(np.float16))
    with pytest.raises(BadInput, match=r"model\.external-pipeline.*two versions of the same numbers"):
        read_folder(folder)


def test_numbers_that_float32_does_not_hold_exactly_are_refused(tmp_path: Path) -> None:
    eight = safetensors.torch.save({"weight": torch.zeros(2, dtype=torch.float8_e4m3fn)})
    for data in (numbers(np.float64), eight, numbers(np.uint8)):
        folder = pipeline_folder(tmp_path / "upscaler", **{"unet/diffusion_pytorch_model.safetensors": data})
        with pytest.raises(BadInput, match=r"model\.external-precision"):
            read_folder(folder)


def test_what_a_folder_fills_the_empty_text_with_is_told(tmp_path: Path) -> None:
    changed = {**SPECIAL, "pad_token": "a", "eos_token": {"content": LAST}}
    files, _ = read_folder(upscaler_folder(tmp_path / "upscaler", **{"tokenizer/special_tokens_map.json": changed}))
    assert described(files).tokens == [2, 3] + [1] * 75


@pytest.mark.parametrize("more", [0, 1])
def test_a_list_of_tensors_that_is_there_to_fill_the_memory_is_not_parsed(
    monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    """A valid list, filled up with blanks to the most that is read and to one byte more."""
    parsed: list[int] = []
    loads = json.loads

    def counted(data: bytes) -> object:
        parsed.append(len(data))
        return loads(data)

    monkeypatch.setattr(json, "loads", counted)
    whole = safetensors.numpy.save({"a": np.zeros(1, np.float32)})
    length = int.from_bytes(whole[:8], "little")
    table = whole[8 : 8 + length].ljust((16 << 20) + more)
    data = len(table).to_bytes(8, "little") + table + whole[8 + length :]
    if more:
        with pytest.raises(BadInput, match=r"model\.weights-invalid.*16777217 bytes"):
            stored_precisions(data, "model.safetensors")
    else:
        assert stored_precisions(data, "model.safetensors") == ["float32"]
    assert parsed == ([] if more else [16 << 20])
