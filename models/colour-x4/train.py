"""Train colour-x4 end to end: photographs in, weights, loss curve and facts out.

    python models/colour-x4/train.py --photos DIR --out DIR

``DIR`` of photographs has the files named in ``photographs.csv`` of light-x4. One thread, one seed, a fixed number of
steps; the last averaged weights are kept, never the best on the validation photographs. A run that was stopped goes on
from ``OUT/checkpoint.pt`` as if it had not been.
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
import examples
import numpy as np
import safetensors.torch
import torch
from examples import SEED, Example
from recordings import TABLE_CRF
from runs import State
from torch import Tensor
from torch.nn import functional

from forensic.registry.architectures.catalogue import build
from forensic.registry.architectures.chroma.network import GuidedChroma
from forensic.registry.cards import load_card, read_weights

ARCHITECTURE = "guided-chroma"
BATCH = 6
CONSISTENCY = 0.1  # weight of the same loss on means over 2 x 2 samples
LOG_EVERY, KEEP_EVERY = 500, 100
BORDER = 4  # places that are left out of measurements


@dataclass(frozen=True)
class Plan:
    """What differs between models that are trained in this way; as it stands, colour-x4.

    ``patch``: recorded chroma samples on a side, context included. The rate is constant up to step ``decay_from``, then
    falls to zero as a cosine. ``softness``: of the Charbonnier loss, grey levels; ``floor`` is added to the loss of
    interpolation, which each patch's loss is relative to. ``start``: a shipped model of a larger scale and the same
    hyperparameters to start from; its filters are averaged over the samples that become one, so that the start is its
    correction, averaged.
    """

    scale: int = 4
    hyperparameters: Mapping[str, int] = field(default_factory=lambda: {"width": 24, "blocks": 4})
    patch: int = 32
    steps: int = 5_000
    decay_from: int = 2_400
    rate: float = 1.5e-3
    warming: int = 200
    softness: float = 1.0
    floor: float = 0.5
    start: str | None = None
    seed: int = SEED

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: warm-up, constant, cosine decay."""
        decayed = max(0.0, (step - self.decay_from) / (self.steps - self.decay_from))
        return self.rate * min(1.0, (step + 1) / self.warming) * (1 + math.cos(math.pi * decayed)) / 2


def batch(
    cache: Sequence[Example], rng: np.random.Generator, network: GuidedChroma, patch: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Luma [B, 1, 2sP, 2sP], interpolated chroma [B, 2, sP, sP] and true [B, 2, s(P-2c), s(P-2c)], grey levels."""
    scale, around = network.enlarged, network.places
    taken: list[tuple[np.ndarray, ...]] = []
    for _ in range(BATCH):
        one = cache[int(rng.integers(len(cache)))]
        rows, columns = (side // scale for side in one.given.shape[1:])
        top, left = int(rng.integers(rows - patch + 1)), int(rng.integers(columns - patch + 1))
        upside_down = bool(rng.integers(2))  # chroma lies in the middle of its rows: a recording too
        parts = (
            _cut(one.luma[None], 2 * scale, top, left, patch),
            _cut(one.given, scale, top, left, patch),
            _cut(one.truth, scale, top + around, left + around, patch - 2 * around),
        )
        taken.append(tuple(part[:, ::-1] if upside_down else part for part in parts))
    luma, given, truth = (torch.from_numpy(np.stack(each).astype(np.float32)) for each in zip(*taken, strict=True))
    return luma, given, truth


def _cut(planes: np.ndarray, samples: int, top: int, left: int, side: int) -> np.ndarray:
    return planes[:, samples * top : samples * (top + side), samples * left : samples * (left + side)]


def loss_of(result: Tensor, truth: Tensor, given: Tensor, plan: Plan) -> Tensor:
    """Loss of each patch's result, [B, 2, sH, sW], relative to that of interpolation, [B, 2, sH, sW]; their mean."""
    return (_loss(result - truth, plan.softness) / (_loss(given - truth, plan.softness) + plan.floor)).mean()


def _loss(error: Tensor, softness: float) -> Tensor:
    """Charbonnier loss of the samples, and of their means over 2 x 2; grey levels, [B]."""
    return _charbonnier(error, softness) + CONSISTENCY * _charbonnier(functional.avg_pool2d(error, 2), softness)


def _charbonnier(error: Tensor, softness: float) -> Tensor:
    return torch.sqrt(error**2 + softness**2).mean(dim=(1, 2, 3)) - softness


def start_of(plan: Plan) -> tuple[dict[str, Tensor], str]:
    """Weights that ``plan`` starts from, and the SHA-256 of the file they come from."""
    assert plan.start is not None
    card = load_card(plan.start)
    enlarged = card.architecture.hyperparameters["enlarged"]
    step, rest = divmod(enlarged, plan.scale)
    if rest or card.architecture.hyperparameters != {"enlarged": enlarged, **plan.hyperparameters}:
        raise ValueError(f"{plan.start} has other hyperparameters than the plan, or no multiple of its scale")
    state = safetensors.torch.load(read_weights(card))
    for name, groups, side in (("luma_head", 1, 2), ("blue_head", 1, 1), ("red_head", 1, 1)):
        whole = _joined(state[f"{name}.weight"].transpose(0, 1), groups, side * plan.scale, step)
        state[f"{name}.weight"] = whole.sum(dim=(2, 4)).flatten(0, 2).transpose(0, 1).contiguous()
    for name in ("tail.weight", "tail.bias"):
        state[name] = _joined(state[name], 4, plan.scale, step).mean(dim=(2, 4)).flatten(0, 2)
    return state, card.weights.sha256


def _joined(weights: Tensor, groups: int, side: int, step: int) -> Tensor:
    """Channels, the samples of a place row by row, as [groups * side, side] squares of ``step`` x ``step``."""
    return weights.reshape(groups, side, step, side, step, *weights.shape[1:])


class Run(State[GuidedChroma]):
    """The state of a training of ``plan``."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        torch.manual_seed(plan.seed)
        network = build(ARCHITECTURE, 1, {"enlarged": plan.scale, **plan.hyperparameters})
        assert isinstance(network, GuidedChroma)
        if plan.start is not None:
            network.load_state_dict(start_of(plan)[0])
        optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, betas=(0.9, 0.95), weight_decay=1e-4)
        super().__init__(network, optimiser, plan.seed)
        self.rng = np.random.default_rng([plan.seed, plan.scale])

    def one(self, cache: Sequence[Example]) -> None:
        """One step."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        luma, given, truth = batch(cache, self.rng, self.network, self.plan.patch)
        around = self.plan.scale * self.network.places
        inner = given[:, :, around:-around, around:-around]
        made = self.network.unlimited(luma, given)  # the limit would hold gradients back
        self.learn(loss_of(made, truth, inner, self.plan))


def gains(network: GuidedChroma, cache: Sequence[Example]) -> float:
    """Mean PSNR gain in dB over interpolation, Cb and Cr together, before the result is limited."""
    found, scale = [], network.enlarged
    border = BORDER * scale
    with torch.inference_mode():
        for one in cache:
            parts = (torch.from_numpy(part.astype(np.float32))[None] for part in (one.luma[None], one.given))
            luma, given = (
                functional.pad(part, [samples * network.places] * 4, mode="replicate")
                for part, samples in zip(parts, (2 * scale, scale), strict=True)
            )
            true = one.truth.astype(np.float32)
            results = one.given.astype(np.float32), network.unlimited(luma, given)[0].numpy()
            errors = [float(np.mean((each - true)[:, border:-border, border:-border] ** 2)) for each in results]
            found.append(10 * math.log10(max(errors[0], 1e-3) / max(errors[1], 1e-3)))
    return sum(found) / len(found)


def train(plan: Plan, photos: Path, out: Path, cache: Path, until: int | None = None) -> None:
    """Run the whole of ``plan``, or up to step ``until``; writes weights, curve and facts under ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    cv2.setNumThreads(1)
    examples.make(photos, cache / "train")
    examples.make_validation(photos, cache / "validation", plan.scale)
    learnt = examples.load(cache / "train" / str(plan.scale))
    held_out = [examples.load(cache / "validation" / str(crf) / str(plan.scale)) for crf in TABLE_CRF]
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
        names = ("no codec" if crf is None else f"CRF {crf}" for crf in TABLE_CRF)
        writer.writerow(("step", "training_loss_relative", *(f"validation gain dB, {name}" for name in names)))
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


def main(plan: Plan) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder that holds the listed photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results and the checkpoint")
    parser.add_argument("--cache", type=Path, help="folder for the examples, about 2 GB (default: OUT/cache)")
    parser.add_argument("--until", type=int, help="stop after this step; the same command goes on later")
    arguments = parser.parse_args()
    train(plan, arguments.photos, arguments.out, arguments.cache or arguments.out / "cache", arguments.until)


if __name__ == "__main__":
    main(Plan())
