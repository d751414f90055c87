"""The recipe of light-x4 runs end to end, repeats to the byte, goes on after a stop, and records what it says."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from forensic.registry.cards import load_card
from forensic.registry.loading import load_model
from forensic.resources import models_dir

RECIPE = models_dir() / "light-x4"
MODULES = ("recordings", "runs", "train")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    for name in MODULES:  # another model's recipe has a module of this name too
        sys.modules.pop(name, None)
    monkeypatch.syspath_prepend(str(RECIPE))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import recordings
    import train

    yield {"recordings": recordings, "train": train}
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def tiny(recipe: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small photographs, their list, and a recipe cut down to a few steps."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(3)
    rows = []
    for number, split in enumerate(("train", "train", "validation")):
        noise = cv2.resize(rng.uniform(0, 255, (30, 40)), (320, 240), interpolation=cv2.INTER_CUBIC)
        path = photos / f"{number}.png"
        cv2.imwrite(str(path), np.clip(noise, 0, 255).astype(np.uint8))
        rows.append((split, path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "CC0-1.0", "", "", ""))
    listing = tmp_path / "photographs.csv"
    with listing.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("split", "file", "sha256", "licence", "author", "source", "remark"))
        writer.writerows(rows)
    monkeypatch.setattr(recipe["recordings"], "LIST", listing)
    monkeypatch.setattr(recipe["recordings"], "CLIPS", 2)
    for name, value in {"LOG_EVERY": 2, "KEEP_EVERY": 1, "BATCH": 2}.items():
        monkeypatch.setattr(recipe["train"], name, value)
    return photos


@pytest.fixture
def plan(recipe: dict[str, ModuleType]) -> Any:
    small = {"width": 8, "blocks": 1, "fold": 2, "fused": 1}
    return recipe["train"].Plan(hyperparameters=small, patch=24, steps=4, decay_from=2)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_training_twice_gives_the_same_weights(
    recipe: dict[str, ModuleType], tiny: Path, plan: Any, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        recipe["train"].train(plan, tiny, tmp_path / name, tmp_path / name / "cache")
    first, second = (tmp_path / name for name in ("first", "second"))
    assert digest(first / "weights.safetensors") == digest(second / "weights.safetensors")
    assert (first / "loss.csv").read_text() == (second / "loss.csv").read_text()
    assert (first / "loss.csv").read_text().count("\n") == 3
    assert (first / "training.json").is_file()
    for path in sorted((first / "cache").rglob("*.npy")):
        assert digest(path) == digest(second / "cache" / path.relative_to(first / "cache"))


def test_a_training_that_was_stopped_ends_with_the_same_weights(
    recipe: dict[str, ModuleType], tiny: Path, plan: Any, tmp_path: Path
) -> None:
    recipe["train"].train(plan, tiny, tmp_path / "whole", tmp_path / "cache")
    recipe["train"].train(plan, tiny, tmp_path / "halves", tmp_path / "cache", until=3)
    assert not (tmp_path / "halves" / "training.json").exists()
    recipe["train"].train(plan, tiny, tmp_path / "halves", tmp_path / "cache")
    assert digest(tmp_path / "whole" / "weights.safetensors") == digest(tmp_path / "halves" / "weights.safetensors")
    assert (tmp_path / "whole" / "loss.csv").read_text() == (tmp_path / "halves" / "loss.csv").read_text()


def test_a_photograph_that_is_not_the_listed_one_stops_the_training(
    recipe: dict[str, ModuleType], tiny: Path, plan: Any, tmp_path: Path
) -> None:
    (tiny / "1.png").write_bytes((tiny / "0.png").read_bytes())
    with pytest.raises(ValueError, match="SHA-256 differs"):
        recipe["train"].train(plan, tiny, tmp_path / "out", tmp_path / "cache")


def test_low_and_true_pictures_of_the_cache_show_the_same_place(
    recipe: dict[str, ModuleType], tiny: Path, plan: Any, tmp_path: Path
) -> None:
    recipe["recordings"].make_cache(tiny, tmp_path / "cache", plan.sharpening)
    pairs = recipe["recordings"].load_cache(tmp_path / "cache")
    assert len(pairs) == 4
    for low, truth in pairs:
        assert low.dtype == truth.dtype == np.uint8
        assert truth.shape == (3, 4 * low.shape[1], 4 * low.shape[2])
        for small, large in zip(low, truth, strict=True):
            mean = large.astype(float).reshape(small.shape[0], 4, small.shape[1], 4).mean(axis=(1, 3))
            here = np.abs(small - mean).mean()
            assert here < min(np.abs(np.roll(small, 1, axis) - mean).mean() for axis in (0, 1))


def test_draws_stay_inside_the_stated_ranges(recipe: dict[str, ModuleType]) -> None:
    rng = np.random.default_rng(9)
    sharpening = recipe["recordings"].Sharpening()
    draws = [recipe["recordings"].drawn(rng, sharpening) for _ in range(600)]
    assert {how.codec.name for how in draws} == {"none", "h264", "h265", "mjpeg"}
    assert {how.optics.kind for how in draws} == {"gaussian", "defocus"}
    assert 0.6 < sum(how.codec.name == "h264" for how in draws) / len(draws) < 0.8
    for how in draws:
        assert how.sampling.factor == 4 and not how.sampling.bayer
        assert how.sensor.gain <= 0.06 and how.sensor.read_noise <= 2.5 and how.recorder.sharpen <= 1.2
        if how.codec.crf is not None:
            assert 18 <= how.codec.crf <= 40


def test_training_and_validation_photographs_do_not_overlap(recipe: dict[str, ModuleType]) -> None:
    splits = {name: recipe["recordings"].listed(name) for name in ("train", "validation", "excluded")}
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 41, "validation": 9, "excluded": 5}
    digests = [row.sha256 for rows in splits.values() for row in rows]
    assert len(set(digests)) == len(digests) == 55
    assert all(row.licence for rows in splits.values() for row in rows)


def test_the_rate_falls_to_nothing_at_the_end(recipe: dict[str, ModuleType]) -> None:
    plan = recipe["train"].Plan()
    rates = [plan.rate_at(step) for step in (0, plan.warming, plan.decay_from, plan.steps - 1, plan.steps)]
    assert rates[0] < rates[1] == rates[2] == plan.rate
    assert rates[3] < plan.rate / 100 and rates[4] < 1e-12


@pytest.mark.parametrize("scale", [1, 2])
def test_a_sibling_starts_as_the_mean_over_areas_of_the_result_that_it_starts_from(
    recipe: dict[str, ModuleType], scale: int
) -> None:
    network = recipe["train"].Run(recipe["train"].Plan(scale=scale, start="light-x4", seed=1)).network
    low = torch.rand((1, 1, 60, 64), generator=torch.Generator().manual_seed(5)) * 255
    with torch.inference_mode():
        correction = (network(low) - network.interpolated(low))[0, 0]
        large = load_model(load_card("light-x4")).upscale_luma(low[0, 0].numpy())[64:-64, 64:-64]
        cubic = recipe["train"].build("nafnet", 4, recipe["train"].Plan().hyperparameters).interpolated(low)[0, 0]
        expected = functional.avg_pool2d((torch.from_numpy(large) - cubic)[None], 4 // scale)[0]
    assert correction.shape == (scale * 28, scale * 32)
    assert correction.abs().max() > 1
    assert (correction - expected).abs().max() < 2e-3


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_truth_at_another_scale_is_what_an_ideal_sensor_would_see(
    recipe: dict[str, ModuleType], scale: int
) -> None:
    truth = np.random.default_rng(2).integers(0, 256, (16, 24)).astype(np.uint8)
    averaged = recipe["train"].averaged(truth, scale)
    step = 4 // scale
    assert averaged.shape == (4 * scale, 6 * scale)
    for row, column in ((0, 0), (scale, 2 * scale)):
        area = truth[step * row : step * (row + 1), step * column : step * (column + 1)]
        assert averaged[row, column] == pytest.approx(area.mean(dtype=float), abs=1e-4)


def test_a_start_that_does_not_fit_the_plan_is_refused(recipe: dict[str, ModuleType]) -> None:
    small = {"width": 8, "blocks": 1, "fold": 2, "fused": 1}
    with pytest.raises(ValueError, match="light-x4"):
        recipe["train"].Run(recipe["train"].Plan(hyperparameters=small, scale=2, start="light-x4"))


def test_a_sibling_is_trained_from_its_start_and_says_so(
    recipe: dict[str, ModuleType], tiny: Path, tmp_path: Path
) -> None:
    plan = recipe["train"].Plan(scale=1, start="light-x4", seed=5, patch=40, steps=2, decay_from=1)
    for name in ("first", "second"):
        recipe["train"].train(plan, tiny, tmp_path / name, tmp_path / "cache")
    assert digest(tmp_path / "first" / "weights.safetensors") == digest(tmp_path / "second" / "weights.safetensors")
    facts = json.loads((tmp_path / "first" / "training.json").read_text())
    assert facts["start"] == "light-x4" and facts["seed"] == 5
    assert facts["start_sha256"] == load_card("light-x4").weights.sha256
