"""The shipped models beside light-x4: what their cards claim, and where they come from."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from forensic.errors import UsageError
from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card, read_weights
from forensic.registry.loading import load_model
from forensic.resources import models_dir
from forensic.simulation.draw import draw
from forensic.simulation.simulator import simulate
from forensic.stages.recipe import load_recipe
from forensic.validation.fidelity import inside, psnr
from tests.registry.test_shipped_models import scene

SCALED = ("light-x2", "light-x1", "single-x2", "single-x1")  # siblings of light-x4 and single-x4 at other scales
FUSED = ("multi-x4", "multi-x2", "multi-x1")
MODELS = ("single-x4", *SCALED, *FUSED)
CALIBRATED = ("single-x4", *FUSED, *SCALED)


@pytest.mark.parametrize("name", MODELS)
def test_the_card_repeats_the_measurement_file_to_the_digit(name: str) -> None:
    card = load_card(name)
    calibrated = "calibrated" if card.id in CALIBRATED else "uncalibrated"
    assert card.stage_class is StageClass.FIDELITY and card.calibration == calibrated
    with (models_dir() / name / "measured.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = []
    for row in rows:
        scenes = f"fidelity benchmark, x{card.scale}, camera jitter" if name in FUSED[:2] else "BSDS500 test"
        conditions = f"{scenes}; {row['setting']}"
        expected.append(("PSNR-Y", row["method"], float(row["psnr_y_db"]), int(row["n"]), conditions))
        expected.append(("SSIM-Y", row["method"], float(row["ssim_y"]), int(row["n"]), conditions))
    assert [(one.metric, one.method, one.value, one.n, one.conditions) for one in card.measured] == expected


@pytest.mark.parametrize("name", MODELS)
def test_on_held_out_scenes_it_gains_over_what_it_starts_from_at_every_strength_of_the_codec(name: str) -> None:
    with (models_dir() / name / "measured.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["method"] == name]
    table = [row for row in rows if row["setting"] == "no codec" or row["setting"].startswith("H.264 CRF")]
    plain = [row for row in table if "sharpened" not in row["setting"]]
    assert len(plain) == 5
    if load_card(name).scale == 1:  # without a codec it takes sharp pictures for blurred ones, as its card says
        plain = [row for row in plain if row["setting"] != "no codec"]
    for row in plain:  # the interval of a handful of scenes is that of the scenes, which gain differently
        assert float(row["gain_db"]) > (float(row["gain_95_half_width"]) if int(row["n"]) >= 8 else 0.0)


@pytest.mark.parametrize("name", MODELS)
def test_a_flat_area_keeps_its_level_and_gains_no_texture(name: str) -> None:
    model = load_model(load_card(name))
    for level in (0, 16, 128, 235, 255):
        assert np.abs(model.upscale_luma(np.full((70, 80), level, np.float32)) - level).max() < 2e-3


@pytest.mark.parametrize("name", FUSED)
def test_the_single_frame_network_of_multi_is_that_of_single_to_the_bit(name: str) -> None:
    both = (name.replace("multi", "single"), name)
    single, multi = (safetensors.torch.load(read_weights(load_card(one))) for one in both)
    kept = {key.removeprefix("single."): value for key, value in multi.items() if key.startswith("single.")}
    assert kept.keys() == single.keys() and all(torch.equal(kept[key], single[key]) for key in single)


def test_the_recipe_single_runs_its_model_with_surroundings_enough_for_it() -> None:
    stage, _ = load_recipe("single").bind(scale=4).stages
    assert stage.record()["model"]["id"] == "single-x4"
    assert stage.parameters.overlap >= load_card("single-x4").receptive_field


@pytest.mark.parametrize("name", [*SCALED, *FUSED[1:]])
def test_a_sibling_is_made_from_the_shipped_weights_of_its_root(name: str) -> None:
    card = load_card(name)
    assert card.sibling_of == f"{name.split('-')[0]}-x4" and card.scale == int(name[-1])
    facts = json.loads((models_dir() / name / "training.json").read_text(encoding="utf-8"))
    assert facts["start"] == card.sibling_of and facts["seed"] == card.training.seed
    assert facts["start_sha256"] == load_card(card.sibling_of).weights.sha256
    assert card.weights.sha256 in (models_dir() / name / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", ["light", "light-steady", "single"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_recipe_takes_the_model_of_the_scale_that_is_asked_for(recipe: str, scale: int) -> None:
    stage = load_recipe(recipe).bind(scale=scale).stages[0]
    model = f"{recipe.removesuffix('-steady')}-x{scale}"
    assert stage.scale == scale and stage.record()["model"]["id"] == model
    assert stage.parameters.overlap >= load_card(model).receptive_field


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_recipe_multi_takes_the_refiner_of_the_scale_that_is_asked_for(scale: int) -> None:
    bound = load_recipe("multi").bind(scale=scale)
    stage, *colour = bound.stages
    assert stage.scale == scale and stage.record()["model"]["id"] == f"multi-x{scale}"
    assert [each.name for each in colour] == (["learned-colour"] if scale == 4 else [])  # and told: next line
    changed = {change["parameter"]: change["value"] for change in bound.record()["overrides"]}
    assert changed == ({} if scale == 4 else {"model": f"multi-x{scale}", "scale": scale, "stage": None})


@pytest.mark.parametrize("recipe", ["light", "light-steady", "single", "multi"])
def test_a_scale_without_a_model_is_refused_with_those_there_are(recipe: str) -> None:
    with pytest.raises(UsageError) as refusal:
        load_recipe(recipe).bind(scale=3)
    assert refusal.value.code == "recipe.scale" and "1, 2, 4" in refusal.value.remedy


@pytest.mark.parametrize("name", SCALED)
def test_nearer_to_the_truth_than_what_it_starts_from_under_the_stated_degradation(name: str) -> None:
    model = load_model(load_card(name))
    how = draw(np.random.default_rng(1), "issue-table", factor=2, crf=20)
    seen = simulate(scene(), how, 5, 7, margin=16)
    low, truth = seen.frames[2], seen.truth[2]
    if model.scale == 1:
        start, truth = low, truth.reshape(low.shape[0], 2, low.shape[1], 2).mean(axis=(1, 3))
    else:
        start = cv2.resize(low, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    learned, plain = (psnr(inside(plane, 16), inside(truth, 16)) for plane in (model.upscale_luma(low), start))
    assert learned > plain + 0.2


@pytest.mark.parametrize("name", SCALED)
def test_tiles_of_a_sibling_are_seamless(name: str) -> None:
    model = load_model(load_card(name))
    low = scene()[:96, :112]
    assert np.abs(model.upscale_luma_tiled(low, 32, model.radius) - model.upscale_luma(low)).max() < 5e-3


@pytest.mark.parametrize(
    ("name", "script"),
    [
        *((name, script) for name in ("single-x4", *SCALED) for script in ("train", "evaluate")),
        *((name, "train") for name in FUSED),
        ("multi-x1", "evaluate"),
    ],
)
def test_its_scripts_find_what_they_share_with_light(name: str, script: str) -> None:
    path = models_dir() / name / f"{script}.py"
    told = subprocess.run([sys.executable, "-B", str(path), "--help"], capture_output=True, text=True, check=False)
    assert told.returncode == 0 and "--out" in told.stdout, told.stderr
