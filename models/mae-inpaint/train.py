"""Train mae-inpaint end to end: photographs in, weights, loss curve and facts out.

    python models/mae-inpaint/train.py --photos DIR --out DIR

``DIR`` of photographs has the files named in ``photographs.csv`` of light-x4. One thread, one seed, a fixed number of
steps; the last averaged weights are kept, never the best on the validation photographs. A run that was stopped goes on
from ``OUT/checkpoint.pt`` as if it had not been.
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
import numpy as np
import safetensors.torch
import torch
import windows
from damage import KINDS, mask
from runs import State  # of light-x4: `windows` put it on the path
from torch import Tensor

from forensic.registry.architectures.catalogue import build
from forensic.registry.architectures.mae.filling import pull_push
from forensic.registry.architectures.mae.network import MaskedAutoencoder

ARCHITECTURE = "masked-autoencoder"
SOFTNESS = 0.004  # of the Charbonnier loss, R'G'B' of 0 to 1
FLOOR = 1.0  # grey levels
GENTLY = 0.01  # what the loss is multiplied with: the gradient's norm stays below where it is cut
EDGES = 0.5  # weight of the same loss on differences of neighbouring pixels of which one at least was missing
LOG_EVERY, KEEP_EVERY = 100, 25


@dataclass(frozen=True)
class Plan:
    """What the training depends on. The rate is constant up to step ``decay_from``, then falls to zero as a cosine.

    ``rate``: of the convolutions that end in pixels; ``tokens``: times that for everything else.
    """

    hyperparameters: Mapping[str, int] = field(
        default_factory=lambda: {
            "window": 64,
            "width": 128,
            "blocks": 4,
            "decoder_width": 96,
            "decoder_blocks": 2,
            "fine": 32,
        }
    )
    batch: int = 16
    steps: int = 6_000
    decay_from: int = 3_500
    rate: float = 2e-3
    tokens: float = 0.25
    warming: int = 200
    seed: int = windows.SEED

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: warm-up, constant, cosine decay."""
        decayed = max(0.0, (step - self.decay_from) / max(1, self.steps - self.decay_from))
        return self.rate * min(1.0, (step + 1) / self.warming) * (1 + math.cos(math.pi * decayed)) / 2


def batch(learnt: np.ndarray, rng: np.random.Generator, plan: Plan) -> tuple[Tensor, Tensor]:
    """Pictures, R'G'B' of 0 to 1 [B, 3, S, S], and what is missing of them, [B, 1, S, S]."""
    side = plan.hyperparameters["window"]
    pictures, holes = [], []
    for _ in range(plan.batch):
        whole = learnt[int(rng.integers(len(learnt)))]
        top, left = (int(rng.integers(length - side + 1)) for length in whole.shape[:2])
        picture = np.rot90(whole[top : top + side, left : left + side], int(rng.integers(4)))
        pictures.append(np.ascontiguousarray(picture[:, ::-1] if rng.integers(2) else picture))
        holes.append(mask(rng, side))
    return _tensors(np.stack(pictures), np.stack(holes))


def _tensors(pictures: np.ndarray, holes: np.ndarray) -> tuple[Tensor, Tensor]:
    planes = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)
    return torch.from_numpy(planes), torch.from_numpy(holes[:, None].astype(np.float32))


def loss_of(made: Tensor, truth: Tensor, missing: Tensor, start: Tensor) -> Tensor:
    """Loss of every window relative to that of the smooth filling it started from, plus the floor; their mean."""
    return (_loss(made - truth, missing) / (_loss(start - truth, missing) + FLOOR)).mean()


def _loss(error: Tensor, missing: Tensor) -> Tensor:
    """Charbonnier loss of the missing pixels, and of the differences that they are part of; grey levels, [B]."""
    error = error * missing
    down, across = error[:, :, 1:] - error[:, :, :-1], error[:, :, :, 1:] - error[:, :, :, :-1]
    total = _charbonnier(error) + EDGES * (_charbonnier(down) + _charbonnier(across))
    return total / (3 * missing.sum(dim=(1, 2, 3))) * 255


def _charbonnier(error: Tensor) -> Tensor:
    return (torch.sqrt(error**2 + SOFTNESS**2) - SOFTNESS).sum(dim=(1, 2, 3))


def _begin(network: MaskedAutoencoder) -> None:
    """First weights: nothing is added to the smooth filling, next to nothing by the transformer to what pixels say."""
    torch.nn.init.zeros_(network.tail.weight)
    torch.nn.init.normal_(network.spread.weight, std=0.002)
    torch.nn.init.zeros_(network.spread.bias)
    torch.nn.init.normal_(network.absent, std=0.02)


class Run(State[MaskedAutoencoder]):
    """The state of a training of ``plan``."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        torch.manual_seed(plan.seed)
        network = build(ARCHITECTURE, 1, plan.hyperparameters)
        assert isinstance(network, MaskedAutoencoder)
        _begin(network)
        at_each_pixel = [*network.pixels.parameters(), *network.continued.parameters(), *network.tail.parameters()]
        fine = set(map(id, at_each_pixel))
        rest = [weight for weight in network.parameters() if id(weight) not in fine]
        groups = [{"params": at_each_pixel}, {"params": rest}]
        optimiser = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.02)
        super().__init__(network, optimiser, plan.seed)

    def one(self, learnt: np.ndarray) -> None:
        """One step."""
        for group, share in zip(self.optimiser.param_groups, (1.0, self.plan.tokens), strict=True):
            group["lr"] = share * self.plan.rate_at(self.step)
        truth, missing = batch(learnt, self.rng, self.plan)
        start = pull_push(truth, missing)
        given = torch.cat((start, missing), 1)
        with torch.autocast("cpu", torch.bfloat16):  # nearly twice as fast; weights and sums stay float32
            made = self.network(given)
        self.learn(GENTLY * loss_of(made.float(), truth, missing, start))


def gains(network: MaskedAutoencoder, truth: Tensor, missing: Tensor) -> float:
    """Mean gain in PSNR of the missing pixels over the smooth filling, dB."""
    found = []
    with torch.inference_mode():
        for first in range(0, len(truth), 16):
            true, hole = truth[first : first + 16], missing[first : first + 16]
            start = pull_push(true, hole)
            errors = [
                ((each - true) ** 2 * hole).sum(dim=(1, 2, 3)) / hole.sum(dim=(1, 2, 3)) / 3
                for each in (start, network(torch.cat((start, hole), 1)).clamp(0, 1))
            ]
            found += (10 * torch.log10(errors[0].clamp_min(1e-5) / errors[1].clamp_min(1e-5))).tolist()
    return sum(found) / len(found)


def train(plan: Plan, photos: Path, out: Path, cache: Path, until: int | None = None) -> None:
    """Run the whole of ``plan``, or up to step ``until``; writes weights, curve and facts under ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    cv2.setNumThreads(1)
    side = plan.hyperparameters["window"]
    learnt = windows.make(photos, cache / "windows.npy")
    held = windows.validation(photos, side)
    rng = np.random.default_rng([plan.seed, 7])
    held_out = {kind: _tensors(held, np.stack([mask(rng, side, kind) for _ in held])) for kind in KINDS}
    run = Run(plan)
    kept = out / "checkpoint.pt"
    if kept.is_file():
        run.restore(kept)
    run.start_watch()
    while run.step < (plan.steps if until is None else min(until, plan.steps)):
        run.one(learnt)
        run.lap()
        if run.step % LOG_EVERY == 0:
            gained = [round(gains(run.average, *held_out[kind]), 3) for kind in KINDS]
            run.rows.append([run.step, round(run.running / LOG_EVERY / GENTLY, 4), *gained])
            run.running = 0.0
            print(*run.rows[-1], *(f"{name} {value:.0f} s" for name, value in run.seconds.items()), flush=True)
            _write(out, run)
        if run.step % KEEP_EVERY == 0 or run.step == until:
            run.save(kept)
        if run.step == plan.decay_from:  # a longer plan goes on from here
            run.save(out / "before-decay.pt")
    if run.step == plan.steps:
        _write(out, run)
        (out / "training.json").write_text(json.dumps(_facts(run), indent=2) + "\n", encoding="utf-8")


def _write(out: Path, run: Run) -> None:
    state = {name: weight.detach().contiguous() for name, weight in run.average.state_dict().items()}
    (out / "weights.safetensors").write_bytes(safetensors.torch.save(state))
    with (out / "loss.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("step", "training_loss_relative", *(f"validation gain dB, {kind}" for kind in KINDS)))
        writer.writerows(run.rows)


def _facts(run: Run) -> dict[str, Any]:
    return run.facts(
        {
            "seed": run.plan.seed,
            "steps": run.step,
            "parameters": sum(weight.numel() for weight in run.network.parameters()),
        }
    )


def main(plan: Plan) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder that holds the listed photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results and the checkpoint")
    parser.add_argument("--cache", type=Path, help="folder for the windows, 0.4 GB (default: OUT/cache)")
    parser.add_argument("--until", type=int, help="stop after this step; the same command goes on later")
    arguments = parser.parse_args()
    train(plan, arguments.photos, arguments.out, arguments.cache or arguments.out / "cache", arguments.until)


if __name__ == "__main__":
    main(Plan())
