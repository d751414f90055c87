"""Train light-x4 end to end: photographs in, weights, loss curve and facts out.

    python models/light-x4/train.py --photos DIR --out DIR

``DIR`` of photographs has the files named in ``photographs.csv``. One thread, one seed, a fixed
number of steps; the last averaged weights are kept, never the best on the validation photographs.
A run that was stopped goes on from ``OUT/checkpoint.pt`` as if it had not been.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import recordings
import safetensors.torch
import torch
from recordings import OF_LIGHT, SCALE, SEED, Sharpening
from torch import Tensor
from torch.nn import functional

from forensic.registry.architectures.catalogue import build
from forensic.registry.architectures.nafnet.network import NafNet
from forensic.registry.cards import load_card, read_weights

ARCHITECTURE = "nafnet"
BATCH = 4
AVERAGING = 0.998  # exponential moving average of the weights
SOFTNESS = 1.0  # of the Charbonnier loss, grey levels
CONSISTENCY = 0.1  # weight of the same loss on means over the pixels that one of the recording's becomes
LOG_EVERY, KEEP_EVERY = 500, 100
POWER_METER = Path("/sys/class/powercap/intel-rapl:0/energy_uj")

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


def averaged(truth: np.ndarray, scale: int) -> np.ndarray:
    """A true picture [SCALE*H, SCALE*W] as an ideal sensor of ``scale*H`` x ``scale*W`` sees it: means over areas."""
    step = SCALE // scale
    if step == 1:
        return truth
    rows, columns = truth.shape
    return truth.reshape(rows // step, step, columns // step, step).mean(axis=(1, 3), dtype=np.float32)


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


class Run:
    """The state of a training: everything that the next step depends on."""

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
        self.network, self.average = network, copy.deepcopy(network)
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, betas=(0.9, 0.95), weight_decay=1e-4)
        self.rng = np.random.default_rng([plan.seed, 0])
        self.step, self.running = 0, 0.0
        self.rows: list[list[float]] = []
        self.seconds = {"wall": 0.0, "cpu": 0.0}

    def one(self, cache: Sequence[Pair]) -> None:
        """One step."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        low, truth = batch(cache, self.rng, self.plan.patch, self.network.context, self.plan.scale)
        with torch.autocast("cpu", torch.bfloat16):  # nearly twice as fast; weights and sums stay float32
            result = self.network(low)
        loss = loss_of(result, truth, self.plan.scale)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 0.5)
        self.optimiser.step()
        decay = min(AVERAGING, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for kept, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(now, 1 - decay)
        self.running += float(loss.detach())
        self.step += 1

    def save(self, path: Path) -> None:
        """Write the state so that a stop at any moment leaves a whole file."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rest": json.dumps([self.rng.bit_generator.state, self.step, self.running, self.rows, self.seconds]),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from a state written by :meth:`save`."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state, self.step, self.running, self.rows, self.seconds = json.loads(state["rest"])


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
    wall, cpu, joules = time.monotonic(), time.process_time(), _joules()
    before = dict(run.seconds)
    while run.step < (plan.steps if until is None else min(until, plan.steps)):
        run.one(learnt)
        run.seconds["wall"] = before["wall"] + time.monotonic() - wall
        run.seconds["cpu"] = before["cpu"] + time.process_time() - cpu
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
        (out / "training.json").write_text(json.dumps(_facts(run, joules), indent=2) + "\n", encoding="utf-8")


def _write(out: Path, run: Run) -> None:
    state = {name: weight.detach().contiguous() for name, weight in run.average.state_dict().items()}
    (out / "weights.safetensors").write_bytes(safetensors.torch.save(state))
    with (out / "loss.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        names = ("no codec" if crf is None else f"CRF {crf}" for crf in recordings.TABLE_CRF)
        writer.writerow(("step", "training_loss_grey_levels", *(f"validation gain dB, {name}" for name in names)))
        writer.writerows(run.rows)


def _joules() -> float | None:
    try:
        return int(POWER_METER.read_text()) / 1e6
    except (OSError, ValueError):
        return None


def _facts(run: Run, joules: float | None) -> dict[str, Any]:
    now = _joules()
    start = {} if run.plan.start is None else {"start": run.plan.start, "start_sha256": start_of(run.plan)[1]}
    return {
        "seed": run.plan.seed,
        **start,
        "steps": run.step,
        "parameters": sum(weight.numel() for weight in run.network.parameters()),
        "training_wall_seconds": round(run.seconds["wall"]),
        "training_cpu_seconds": round(run.seconds["cpu"]),
        "energy_joules": "not readable on this machine" if joules is None or now is None else round(now - joules),
        "software": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
            "av": av.__version__,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        },
    }


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
