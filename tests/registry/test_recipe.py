"""The committed training recipe runs end to end, repeats to the byte, and degrades as it says."""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from forensic.resources import models_dir

RECIPE = models_dir() / "luma-residual-x2"
MODULES = ("degradation", "photographs", "train")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(str(RECIPE))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import degradation
    import photographs
    import train

    yield {"degradation": degradation, "photographs": photographs, "train": train}
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
        noise = cv2.resize(rng.uniform(0, 255, (30, 40)), (400, 300), interpolation=cv2.INTER_CUBIC)
        path = photos / f"{number}.png"
        cv2.imwrite(str(path), np.clip(noise, 0, 255).astype(np.uint8))
        rows.append((split, path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "CC0-1.0", "", "", ""))
    listing = tmp_path / "photographs.csv"
    with listing.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("split", "file", "sha256", "licence", "author", "source", "remark"))
        writer.writerows(rows)
    monkeypatch.setattr(recipe["photographs"], "LIST", listing)
    for name, value in {"STEPS": 4, "LOG_EVERY": 2, "VARIANTS": 2, "BATCH": 2}.items():
        monkeypatch.setattr(recipe["train"], name, value)
    return photos


def test_training_twice_gives_the_same_weights(recipe: dict[str, ModuleType], tiny: Path, tmp_path: Path) -> None:
    digests = []
    for name in ("first", "second"):
        recipe["train"].train(tiny, tmp_path / name, tmp_path / name / "cache")
        digests.append(hashlib.sha256((tmp_path / name / "weights.safetensors").read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    assert (tmp_path / "first" / "loss.csv").read_text().count("\n") == 3
    assert (tmp_path / "first" / "training.json").is_file()


def test_a_photograph_that_is_not_the_listed_one_stops_the_training(
    recipe: dict[str, ModuleType], tiny: Path, tmp_path: Path
) -> None:
    (tiny / "1.png").write_bytes((tiny / "0.png").read_bytes())
    with pytest.raises(ValueError, match="SHA-256 differs"):
        recipe["train"].train(tiny, tmp_path / "out", tmp_path / "cache")


@pytest.mark.parametrize("codec", ["none", "jpeg", "h264"])
def test_the_degradation_halves_without_a_shift_and_repeats(recipe: dict[str, ModuleType], codec: str) -> None:
    degradation = recipe["degradation"]
    ramp = np.tile(np.linspace(20, 220, 256), (128, 1)).astype(np.uint8)
    how = degradation.Degradation(0.8, 0.0, 0.0, codec, {"none": 0, "jpeg": 95, "h264": 10}[codec])
    small = degradation.degrade(ramp, how, np.random.default_rng(1))
    assert small.shape == (64, 128) and small.dtype == np.uint8
    expected = ramp.astype(float).reshape(64, 2, 128, 2).mean(axis=(1, 3))
    inner = np.abs(small[8:-8, 8:-8] - expected[8:-8, 8:-8])
    assert inner.mean() < 1.0  # a shift of one low-resolution pixel would cost 1.57
    assert degradation.degrade(ramp, how, np.random.default_rng(1)).tobytes() == small.tobytes()


def test_draws_stay_inside_the_stated_ranges(recipe: dict[str, ModuleType]) -> None:
    degradation = recipe["degradation"]
    rng = np.random.default_rng(9)
    draws = [degradation.draw(rng) for _ in range(400)]
    assert {how.codec for how in draws} == {"none", "jpeg", "h264"}
    for how in draws:
        assert 0.0 <= how.blur_sigma <= 1.2 and 0 <= how.shot_gain <= 0.05 and 0 <= how.read_sigma <= 2.5
        low, high = {"none": (0, 0), "jpeg": (40, 95), "h264": (18, 34)}[how.codec]
        assert low <= how.quality <= high


def test_training_and_validation_photographs_do_not_overlap(recipe: dict[str, ModuleType]) -> None:
    splits = {name: recipe["photographs"].listed(name) for name in ("train", "validation", "excluded")}
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 41, "validation": 9, "excluded": 5}
    digests = [row.sha256 for rows in splits.values() for row in rows]
    assert len(set(digests)) == len(digests) == 55
    assert all(row.licence for rows in splits.values() for row in rows)
    assert all(row.remark for row in splits["excluded"])
