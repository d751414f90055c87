"""The shipped diffusion model: what its card claims, where it comes from, and the very picture that a seed gives."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import safetensors.torch
import torch

from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card, read_weights
from forensic.registry.loading import LoadedModel, load_model
from forensic.registry.sampling import sampled_picture
from forensic.resources import models_dir
from forensic.stages.recipe import load_recipe

from .test_shipped_models import scene

MODEL, GAN = "diffusion-x4", "real-esrgan-x4"
#: Means of blocks of the picture that seed 3, frame 5 and two steps give for the drawn scene, in thousandths.
REFERENCE = [
    267.16,
    345.65,
    425.01,
    503.82,
    264.01,
    333.91,
    420.93,
    502.31,
    417.67,
    632.77,
    565.03,
    647.87,
    324.95,
    459.32,
    486.95,
    601.62,
    328.79,
    458.13,
    486.73,
    601.28,
    415.75,
    624.90,
    563.04,
    643.18,
    267.26,
    343.64,
    425.24,
    505.30,
    270.12,
    347.53,
    426.63,
    507.26,
    735.29,
    649.40,
    569.33,
    485.88,
    731.61,
    649.32,
    571.65,
    488.80,
    585.94,
    368.11,
    431.40,
    347.71,
    679.53,
    543.14,
    511.28,
    395.56,
]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(load_card(MODEL))


def measured() -> list[dict[str, str]]:
    with (models_dir() / MODEL / "measured.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_card_repeats_the_measurement_file_to_the_digit() -> None:
    card = load_card(MODEL)
    assert card.stage_class is StageClass.GENERATIVE and card.calibration == "uncalibrated"
    assert card.works_on == "noise" and card.channels == "rgb" and card.scale == 4
    columns = (("PSNR-Y", "psnr_y_db"), ("SSIM-Y", "ssim_y"), ("LPIPS (AlexNet)", "lpips_alex"),
               ("LPIPS (VGG)", "lpips_vgg"))  # fmt: skip
    expected = [
        (metric, row["method"], float(row[column]), int(row["n"]), row["set"])
        for row in measured()
        for metric, column in columns
    ]
    assert [(one.metric, one.method, one.value, one.n, one.conditions) for one in card.measured] == expected


def test_the_readme_has_the_digest_and_every_row() -> None:
    text = (models_dir() / MODEL / "README.md").read_text(encoding="utf-8")
    assert load_card(MODEL).weights.sha256 in text
    for row in measured():
        start = f"| {row['set']} | {row['method']} | {row['n']} | {row['psnr_y_db']} / {row['ssim_y']} |"
        assert any(line.startswith(start) for line in text.splitlines()), row


def test_the_means_are_those_of_the_scores() -> None:
    with (models_dir() / MODEL / "scores.csv").open(encoding="utf-8", newline="") as stream:
        scores = list(csv.DictReader(stream))
    for row in measured():
        own = [one for one in scores if (one["set"], one["method"]) == (row["set"], row["method"])]
        assert len(own) == int(row["n"])
        for column, digits in (("psnr_y_db", 2), ("ssim_y", 4), ("lpips_alex", 4), ("lpips_vgg", 4)):
            mean = float(np.mean([float(one[column]) for one in own]))
            assert mean == pytest.approx(float(row[column]), abs=0.51 * 10**-digits)


def test_the_enlarger_inside_is_light_x4_to_the_bit() -> None:
    own = safetensors.torch.load(read_weights(load_card(MODEL)))
    light = load_card("light-x4")
    inside = {name.removeprefix("enlarger."): value for name, value in own.items() if name.startswith("enlarger.")}
    other = safetensors.torch.load(read_weights(light))
    assert set(inside) == set(other) and all(torch.equal(inside[name], value) for name, value in other.items())
    facts = json.loads((models_dir() / MODEL / "training.json").read_text(encoding="utf-8"))
    assert facts["enlarger_sha256"] == light.weights.sha256
    assert facts["loss_network_sha256"] == load_card("lpips-alex").weights.sha256


def test_a_seed_gives_the_very_picture_that_it_gave(model: LoadedModel) -> None:
    drawn = scene(96, 128)[::2, ::2] / np.float32(255)
    picture = np.stack([drawn, drawn[::-1], 1 - drawn]).astype(np.float32)
    made = sampled_picture(model, picture, 2, 3, 5, 192, 32)
    blocks = made.reshape(3, 4, 48, 4, 64).mean(axis=(2, 4)).ravel()
    assert np.abs(1000 * blocks - np.array(REFERENCE)).max() < 1.0
    other = sampled_picture(model, picture, 2, 4, 5, 192, 32)
    assert np.abs(255 * (made - other)).mean() > 0.3  # grey levels


def test_the_recipe_runs_it_with_its_seed_fixed() -> None:
    (stage,) = load_recipe("creative-diffusion").bind().stages
    told = stage.record()
    assert told["model"]["id"] == MODEL and told["class"] == "generative"
    assert {
        name: told["parameters"][name]["default"] for name in ("seed", "steps", "tile", "overlap")
    } == dict.fromkeys(("seed", "steps", "tile", "overlap"), False)
