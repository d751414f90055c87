"""Regions: connected groups of tiles of one level, each with the measurement that drives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from forensic.risk.tiles import TILE, Level, pixel_slices

LISTED = 24

CONFLICT = "range conflict"
INJECTION = "null-space injection"
DISPERSION = "self-ensemble dispersion"
DETAIL = "difference from interpolation"
MATERIAL = "texture and edges of the picture"
RECORDING = "coding, noise and blur of the recording"
FRAMES = "disagreement of the frames"
CLIPPED = "clipped"
GENERATIVE = "generative"
NO_RECORDING = "no recording"


@dataclass(frozen=True)
class WorstTile:
    """A tile's upper left corner in output pixels, its risk (grey levels, None if not measured), driver."""

    x: int
    y: int
    risk_p90: float | None
    driver: str

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {"x": self.x, "y": self.y, "risk_p90": self.risk_p90, "driver": self.driver}


@dataclass(frozen=True)
class Region:
    """Region ``number`` of a frame: bounding box in output pixels, tiles, the worst tile of all."""

    number: int
    level: Level
    x: int
    y: int
    w: int
    h: int
    tiles: int
    worst_tile: WorstTile

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts; ``risk_p90`` and ``driver`` are those of the worst tile."""
        return {
            "number": self.number,
            "level": self.level.label,
            "x": self.x,
            "y": self.y,
            "w": self.w,
            "h": self.h,
            "tiles": self.tiles,
            "risk_p90": self.worst_tile.risk_p90,
            "driver": self.worst_tile.driver,
            "worst_tile": [self.worst_tile.x, self.worst_tile.y],
        }


@dataclass(frozen=True)
class TileMeasurements:
    """All that is known of every tile: ``levels`` uint8, ``risk`` float32 (90th percentile; None where
    nothing was measured), the pixel maps behind it by driver name, and which tiles hold pixels that show
    no recording (None for none); ``replaced``: by reason, tiles with pixels that a stage replaced or left damaged."""

    levels: np.ndarray
    risk: np.ndarray | None
    components: Mapping[str, np.ndarray]
    high: float
    forced: bool
    outside: np.ndarray | None = None
    replaced: Mapping[str, np.ndarray] = field(default_factory=dict)

    def worst(self, row: int, column: int) -> WorstTile:
        """The tile at (``row``, ``column``) with its driver."""
        risk = None if self.risk is None else float(self.risk[row, column])
        return WorstTile(
            column * TILE, row * TILE, None if risk is None else round(risk, 2), self._driver(row, column, risk)
        )

    def _driver(self, row: int, column: int, risk: float | None) -> str:
        if self.forced:
            return GENERATIVE
        if self.outside is not None and self.outside[row, column]:
            return NO_RECORDING
        for reason, tiles in self.replaced.items():
            if tiles[row, column]:
                return reason
        if risk is None:
            return GENERATIVE
        if risk < self.high and self.levels[row, column] == Level.HIGH:
            return CLIPPED
        where = pixel_slices(row, column)
        return max(self.components, key=lambda name: float(np.square(self.components[name][where]).mean()))


def find_regions(tiles: TileMeasurements, shape: tuple[int, int]) -> tuple[list[Region], dict[str, dict[str, int]]]:
    """Regions of HIGH and of MEDIUM tiles (8-connected) of a picture of ``shape`` (rows, columns).

    HIGH before MEDIUM, then by worst risk, then by size, then from top to bottom. At most 24 are
    listed; the second value counts the regions and tiles left out, by level.
    """
    found: list[tuple[Level, float, int, tuple[int, int, int, int], tuple[int, int]]] = []
    for level in (Level.HIGH, Level.MEDIUM):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            (tiles.levels == level).astype(np.uint8), connectivity=8, ltype=cv2.CV_32S
        )
        for label in range(1, count):
            column, row, width, height, size = (int(value) for value in stats[label])
            part = labels[row : row + height, column : column + width] == label
            if tiles.risk is None:
                at, risk = np.flatnonzero(part)[0], 0.0
            else:
                values = np.where(part, tiles.risk[row : row + height, column : column + width], -1.0)
                at = int(values.argmax())
                risk = float(values.flat[at])
            worst = (row + int(at) // width, column + int(at) % width)
            found.append((level, risk, size, (column, row, width, height), worst))
    found.sort(key=lambda item: (-item[0], -item[1], -item[2], item[3][1], item[3][0]))
    regions = []
    for number, (level, _, size, (column, row, width, height), worst) in enumerate(found[:LISTED], start=1):
        x, y = column * TILE, row * TILE
        right, bottom = min((column + width) * TILE, shape[1]), min((row + height) * TILE, shape[0])
        regions.append(Region(number, level, x, y, right - x, bottom - y, size, tiles.worst(*worst)))
    omitted: dict[str, dict[str, int]] = {}
    for level, _, size, *_ in found[LISTED:]:
        entry = omitted.setdefault(level.label, {"regions": 0, "tiles": 0})
        entry["regions"] += 1
        entry["tiles"] += size
    return regions, omitted
