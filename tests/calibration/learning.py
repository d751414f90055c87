"""Fits the head of the score ``quantile/2`` on recordings of the train and tune scenes.

Choices (features, width, number of steps) were made with heads fitted on train alone and looked at on tune.

``python -m tests.calibration --recipe light --model light-x4 --learn`` writes ``risk.safetensors`` and ``risk.csv``,
the curve of the loss, beside the model's card.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from forensic.registry.cards import load_card
from forensic.resources import models_dir
from forensic.risk.calibration import domain
from forensic.risk.features import CELL, GROUPS, Circumstances, features_of
from forensic.risk.head import FILE, QUANTILE, inputs, network, written
from forensic.risk.measurement import compare
from forensic.risk.regions import INJECTION
from forensic.stages.combining import combining
from forensic.stages.pipeline import Pipeline
from tests.calibration import scenes
from tests.calibration.recordings import STRATA, Enlarged, enlarged, recorded

FEATURES = tuple(name for group in GROUPS.values() for name in group)
WIDTH = 32
STEPS = 1200
BATCH, PATCH = 12, 40  # patches and cells a side; at scale 1, where no region holds one, four times as many of half
RATE, WARM_UP, DECAY = 2e-3, 50, 1e-3
SEED = 0
SPLITS = ("train", "tune")
#: How often every picture of them is recorded in every stratum; where several frames are combined, which takes more
#: than ten times as long, once.
REPEATS, REPEATS_COMBINED = 6, 1
EVERY = 100  # steps between two points of the curve


@dataclass(frozen=True)
class Example:
    """``seen``: what the network sees, float32 (channels, rows, columns); ``target``: log(1 + |error|) at every output
    pixel."""

    seen: np.ndarray
    target: np.ndarray


def planes_of(made: Enlarged) -> dict[str, np.ndarray]:
    """The features of an enlarged frame, as the map makes them."""
    found = compare(made.frame, made.output, None, None, made.halves)
    noise = float(found.facts["noise_sigma"])
    plain = domain.measured(made.frame, found.conflict, noise)
    known = Circumstances(plain["quantiser"], noise, plain["blur"])
    return features_of(found.y, found.x, found.forward, found.components[INJECTION], known)


def examples(pipeline: Pipeline, split: str, factor: int) -> Iterator[Example]:
    """Every scene of ``split`` in every stratum, as often as :data:`REPEATS` says."""
    pictures = scenes.pictures(split)
    for repeat in range(REPEATS if combining(pipeline) is None else REPEATS_COMBINED):
        for number in range(len(pictures)):
            for stratum in STRATA:
                recording = recorded(pictures, number, stratum, split, factor, repeat=repeat)
                if recording is not None:
                    made = enlarged(recording, pipeline)
                    error = np.abs(made.output.to_working().luma - made.truth)
                    yield Example(inputs(planes_of(made), FEATURES), np.log1p(error))


def _patch(one: Example, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A patch of ``side`` cells, turned and mirrored by chance."""
    rows, columns = one.seen.shape[1:]
    top, left = int(rng.integers(0, rows - side + 1)), int(rng.integers(0, columns - side + 1))
    seen = one.seen[:, top : top + side, left : left + side]
    target = one.target[CELL * top : CELL * (top + side), CELL * left : CELL * (left + side)]
    turns = int(rng.integers(0, 4))
    seen, target = np.rot90(seen, turns, (1, 2)), np.rot90(target, turns)
    if rng.random() < 0.5:
        seen, target = seen[:, :, ::-1], target[:, ::-1]
    return np.ascontiguousarray(seen), np.ascontiguousarray(target)


def fitted(
    training: list[Example], features: tuple[str, ...] = FEATURES, steps: int = STEPS, seed: int = SEED
) -> tuple[bytes, list[tuple[int, float]]]:
    """The head's bytes and the curve of the pinball loss of log(1 + |error|), whose quantiles are those of |error|."""
    import torch
    from torch.nn.functional import interpolate

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = network(len(features), WIDTH)
    every = np.concatenate([one.seen[:, ::7, ::7].reshape(len(one.seen), -1) for one in training], axis=1)
    mean = np.mean([one.seen.mean(axis=(1, 2)) for one in training], axis=0)
    with torch.no_grad():
        model.get_buffer("mean").copy_(torch.from_numpy(mean))
        model.get_buffer("deviation").copy_(torch.from_numpy(every.std(axis=1) + 1e-3))
        model.get_parameter("leave.bias").fill_(2.5)  # an expectation of 11 grey levels to begin with
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    side, batch = PATCH, BATCH
    if any(min(one.seen.shape[1:]) < PATCH for one in training):
        side, batch = PATCH // 2, 4 * BATCH
    curve, total = [], 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * 0.5 * (1.0 + np.cos(np.pi * step / steps))
        chosen = [_patch(training[place], side, rng) for place in rng.integers(0, len(training), batch)]
        seen, target = (torch.from_numpy(np.stack(part)) for part in zip(*chosen, strict=True))
        beyond = target - interpolate(model(seen), scale_factor=CELL)[:, 0]
        loss = torch.maximum(QUANTILE * beyond, (QUANTILE - 1.0) * beyond).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.item()
        if (step + 1) % EVERY == 0:
            curve.append((step + 1, round(total / EVERY, 6)))
            total = 0.0
    return written(model, features, WIDTH), curve


def write(pipeline: Pipeline, model: str) -> None:
    """Make the recordings, fit, write beside the card of ``model``."""
    scale = load_card(model).scale
    data, curve = fitted([one for split in SPLITS for one in examples(pipeline, split, scale)])
    folder = models_dir() / model
    (folder / FILE).write_bytes(data)
    with (folder / "risk.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("step", "pinball_loss"))
        rows.writerows(curve)
