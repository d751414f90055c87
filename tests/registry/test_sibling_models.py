"""The shipped single-x4 and multi-x4: what their cards claim, and where they come from."""

from __future__ import annotations

import csv
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card, read_weights
from forensic.registry.loading import load_model
from forensic.resources import models_dir
from forensic.stages.recipe import load_recipe

MODELS = ("single-x4", "multi-x4")


@pytest.mark.parametrize("name", MODELS)
def test_the_card_repeats_the_measurement_file_to_the_digit(name: str) -> None:
    card = load_card(name)
    assert card.stage_class is StageClass.FIDELITY and card.calibration == "uncalibrated"
    with (models_dir() / name / "measured.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = []
    for row in rows:
        conditions = f"BSDS500 test; {row['setting']}"
        expected.append(("PSNR-Y", row["method"], float(row["psnr_y_db"]), int(row["n"]), conditions))
        expected.append(("SSIM-Y", row["method"], float(row["ssim_y"]), int(row["n"]), conditions))
    assert [(one.metric, one.method, one.value, one.n, one.conditions) for one in card.measured] == expected


@pytest.mark.parametrize("name", MODELS)
def test_on_held_out_scenes_it_gains_over_bicubic_at_every_strength_of_the_codec(name: str) -> None:
    with (models_dir() / name / "measured.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["method"] == name]
    table = [row for row in rows if row["setting"] == "no codec" or row["setting"].startswith("H.264 CRF")]
    plain = [row for row in table if "sharpened" not in row["setting"]]
    assert len(plain) == 5
    assert all(float(row["gain_db"]) > float(row["gain_95_half_width"]) for row in plain)


@pytest.mark.parametrize("name", MODELS)
def test_a_flat_area_keeps_its_level_and_gains_no_texture(name: str) -> None:
    model = load_model(load_card(name))
    for level in (0, 16, 128, 235, 255):
        assert np.abs(model.upscale_luma(np.full((70, 80), level, np.float32)) - level).max() < 2e-3


def test_the_single_frame_network_of_multi_is_that_of_light_to_the_bit() -> None:
    light, multi = (safetensors.torch.load(read_weights(load_card(name))) for name in ("light-x4", "multi-x4"))
    kept = {key.removeprefix("single."): value for key, value in multi.items() if key.startswith("single.")}
    assert kept.keys() == light.keys() and all(torch.equal(kept[key], light[key]) for key in light)


def test_the_recipe_single_runs_its_model_with_surroundings_enough_for_it() -> None:
    (stage,) = load_recipe("single").bind(scale=4).stages
    assert stage.record()["model"]["id"] == "single-x4"
    assert stage.parameters.overlap >= load_card("single-x4").receptive_field


@pytest.mark.parametrize(("name", "script"), [("single-x4", "train"), ("single-x4", "evaluate"), ("multi-x4", "train"),
                                              ("multi-x4", "compare")])  # fmt: skip
def test_its_scripts_find_what_they_share_with_light(name: str, script: str) -> None:
    path = models_dir() / name / f"{script}.py"
    told = subprocess.run([sys.executable, "-B", str(path), "--help"], capture_output=True, text=True, check=False)
    assert told.returncode == 0 and "--out" in told.stdout, told.stderr
