"""What a held-out number is broken down by: how bright the recording was, and what the truth shows at a pixel.

Both are reported beside the numbers of a stratum and choose nothing: a threshold is tested for a stratum as a whole
(``strata``), and no LOW label hangs on either. docs/calibrate.md, "The report".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forensic.risk.calibration.criteria import THRESHOLDS, TOLERANCES

if TYPE_CHECKING:
    from forensic.frames.frame import WorkingFrame

#: Classes of brightness, by the mean of the recorded luma in grey levels brought to full range: from 0, ``DARK``,
#: ``BRIGHT``. Of the pictures of BSDS500/val an eighth lies below and an eighth above.
BRIGHTNESS = ("dark", "normal", "bright")
DARK, BRIGHT = 80.0, 144.0
#: Kinds of area, by the truth's gradient (:func:`kinds_of`); their places are the values of its map.
AREAS = ("flat", "edge", "text-like")
EDGE, STROKE = 24.0, 48.0  # grey levels per recorded pixel
_REACH = 3  # recorded pixels each way: a window of 7 holds both sides of a stroke
_DENSE = 0.2  # share of the window that rises like a stroke
_OPPOSED = 0.5  # part of their lengths that is left of such gradients, added up, where they are opposed

#: Columns of a table for one frame, after those of ``table.FIELDS``; the counts at all thresholds stand in one cell.
FIELDS = (
    "brightness",
    *(f"{what}_{kind}" for kind in AREAS for what in ("pixels", "low", *(f"wrong_{one}" for one in TOLERANCES))),
)


def brightness_of(frame: WorkingFrame) -> float:
    """Mean of the recorded luma of ``frame``, its input, in grey levels: 0 is black, 255 white, whatever the range."""
    layout = frame.geometry.layout
    mean = float(np.mean(np.clip(frame.luma, 0.0, layout.maximum / layout.grey_scale), dtype=np.float64))
    if layout.family != "rgb" and not frame.colour.assumed_full_range():
        mean = (mean - 16.0) * 255.0 / 219.0  # Rec. ITU-R BT.601, of 8 bits
    return round(min(max(mean, 0.0), 255.0), 4)


def brightness_class(mean: float) -> str:
    """One of :data:`BRIGHTNESS`."""
    return BRIGHTNESS[(mean >= DARK) + (mean >= BRIGHT)]


def kinds_of(truth: np.ndarray, scale: int) -> np.ndarray:
    """What ``truth`` (float32 luma, grey levels, at output size) shows at each pixel: uint8, a place in :data:`AREAS`.

    By the gradient over one recorded pixel, as ``losses.truth_edges`` takes it. Text-like: of the 7 x 7 recorded
    pixels around, at least a fifth rise by 48 grey levels per recorded pixel or more, and their gradients are opposed,
    as on the two sides of a stroke: the length of their sum is at most half the sum of their lengths. Foliage, fabric
    and fine patterns of high contrast are that, too; no character is recognised. Edge: any other place within one
    recorded pixel of a gradient of 24. Flat: all else, soft shading and faint texture included.
    """
    across, down = _slopes(np.asarray(truth, np.float32), scale)
    slope = np.hypot(across, down)
    strong, reach = slope >= STROKE, _REACH * scale
    left = np.hypot(*(_mean(np.where(strong, one, 0.0), reach) for one in (across, down)))
    text = (_mean(strong, reach) >= _DENSE) & (left <= _OPPOSED * _mean(np.where(strong, slope, 0.0), reach))
    near = np.where(_mean(slope >= EDGE, scale) > 0.0, AREAS.index("edge"), AREAS.index("flat"))
    return np.where(text, AREAS.index("text-like"), near).astype(np.uint8)


def _slopes(truth: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Central differences across and down, in grey levels per recorded pixel; the border's pixels repeated."""
    reach = max(1, scale // 2)
    padded = np.pad(truth, reach, mode="edge")
    rows, columns = truth.shape
    across = padded[reach : reach + rows, 2 * reach :] - padded[reach : reach + rows, :columns]
    down = padded[2 * reach :, reach : reach + columns] - padded[:rows, reach : reach + columns]
    return across * (scale / (2 * reach)), down * (scale / (2 * reach))


def _mean(plane: np.ndarray, reach: int) -> np.ndarray:
    """Mean over ``reach`` pixels each way, as far as the picture goes: float64."""
    plane = np.asarray(plane, np.float64)
    for axis in (0, 1):
        size = plane.shape[axis]
        sums = np.concatenate([np.zeros_like(plane.take([0], axis)), np.cumsum(plane, axis)], axis)
        first = np.maximum(np.arange(size) - reach, 0)
        last = np.minimum(np.arange(size) + reach + 1, size)
        shape = (-1, 1) if axis == 0 else (1, -1)
        plane = (sums.take(last, axis) - sums.take(first, axis)) / (last - first).reshape(shape)
    return plane


@dataclass(frozen=True)
class Area:
    """Pixels of one kind in a frame; ``low`` and, by tolerance first, ``wrong`` by threshold."""

    pixels: int
    low: Mapping[float, int]
    wrong: Mapping[int, Mapping[float, int]]


@dataclass(frozen=True)
class Content:
    """What one frame was like: ``brightness`` (:func:`brightness_of`) and its areas by kind."""

    brightness: float
    areas: Mapping[str, Area]

    def cells(self) -> dict[str, str]:
        """Cells of a table (:data:`FIELDS`)."""
        row = {"brightness": str(self.brightness)}
        for kind, area in self.areas.items():
            row[f"pixels_{kind}"] = str(area.pixels)
            row[f"low_{kind}"] = " ".join(str(area.low[one]) for one in THRESHOLDS)
            for tolerance in TOLERANCES:
                row[f"wrong_{tolerance}_{kind}"] = " ".join(str(area.wrong[tolerance][one]) for one in THRESHOLDS)
        return row


def content_of(brightness: float, kinds: np.ndarray, low: Mapping[float, np.ndarray], error: np.ndarray) -> Content:
    """Counts by kind. ``kinds`` as :func:`kinds_of`; ``low``: by threshold, boolean per output pixel, as in the map;
    ``error``: |output - truth|, float32 per output pixel."""
    size = len(AREAS)

    def by_kind(mask: np.ndarray | None) -> list[int]:
        chosen = kinds if mask is None else kinds[mask]
        return [int(one) for one in np.bincount(chosen.ravel(), minlength=size)]

    pixels = by_kind(None)
    lows = {threshold: by_kind(mask) for threshold, mask in low.items()}
    wrong = {
        tolerance: {threshold: by_kind(mask & (error > tolerance)) for threshold, mask in low.items()}
        for tolerance in TOLERANCES
    }
    areas = {
        kind: Area(
            pixels[place],
            {one: counted[place] for one, counted in lows.items()},
            {tolerance: {one: counted[place] for one, counted in each.items()} for tolerance, each in wrong.items()},
        )
        for place, kind in enumerate(AREAS)
    }
    return Content(brightness, areas)


def content_from(row: Mapping[str, str]) -> Content:
    """The cells of :data:`FIELDS` read again. Raises ``ValueError`` where one does not hold what it should."""

    def by_threshold(name: str) -> dict[float, int]:
        found = dict(zip(THRESHOLDS, map(int, row[name].split()), strict=True))
        if any(value < 0 for value in found.values()):
            raise ValueError(f"{name} has a negative count")
        return found

    brightness = float(row["brightness"])
    if not 0.0 <= brightness <= 255.0:
        raise ValueError("brightness lies between 0 and 255")
    areas = {
        kind: Area(
            int(row[f"pixels_{kind}"]), by_threshold(f"low_{kind}"),
            {one: by_threshold(f"wrong_{one}_{kind}") for one in TOLERANCES},
        )
        for kind in AREAS
    }  # fmt: skip
    return Content(brightness, areas)
