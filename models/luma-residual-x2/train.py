"""Train luma-residual-x2 end to end: photographs in, weights, loss curve and facts out.

    python models/luma-residual-x2/train.py --photos DIR --out DIR

``DIR`` of photographs has the files named in ``photographs.csv``. One thread, one seed, a fixed
number of steps; the last averaged weights are kept, never the best on the validation photographs.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import math
import platform
import time
from pathlib import Path

import av
import cv2
import degradation
import numpy as np
import photographs
import safetensors.torch
import torch
from degradation import SCALE
from torch.nn import functional

from forensic.registry.architectures.luma_residual.network import LumaResidual

SEED = 20261122
WIDTH, DEPTH = 32, 6
VARIANTS = 8  # degradations of every plane in the cache
PATCH = 64  # low-resolution pixels on a side, context included
BATCH = 8
STEPS = 10_000
RATE, LAST_RATE = 1e-3, 2e-6
AVERAGING = 0.999  # exponential moving average of the weights
LOG_EVERY = 500


class PatchCache:
    """Memory-mapped clean and degraded planes, and a seeded stream of patches cut from them."""

    def __init__(self, photos: Path, folder: Path, split: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.pairs: list[list[tuple[np.ndarray, list[np.ndarray]]]] = []
        for number, photograph in enumerate(photographs.listed(split)):
            self.pairs.append([])
            for size, clean in enumerate(photographs.luma_planes(photos, photograph)):
                small = []
                for variant in range(VARIANTS):
                    rng = np.random.default_rng([SEED, int(photograph.sha256[:8], 16), size, variant])
                    degraded = degradation.degrade(clean, degradation.draw(rng), rng)
                    small.append(_mapped(folder / f"{number:03d}-{size}-{variant}.npy", degraded))
                self.pairs[-1].append((_mapped(folder / f"{number:03d}-{size}.npy", clean), small))

    def batch(self, rng: np.random.Generator, radius: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Low-resolution [B, 1, P, P] and clean [B, 1, 2(P-2r), 2(P-2r)] patches, float32 in 0..1."""
        inputs, targets = [], []
        for _ in range(BATCH):
            first, second = self._patch(rng, radius), self._patch(rng, radius)
            low, clean = first if _detail(first[1]) >= _detail(second[1]) else second
            turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
            inputs.append(_dihedral(low, turns, mirror))
            targets.append(_dihedral(clean, turns, mirror))
        stack = [torch.from_numpy(np.stack(group)[:, None].astype(np.float32) / 255) for group in (inputs, targets)]
        return stack[0], stack[1]

    def _patch(self, rng: np.random.Generator, radius: int) -> tuple[np.ndarray, np.ndarray]:
        sizes = self.pairs[int(rng.integers(len(self.pairs)))]
        clean, variants = sizes[int(rng.random() < 0.35)]
        low = variants[int(rng.integers(VARIANTS))]
        top, left = (int(rng.integers(side - PATCH + 1)) for side in low.shape)
        inner = PATCH - 2 * radius
        y, x = SCALE * (top + radius), SCALE * (left + radius)
        return low[top : top + PATCH, left : left + PATCH], clean[y : y + SCALE * inner, x : x + SCALE * inner]


def _mapped(path: Path, plane: np.ndarray) -> np.ndarray:
    np.save(path, plane)
    return np.load(path, mmap_mode="r")


def _detail(plane: np.ndarray) -> float:
    return float(np.abs(np.diff(plane.astype(np.int16), axis=0)).mean())


def _dihedral(plane: np.ndarray, turns: int, mirror: bool) -> np.ndarray:
    turned = np.rot90(plane, turns)
    return turned[:, ::-1] if mirror else turned


def _rate(step: int) -> float:
    warm = min(1.0, (step + 1) / 200)
    return warm * (LAST_RATE + (RATE - LAST_RATE) * (1 + math.cos(math.pi * step / STEPS)) / 2)


def train(photos: Path, out: Path, cache: Path) -> None:
    """Run the whole recipe; writes ``weights.safetensors``, ``loss.csv`` and ``training.json`` under ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    cv2.setNumThreads(1)
    began = time.monotonic()
    patches = PatchCache(photos, cache / "train", "train")
    held_out = PatchCache(photos, cache / "validation", "validation")
    network = LumaResidual(SCALE, WIDTH, DEPTH)
    for layer in network.trunk:
        torch.nn.init.kaiming_normal_(layer.weight)
        layer.weight.data.mul_(0.5)
    torch.nn.init.normal_(network.tail.weight, std=1e-3)
    probe = [held_out.batch(np.random.default_rng([SEED, 1, i]), network.radius) for i in range(24)]
    average = copy.deepcopy(network)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    rng = np.random.default_rng([SEED, 0])
    prepared = time.monotonic()
    rows, running = [], 0.0
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = _rate(step)
        low, clean = patches.batch(rng, network.radius)
        loss = functional.l1_loss(network(low), clean)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimiser.step()
        decay = min(AVERAGING, (step + 1) / (step + 10))
        with torch.no_grad():
            for kept, now in zip(average.parameters(), network.parameters(), strict=True):
                kept.lerp_(now, 1 - decay)
        running += float(loss.detach()) * 255
        if (step + 1) % LOG_EVERY == 0:
            with torch.inference_mode():
                held = sum(float(functional.l1_loss(average(a), b)) for a, b in probe) / len(probe) * 255
            rows.append((step + 1, round(running / LOG_EVERY, 4), round(held, 4)))
            running = 0.0
            print(*rows[-1], f"{time.monotonic() - prepared:.0f} s", flush=True)
            _write(out, average, rows)
    facts = {
        "seed": SEED,
        "steps": STEPS,
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "cache_seconds": round(prepared - began),
        "training_seconds": round(time.monotonic() - prepared),
        "software": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
            "av": av.__version__,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        },
    }
    (out / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _write(out: Path, network: LumaResidual, rows: list[tuple[int, float, float]]) -> None:
    state = {name: weight.detach().contiguous() for name, weight in network.state_dict().items()}
    (out / "weights.safetensors").write_bytes(safetensors.torch.save(state))
    with (out / "loss.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("step", "training_l1_grey_levels", "validation_l1_grey_levels"))
        writer.writerows(rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder that holds the listed photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--cache", type=Path, help="folder for the patch cache, about 400 MB (default: OUT/cache)")
    arguments = parser.parse_args()
    train(arguments.photos, arguments.out, arguments.cache or arguments.out / "cache")


if __name__ == "__main__":
    main()
