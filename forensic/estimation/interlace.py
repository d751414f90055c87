"""Interlacing from the pictures themselves: do lines of the two parities belong to different moments?

As FFmpeg's idet filter and its forebears do: where something moves, each line of one parity is compared with
the mean of its neighbours in the same frame and in the frames before and after. In a progressive picture the
neighbours in the same frame fit best. In an interlaced one a line fits better to neighbours of the adjacent
frame that is nearer in time, which tells the field order. Decided block by block, among blocks that move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.estimation.estimate import Answer, Estimate, NotDetermined
from forensic.estimation.sampling import Group

_BLOCK = 16
_MOVES = 4.0  # mean change of a block between frames, grey levels
_FEWEST = 40
_Z = 1.645


@dataclass(frozen=True)
class Interlacing:
    """``interlaced``: True, False, or None where nothing moves enough. ``order``: ``top``, ``bottom`` or None.

    ``share``: share of the moving blocks that are combed, Wilson's interval.
    ``declared``: the container's word; ``agrees``: whether it says the same, None where either is silent.
    """

    interlaced: bool | None
    order: str | None
    share: Answer
    declared: str
    agrees: bool | None

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "interlaced": self.interlaced,
            "first_field": self.order,
            "combed_share_of_moving_blocks": self.share.to_record(),
            "declared": self.declared,
            "agrees_with_declared": self.agrees,
        }


def estimate_interlacing(groups: Sequence[Group], declared: str = "unknown") -> Interlacing:
    """Look at the middle frame of each group. ``declared``: ``MediaFacts.field_order``."""
    combed = moving = top = bottom = 0
    for group in groups:
        if len(group) < 3:
            continue
        found = _judge(*(one.levels for one in group[:3]))
        moving += found[0]
        combed += found[1]
        top += found[2]
        bottom += found[3]
    if moving < _FEWEST:
        reason = f"too little moves in the frames looked at ({moving} blocks, {_FEWEST} are needed)"
        return Interlacing(None, None, NotDetermined(reason), declared, None)
    share, low, high = wilson(combed, moving)
    interlaced = True if low > 0.06 else False if high < 0.04 else None
    order = None
    if interlaced and max(top, bottom) > 2 * min(top, bottom):
        order = "top" if top > bottom else "bottom"
    says = {"progressive": False}.get(declared, None if declared == "unknown" else True)
    agrees = None if says is None or interlaced is None else says == interlaced
    answer = Estimate(share, low, high, "share", "lines against neighbours in the same and adjacent frames", moving)
    return Interlacing(interlaced, order, answer, declared, agrees)


def wilson(hits: int, count: int) -> tuple[float, float, float]:
    """(share, low, high): Wilson's score interval at 90 %."""
    share = hits / count
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / (1 + _Z**2 / count)
    return share, float(max(centre - half, 0.0)), float(min(centre + half, 1.0))


def _judge(previous: np.ndarray, current: np.ndarray, following: np.ndarray) -> tuple[int, int, int, int]:
    """(moving, combed, top field first, bottom field first) blocks of ``current``."""
    rows, columns = (length // _BLOCK * _BLOCK for length in current.shape)
    if rows < 2 * _BLOCK or columns < _BLOCK:
        return 0, 0, 0, 0
    before, here, after = (plane[:rows, :columns] for plane in (previous, current, following))
    around = np.zeros_like(here)
    around[1:-1] = 0.5 * (here[:-2] + here[2:])
    around[0], around[-1] = here[0], here[-1]
    # In an interlaced picture the line pairs two apart lie in one field and show what is natural detail.
    own = np.abs(around - here)
    natural = np.zeros_like(here)
    natural[2:-2] = np.abs(0.5 * (here[:-4] + here[4:]) - here[2:-2])
    fits_before, fits_after = np.abs(around - before), np.abs(around - after)
    even = (np.arange(rows) % 2 == 0)[:, None]
    # Top field first: odd lines of the frame before and even lines of the frame after are the nearer ones.
    towards_top = np.where(even, fits_after, fits_before)
    towards_bottom = np.where(even, fits_before, fits_after)
    moved = np.minimum(np.abs(here - before), np.abs(here - after))
    comb, detail, tff, bff, motion = (_block_sum(p) for p in (own, natural, towards_top, towards_bottom, moved))
    moving = motion / _BLOCK**2 > _MOVES
    # Combing: neighbours of the other parity fit much worse than those of the same parity two lines away.
    is_combed = moving & (comb > 1.15 * detail) & (comb > 0.6 * np.minimum(tff, bff))
    return (
        int(moving.sum()), int(is_combed.sum()),
        int((is_combed & (tff < bff)).sum()), int((is_combed & (bff < tff)).sum()),
    )  # fmt: skip


def _block_sum(plane: np.ndarray) -> np.ndarray:
    rows, columns = plane.shape[0] // _BLOCK, plane.shape[1] // _BLOCK
    return np.asarray(plane.reshape(rows, _BLOCK, columns, _BLOCK).sum(axis=(1, 3), dtype=np.float64))
