"""Large pictures in pieces that overlap: memory stays bounded, and the pieces are the same for any schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

OVERLAP = 12  # low-resolution px that neighbouring pieces share on either side of their border


@dataclass(frozen=True)
class Piece:
    """Rows ``top:bottom`` and columns ``left:right`` of the low-resolution picture."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, picture: np.ndarray) -> np.ndarray:
        """Its part of a low-resolution picture."""
        return picture[self.top : self.bottom, self.left : self.right]


def _spans(length: int, tile: int) -> list[tuple[int, int]]:
    count = -(-length // tile)
    cuts = [length * number // count for number in range(count + 1)]
    return [(max(0, low - OVERLAP), min(length, high + OVERLAP)) for low, high in pairwise(cuts)]


def _ramp(low: int, high: int, length: int, scale: int) -> np.ndarray:
    """Weight along an axis: one inside, falling linearly across what is shared with a neighbour."""
    ramp = np.ones((high - low) * scale, np.float32)
    shared = 2 * OVERLAP * scale
    rise = ((np.arange(shared) + 0.5) / shared).astype(np.float32)
    if low > 0:
        ramp[:shared] = rise
    if high < length:
        ramp[-shared:] = rise[::-1]
    return ramp


def in_pieces(height: int, width: int, scale: int, tile: int, make: Callable[[Piece], np.ndarray]) -> np.ndarray:
    """Join what ``make`` gives (float32, ``scale`` times the piece) into one picture; pieces fade into each other."""
    rows, columns = _spans(height, tile), _spans(width, tile)
    if len(rows) == 1 and len(columns) == 1:
        return make(Piece(0, height, 0, width))
    total = np.zeros((height * scale, width * scale), np.float32)
    for top, bottom in rows:
        down = _ramp(top, bottom, height, scale)
        for left, right in columns:
            across = _ramp(left, right, width, scale)
            part = make(Piece(top, bottom, left, right)) * down[:, None] * across[None]
            total[top * scale : bottom * scale, left * scale : right * scale] += part
    return total
