"""What of a moved picture shows the recording: its mask, rectangles within it, and what all frames have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from forensic.frames.frame import Geometry
from forensic.stages.warping import PointMap

_EXACT = 1e-6  # pixels


def shown(
    geometry: Geometry,
    source: PointMap,
    shape: tuple[int, int] | None = None,
    pitch: tuple[int, int] = (1, 1),
    first: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Where a plane shows the recording (boolean).

    A sample does if the place that it comes from lies between samples of the recording, the outermost included;
    half a pixel beyond them, where a value would be a repetition, is left out.
    """
    rows, columns = shape or (geometry.height, geometry.width)
    u = first[0] + pitch[0] * np.arange(columns, dtype=np.float64)[None, :]
    v = first[1] + pitch[1] * np.arange(rows, dtype=np.float64)[:, None]
    x, y = source(u, v)
    mask = (x >= -_EXACT) & (x <= geometry.width - 1 + _EXACT) & (y >= -_EXACT) & (y <= geometry.height - 1 + _EXACT)
    return np.broadcast_to(mask, (rows, columns))


def inner_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """A rectangle in which ``mask`` holds everywhere: rows and columns are given up until it does."""
    top, left, (bottom, right) = 0, 0, mask.shape
    while top < bottom and left < right:
        inner = mask[top:bottom, left:right]
        worst = [
            (float(np.mean(~edge)), name)
            for edge, name in ((inner[0], "top"), (inner[-1], "bottom"), (inner[:, 0], "left"), (inner[:, -1], "right"))
        ]
        share, name = max(worst)
        if share == 0.0:
            return left, top, right - left, bottom - top
        top, bottom = top + (name == "top"), bottom - (name == "bottom")
        left, right = left + (name == "left"), right - (name == "right")
    return 0, 0, 0, 0


def common_rectangle(notes: Iterable[Mapping[str, Any]]) -> tuple[int, int, int, int] | None:
    """(x, y, width, height) in pixels that is recorded in every frame of these notes, or None where nothing is."""
    left, top, right, bottom = 0, 0, 1 << 30, 1 << 30
    for note in notes:
        x, y, width, height = note["outside"]["recorded"]
        left, top, right, bottom = max(left, x), max(top, y), min(right, x + width), min(bottom, y + height)
    return (left, top, right - left, bottom - top) if left < right < 1 << 30 and top < bottom else None
