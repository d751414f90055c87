"""Recordings with known noise: still scenes with grain of given parameters, white noise, or a fixed pattern."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forensic.grain.parameters import GrainParameters
from forensic.grain.sampling import Picture, places
from forensic.grain.synthesis import frame_seed, noise

FINE = GrainParameters(
    ((0, 30), (64, 110), (128, 150), (200, 70), (255, 40)),
    ((0, 40), (128, 80), (255, 40)),
    ((0, 40), (128, 80), (255, 40)),
    11, 1, (-10, 44, -8, 48), (-8, 38, -6, 42, 9), (-8, 38, -6, 42, -9), 7,
)  # fmt: skip
"""About three grey levels in the middle tones, half as strong in colour."""


def scene(rows: int = 256, columns: int = 320) -> tuple[np.ndarray, ...]:
    """Whole 8-bit levels, 4:2:0: ramps, patches at many levels, and a textured corner."""
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    luma = 30 + 150 * x / columns + 30 * y / rows
    luma[rows // 4 : rows // 2, columns // 8 : columns // 2] -= 25
    luma[: rows // 5, : columns // 5] += 30 * np.sin(x / 1.7)[: rows // 5, : columns // 5]
    cb = 110 + 30 * x[::2, ::2] / columns
    cr = 140 - 25 * y[::2, ::2] / rows
    return tuple(np.rint(plane).astype(np.int32) for plane in (luma, cb, cr))


def grainy(count: int, parameters: GrainParameters = FINE, seed: int = 77) -> Iterator[tuple[np.ndarray, ...]]:
    """Frames of the scene with grain."""
    clean = scene()
    for index in range(count):
        added = noise(clean, parameters, frame_seed(seed, index), 8, (1, 1))
        yield tuple(
            np.clip(plane + (0 if one is None else one), 0, 255) for plane, one in zip(clean, added, strict=True)
        )


def noisy(count: int, changing: float, fixed: float = 0.0) -> Iterator[tuple[np.ndarray, ...]]:
    """Frames of the scene with white noise, new in every frame and the same in all."""
    clean = scene()
    generator = np.random.default_rng(5)
    pattern = [generator.normal(0, fixed, plane.shape) for plane in clean]
    for _ in range(count):
        yield tuple(
            np.clip(np.rint(plane + still + generator.normal(0, changing, plane.shape)), 0, 255).astype(np.int32)
            for plane, still in zip(clean, pattern, strict=True)
        )


def pairs(frames: list[tuple[np.ndarray, ...]]) -> list[tuple[Picture, ...]]:
    """The pairs that are looked at in a clip of these frames."""
    seen = [Picture(index, tuple(p.astype(np.float32) for p in one), (1, 1)) for index, one in enumerate(frames)]
    return [(seen[first], seen[first + 1]) if first + 1 < len(seen) else (seen[first],) for first in places(len(seen))]
