"""The shipped light-x4 does what its card claims."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card
from forensic.registry.loading import LoadedModel, load_model
from forensic.resources import models_dir
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate
from forensic.stages.recipe import load_recipe
from forensic.validation.fidelity import inside, psnr
from tests.registry.test_shipped_models import scene

MODEL = "light-x4"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(load_card(MODEL))


def recording(crf: int | None) -> Recording:
    """Drawn letters, lines and a disc, seen by a shaking camera through a codec; no training picture."""
    how = draw(np.random.default_rng(1), "issue-table", crf=crf)
    clean = cv2.resize(scene(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return simulate(np.clip(clean, 0, 255), how, 5, 7, margin=16)


@pytest.mark.parametrize("crf", [None, 20, 28])
def test_nearer_to_the_truth_than_bicubic_under_the_stated_degradation(model: LoadedModel, crf: int | None) -> None:
    seen = recording(crf)
    low, truth = seen.frames[2], seen.truth[2]
    bicubic = cv2.resize(low, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    learned, interpolated = (psnr(inside(plane, 16), inside(truth, 16)) for plane in (model.upscale_luma(low), bicubic))
    assert learned > interpolated + 0.2


def test_a_flat_area_keeps_its_level_and_gains_no_texture(model: LoadedModel) -> None:
    for level in (0, 16, 128, 235, 255):
        out = model.upscale_luma(np.full((40, 50), level, np.float32))
        assert np.abs(out - level).max() < 2e-3


def test_tiles_are_seamless_and_their_bytes_do_not_depend_on_workers(model: LoadedModel) -> None:
    low = recording(28).frames[2]
    whole = model.upscale_luma(low)
    for tile in (32, 45):
        tiled = model.upscale_luma_tiled(low, tile, model.radius)
        assert np.abs(tiled - whole).max() < 5e-3
        with ThreadPoolExecutor(3) as pool:
            assert model.upscale_luma_tiled(low, tile, model.radius, pool).tobytes() == tiled.tobytes()


def test_a_pixel_sees_no_farther_than_the_card_says(model: LoadedModel) -> None:
    low = recording(28).frames[2]
    changed = low.copy()
    changed[30:32, 40:42] = 255 - changed[30:32, 40:42]
    rows, columns = np.nonzero(np.abs(model.upscale_luma(changed) - model.upscale_luma(low)) > 1e-3)
    reach = model.card.receptive_field
    assert rows.min() // 4 >= 30 - reach and rows.max() // 4 <= 31 + reach
    assert columns.min() // 4 >= 40 - reach and columns.max() // 4 <= 41 + reach


def test_the_card_repeats_the_measurement_file_to_the_digit(model: LoadedModel) -> None:
    assert model.card.stage_class is StageClass.FIDELITY and model.card.calibration == "calibrated"
    with (models_dir() / MODEL / "measured.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = []
    for row in rows:
        conditions = f"BSDS500 test; {row['setting']}"
        expected.append(("PSNR-Y", row["method"], float(row["psnr_y_db"]), int(row["n"]), conditions))
        expected.append(("SSIM-Y", row["method"], float(row["ssim_y"]), int(row["n"]), conditions))
    assert [(m.metric, m.method, m.value, m.n, m.conditions) for m in model.card.measured] == expected


def test_the_readme_table_repeats_the_measurement_file(model: LoadedModel) -> None:
    text = (models_dir() / MODEL / "README.md").read_text(encoding="utf-8")
    assert model.card.weights.sha256 in text
    with (models_dir() / MODEL / "measured.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["method"] == MODEL:
                (line,) = [line for line in text.splitlines() if line.startswith(f"| {row['setting']} | {row['n']} |")]
                assert f"| {row['gain_db']} ± {row['gain_95_half_width']} |" in line
                assert f"| {row['worse_than_bicubic']} |" in line


def test_the_recipe_enlarges_four_times_with_this_model() -> None:
    bound = load_recipe("light").bind(scale=4)
    (stage,) = bound.stages
    assert stage.scale == 4.0 and stage.record()["model"]["id"] == MODEL
