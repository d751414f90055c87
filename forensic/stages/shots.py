"""Where a recording is continuous: which neighbours of a frame show the same shot, and where it was cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

_BLOCK = 8  # pixels: pictures are compared without what is finer
_LEAST_DETAIL = 0.5  # grey levels: standard deviation of blocks below which a picture shows nothing to compare

_MOST = 0.7  # of the blocks, which differ least


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two luma planes (float32, equal shape) by means of 8x8 pixels, -1 to 1; 0 if one shows nothing.

    A brighter or flatter version of a picture is as like as the picture itself (Pearson's coefficient does not see
    gain and offset), so that a lamp that is switched on does not look like a cut.
    """
    one, other = _blocks(first), _blocks(second)
    one, other = one - one.mean(), other - other.mean()
    spread = float(np.sqrt(np.mean(one * one))), float(np.sqrt(np.mean(other * other)))
    if min(spread) < _LEAST_DETAIL:
        return 0.0
    return float(np.mean(one * other)) / (spread[0] * spread[1])


def likeness_of_most(first: np.ndarray, second: np.ndarray) -> float:
    """As :func:`likeness`, of the seven tenths of the blocks that differ least (offset aside): for damaged pictures.

    Measured with damage of 10 % in both pictures of 12 pairs of one shot: 0.96 and more; in 120 pairs of pictures of
    different shots: 0.88 at most.
    """
    one, other = _blocks(first).ravel(), _blocks(second).ravel()
    apart = np.abs((other - np.median(other)) - (one - np.median(one)))
    kept = apart <= np.quantile(apart, _MOST)
    one, other = one[kept] - one[kept].mean(), other[kept] - other[kept].mean()
    spread = float(np.sqrt(np.mean(one * one))), float(np.sqrt(np.mean(other * other)))
    if min(spread) < _LEAST_DETAIL:
        return 0.0
    return float(np.mean(one * other)) / (spread[0] * spread[1])


def continuous(
    planes: Sequence[np.ndarray],
    at: int,
    least: float,
    measure: Callable[[np.ndarray, np.ndarray], float] = likeness,
) -> tuple[int, int, tuple[float, ...]]:
    """First and last (inclusive) of ``planes`` that lie in one shot with plane ``at``, and all likenesses.

    Consecutive planes belong together if their likeness by ``measure`` is at least ``least``; what lies beyond a pair
    that does not is left out, even if it resembles plane ``at`` again.
    """
    alike = tuple(measure(one, other) for one, other in pairwise(planes))
    first, last = at, at
    while first > 0 and alike[first - 1] >= least:
        first -= 1
    while last < len(planes) - 1 and alike[last] >= least:
        last += 1
    return first, last, alike


def _blocks(plane: np.ndarray) -> np.ndarray:
    """Means of 8x8 pixels, float64; what does not fill a block at the right and the bottom is left out."""
    rows, columns = (max(1, side // _BLOCK) for side in plane.shape)
    high, wide = (min(_BLOCK, side) for side in plane.shape)
    cut = plane[: rows * high, : columns * wide].reshape(rows, high, columns, wide)
    means: np.ndarray = cut.mean(axis=(1, 3), dtype=np.float64)
    return means
