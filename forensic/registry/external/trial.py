"""Finds by trying what a network does to sizes, and holds to it what it makes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forensic.errors import BadInput

MOST_SCALE = 8
#: Pixels that sides are tried to be multiples of.
ALIGNMENTS = (1, 2, 4, 8, 16, 32, 64)
_SIDES = (33, 50)

Compute = Callable[[np.ndarray], np.ndarray]


def tried(compute: Compute, who: str, alignments: tuple[int, ...] = ALIGNMENTS) -> tuple[int, int]:
    """Scale and least alignment with which ``compute`` makes [3, s*H, s*W] of [3, H, W] for two sizes.

    Raises ``BadInput`` (``model.external-kind``) where there is none.
    """
    why = ""
    for alignment in alignments:
        try:
            scales = {_factor(compute, rows, columns) for rows, columns in _sizes(alignment)}
        except BadInput as error:
            why = error.message
            continue
        if len(scales) == 1 and (scale := scales.pop()):
            return scale, alignment
        why = why or "What it makes is not three planes, enlarged by a whole factor from 1 to 8 alike for every size."
    raise BadInput(
        "model.external-kind",
        f"{who} is no network that makes one picture of red, green and blue of another of any size. {why}",
        "Export it with sides that may vary (dynamic axes), for one picture of three planes, float32, 0 to 1.",
    )


def enlarged_as_stated(out: np.ndarray, picture: np.ndarray, scale: int, who: str) -> np.ndarray:
    """``out`` if it is float32 [3, scale*H, scale*W] and finite. Raises ``BadInput`` (``model.external-run``)."""
    shape = (3, scale * picture.shape[1], scale * picture.shape[2])
    if out.shape != shape or out.dtype != np.float32:
        raise failed(who, f"it made {out.dtype} {list(out.shape)} where {list(shape)} was due")
    if not np.isfinite(np.sum(out, dtype=np.float64)):
        raise failed(who, "it gave a sample that is not a finite number")
    return out


def failed(who: str, why: str) -> BadInput:
    """The error of a network that cannot compute what it is given."""
    return BadInput("model.external-run", f"{who} failed: {' '.join(why.split())[:400]}.")


def _factor(compute: Compute, rows: int, columns: int) -> int:
    """Whole factor of enlargement of one trial; 0 where there is none."""
    ramp = np.linspace(0.1, 0.9, rows * columns, dtype=np.float32).reshape(rows, columns)
    out = compute(np.stack([ramp, ramp[::-1], ramp[:, ::-1]]))
    if out.ndim != 3 or out.shape[0] != 3 or out.dtype != np.float32:
        return 0
    scale = out.shape[1] // rows
    return scale if out.shape == (3, scale * rows, scale * columns) and 1 <= scale <= MOST_SCALE else 0


def _sizes(alignment: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Two sizes whose sides are odd multiples of ``alignment`` where they can be: even ones would hide a larger one."""
    small, large = (alignment * (-(-side // alignment) | 1) for side in _SIDES)
    large = large if large > small else small + 2 * alignment
    return (small, large), (large, small)
