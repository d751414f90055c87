"""Block grids left by coding: period, offset and strength along each axis, and a second grid beside the first.

A block edge is a step at a fixed distance from the next; scene edges do not keep to a distance. Along each axis the
step between neighbouring samples in excess of the steps beside it is averaged over all lines and
frames, bounded so that no scene edge counts for much, and combed: the mean over positions offset + k x period, as
a z-score against the profile's own spread (after Fan and de Queiroz, IEEE TIP 12, 2003; Minami and
Zakhor's and Wang, Sheikh and Bovik's blockiness measures work on the same profile). A grid of another period than
8 or 16 was enlarged or reduced with the picture; one of 8 with another offset was cropped. Blocks of 4 are seen
beside those of 8 only: the codecs that have them filter their edges away, and what is left has its steps between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forensic.estimation.sampling import Group

_STEP_BOUND = 6.0
_Z_BOUND = 3.0
_CODEC_PERIODS = (8.0, 16.0)
# Thresholds of the comb's z-score, set by false alarms on pictures that were never coded (docs/estimation.md).
_Z_CODEC, _Z_OTHER = 5.5, 9.5
_SHORTEST, _LONGEST = 5.0, 40.0
_EDGES_AT_LEAST = 6


@dataclass(frozen=True)
class AxisGrid:
    """One grid along one axis. ``period`` in samples, ``offset``: sample that begins a block, modulo the period.

    ``step``: mean excess step at its edges in grey levels; ``score``: the comb's z-score. ``quarters``: there are
    weaker edges half-way, of blocks half as large.
    """

    period: float
    offset: float
    step: float
    score: float
    quarters: bool = False

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "period": round(self.period, 3),
            "offset": round(self.offset, 2),
            "step": round(self.step, 4),
            "score": round(self.score, 2),
            "weaker_edges_half_way": self.quarters,
        }


@dataclass(frozen=True)
class BlockGrid:
    """Grids along x (columns) and y (rows), the strongest first; empty where none stands out.

    ``scaled``: a grid was found whose period no codec uses: the picture was resized after it was coded before.
    """

    x: tuple[AxisGrid, ...]
    y: tuple[AxisGrid, ...]
    lines: int

    @property
    def found(self) -> bool:
        """Whether there is a grid along either axis."""
        return bool(self.x or self.y)

    @property
    def scaled(self) -> bool:
        """Whether a grid has a period that no codec uses."""
        return any(one.period not in _CODEC_PERIODS for one in (*self.x, *self.y))

    @property
    def shifted(self) -> bool:
        """Whether a grid does not begin at the picture's corner: it was coded before a crop."""
        return any(one.period in _CODEC_PERIODS and one.offset != 0.0 for one in (*self.x, *self.y))

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "found": self.found,
            "x": [one.to_record() for one in self.x],
            "y": [one.to_record() for one in self.y],
            "resized_after_coding": self.scaled,
            "cropped_after_coding": self.shifted,
            "lines": self.lines,
            "threshold": {"codec_period": _Z_CODEC, "other_period": _Z_OTHER},
        }


def estimate_grid(groups: Sequence[Group]) -> BlockGrid:
    """Grids in the frames of ``groups``."""
    frames = [one.levels for group in groups for one in group]
    if not frames or min(frames[0].shape) < 16:
        return BlockGrid((), (), 0)
    along_x = np.mean([_excess(frame) for frame in frames], axis=0)
    along_y = np.mean([_excess(frame.T) for frame in frames], axis=0)
    lines = len(frames) * sum(frames[0].shape)
    return BlockGrid(_grids(along_x), _grids(along_y), lines)


def _excess(plane: np.ndarray) -> np.ndarray:
    """Mean over rows of the step into each column beyond the steps beside it; bounded, 0 at the ends."""
    step = np.abs(np.diff(plane, axis=1))
    excess = np.zeros(plane.shape[1])
    if plane.shape[1] < 4:
        return excess
    beside = 0.5 * (step[:, :-2] + step[:, 2:])
    excess[2:-1] = np.clip(step[:, 1:-1] - beside, -_STEP_BOUND, _STEP_BOUND).mean(axis=0)
    return excess


def _standardised(profile: np.ndarray) -> np.ndarray:
    centre = float(np.median(profile))
    scale = 1.4826 * float(np.median(np.abs(profile - centre)))
    # Between the edges of a strong grid the profile is dominated by the grid: use the lower half's spread.
    return np.clip((profile - centre) / max(scale, 1e-4), -_Z_BOUND, _Z_BOUND)


def _combs(profile: np.ndarray, period: float, bins: int) -> np.ndarray:
    """Score of the comb of ``period`` at each of ``bins`` offsets."""
    place = np.arange(profile.size)
    phase = np.minimum((np.mod(place, period) / period * bins).astype(np.intp), bins - 1)
    count = np.bincount(phase, minlength=bins)
    total = np.bincount(phase, weights=profile, minlength=bins)
    return np.where(count >= _EDGES_AT_LEAST, total / np.sqrt(np.maximum(count, 1)), 0.0)


def _places(size: int, period: float, bins: int, offset: int) -> np.ndarray:
    place = np.arange(size)
    return np.flatnonzero(np.minimum((np.mod(place, period) / period * bins).astype(np.intp), bins - 1) == offset)


def _best(profile: np.ndarray, periods: Sequence[float]) -> tuple[float, float, int]:
    """(score, period, offset in samples) of the best comb."""
    best = (0.0, 0.0, 0)
    for period in periods:
        scores = _combs(profile, period, int(period))
        offset = int(np.argmax(scores))
        if scores[offset] > best[0]:
            best = (float(scores[offset]), float(period), offset)
    return best


def _grids(profile: np.ndarray) -> tuple[AxisGrid, ...]:
    found: list[AxisGrid] = []
    left = np.concatenate([[0.0, 0.0], _standardised(profile[2:-1]), [0.0]])
    spread = max(float(left.std()), 0.5)
    centre = float(np.median(profile))
    for _ in range(2):
        score, period, offset = _best(left, _CODEC_PERIODS)
        if offset and score <= _Z_OTHER * spread:
            # Blocks begin at the corner unless the picture was cropped; loop filters leave weak steps elsewhere.
            at_corner = [(float(_combs(left, one, int(one))[0]), one, 0) for one in _CODEC_PERIODS]
            score, period, offset = max(at_corner)
        if score <= _Z_CODEC * spread:
            score, period, offset = _other(left)
            if score <= _Z_OTHER * spread:
                break
        places = _places(left.size, period, int(period), offset)
        first = offset * period / int(period)
        if found and found[0].period == 8.0 == period and abs(first - found[0].offset) == 4.0:
            # Transforms of 4x4 beside those of 8x8: one grid of four, not two.
            found[0] = replace(found[0], quarters=True)
            break
        found.append(AxisGrid(period, first, float(profile[places].mean()) - centre, score / spread))
        for shift in (-1, 0, 1):
            near = places + shift
            left[near[(near >= 0) & (near < left.size)]] = 0.0
    return tuple(found)


def _other(profile: np.ndarray) -> tuple[float, float, int]:
    """As :func:`_best`, over periods that no codec uses."""
    longest = min(_LONGEST, profile.size / _EDGES_AT_LEAST)
    periods = []
    period = _SHORTEST
    while period < longest:
        if abs(period / 8.0 - round(period / 8.0)) > 0.02:
            periods.append(period)
        period += max(0.25 * period * period / profile.size, 1e-3)
    return _best(profile, periods)
