"""Train diffusion-x4 end to end: photographs in, weights, loss curve and facts out.

    python models/diffusion-x4/train.py --photos DIR --out DIR

``DIR`` of photographs has the files named in ``photographs.csv`` of light-x4. The enlarger is light-x4 as shipped; its
weights are not trained further and become part of the result. One thread, one seed, a fixed number of steps; the
last averaged weights are kept, never the best on the validation photographs. A run that was stopped goes on from
``OUT/checkpoint.pt`` as if it had not been. The weights of lpips-alex have to be fetched before (docs/models.md).
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import examples
import numpy as np
import safetensors.torch
import torch
from examples import SCALE, SEED, TABLE_CRF
from runs import State  # of light-x4: `examples` put it on the path
from torch import Tensor
from torch.nn import functional

from forensic.registry.architectures.catalogue import build
from forensic.registry.architectures.lpips.network import Lpips
from forensic.registry.architectures.nafnet.network import NafNet
from forensic.registry.architectures.residual_shift.network import Denoiser, ResidualShift
from forensic.registry.architectures.residual_shift.schedule import shift_at, steps_of
from forensic.registry.cards import load_card, read_weights
from forensic.registry.comparing import load_comparison
from forensic.registry.loading import load_model

ARCHITECTURE, ENLARGER, METRIC = "residual-shift", "light-x4", "lpips-alex"
LOG_EVERY, KEEP_EVERY, LOOK_EVERY = 250, 100, 1500
LOOKS = (1, 4)  # steps with which the validation photographs are made
BORDER = 16  # pixels of the result that are left out of measurements
_LUMA = (0.299, 0.587, 0.114)
_SOFTNESS = 2 / 255  # of the Charbonnier loss, of a range of 2: one grey level


@dataclass(frozen=True)
class Plan:
    """What is trained and how; as it stands, diffusion-x4.

    ``patch``: recorded pixels on a side. ``from_noise``: share of examples at the first step of the schedule, where
    nothing of the truth is seen; the places of the others are uniform. ``seeming``: weight of LPIPS beside the
    Charbonnier loss. ``grey``: share of examples without colour. From step ``own_from`` on, the share ``own`` of the
    examples at later steps of the schedule has no truth in it, but what the network took the first step for: as when
    it is used. The rate is constant up to step ``decay_from``, then falls as a cosine that is zero at ``decay_to``.
    """

    hyperparameters: Mapping[str, int] = field(
        default_factory=lambda: {"width": 64, "middle": 80, "deep": 96, "blocks": 2, "noise": 400}
    )
    patch: int = 32
    batch: int = 4
    steps: int = 20_000
    decay_from: int = 12_000
    decay_to: int = 20_000
    rate: float = 6e-4
    warming: int = 300
    from_noise: float = 0.3
    seeming: float = 1.0
    grey: float = 0.15
    own_from: int = 4_000
    own: float = 0.5
    seed: int = SEED

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: warm-up, constant, cosine decay."""
        decayed = max(0.0, (step - self.decay_from) / (self.decay_to - self.decay_from))
        return self.rate * min(1.0, (step + 1) / self.warming) * (1 + math.cos(math.pi * decayed)) / 2


def network_of(plan: Plan) -> ResidualShift:
    """The untrained denoiser with the shipped enlarger."""
    card = load_card(ENLARGER)
    single = {f"single_{name}": value for name, value in card.architecture.hyperparameters.items()}
    torch.manual_seed(plan.seed)
    network = build(ARCHITECTURE, SCALE, {**plan.hyperparameters, **single})
    assert isinstance(network, ResidualShift)
    torch.nn.init.normal_(network.denoiser.tail.weight, std=1e-3)
    loaded = load_model(card).engine.network  # type: ignore[attr-defined]
    assert isinstance(loaded, NafNet)
    network.enlarger.load_state_dict(loaded.state_dict())
    return network.eval()


def batch(cache: Mapping[str, np.ndarray], rng: np.random.Generator, plan: Plan) -> tuple[Tensor, Tensor, Tensor]:
    """Recording [B, 3, P, P], start and truth [B, 3, sP, sP], of -1 to 1: turned, mirrored, some without colour."""
    lows, bases, truths = [], [], []
    side = plan.patch
    for _ in range(plan.batch):
        one = int(rng.integers(len(cache["low"])))
        top, left = (int(rng.integers(length - side + 1)) for length in cache["low"].shape[2:])
        turns, mirror, grey = int(rng.integers(4)), bool(rng.integers(2)), bool(rng.random() < plan.grey)
        for name, factor, taken in (("low", 1, lows), ("base", SCALE, bases), ("truth", SCALE, truths)):
            rows, columns = (slice(factor * start, factor * (start + side)) for start in (top, left))
            planes = cache[name][one][:, rows, columns].astype(np.float32)
            if grey:
                planes = np.repeat(np.tensordot(np.array(_LUMA, np.float32), planes, 1)[None], 3, axis=0)
            turned = np.rot90(planes, turns, (1, 2))
            taken.append(turned[:, :, ::-1] if mirror else turned)
    low, base, truth = (torch.from_numpy(np.stack(taken)) / 127.5 - 1 for taken in (lows, bases, truths))
    return low, base, truth


class Run(State[Denoiser]):
    """The state of a training of ``plan``."""

    def __init__(self, plan: Plan, whole: ResidualShift, metric: Lpips) -> None:
        self.plan, self.kappa, self.metric = plan, whole.kappa, metric
        denoiser = whole.denoiser
        optimiser = torch.optim.AdamW(denoiser.parameters(), lr=plan.rate, betas=(0.9, 0.95), weight_decay=1e-4)
        super().__init__(denoiser, optimiser, plan.seed)

    def _own(self, noisy: Tensor, base: Tensor, low: Tensor, shift: Tensor) -> Tensor:
        """``noisy``, some examples replaced by what the first step of the schedule and one jump make of them."""
        count, first = len(low), steps_of(1)[0]
        chosen = torch.from_numpy(self.rng.random(count) < self.plan.own) & (shift < first.shift)
        noises = (torch.from_numpy(self.rng.standard_normal(noisy.shape, np.float32)) for _ in range(2))
        start = base + self.kappa * math.sqrt(first.shift) * next(noises)
        folded = (functional.pixel_unshuffle(each, SCALE) for each in (start, base))
        told = (torch.full((count,), each) for each in (first.place, first.shift))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            taken = functional.pixel_shuffle(self.network(*folded, low, *told, self.kappa), SCALE)
        keep = (shift / first.shift)[:, None, None, None]
        fresh = self.kappa * torch.sqrt(keep * first.shift * (1 - keep)) * next(noises)
        return torch.where(chosen[:, None, None, None], keep * start + (1 - keep) * taken + fresh, noisy)

    def one(self, cache: Mapping[str, np.ndarray]) -> None:
        """One step."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        low, base, truth = batch(cache, self.rng, self.plan)
        count = len(low)
        places = np.where(self.rng.random(count) < self.plan.from_noise, 1.0, self.rng.random(count))
        place = torch.from_numpy(places.astype(np.float32))
        shift = torch.tensor([shift_at(float(each)) for each in places])
        noise = torch.from_numpy(self.rng.standard_normal(truth.shape, np.float32))
        eta = shift[:, None, None, None]
        noisy = truth + eta * (base - truth) + self.kappa * torch.sqrt(eta) * noise
        if self.step >= self.plan.own_from:
            noisy = self._own(noisy, base, low, shift)
        folded = (functional.pixel_unshuffle(each, SCALE) for each in (noisy, base))
        with torch.autocast("cpu", torch.bfloat16):  # faster; weights and sums stay float32
            answer = self.network(*folded, low, place, shift, self.kappa)
        made = functional.pixel_shuffle(answer, SCALE)
        with torch.autocast("cpu", torch.bfloat16):
            seeming = self.metric(made, truth).mean()
        near = (torch.sqrt((made - truth) ** 2 + _SOFTNESS**2) - _SOFTNESS).mean()
        self.learn(near + self.plan.seeming * seeming)


def made_of(denoiser: Denoiser, low: Tensor, base: Tensor, kappa: float, count: int, seed: int) -> Tensor:
    """A picture [N, 3, sH, sW] of -1 to 1 in ``count`` steps, whole; as the program's sampler, with other noise."""
    rng = np.random.default_rng([seed, count])
    start = functional.pixel_unshuffle(base, SCALE)
    steps = steps_of(count)
    x, answer = start, start
    drawn = kappa * math.sqrt(steps[0].shift)
    for step in steps:
        x = x + drawn * torch.from_numpy(rng.standard_normal(start.shape, np.float32)) if drawn else x
        told = (torch.full((len(low),), each) for each in (step.place, step.shift))
        answer = denoiser(x, start, low, *told, kappa)
        x, drawn = step.keep * x + step.take * answer, kappa * step.noise
    return functional.pixel_shuffle(answer, SCALE)


def looked_at(run: Run, cache: Mapping[str, np.ndarray]) -> list[float]:
    """On the validation photographs, for every CRF: LPIPS and PSNR of luma (dB), of the start and for each of LOOKS."""
    weights = torch.tensor(_LUMA)[None, :, None, None]
    found: dict[tuple[int, int], list[tuple[float, float]]] = {}
    each = len(cache["low"]) // len(TABLE_CRF)
    with torch.inference_mode():
        for number in range(len(cache["low"])):
            low, base, truth = (torch.from_numpy(cache[name][number][None].astype(np.float32)) / 127.5 - 1
                                for name in ("low", "base", "truth"))  # fmt: skip
            for count in (0, *LOOKS):
                made = base if not count else made_of(run.average, low, base, run.kappa, count, number)
                one, other = (part.clamp(-1, 1)[:, :, BORDER:-BORDER, BORDER:-BORDER] for part in (made, truth))
                error = 127.5 * ((one - other) * weights).sum(1)
                found.setdefault((number // each, count), []).append(
                    (float(run.metric(one, other)[0]), 10 * math.log10(255**2 / max(float((error**2).mean()), 1e-3)))
                )
    return [round(float(value), 4) for pairs in found.values() for value in np.mean(pairs, axis=0)]


def train(plan: Plan, photos: Path, out: Path, cache: Path, until: int | None = None) -> None:
    """Run the whole of ``plan``, or up to step ``until``; writes weights, curve and facts under ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    cv2.setNumThreads(1)
    whole = network_of(plan)
    examples.make(photos, cache / "train", whole)
    examples.make_validation(photos, cache / "validation", whole)
    learnt, held_out = examples.load(cache / "train"), examples.load(cache / "validation")
    run = Run(plan, whole, load_comparison(METRIC).network)
    kept = out / "checkpoint.pt"
    if kept.is_file():
        run.restore(kept)
    run.start_watch()
    while run.step < (plan.steps if until is None else min(until, plan.steps)):
        run.one(learnt)
        run.lap()
        if run.step % LOG_EVERY == 0:
            held = looked_at(run, held_out) if run.step % LOOK_EVERY == 0 or run.step == plan.steps else []
            run.rows.append([run.step, round(run.running / LOG_EVERY, 4), *held])
            run.running = 0.0
            print(*run.rows[-1], *(f"{name} {value:.0f} s" for name, value in run.seconds.items()), flush=True)
            _write(out, run, whole)
        if run.step % KEEP_EVERY == 0 or run.step == until:
            run.save(kept)
    if run.step == plan.steps:
        _write(out, run, whole)
        (out / "training.json").write_text(json.dumps(_facts(run), indent=2) + "\n", encoding="utf-8")


def _write(out: Path, run: Run, whole: ResidualShift) -> None:
    state = {f"denoiser.{name}": weight for name, weight in run.average.state_dict().items()}
    state |= {f"enlarger.{name}": weight for name, weight in whole.enlarger.state_dict().items()}
    packed = {name: weight.detach().contiguous() for name, weight in state.items()}
    (out / "weights.safetensors").write_bytes(safetensors.torch.save(packed))
    with (out / "loss.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        names = ("no codec" if crf is None else f"CRF {crf}" for crf in TABLE_CRF)
        told = (f"validation {metric}, {name}, {count} steps" if count else f"validation {metric}, {name}, start"
                for name in names for count in (0, *LOOKS) for metric in ("LPIPS", "PSNR-Y dB"))  # fmt: skip
        writer.writerow(("step", "training_loss", *told))
        writer.writerows(run.rows)


def _facts(run: Run) -> dict[str, Any]:
    enlarger, metric = load_card(ENLARGER), load_card(METRIC)
    read_weights(enlarger)
    return run.facts(
        {
            "seed": run.plan.seed,
            "enlarger": enlarger.id,
            "enlarger_sha256": enlarger.weights.sha256,
            "loss_network": metric.id,
            "loss_network_sha256": metric.weights.sha256,
            "steps": run.step,
            "trained_parameters": sum(weight.numel() for weight in run.network.parameters()),
        }
    )


def main(plan: Plan) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder that holds the listed photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results and the checkpoint")
    parser.add_argument("--cache", type=Path, help="folder for the examples, about 1 GB (default: OUT/cache)")
    parser.add_argument("--until", type=int, help="stop after this step; the same command goes on later")
    arguments = parser.parse_args()
    train(plan, arguments.photos, arguments.out, arguments.cache or arguments.out / "cache", arguments.until)


if __name__ == "__main__":
    main(Plan())
