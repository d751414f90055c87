"""The quantiser of the coding: read from the bitstream where it says, else from the lattice of DCT coefficients.

A block that was transformed, quantised and coded on its own (JPEG, intra pictures of MPEG) has coefficients that
lie near multiples (or, in H.263 and MPEG-4, odd multiples of half) of the step. Rounding to whole grey
levels spreads them by 0.29. The period of their histogram is the step (Fan and de Queiroz, IEEE TIP 12, 2003).
Pictures that were predicted, deblocked in the loop, resized or noised since have no lattice; the answer is
then "not determined".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from forensic.estimation.estimate import Answer, Estimate, NotDetermined, exact
from forensic.estimation.sampling import Group
from forensic.media.quantisers import FrameCoding

_LISTED = 4096
_UNITS = {"h264": "QP (H.264)", "vp9": "base_q_idx (VP9)", "mpeg": "quantiser step (MPEG)", "jpeg": "mean step (JPEG)"}
_LOW_FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (0, 3), (3, 0))
_LEAST_SCORE = 0.45
_FEWEST, _FEWEST_LEVELS = 200, 3
# The luma table of ITU-T T.81, table K.1, row by row.
_IJG = np.fromstring(
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99",
    dtype=int,
    sep=" ",
)


@dataclass(frozen=True)
class Quantiser:
    """``source``: ``bitstream``, ``statistics`` or ``none``. ``mean``: over all frames, on the scale its unit names.

    ``per_frame``: mean quantiser of the first 4096 frames by presentation order. ``by_type``: mean by picture type.
    ``scale``: see ``FrameCoding``. ``step``: mean step of a luma coefficient in grey levels (orthonormal
    transform). ``quality``: IJG quality of a JPEG table that is one of the IJG's. ``types``: frames by picture type.
    """

    source: str
    mean: Answer
    scale: str | None = None
    step: float | None = None
    per_frame: tuple[float, ...] = ()
    by_type: dict[str, float] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    least: float | None = None
    most: float | None = None
    quality: int | None = None

    @property
    def inter_coded(self) -> bool | None:
        """Whether frames are predicted from others; None if unknown."""
        known = {kind for kind in self.types if kind != "unknown"}
        return None if not known else bool(known - {"I"})

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "source": self.source,
            "mean": self.mean.to_record(),
            "step_grey_levels": None if self.step is None else round(self.step, 4),
            "least": self.least,
            "most": self.most,
            "by_picture_type": {kind: round(value, 4) for kind, value in sorted(self.by_type.items())},
            "picture_types": dict(sorted(self.types.items())),
            "per_frame": [round(value, 3) for value in self.per_frame],
            "per_frame_listed_at_most": _LISTED,
            "jpeg_quality": self.quality,
        }


def step_of(scale: str, quantiser: float) -> float | None:
    """Step of a mid-frequency luma coefficient, grey levels, orthonormal transform; None where not defined so.

    H.264 (and H.265): 0.625 x 2^(QP/6) (clause 8.5.9 and its tables). MPEG: the number itself at weight 16.
    JPEG: the table's mean, as the transform of T.81 is orthonormal.
    """
    if scale == "h264":
        return float(0.625 * 2.0 ** (quantiser / 6.0))
    if scale in ("mpeg", "jpeg"):
        return float(quantiser)
    return None


class QuantiserLog:
    """Takes how every frame was coded, in presentation order."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._sums: dict[str, list[float]] = {}
        self._types: Counter[str] = Counter()
        self._scales: Counter[str] = Counter()
        self._least: float | None = None
        self._most: float | None = None
        self._why_not: str | None = None
        self._tables: tuple[int, ...] | None = None
        self._frames = 0

    def offer(self, coding: FrameCoding | None) -> None:
        """The next frame."""
        self._frames += 1
        if coding is None:
            return
        self._types[coding.picture_type] += 1
        mean = coding.mean
        if mean is None or coding.scale is None:
            self._why_not = self._why_not or coding.why_not
            return
        self._scales[coding.scale] += 1
        total = self._sums.setdefault(coding.picture_type, [0.0, 0.0])
        total[0] += mean
        total[1] += 1
        if len(self._values) < _LISTED:
            self._values.append(mean)
        ends = [q for q, _ in coding.counts] or list(coding.tables[0])
        self._least = min(ends) if self._least is None else min(self._least, *ends)
        self._most = max(ends) if self._most is None else max(self._most, *ends)
        if coding.tables and self._tables is None:
            self._tables = coding.tables[0]

    def finish(self, groups: Sequence[Group], origin: tuple[int, int] = (0, 0)) -> Quantiser:
        """The answer; from the pictures of ``groups`` where the bitstream does not say.

        ``origin``: (x, y) of the block grid, for the statistics.
        """
        types = dict(self._types)
        if len(self._scales) == 1:
            (scale,) = self._scales
            count = self._scales[scale]
            mean = sum(total for total, _ in self._sums.values()) / count
            by_type = {kind: total / number for kind, (total, number) in self._sums.items()}
            quality = None if self._tables is None else ijg_quality(self._tables)
            read = exact(mean, _UNITS[scale], f"read from the bitstream of {count} of {self._frames} frames", count)
            return Quantiser(
                "bitstream", read, scale, step_of(scale, mean), tuple(self._values), by_type, types,
                self._least, self._most, quality,
            )  # fmt: skip
        answer, quality = from_statistics(groups, origin)
        if isinstance(answer, Estimate):
            return Quantiser(
                "statistics", answer, "mpeg" if quality is None else "jpeg", answer.value, types=types, quality=quality
            )
        why = f"{self._why_not}; " if self._why_not else ""
        return Quantiser("none", NotDetermined(why + answer.reason), types=types)


def ijg_quality(table: Sequence[int]) -> int | None:
    """Quality setting (1 to 100) of the Independent JPEG Group's coder that gives exactly this luma table."""
    for quality in range(100, 0, -1):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        if np.array_equal(np.clip((_IJG * scale + 50) // 100, 1, 255), table):
            return quality
    return None


def from_statistics(groups: Sequence[Group], origin: tuple[int, int] = (0, 0)) -> tuple[Answer, int | None]:
    """Mean step of the low-frequency coefficients (grey levels) from the lattice; and the IJG quality that fits."""
    best: dict[tuple[int, int], tuple[float, float]] = {}
    count = 0
    for group in groups:
        for one in group:
            coefficients = _coefficients(one.levels, origin)
            found = {place: _period(coefficients[:, place[0], place[1]]) for place in _LOW_FREQUENCIES}
            sure = {place: result for place, result in found.items() if result is not None}
            if len(sure) > len(best):
                best = sure
            count += 1
    if len(best) < 4:
        return NotDetermined(
            "the pictures' DCT coefficients keep no lattice (predicted, deblocked or resized since)"
        ), None
    steps = np.array([step for step, _ in best.values()])
    # A histogram's period is known to about the rounding noise over the number of occupied multiples.
    spread = float(np.median(np.abs(steps - np.median(steps)))) * 1.4826 / np.sqrt(steps.size)
    alike = np.abs(steps / np.median(steps) - 1.0) < 0.03
    # MPEG's H.263 quantiser has one step for all frequencies; what differs then is a misreading.
    mean = float(np.median(steps[alike]) if alike.mean() >= 0.5 else steps.mean())
    half = max(0.25, 1.645 * spread)
    quality = _fitting_quality({place: step for place, (step, _) in best.items()})
    answer = Estimate(mean, mean - half, mean + half, "grey levels (mean step of low luma frequencies)",
                      "period of DCT histograms", count)  # fmt: skip
    return answer, quality


def _coefficients(levels: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
    """Orthonormal 8x8 DCT of all whole blocks, (blocks, v, u)."""
    plane = levels[origin[1] :, origin[0] :]
    rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
    blocks = plane[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    basis = cv2.dct(np.eye(8, dtype=np.float32), flags=cv2.DCT_ROWS).T
    return np.asarray(np.einsum("vi,nij,uj->nvu", basis, blocks, basis, optimize=True))


_BIN, _LARGEST = 0.1, 120.0
_STEPS = np.exp(np.arange(np.log(1.5), np.log(64.0), 0.004))


@lru_cache(maxsize=1)
def _waves() -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of 2 pi c / step for every step (rows) and coefficient size c (columns)."""
    sizes = (np.arange(round(_LARGEST / _BIN)) + 0.5) * _BIN
    turns = (2 * np.pi * sizes[None, :] / _STEPS[:, None]).astype(np.float32)
    return np.cos(turns), np.sin(turns)


def _period(values: np.ndarray) -> tuple[float, float] | None:
    """(step, score) of the lattice that ``values`` lie on, None if they lie on none."""
    sizes = np.abs(values)
    sizes = sizes[(sizes > 1.2) & (sizes < _LARGEST)]
    if sizes.size < _FEWEST:
        return None
    histogram = np.bincount((sizes / _BIN).astype(np.intp), minlength=round(_LARGEST / _BIN)).astype(np.float32)
    # Whatever the lattice's offset: in H.263 and MPEG-4 it is half a step, or a level less.
    scores = np.hypot(*(wave @ histogram for wave in _waves())) / sizes.size
    # A smooth distribution scores high at steps of its own width and beyond.
    scores = scores[0.5 * float(np.quantile(sizes, 0.98)) + 1.0 > _STEPS]
    high = scores >= max(_LEAST_SCORE, 0.8 * float(scores[_STEPS[: scores.size] > 2.0].max(initial=0.0)))
    if not high.any():
        return None
    # Divisors of the step score as well: the largest period is the step.
    last = int(np.flatnonzero(high)[-1])
    first = last
    while first > 0 and high[first - 1]:
        first -= 1
    place = first + int(np.argmax(scores[first : last + 1]))
    if last == scores.size - 1 or _STEPS[place] < 2.0:
        return None
    step = float(_STEPS[place])
    occupied = np.bincount((sizes / step).astype(np.intp)) > 0.02 * sizes.size
    if np.count_nonzero(occupied) < _FEWEST_LEVELS:
        return None
    return step, float(scores[place])


def _fitting_quality(steps: dict[tuple[int, int], float]) -> int | None:
    places = np.array([v * 8 + u for v, u in steps])
    measured = np.array(list(steps.values()))
    best, gap = None, 0.6
    for quality in range(1, 101):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        table = np.clip((_IJG[places] * scale + 50) // 100, 1, 255)
        off = float(np.max(np.abs(table - measured)))
        if off < gap:
            best, gap = quality, off
    return best
