"""What is shipped is complete, true to its card, and does what the card claims."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card, model_ids, verify_all
from forensic.registry.loading import LoadedModel, load_model
from forensic.resources import models_dir

MODEL = "luma-residual-x2"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(load_card(MODEL))


def scene(height: int = 192, width: int = 256) -> np.ndarray:
    """Drawn letters, lines and a disc on a gradient: float32 [H, W], not from any training picture."""
    picture = np.tile(np.linspace(60, 140, width), (height, 1)).astype(np.uint8)
    cv2.putText(picture, "AB 1234", (14, 80), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 225.0, 3, cv2.LINE_AA)
    cv2.circle(picture, (60, 140), 30, 30.0, -1, cv2.LINE_AA)
    for step in range(8):
        cv2.line(picture, (120, 100 + 10 * step), (250, 110 + 8 * step), 20.0 + 25 * step, 2, cv2.LINE_AA)
    return picture.astype(np.float32)


def low_resolution(clean: np.ndarray, sigma: float) -> np.ndarray:
    blurred = cv2.GaussianBlur(clean, (0, 0), 2 * sigma)
    return blurred.reshape(clean.shape[0] // 2, 2, clean.shape[1] // 2, 2).mean(axis=(1, 3))


def test_every_shipped_model_passes_every_check_and_loads() -> None:
    checks = verify_all()
    assert [check.model_id for check in checks] == model_ids() and MODEL in model_ids()
    for check in checks:
        if check.card is not None and check.card.weights.pack is not None:  # tests/registry/test_dat.py has these
            assert check.to_be_fetched
            # What works on colour was trained to look real (tests/registry/test_esrgan.py); nothing else invents.
            invents = check.card.channels == "rgb" or check.card.works_on == "comparison"  # the latter makes no picture
            assert (check.card.stage_class is StageClass.GENERATIVE) == invents
            continue
        assert check.ok and check.card is not None, check.message
        made_up = check.card.works_on in ("holes", "noise")  # shipped, and generative
        assert (load_model(check.card).card.stage_class is StageClass.GENERATIVE) == made_up


def test_the_first_net_is_small_and_says_it_is_uncalibrated(model: LoadedModel) -> None:
    assert model.card.parameters < 200_000
    assert model.card.stage_class is StageClass.FIDELITY
    assert model.card.calibration == "uncalibrated"


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.1])
def test_nearer_to_the_truth_than_bicubic_under_the_stated_blur(model: LoadedModel, sigma: float) -> None:
    clean = scene()
    low = low_resolution(clean, sigma)
    bicubic = cv2.resize(low, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    error, reference = (float(np.mean((result - clean) ** 2)) for result in (model.upscale_luma(low), bicubic))
    assert error < reference


def test_a_flat_area_keeps_its_level_and_gains_no_texture(model: LoadedModel) -> None:
    for level in (0, 16, 128, 235, 255):
        out = model.upscale_luma(np.full((40, 50), level, np.float32))
        assert np.abs(out - level).max() < 1e-3


def test_limited_and_full_range_luma_give_the_same_picture(model: LoadedModel) -> None:
    low = low_resolution(scene(), 0.8)
    limited = (low * np.float32(219 / 255) + np.float32(16)).astype(np.float32)
    back = (model.upscale_luma(limited) - 16) * (255 / 219)
    assert np.abs(back - model.upscale_luma(low)).max() < 0.02


def test_tiles_are_seamless_and_their_bytes_do_not_depend_on_workers(model: LoadedModel) -> None:
    low = low_resolution(scene(), 0.8)
    tiled = model.upscale_luma_tiled(low, 48, model.radius)
    assert np.abs(tiled - model.upscale_luma(low)).max() < 2e-3
    with ThreadPoolExecutor(3) as pool:
        assert model.upscale_luma_tiled(low, 48, model.radius, pool).tobytes() == tiled.tobytes()


def test_the_card_repeats_the_measurement_file_to_the_digit(model: LoadedModel) -> None:
    with (models_dir() / MODEL / "measured.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = []
    for row in rows:
        conditions = f"{row['set']}; {row['degradation']}"
        expected.append(("PSNR-Y", row["method"], float(row["psnr_y_db"]), int(row["n"]), conditions))
        expected.append(("SSIM-Y", row["method"], float(row["ssim_y"]), int(row["n"]), conditions))
    assert [(m.metric, m.method, m.value, m.n, m.conditions) for m in model.card.measured] == expected


def test_the_readme_table_repeats_the_measurement_file(model: LoadedModel) -> None:
    text = (models_dir() / MODEL / "README.md").read_text(encoding="utf-8")
    assert model.card.weights.sha256 in text
    with (models_dir() / MODEL / "measured.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["method"] == MODEL:
                cells = f"| {row['set']} | {row['degradation']} | {row['n']} |"
                (line,) = [line for line in text.splitlines() if line.startswith(cells)]
                assert f"{row['psnr_y_db']} / {row['ssim_y']}" in line
                assert line.endswith(f"| {row['worse_than_bicubic']} |")
