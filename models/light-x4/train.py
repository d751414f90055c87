"""Train light-x4 end to end: photographs in, weights, loss curve and facts out.

    python models/light-x4/train.py --photos DIR --out DIR

``DIR`` of photographs has the files named in ``photographs.csv``. One thread, one seed, a fixed
number of steps; the last averaged weights are kept, never the best on the validation photographs.
A run that was stopped goes on from ``OUT/checkpoint.pt`` as if it had not been.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import recordings
import safetensors.torch
import torch
from recordings import OF_LIGHT, SCALE, SEED, Sharpening, averaged
from runs import State
from torch import Tensor
from torch.nn import functional

from forensic.registry.architectures.catalogue import build
from forensic.registry.architectures.nafnet.network import NafNet
from forensic.registry.cards import load_card, read_weights

ARCHITECTURE = "nafnet"
BATCH = 4
SOFTNESS = 1.0  # of the Charbonnier loss, grey levels
CONSISTENCY = 0.1  # weight of the same loss on means over the pixels that one of the recording's becomes
LOG_EVERY, KEEP_EVERY = 500, 100

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Plan:
    """What differs between models that are trained in this way; as it stands, light-x4.

    ``patch``: low-resolution pixels on a side, context included. The rate is constant up to step ``decay_from``,
    then falls to zero as a cosine. ``scale`` divides the recordings' SCALE: the truth is the same scene, averaged over
    the area of the result's pixels. ``start``: a shipped model of scale SCALE and the same hyperparameters to start
    from; its last layer is averaged as the truth is, so that the start is its result, averaged.
    """

    hyperparameters: Mapping[str, int] = field(
        default_factory=lambda: {"width": 48, "blocks": 6, "fold": 2, "fused": 1}
    )
    patch: int = 120
    steps: int = 5_500
    decay_from: int = 3_000
    rate: float = 1.5e-3
    warming: int = 200
    sharpening: Sharpening = OF_LIGHT
    scale: int = SCALE
    start: str | None = None
    seed: int = SEED

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: warm-up, constant, cosine decay."""
        decayed = max(0.0, (step - self.decay_from) / (self.steps - self.decay_from))
        return self.rate * min(1.0, (step + 1) / self.warming) * (1 + math.cos(math.pi * decayed)) / 2


def batch(
    cache: Sequence[Pair], rng: np.random.Generator, patch: int, context: int, scale: int = SCALE
) -> tuple[Tensor, Tensor]:
    """Low-resolution [B, 1, P, P] and true [B, 1, s(P-2c), s(P-2c)] patches, grey levels."""
    lows, truths = [], []
    for _ in range(BATCH):
        low, truth = _patch(cache, rng, patch, context)
        truth = averaged(truth, scale)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        lows.append(_dihedral(low, turns, mirror))
        truths.append(_dihedral(truth, turns, mirror))
    stack = [torch.from_numpy(np.stack(group)[:, None].astype(np.float32)) for group in (lows, truths)]
    return stack[0], stack[1]


def _patch(cache: Sequence[Pair], rng: np.random.Generator, patch: int, context: int) -> Pair:
    low, truth = cache[int(rng.integers(len(cache)))]
    picture = int(rng.integers(len(low)))
    top, left = (int(rng.integers(length - patch + 1)) for length in low.shape[1:])
    inner = patch - 2 * context
    y, x = SCALE * (top + context), SCALE * (left + context)
    return (
        low[picture, top : top + patch, left : left + patch],
        truth[picture, y : y + SCALE * inner, x : x + SCALE * inner],
    )


def _dihedral(plane: np.ndarray, turns: int, mirror: bool) -> np.ndarray:
    turned = np.rot90(plane, turns)
    return turned[:, ::-1] if mirror else turned


def loss_of(result: Tensor, truth: Tensor, scale: int = SCALE) -> Tensor:
    """Charbonnier loss of the pixels, and of what the result would give on the recording's grid; grey levels."""
    error = result - truth
    return _charbonnier(error) + CONSISTENCY * _charbonnier(functional.avg_pool2d(error, scale))


def _charbonnier(error: Tensor) -> Tensor:
    return torch.sqrt(error**2 + SOFTNESS**2).mean() - SOFTNESS


def start_of(plan: Plan) -> tuple[dict[str, Tensor], str]:
    """Weights that ``plan`` starts from, and the SHA-256 of the file they come from."""
    assert plan.start is not None
    card = load_card(plan.start)
    if card.scale != SCALE or card.architecture.hyperparameters != dict(plan.hyperparameters):
        raise ValueError(f"{plan.start} is no network of scale {SCALE} with the plan's hyperparameters")
    state = safetensors.torch.load(read_weights(card))
    fold, step = plan.hyperparameters["fold"], SCALE // plan.scale
    side = plan.scale * fold
    for name in ("tail.weight", "tail.bias"):  # channels are the pixels of a place, row by row
        pixels = state[name].reshape(side, step, side, step, *state[name].shape[1:])
        state[name] = pixels.mean(dim=(1, 3)).flatten(0, 1)
    return state, card.weights.sha256


class Run(State[NafNet]):
    """The state of a training of ``plan``."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        torch.manual_seed(plan.seed)
        network = build(ARCHITECTURE, plan.scale, plan.hyperparameters)
        assert isinstance(network, NafNet)
        if plan.start is None:
            torch.nn.init.normal_(network.tail.weight, std=1e-3)
            torch.nn.init.zeros_(network.tail.bias)
        else:
            network.load_state_dict(start_of(plan)[0])
        optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, betas=(0.9, 0.95), weight_decay=1e-4)
        super().__init__(network, optimiser, plan.seed)

    def one(self, cache: Sequence[Pair]) -> None:
        """One step."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        low, truth = batch(cache, self.rng, self.plan.patch, self.network.context, self.plan.scale)
        with torch.autocast("cpu", torch.bfloat16):  # nearly twice as fast; weights and sums stay float32
            result = self.network(low)
        self.learn(loss_of(result, truth, self.plan.scale))


def gains(network: NafNet, cache: Sequence[Pair]) -> float:
    """Mean PSNR gain in dB over what the network adds to (cubic enlargement, or the input); pictures of one CRF."""
    found, border = [], 4 * network.scale
    with torch.inference_mode():
        for low, truth in cache:
            padded = torch.from_numpy(np.pad(low[-1].astype(np.float32), network.context, mode="edge"))[None, None]
            errors, true = [], averaged(truth[-1], network.scale)
            for result in (network.interpolated(padded), network(padded)):
                out = result[0, 0].numpy().clip(0, 255)
                errors.append(float(np.mean((out - true)[border:-border, border:-border] ** 2)))
            found.append(10 * math.log10(errors[0] / errors[1]))
    return sum(found) / len(found)


def train(plan: Plan, photos: Path, out: Path, cache: Path, until: int | None = None) -> None:
    """Run the whole of ``plan``, or up to step ``until``; writes weights, curve and facts under ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    cv2.setNumThreads(1)
    recordings.make_cache(photos, cache / "train", plan.sharpening)
    recordings.make_validation(photos, cache / "validation")
    learnt = recordings.load_cache(cache / "train")
    held_out = [recordings.load_cache(cache / "validation" / str(crf)) for crf in recordings.TABLE_CRF]
    run = Run(plan)
    kept = out / "checkpoint.pt"
    if kept.is_file():
        run.restore(kept)
    run.start_watch()
    while run.step < (plan.steps if until is None else min(until, plan.steps)):
        run.one(learnt)
        run.lap()
        if run.step % LOG_EVERY == 0:
            held = [round(gains(run.average, pictures), 3) for pictures in held_out]
            run.rows.append([run.step, round(run.running / LOG_EVERY, 4), *held])
            run.running = 0.0
            print(*run.rows[-1], *(f"{name} {value:.0f} s" for name, value in run.seconds.items()), flush=True)
            _write(out, run)
        if run.step % KEEP_EVERY == 0 or run.step == until:
            run.save(kept)
    if run.step == plan.steps:
        _write(out, run)
        (out / "training.json").write_text(json.dumps(_facts(run), indent=2) + "\n", encoding="utf-8")


def _write(out: Path, run: Run) -> None:
    state = {name: weight.detach().contiguous() for name, weight in run.average.state_dict().items()}
    (out / "weights.safetensors").write_bytes(safetensors.torch.save(state))
    with (out / "loss.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        names = ("no codec" if crf is None else f"CRF {crf}" for crf in recordings.TABLE_CRF)
        writer.writerow(("step", "training_loss_grey_levels", *(f"validation gain dB, {name}" for name in names)))
        writer.writerows(run.rows)


def _facts(run: Run) -> dict[str, Any]:
    start = {} if run.plan.start is None else {"start": run.plan.start, "start_sha256": start_of(run.plan)[1]}
    return run.facts(
        {
            "seed": run.plan.seed,
            **start,
            "steps": run.step,
            "parameters": sum(weight.numel() for weight in run.network.parameters()),
        }
    )


def main(*plans: Plan) -> None:
    """Command line; later plans go on from where the one before ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder that holds the listed photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results and the checkpoint")
    parser.add_argument("--cache", type=Path, help="folder for the recordings, about 2 GB a plan (default: OUT/cache)")
    parser.add_argument("--until", type=int, help="stop after this step; the same command goes on later")
    arguments = parser.parse_args()
    for number, plan in enumerate(plans):
        cache = (arguments.cache or arguments.out / "cache") / str(number)
        train(plan, arguments.photos, arguments.out, cache, arguments.until)
        if arguments.until is not None and arguments.until <= plan.steps:
            break


if __name__ == "__main__":
    main(Plan())
