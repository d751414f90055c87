"""Means with intervals: scenes are drawn again with replacement, because scenes differ far more than frames."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000


@dataclass(frozen=True)
class Estimate:
    """Mean over ``count`` scenes with its 95 % interval (percentile bootstrap by scene)."""

    mean: float
    low: float
    high: float
    count: int

    def shown(self, digits: int = 2, sign: bool = True) -> str:
        """``+0.84 [0.70, 0.97]``."""
        plus = "+" if sign else ""
        return f"{self.mean:{plus}.{digits}f} [{self.low:{plus}.{digits}f}, {self.high:{plus}.{digits}f}]"


def bootstrap(values: Sequence[float] | np.ndarray) -> Estimate:
    """B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13: percentile interval.

    Values that are not finite are left out. The draws follow from the values, so that a table can be
    computed again. Raises ``ValueError`` for no value.
    """
    numbers = np.asarray([value for value in values if np.isfinite(value)], dtype=np.float64)
    if not numbers.size:
        raise ValueError("no value")
    rng = np.random.default_rng(zlib.crc32(np.round(numbers, 6).tobytes()))
    means = numbers[rng.integers(0, numbers.size, (RESAMPLES, numbers.size))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(numbers.mean()), float(low), float(high), numbers.size)


def difference(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Estimate | None:
    """Ours less theirs over the scenes that both have; None where there are none."""
    pairs = [ours[scene] - theirs[scene] for scene in sorted(ours.keys() & theirs.keys())]
    return bootstrap(pairs) if np.isfinite(pairs).any() else None


def share_left(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Estimate | None:
    """Sum of ours over sum of theirs, over the scenes that both have, with its interval; None where undefined."""
    scenes = [key for key in sorted(ours.keys() & theirs.keys()) if np.isfinite([ours[key], theirs[key]]).all()]
    if not scenes:
        return None
    above, below = (np.array([part[key] for key in scenes]) for part in (ours, theirs))
    if below.sum() <= 0.0:
        return None
    rng = np.random.default_rng(zlib.crc32(np.round(np.concatenate([above, below]), 6).tobytes()))
    draws = rng.integers(0, len(scenes), (RESAMPLES, len(scenes)))
    bottoms = below[draws].sum(axis=1)
    ratios = above[draws].sum(axis=1)[bottoms > 0] / bottoms[bottoms > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return Estimate(float(above.sum() / below.sum()), float(low), float(high), len(scenes))
