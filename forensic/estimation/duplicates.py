"""Repeated frames: exactly the same samples, or so nearly the same that no new exposure lies between.

Recorders repeat a frame when the camera gave none in time, and converters when they raise the frame rate. A
repeat that was coded again is not the same sample for sample, but changes much less than the frames around it do. In
a still scene under strong compression two exposures can decode to the same samples: the finding is that the
frames are equal, not why; and near repeats are looked for only where something moves.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.estimation.sampling import Observation

_BLOCK = 16
_LISTED = 10_000
_NEAR_MEAN, _NEAR_UPPER = 0.1, 0.5  # of the usual change around
_AROUND = 4
_MOVES = 3.0  # grey levels: where less changes, coding makes frames alike


@dataclass(frozen=True)
class Duplicates:
    """Indices of frames that repeat their predecessor.

    ``typical_change``: mean change between frames, grey levels (upper quartile).
    ``period``: every how many frames a repeat comes, where they come regularly.
    """

    exact: tuple[int, ...]
    near: tuple[int, ...]
    frames: int
    typical_change: float | None
    period: int | None
    still: bool

    @property
    def share(self) -> float:
        """Share of the frames that repeat their predecessor."""
        return (len(self.exact) + len(self.near)) / max(self.frames, 1)

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts; the lists are cut at 10 000, the counts are not."""
        return {
            "exact_count": len(self.exact),
            "near_count": len(self.near),
            "exact": list(self.exact[:_LISTED]),
            "near": list(self.near[:_LISTED]),
            "listed_at_most": _LISTED,
            "frames": self.frames,
            "share": round(self.share, 4),
            "typical_change": None if self.typical_change is None else round(self.typical_change, 4),
            "near_means": f"the mean change is at most {_NEAR_MEAN}, that of the most changed blocks at most "
            f"{_NEAR_UPPER} of what is usual among the {2 * _AROUND + 1} frames around; at least {_MOVES} there",
            "period": self.period,
            "still_scene": self.still,
        }


class DuplicateFinder:
    """Takes every frame in order; remembers one frame, and two numbers per frame."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._upper, self._mean = array("f"), array("f")
        self._indices = array("q")

    def offer(self, one: Observation) -> None:
        """The next frame."""
        if self._last is not None:
            upper, mean = _change(self._last, one.luma)
            self._upper.append(upper)
            self._mean.append(mean)
            self._indices.append(one.index)
        self._last = one.luma

    def finish(self) -> Duplicates:
        """The finding over all frames offered."""
        upper, mean = np.array(self._upper, dtype=np.float64), np.array(self._mean, dtype=np.float64)
        indices = np.array(self._indices, dtype=np.int64)
        exact = upper == 0.0
        frames = upper.size + (self._last is not None)
        if np.count_nonzero(~exact) < 3:
            return Duplicates(tuple(indices[exact].tolist()), (), frames, None, None, bool(exact.all()) and frames > 1)
        usual = _usual(upper)
        near = ~exact & (mean <= _NEAR_MEAN * _usual(mean)) & (upper <= _NEAR_UPPER * usual) & (usual >= _MOVES)
        repeats = np.flatnonzero(exact | near)
        typical = float(np.quantile(mean[~exact], 0.75))
        return Duplicates(
            tuple(indices[exact].tolist()), tuple(indices[near].tolist()), frames, typical,
            _period(repeats), typical < 0.25,
        )  # fmt: skip


def _usual(change: np.ndarray) -> np.ndarray:
    """Upper quartile of the changes around each frame: among regular repeats the median would be a repeat's."""
    padded = np.pad(change, _AROUND, mode="reflect" if change.size > _AROUND else "edge")
    return np.asarray(np.quantile(np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1), 0.75, axis=1))


def _change(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Mean change of the most changed blocks (upper percent), and of all samples; 0 only for equal samples."""
    if before.dtype == np.uint8 and after.dtype == np.uint8:
        gap = np.abs(before.astype(np.int16) - after)
    else:
        gap = np.abs(before.astype(np.float32) - after)
    if not gap.any():
        return 0.0, 0.0
    block = min(_BLOCK, *gap.shape)
    rows, columns = (length // block for length in gap.shape)
    means = gap[: rows * block, : columns * block].reshape(rows, block, columns, block).mean(axis=(1, 3)).ravel()
    upper = np.sort(means)[-max(1, means.size // 100) :]
    return max(float(upper.mean()), 1e-6), max(float(gap.mean()), 1e-6)


def _period(repeats: np.ndarray) -> int | None:
    if repeats.size < 4:
        return None
    gaps = np.diff(repeats)
    common = int(np.bincount(gaps).argmax())
    return common if float(np.mean(gaps == common)) >= 0.8 and common > 1 else None
