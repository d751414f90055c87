"""The Real-ESRGAN networks: the published ones with the published weights, in tiles without seams, to the byte."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from forensic.errors import BadInput, InternalError, UsageError
from forensic.frames.stageclass import StageClass
from forensic.registry.architectures.catalogue import build
from forensic.registry.cards import load_card
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import LoadedModel, load_model
from forensic.registry.packs.fetching import fetch
from forensic.registry.packs.ncnnfile import ncnn_layers, ncnn_tensors
from forensic.registry.packs.receiving import from_file, member_of, structure_of
from forensic.registry.pictures import enlarged_picture
from forensic.resources import models_dir

from .test_dat import scene

MODELS = ("real-esrgan-x4", "real-esrgan-drawn-x4")
#: Means of blocks of what ncnn 1.0.20261020 gives in single precision on the CPU for scene(23, 30, 3).
NCNN = {
    "real-esrgan-x4": [
        0.582579, 0.354488, 0.61692, 0.404868, 0.256463, 0.618326, 0.216806, 0.382716, 0.562853, 0.514901, 0.444074,
        0.616337, 0.448741, 0.410278, 0.68714, 0.449474, 0.410475, 0.729371, 0.457793, 0.464475, 0.547366, 0.556297,
        0.642816, 0.410606, 0.378176, 0.528619, 0.680701, 0.443821, 0.661316, 0.735545, 0.578823, 0.631359, 0.655249,
        0.641618, 0.488671, 0.489647,
    ],
    "real-esrgan-drawn-x4": [
        0.606467, 0.348382, 0.598433, 0.43147, 0.220404, 0.588701, 0.198865, 0.391024, 0.544085, 0.526437, 0.46557,
        0.586065, 0.471158, 0.408559, 0.688782, 0.457767, 0.40592, 0.721495, 0.464716, 0.477438, 0.536152, 0.574167,
        0.669507, 0.427884, 0.388347, 0.538905, 0.677994, 0.430349, 0.695809, 0.736284, 0.589098, 0.644617, 0.638892,
        0.660191, 0.487112, 0.502356,
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def fetched(esrgan_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models store with the published weights."""
    store = tmp_path_factory.mktemp("store")
    for name in MODELS:
        fetch(load_card(name), store, brought=esrgan_wheel)
    return store


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, fetched: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(fetched))
    return load_model(load_card(request.param))


def test_the_published_network_gives_what_ncnn_gives(model: LoadedModel) -> None:
    out = enlarged_picture(model, scene(23, 30, 3), 64, model.card.least_overlap)
    assert out.shape == (3, 92, 120)
    blocks = out.reshape(3, 4, 23, 3, 40).mean(axis=(2, 4)).ravel()
    assert np.abs(blocks - np.array(NCNN[model.card.id])).max() < 1e-5


def test_the_published_list_of_layers_computes_the_same(model: LoadedModel, esrgan_wheel: Path) -> None:
    """Layer by layer as the .param says, against the network written by hand."""
    pack = model.card.weights.pack
    assert pack is not None
    with from_file(esrgan_wheel, pack) as file:
        data, text = member_of(file, pack), structure_of(file, pack)
    assert text is not None
    tensors = {name: torch.from_numpy(value) for name, value in ncnn_tensors(text, data).items()}
    picture = scene(9, 12, 3)
    blobs: dict[str, Tensor] = {}
    convolutions = slopes = 0
    for layer in ncnn_layers(text):
        taken = [blobs.pop(name) for name in layer.takes]
        if layer.kind == "Input":
            made = torch.from_numpy(picture)[None]
        elif layer.kind == "Convolution":
            weight, bias = (tensors[f"convolutions.{convolutions}.{part}"] for part in ("weight", "bias"))
            made = functional.conv2d(taken[0], weight, bias, padding=1)
            made = functional.leaky_relu(made, 0.2) if 9 in layer.values else made
            convolutions += 1
        elif layer.kind == "PReLU":
            made = functional.prelu(taken[0], tensors[f"slopes.{slopes}.weight"])
            slopes += 1
        elif layer.kind == "Concat":
            made = torch.cat(taken, 1)
        elif layer.kind == "Eltwise":
            made = 0.2 * taken[0] + taken[1]
        elif layer.kind == "BinaryOp":
            made = taken[0] + taken[1]
        elif layer.kind == "Interp":
            made = functional.interpolate(taken[0], scale_factor=layer.values[1], mode="nearest")
        elif layer.kind == "PixelShuffle":
            made = functional.pixel_shuffle(taken[0], layer.whole(0))
        else:
            assert layer.kind == "Split"
            made = taken[0]
        blobs.update(dict.fromkeys(layer.gives, made))
    (result,) = blobs.values()
    out = enlarged_picture(model, picture, 64, model.card.least_overlap)
    assert np.abs(result[0].numpy() - out).max() < 2e-5


def test_the_cards_call_them_generative_and_nothing_else(model: LoadedModel) -> None:
    assert model.card.stage_class is StageClass.GENERATIVE and model.card.calibration == "uncalibrated"
    assert model.card.weights.pack is not None and model.card.weights.pack.licence == "BSD-3-Clause"


@pytest.mark.parametrize("name", MODELS)
def test_the_card_repeats_the_measurement_file_to_the_digit(name: str) -> None:
    with (models_dir() / name / "measured.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = []
    for row in rows:
        expected.append(("PSNR-Y", row["method"], float(row["psnr_y_db"]), int(row["n"]), row["set"]))
        expected.append(("SSIM-Y", row["method"], float(row["ssim_y"]), int(row["n"]), row["set"]))
    card = load_card(name)
    assert [(m.metric, m.method, m.value, m.n, m.conditions) for m in card.measured] == expected
    text = (models_dir() / name / "README.md").read_text(encoding="utf-8")
    assert card.weights.sha256 in text
    for row in rows:
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {row['set']} | {row['method']} |")]
        assert f"{row['psnr_y_db']} / {row['ssim_y']}" in line


def small(architecture: str) -> LoadedModel:
    """A network of the same kind with random numbers."""
    torch.manual_seed(5)
    sizes = {"width": 6, "growth": 3, "blocks": 2} if architecture == "rrdb" else {"width": 6, "depth": 3}
    network = build(architecture, 4, sizes).eval().requires_grad_(False)
    engine = TorchEngine(network, sum(one.numel() for one in network.parameters()), 4)  # type: ignore[arg-type]
    return LoadedModel(load_card("real-esrgan-x4"), engine)


def test_tiles_of_a_bounded_network_change_nothing_but_the_last_bits() -> None:
    model, picture = small("srvgg"), scene(61, 75, 3)
    whole = enlarged_picture(model, picture, 512, model.radius)
    for tile, overlap in ((16, model.radius), (32, 20), (40, 32)):
        assert np.abs(enlarged_picture(model, picture, tile, overlap) - whole).max() < 1e-5


def test_tiles_of_an_unbounded_network_are_its_own_pieces_cross_faded() -> None:
    model, picture = small("rrdb"), scene(40, 64, 3)
    tiled = enlarged_picture(model, picture, 32, 32)
    assert tiled.shape == (3, 160, 256)
    left = model.engine.run(np.ascontiguousarray(picture[:, :, :64]))
    assert np.array_equal(enlarged_picture(model, picture[:, :, :32].copy(), 40, 32),
                          model.engine.run(picture[:, :, :32].copy()))  # fmt: skip
    assert left.shape == tiled.shape and np.abs(left - tiled).max() < 0.05


def test_the_same_bytes_whatever_runs_beside_it() -> None:
    model, picture = small("rrdb"), scene(40, 64, 3)
    once = enlarged_picture(model, picture, 32, 32).tobytes()
    with ThreadPoolExecutor(3) as pool:
        assert {made.tobytes() for made in pool.map(lambda _: enlarged_picture(model, picture, 32, 32), range(4))} == {
            once
        }


def test_what_is_no_colour_picture_is_refused() -> None:
    model = small("srvgg")
    for wrong in (scene(20, 20, 1), scene(20, 20, 3).astype(np.float64), scene(20, 20, 3)[0]):
        with pytest.raises(InternalError, match=r"model\.picture"):
            enlarged_picture(model, wrong, 32, 32)
    with pytest.raises(UsageError, match=r"model\.tile-overlap"):
        enlarged_picture(model, scene(20, 20, 3), 32, 3)
    luma = LoadedModel(load_card("luma-residual-x2"), model.engine)
    with pytest.raises(BadInput, match=r"model\.not-for-colour"):
        enlarged_picture(luma, scene(20, 20, 3), 32, 32)


@pytest.mark.parametrize(
    ("name", "scale", "sizes"),
    [
        ("rrdb", 2, {"width": 4, "growth": 2, "blocks": 1}),
        ("rrdb", 4, {"width": 4, "growth": 2, "blocks": 65}),
        ("rrdb", 4, {"width": 4, "growth": 0, "blocks": 1}),
        ("srvgg", 5, {"width": 4, "depth": 1}),
        ("srvgg", 4, {"width": 4, "depth": 0}),
        ("srvgg", 4, {"width": 4}),
    ],
)
def test_sizes_beyond_measure_are_refused(name: str, scale: int, sizes: dict[str, int]) -> None:
    with pytest.raises(BadInput, match=r"model\.hyperparameters"):
        build(name, scale, sizes)
