"""The recipe of diffusion-x4 runs end to end, repeats to the byte stopped or not, and leaves the enlarger as it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch

from forensic.registry.architectures.lpips.network import Lpips
from forensic.registry.cards import load_card, read_weights
from forensic.resources import models_dir

from .test_multi_recipe import photographs

MODULES = ("recordings", "runs", "examples", "train")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, ModuleType]]:
    """The recipe, cut down to a few steps on three small photographs, with a drawn network as metric."""
    for name in MODULES:  # another model's recipe has modules of these names too
        sys.modules.pop(name, None)
    monkeypatch.setattr(sys, "path", [str(models_dir() / "diffusion-x4"), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import examples
    import recordings
    import train

    monkeypatch.setattr(recordings, "LIST", photographs(tmp_path / "photos"))
    for name, value in {"SIZE": (32, 40), "FRAMES": 2, "KEPT": (0, 1), "CLIPS": 1, "TABLE_CRF": (None,)}.items():
        monkeypatch.setattr(examples, name, value)
    for name, value in {"TABLE_CRF": (None,), "LOG_EVERY": 2, "LOOK_EVERY": 4, "LOOKS": (2,)}.items():
        monkeypatch.setattr(train, name, value)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        metric = Lpips(32)
    monkeypatch.setattr(train, "load_comparison", lambda name: SimpleNamespace(network=metric))
    yield {"examples": examples, "train": train}
    for name in MODULES:
        sys.modules.pop(name, None)


def test_training_repeats_to_the_byte_stopped_or_not(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    train, photos, cache = recipe["train"], tmp_path / "photos", tmp_path / "cache"
    sizes = {"width": 8, "middle": 8, "deep": 8, "blocks": 1, "noise": 400}
    short = train.Plan(hyperparameters=sizes, patch=16, batch=2, steps=4, decay_from=2, decay_to=4)
    train.train(short, photos, tmp_path / "whole", cache)
    train.train(short, photos, tmp_path / "halves", cache, until=2)
    train.train(short, photos, tmp_path / "halves", cache)
    whole, halves = (tmp_path / name for name in ("whole", "halves"))
    for file in ("weights.safetensors", "loss.csv"):
        assert (whole / file).read_bytes() == (halves / file).read_bytes()
    state = safetensors.torch.load((whole / "weights.safetensors").read_bytes())
    enlarger = safetensors.torch.load(read_weights(load_card("light-x4")))
    assert all(torch.equal(state[f"enlarger.{name}"], value) for name, value in enlarger.items())
    assert all(name.startswith(("enlarger.", "denoiser.")) for name in state)


def test_examples_belong_together(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    examples, network = recipe["examples"], recipe["train"].network_of(recipe["train"].Plan())
    examples.make(tmp_path / "photos", tmp_path / "cache", network)
    found = examples.load(tmp_path / "cache")
    assert found["low"].shape == (4, 3, 32, 40) and found["truth"].shape == found["base"].shape == (4, 3, 128, 160)
    for low, base, truth in zip(*(found[name].astype(np.float32) for name in ("low", "base", "truth")), strict=True):
        means = [each.reshape(3, 32, 4, 40, 4).mean(axis=(2, 4)) for each in (base, truth)]
        assert np.abs(means[0] - low).mean() < 12 and np.abs(means[1] - low).mean() < 25
        assert np.abs(base - truth).mean() < np.abs(np.roll(base, 16, axis=1) - truth).mean()
