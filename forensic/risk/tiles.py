"""From grey levels to tiles: 16 x 16 output pixels, the 90th percentile of the risk in each, a level.

The default thresholds are engineering choices, UNCALIBRATED: no claim about how often a tile is wrong
goes with them. A calibration may set the one below which a tile is LOW
(``forensic.risk.calibration``). Border tiles may be smaller; they are treated like any other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

import cv2
import numpy as np

TILE = 16
#: With a calibration, LOW tiles that hang together by their sides in groups of fewer than this are MEDIUM.
LEAST_LOW_GROUP = 16


class Level(IntEnum):
    """Risk level of a tile; the numbers are the samples of ``NNNNNN.level.png``."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    NOT_ASSESSED = 255

    @property
    def label(self) -> str:
        """Name as it stands in records and legends."""
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class Thresholds:
    """A tile is MEDIUM from ``medium`` and HIGH from ``high`` grey levels of risk (90th percentile),
    and HIGH where at least ``clipped_share`` of its input is clipped. ``medium`` 0: no tile is LOW.
    ``status``: where the numbers come from."""

    medium: float = 4.0
    high: float = 10.0
    clipped_share: float = 0.1
    status: str = "UNCALIBRATED: engineering thresholds"

    def to_record(self) -> dict[str, Any]:
        """JSON-able, with units and status."""
        return {
            **asdict(self),
            "unit": "grey levels of the 8-bit scale (clipped_share: part of the tile)",
            "statistic": "90th percentile (nearest rank) over the tile",
            "tile_px": TILE,
        }


def grid_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of tiles that cover a picture of ``shape`` (rows, columns)."""
    return -(-shape[0] // TILE), -(-shape[1] // TILE)


def _stacked(values: np.ndarray, fill: float) -> np.ndarray:
    """Tiles as (rows, columns, 256), border tiles filled up with ``fill``."""
    rows, columns = grid_shape(values.shape)
    full = np.full((rows * TILE, columns * TILE), fill, dtype=values.dtype)
    full[: values.shape[0], : values.shape[1]] = values
    return full.reshape(rows, TILE, columns, TILE).swapaxes(1, 2).reshape(rows, columns, TILE * TILE)


def _extent(length: int) -> np.ndarray:
    """Pixels of every tile along an axis of ``length`` pixels."""
    starts = np.arange(0, length, TILE)
    return np.minimum(starts + TILE, length) - starts


def tile_percentile(values: np.ndarray) -> np.ndarray:
    """90th percentile of non-negative float32 ``values`` in every tile: float32 (rows, columns).

    Nearest rank: the smallest value that at least nine tenths of the tile's pixels do not exceed.
    """
    ordered = np.sort(_stacked(values, -1.0), axis=-1)  # the filling sorts to the front
    count = _extent(values.shape[0])[:, None] * _extent(values.shape[1])[None, :]
    rank = TILE * TILE - count + -(-9 * count // 10) - 1
    return np.take_along_axis(ordered, rank[..., None], axis=-1)[..., 0]


def tile_share(mask: np.ndarray) -> np.ndarray:
    """Part of every tile in which the boolean ``mask`` holds, 0 to 1, float64 (rows, columns)."""
    count = _extent(mask.shape[0])[:, None] * _extent(mask.shape[1])[None, :]
    return np.asarray(_stacked(mask, False).sum(axis=-1, dtype=np.int64) / count)


def tile_levels(risk: np.ndarray, clipped: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Levels (uint8) from the tiles' ``risk`` (grey levels) and ``clipped`` share, both per tile."""
    levels = np.full(risk.shape, Level.LOW, dtype=np.uint8)
    levels[risk >= thresholds.medium] = Level.MEDIUM
    levels[(risk >= thresholds.high) | (clipped >= thresholds.clipped_share)] = Level.HIGH
    return levels


def in_groups(low: np.ndarray, least: int = LEAST_LOW_GROUP) -> np.ndarray:
    """``low`` (boolean, per tile) without groups of fewer than ``least`` tiles that hang together by their sides.

    A tile that is low alone among others that are not is more often wrong than one among its like.
    """
    if least <= 1 or not low.any():
        return low
    _, labels, stats, _ = cv2.connectedComponentsWithStats(low.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    kept = stats[:, cv2.CC_STAT_AREA] >= least
    kept[0] = False  # what is not low
    return np.asarray(kept[labels])


def to_pixels(tiles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Every pixel of a picture of ``shape`` with the value of its tile."""
    return tiles.repeat(TILE, axis=0)[: shape[0]].repeat(TILE, axis=1)[:, : shape[1]]


def pixel_slices(row: int, column: int) -> tuple[slice, slice]:
    """Where tile (``row``, ``column``) lies in the picture."""
    return slice(row * TILE, (row + 1) * TILE), slice(column * TILE, (column + 1) * TILE)
