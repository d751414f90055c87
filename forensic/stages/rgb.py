"""A frame as R'G'B' of 0 to 1, and such a picture as planes of a frame's layout (ITU-T H.273)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.stages.chroma import NEUTRAL, chroma_at_luma, mix, rgb_matrix
from forensic.stages.kernels import KERNELS
from forensic.stages.luma import nominal_range
from forensic.stages.resampling import AxisMap, chroma_siting, resample

#: ITU-R BT.601-7, 2.5.1: luma of a picture whose layout is gray.
_LUMA_SHARES = np.array([0.299, 0.587, 0.114])


def rgb_of(frame: WorkingFrame) -> np.ndarray:
    """float32 [3, H, W], black at 0 and white at 1, not clipped; gray comes three times alike.

    Chroma is interpolated bilinearly, in phase by its siting.
    """
    black, white = nominal_range(frame)
    family = frame.geometry.layout.family
    if family == "gray":
        planes: Planes = (frame.planes[0] - np.float32(black),) * 3
    elif family == "rgb":
        planes = tuple(plane - np.float32(black) for plane in frame.planes)
    else:
        blue, red = chroma_at_luma(frame)
        parts = (frame.planes[0] - np.float32(black), blue - NEUTRAL, red - NEUTRAL)
        planes = tuple(mix(row, parts) for row in rgb_matrix(frame))
    return np.stack(planes) / np.float32(white - black)


def planes_of(rgb: np.ndarray, frame: WorkingFrame, geometry: Geometry) -> Planes:
    """Planes of ``geometry`` for ``rgb``, float32 [3, H, W]: inverse of :func:`rgb_of` with the colour of ``frame``.

    Chroma is reduced by an antialiased bilinear kernel, in phase by its siting.
    """
    black, white = nominal_range(frame)
    coded = tuple(plane * np.float32(white - black) for plane in rgb)
    family = frame.geometry.layout.family
    if family == "gray":
        return (mix(_LUMA_SHARES, coded) + np.float32(black),)
    if family == "rgb":
        return tuple(plane + np.float32(black) for plane in coded)
    luma, *chroma = (mix(row, coded) for row in np.linalg.inv(rgb_matrix(frame)))
    return luma + np.float32(black), *(_at_chroma(plane, frame, geometry) + NEUTRAL for plane in chroma)


def _at_chroma(plane: np.ndarray, frame: WorkingFrame, geometry: Geometry) -> np.ndarray:
    """A plane at luma resolution on the chroma grid of ``geometry``."""
    layout = geometry.layout
    x, y = chroma_siting(geometry, frame.colour)
    height, width = geometry.plane_shapes[1]
    rows = AxisMap(height, Fraction(1 << layout.chroma_shift_y), y)
    columns = AxisMap(width, Fraction(1 << layout.chroma_shift_x), x)
    return resample(plane, rows, columns, KERNELS["bilinear"])
