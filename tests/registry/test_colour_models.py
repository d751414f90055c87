"""The shipped models for colour: what their cards claim, where they come from, and that their recipe runs."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card
from forensic.registry.colouring import recoloured
from forensic.registry.loading import load_model
from forensic.resources import models_dir
from forensic.simulation.draw import draw
from forensic.simulation.simulator import simulate
from forensic.stages.recipe import load_recipe

MODELS = ("colour-x4",)
MODULES = ("recordings", "runs", "examples", "train", "plan", "evaluate")


def measured(name: str) -> list[dict[str, str]]:
    with (models_dir() / name / "measured.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("name", MODELS)
def test_the_card_repeats_the_measurement_file_to_the_digit(name: str) -> None:
    card = load_card(name)
    assert card.stage_class is StageClass.FIDELITY and card.calibration == "uncalibrated" and card.scale == 1
    assert card.works_on == "colour" and card.made_for == card.enlarged == int(name[-1])
    expected = []
    for row in measured(name):
        conditions = f"BSDS500 test; {row['setting']}"
        expected.append(("PSNR-CbCr", row["method"], float(row["psnr_cbcr_db"]), int(row["n"]), conditions))
        expected.append(("CIEDE2000", row["method"], float(row["ciede2000"]), int(row["n"]), conditions))
    assert [(one.metric, one.method, one.value, one.n, one.conditions) for one in card.measured] == expected
    assert card.weights.sha256 in (models_dir() / name / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MODELS)
def test_behind_the_recipes_it_gains_where_a_codec_was_and_never_loses_on_average(name: str) -> None:
    rows = {row["setting"]: row for row in measured(name) if row["method"] == name}
    coded = [rows[f"H.264 CRF {crf}"] for crf in (20, 28, 35, 40)]
    assert all(float(row["gain_db"]) > float(row["gain_95_half_width"]) for row in coded)
    assert float(rows["H.264 CRF 28"]["gain_db"]) >= 0.3
    assert all(float(row["gain_db"]) >= -0.05 for row in (*coded, rows["no codec"]))


@pytest.mark.parametrize("name", MODELS)
def test_even_areas_keep_their_colour_and_stay_as_near_to_the_scene_as_they_were(name: str) -> None:
    model = load_model(load_card(name))
    for level, blue, red in ((16, 128, 128), (90, 240, 16), (235, 60, 200)):
        chroma = np.stack([np.full((40, 44), each, np.float32) for each in (blue, red)])
        assert np.abs(recoloured(model, np.full((80, 88), level, np.float32), chroma) - chroma).max() < 1e-3
    with (models_dir() / name / "shift.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert all(float(row["largest_mean_moved"]) < 0.5 for row in rows if row["crf"] in ("none", "20", "28"))
    assert all(float(row["largest_mean_after"]) < float(row["largest_mean_before"]) + 0.5 for row in rows)


@pytest.mark.parametrize("recipe_name", ["single", "multi"])
@pytest.mark.parametrize("scale", [None, 4])
def test_the_recipes_restore_colour_at_four_times(recipe_name: str, scale: int | None) -> None:
    bound = load_recipe(recipe_name).bind(scale=scale)
    assert bound.stages[1].record()["model"]["id"] == "colour-x4" and not bound.overrides


@pytest.mark.parametrize("scale", [1, 2])
def test_at_other_scales_colour_is_left_as_interpolated_and_the_record_says_so(scale: int) -> None:
    bound = load_recipe("single").bind(scale=scale)
    assert [stage.name for stage in bound.stages] == ["learned-upscale"]
    (told,) = (each for each in bound.record()["overrides"] if each["stage"] == "learned-colour")
    assert told["value"] is None and told["by"] == "--scale"


def coloured_scene() -> np.ndarray:
    """Discs and stripes of many colours on a ramp, float32 RGB 0..255, (224, 288, 3)."""
    generator = np.random.default_rng(2)
    scene = np.repeat(np.tile(np.linspace(50, 180, 288), (224, 1))[..., None], 3, axis=2)
    for _ in range(40):
        centre = (int(generator.integers(288)), int(generator.integers(224)))
        colour = tuple(float(each) for each in generator.uniform(10, 245, 3))
        cv2.circle(scene, centre, int(generator.integers(8, 40)), colour, -1, cv2.LINE_AA)
    return scene.astype(np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_nearer_to_the_scene_than_interpolation_under_the_stated_degradation(
    name: str, recipe: dict[str, ModuleType]
) -> None:
    model, examples = load_model(load_card(name)), recipe["examples"]
    scale = int(name[-1])
    how = draw(np.random.default_rng(1), "issue-table", factor=4, crf=28)
    seen = simulate(coloured_scene(), how, 4, 7, margin=16)
    luma = load_model(load_card(f"light-x{scale}")).upscale_luma(seen.frames[2])
    given = examples.interpolated(seen.chroma[2], scale, False)
    truth = examples.true_chroma(seen, 2, scale)
    border = 8 * scale
    errors = [
        float(((each - truth)[:, border:-border, border:-border] ** 2).mean())
        for each in (given, recoloured(model, luma, given))
    ]
    assert errors[1] < 0.93 * errors[0]  # 0.3 dB


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, ModuleType]]:
    """The recipe, cut down to a few steps on three small photographs."""
    for name in MODULES:  # another model's recipe has modules of these names too
        sys.modules.pop(name, None)
    monkeypatch.setattr(sys, "path", [str(models_dir() / "colour-x4"), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import examples
    import recordings
    import train

    monkeypatch.setattr(recordings, "LIST", photographs(tmp_path / "photos"))
    for name, value in {"CLIPS": 1, "FRAMES": 3, "KEPT": ((0, 1), (1, 3)), "WINDOW": (224, 224)}.items():
        monkeypatch.setattr(examples, name, value)
    monkeypatch.setattr(recordings, "TABLE_CRF", (None,))
    monkeypatch.setattr(train, "TABLE_CRF", (None,))
    monkeypatch.setattr(train, "LOG_EVERY", 2)
    yield {"examples": examples, "train": train}
    for name in MODULES:
        sys.modules.pop(name, None)


def photographs(folder: Path) -> Path:
    """Three small photographs and their list."""
    folder.mkdir()
    rng, rows = np.random.default_rng(3), []
    for number, split in enumerate(("train", "train", "validation")):
        noise = cv2.resize(rng.uniform(0, 255, (30, 40, 3)), (400, 320), interpolation=cv2.INTER_CUBIC)
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), np.clip(noise, 0, 255).astype(np.uint8))
        rows.append((split, path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "CC0-1.0", "", "", ""))
    listing = folder / "photographs.csv"
    with listing.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("split", "file", "sha256", "licence", "author", "source", "remark"))
        writer.writerows(rows)
    return listing


def test_training_repeats_to_the_byte_stopped_or_not(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    train = recipe["train"]
    plan = train.Plan(hyperparameters={"width": 8, "blocks": 1}, patch=16, steps=4, decay_from=2)
    photos, cache = tmp_path / "photos", tmp_path / "cache"
    train.train(plan, photos, tmp_path / "whole", cache)
    train.train(plan, photos, tmp_path / "halves", cache, until=2)
    assert not (tmp_path / "halves" / "training.json").exists()
    train.train(plan, photos, tmp_path / "halves", cache)
    whole, halves = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "halves"))
    assert whole == halves
    assert (tmp_path / "whole" / "loss.csv").read_text() == (tmp_path / "halves" / "loss.csv").read_text()


def test_examples_show_one_place_at_every_scale(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    examples = recipe["examples"]
    examples.make(tmp_path / "photos", tmp_path / "cache")
    before = {path: path.read_bytes() for path in (tmp_path / "cache").rglob("*.npz")}
    examples.make(tmp_path / "photos", tmp_path / "cache")
    assert before == {path: path.read_bytes() for path in (tmp_path / "cache").rglob("*.npz")}
    for scale in examples.SCALES:
        found = examples.load(tmp_path / "cache" / str(scale))
        assert len(found) == 4
        for one in found:
            rows, columns = one.given.shape[1:]
            assert one.luma.shape == (2 * rows, 2 * columns) and one.truth.shape == one.given.shape
            given, truth = one.given.astype(np.float32), one.truth.astype(np.float32)
            here = np.abs(given - truth).mean()
            assert here < min(np.abs(np.roll(given, step, axis) - truth).mean() for axis in (1, 2) for step in (-2, 2))


@pytest.mark.parametrize("scale", [1, 2])
def test_a_training_for_a_smaller_scale_starts_from_the_roots_correction_averaged(
    recipe: dict[str, ModuleType], scale: int
) -> None:
    """On luma and chroma that are even within each sample of the smaller picture both see the same."""
    train = recipe["train"]
    card = load_card("colour-x4")
    root = train.build("guided-chroma", 1, card.architecture.hyperparameters)
    root.load_state_dict(safetensors.torch.load((card.folder / card.weights.file).read_bytes()))
    plan = train.Plan(scale=scale, start="colour-x4")
    sibling = train.Run(plan).network
    step, side = 4 // scale, 2 * sibling.places + 3
    generator = torch.Generator().manual_seed(0)
    luma = 60 * torch.rand(1, 1, 2 * scale * side, 2 * scale * side, generator=generator)
    chroma = 20 * torch.rand(1, 2, scale * side, scale * side, generator=generator)
    with torch.no_grad():
        for network in (root, sibling):  # the factors of luma's detail apart: that is another at another scale
            area = 2 * network.enlarged**2
            network.tail.weight[area:] = 0
            network.tail.bias[area:] = 0
        large = root.unlimited(*(each.repeat_interleave(step, 2).repeat_interleave(step, 3) for each in (luma, chroma)))
        small = sibling.unlimited(luma, chroma)
    assert float((torch.nn.functional.avg_pool2d(large, step) - small).abs().max()) < 1e-3


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("script", ["train", "evaluate"])
def test_its_scripts_find_what_they_share(name: str, script: str) -> None:
    path = models_dir() / name / f"{script}.py"
    told = subprocess.run([sys.executable, "-B", str(path), "--help"], capture_output=True, text=True, check=False)
    assert told.returncode == 0 and "--out" in told.stdout, told.stderr
