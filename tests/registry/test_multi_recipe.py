"""The recipe of multi-x4 and its siblings runs end to end, repeats to the byte, and keeps the single-frame network."""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from torch.nn import functional

from forensic.registry.cards import load_card, read_weights
from forensic.registry.loading import load_model
from forensic.resources import models_dir

MODULES = ("recordings", "runs", "examples", "train")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, ModuleType]]:
    """The recipe, cut down to a few steps on three small photographs."""
    for name in MODULES:  # another model's recipe has modules of these names too
        sys.modules.pop(name, None)
    monkeypatch.setattr(sys, "path", [str(models_dir() / "multi-x4"), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import examples
    import recordings
    import train

    monkeypatch.setattr(recordings, "LIST", photographs(tmp_path / "photos"))
    for name, value in {"FRAMES": 4, "PAIR": (1, 2), "REACH": 1}.items():
        monkeypatch.setattr(examples, name, value)
    monkeypatch.setattr(examples, "TABLE_CRF", (None,))
    monkeypatch.setattr(train, "TABLE_CRF", (None,))
    for name, value in {"WIDTH": 8, "BLOCKS": 1}.items():
        monkeypatch.setattr(train, name, value)
    yield {"examples": examples, "train": train}
    for name in MODULES:
        sys.modules.pop(name, None)


def plan(recipe: dict[str, ModuleType], scale: int) -> Any:
    """A short one."""
    return recipe["examples"].Plan(
        scale=scale, single=f"single-x{scale}", scene=(224, 224), general=range(2), fine=range(2, 3),
        patch=24, steps=4, decay_from=2, log_every=2,
    )  # fmt: skip


def photographs(folder: Path) -> Path:
    """Three small photographs and their list."""
    folder.mkdir()
    rng, rows = np.random.default_rng(3), []
    for number, split in enumerate(("train", "train", "validation")):
        noise = cv2.resize(rng.uniform(0, 255, (30, 40)), (400, 320), interpolation=cv2.INTER_CUBIC)
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), np.clip(noise, 0, 255).astype(np.uint8))
        rows.append((split, path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "CC0-1.0", "", "", ""))
    listing = folder / "photographs.csv"
    with listing.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("split", "file", "sha256", "licence", "author", "source", "remark"))
        writer.writerows(rows)
    return listing


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_training_repeats_to_the_byte_stopped_or_not(recipe: dict[str, ModuleType], tmp_path: Path, scale: int) -> None:
    photos, cache, short = tmp_path / "photos", tmp_path / "cache", plan(recipe, scale)
    recipe["train"].train(short, photos, tmp_path / "whole", cache)
    recipe["train"].train(short, photos, tmp_path / "halves", cache, until=2)
    assert not (tmp_path / "halves" / "training.json").exists()
    recipe["train"].train(short, photos, tmp_path / "halves", cache)
    whole, halves = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "halves"))
    assert whole == halves
    assert (tmp_path / "whole" / "loss.csv").read_text() == (tmp_path / "halves" / "loss.csv").read_text()
    tensors = safetensors.torch.load(whole)
    single = safetensors.torch.load(read_weights(load_card(short.single)))
    assert {name for name in tensors if name.startswith("single.")} == {f"single.{name}" for name in single}
    assert all(torch.equal(tensors[f"single.{name}"], weight) for name, weight in single.items())


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_an_example_is_read_as_it_was_written_and_shows_one_place(
    recipe: dict[str, ModuleType], tmp_path: Path, scale: int
) -> None:
    examples, short = recipe["examples"], plan(recipe, scale)
    single = recipe["train"].load_model(load_card(short.single))
    examples.make_validation(tmp_path / "photos", tmp_path / "validation", single, short)
    (example,) = examples.loaded(tmp_path / "validation" / "None")
    assert example.quantiser == (None, None) and example.shift.shape == (2, 2)
    assert example.blur == 0.35 and example.error == pytest.approx(0.0)
    for frame in range(example.planes["low"].shape[0]):
        low = example.planes["low"][frame].astype(np.float32)
        for name in ("truth", "own", "mean", "fused", "sharper"):
            plane = example.planes[name][frame].astype(np.float32)
            small = plane.reshape(low.shape[0], scale, low.shape[1], scale).mean(axis=(1, 3))
            here = np.abs(low - small).mean()
            assert here < min(np.abs(np.roll(low, 1, axis) - small).mean() for axis in (0, 1)), name
    copy = tmp_path / "again.npz"
    examples.store(copy, examples.Example(example.planes, example.shift, (31.5, None), 0.4, -0.1))
    again = examples.load(copy)
    assert again.quantiser == (31.5, None) and (again.blur, again.error) == (0.4, -0.1)


def test_the_blur_is_told_as_a_measurement_would_or_is_the_default(recipe: dict[str, ModuleType]) -> None:
    examples, rng = recipe["examples"], np.random.default_rng(0)
    optics = examples.recordings.Optics("gaussian", sigma_x=0.5, sigma_y=0.5)
    how = examples.Degradation(optics=optics)
    taken = np.array([examples.blur_taken(how, rng) for _ in range(400)])
    measured = taken[taken != examples.DEFAULT_PSF]
    assert 160 < measured.size < 240
    assert abs(np.median(measured) - 0.5) < 0.03 and 0.2 < np.std(np.log(measured)) < 0.3
    assert measured.min() >= 0.2 and measured.max() <= 0.9


def test_errors_have_the_spread_that_is_told(recipe: dict[str, ModuleType]) -> None:
    """Where errors come from doubts that are all as likely, those of which a doubt is told scatter by that doubt."""
    train, rng = recipe["train"], np.random.default_rng(1)
    errors = rng.choice(train.DOUBTS, 40_000) * rng.standard_normal(40_000)
    told = np.array([train.doubt_of(float(error), rng) for error in errors])
    for doubt in train.DOUBTS:
        assert np.std(errors[told == doubt]) == pytest.approx(doubt, rel=0.06)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_a_displacement_turns_with_the_pictures(recipe: dict[str, ModuleType], turns: int, mirror: bool) -> None:
    train = recipe["train"]
    first, second = torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 9, 9)
    first[0, 0, 4, 4], second[0, 0, 4 - 1, 4 + 2] = 1, 1
    dx, dy = train._offset_turned((2, -1), turns, mirror)
    places = [torch.nonzero(train._turned(each, turns, mirror)[0, 0])[0].tolist() for each in (first, second)]
    assert (places[1][1] - places[0][1], places[1][0] - places[0][0]) == (dx, dy)


def test_the_change_of_the_error_counts_beside_the_error(recipe: dict[str, ModuleType]) -> None:
    """Two errors of one size: one that stays with the scene, displaced by (2, -1), and one that does not."""
    train = recipe["train"]
    scene = torch.from_numpy(np.random.default_rng(0).normal(0, 8, (1, 1, 60, 60)).astype(np.float32))
    steady = torch.cat([scene[:, :, 9:49, 9:49], scene[:, :, 10:50, 7:47]])
    boiling = torch.cat([steady[:1], torch.rot90(steady[1:], 2, (2, 3))])
    losses = [float(train.loss_of(error, [(2, -1)], torch.ones_like(error))) for error in (steady, boiling)]
    assert losses[0] < losses[1] - 0.5


def repeated(planes: torch.Tensor, step: int) -> torch.Tensor:
    return planes.repeat_interleave(step, dim=2).repeat_interleave(step, dim=3)


@pytest.mark.parametrize("scale", [1, 2])
def test_a_sibling_starts_as_the_other_for_repeated_pixels_averaged(
    recipe: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, scale: int
) -> None:
    """Where the recording is flat cubic enlargement is the same at every scale, and the refiners can be compared."""
    train, rng = recipe["train"], np.random.default_rng(4)
    monkeypatch.setattr(train, "WIDTH", 48)
    monkeypatch.setattr(train, "BLOCKS", 6)
    short = replace(plan(recipe, scale), start="multi-x4")
    small = train.Run(short).network
    large = load_model(load_card("multi-x4")).engine.network.refiner
    side = 2 * small.context + 6
    low = torch.full((1, 1, side, side), 90.0)
    enlarged = torch.from_numpy(rng.normal(90, 8, (1, 5, scale * side, scale * side)).astype(np.float32))
    enlarged[:, 4] = 3.0
    conditions = torch.tensor([0.3, 0.5, 1.0, 0.35, 0.2])[None, :, None, None].expand(1, 5, side, side).contiguous()
    step = 4 // scale
    with torch.inference_mode():
        found = small(low, enlarged, conditions)
        expected = functional.avg_pool2d(large(low, repeated(enlarged, step), conditions), step)
    assert float((expected - 90).abs().max()) > 2
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
