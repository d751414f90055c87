"""Tone curves: a function of display brightness applied to luma, or to R', G' and B' alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forensic.frames.frame import Planes, WorkingFrame
from forensic.stages.luma import nominal_range

DISPLAY_WHITE = 255.0


def map_tones(frame: WorkingFrame, curve: Callable[[np.ndarray], np.ndarray]) -> Planes:
    """Apply ``curve`` (display scale, 0 = nominal black, 255 = nominal white, both in and out).

    Works on luma of Y'CbCr and gray pictures, on all three planes of RGB. Colour planes of Y'CbCr
    are not touched.
    """
    black, white = nominal_range(frame)
    gain = np.float32((white - black) / DISPLAY_WHITE)

    def mapped(plane: np.ndarray) -> np.ndarray:
        display = (plane - np.float32(black)) / gain
        return (curve(display) * gain + np.float32(black)).astype(np.float32, copy=False)

    if frame.geometry.layout.family == "rgb":
        return tuple(mapped(plane) for plane in frame.planes)
    return (mapped(frame.planes[0]), *frame.planes[1:])
