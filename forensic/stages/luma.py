"""Luma and colour apart: what sharpening and denoising work on, for every sample layout."""

from __future__ import annotations

import numpy as np

from forensic.frames.frame import Planes, WorkingFrame

_RED, _GREEN, _BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)  # as in WorkingFrame.luma


def separate(frame: WorkingFrame) -> Planes:
    """Luma, then two colour planes where there are any.

    Y'CbCr comes as it is, gray as one plane; RGB becomes Y', B' - Y', R' - Y'.
    """
    if frame.geometry.layout.family != "rgb":
        return frame.planes
    red, _, blue = frame.planes
    luma = frame.luma
    return luma, blue - luma, red - luma


def combine(frame: WorkingFrame, parts: Planes) -> Planes:
    """Inverse of :func:`separate` for a frame of the same layout."""
    if frame.geometry.layout.family != "rgb":
        return parts
    luma, blue_difference, red_difference = parts
    green_difference = -(_RED * red_difference + _BLUE * blue_difference) / _GREEN
    return luma + red_difference, luma + green_difference, luma + blue_difference


def with_luma(frame: WorkingFrame, luma: np.ndarray) -> Planes:
    """Planes of ``frame`` with its luma replaced and its colour differences untouched."""
    if frame.geometry.layout.family != "rgb":
        return (luma, *frame.planes[1:])
    change = luma - frame.luma
    return tuple(plane + change for plane in frame.planes)


def nominal_range(frame: WorkingFrame) -> tuple[float, float]:
    """(black, white) of luma and of R'G'B' in grey levels: 16 and 235 for limited range, else 0 and 255.

    Above 8 bits full range ends at the largest code value, for example 255.75 at 10 bits. A file
    that does not state its range is taken as limited if it is Y'CbCr, as full otherwise.
    """
    layout, colour = frame.geometry.layout, frame.colour
    limited = layout.family != "rgb" and colour.full_range is False
    if layout.family == "yuv":
        limited = not colour.assumed_full_range()
    return (16.0, 235.0) if limited else (0.0, layout.maximum / layout.grey_scale)
