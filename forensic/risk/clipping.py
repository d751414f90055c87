"""Clipped input: where the file only says "at least this bright" or "at most this dark"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forensic.frames.frame import WorkingFrame


@dataclass(frozen=True)
class Clipping:
    """``mask``: boolean (rows, columns), luma at or beyond ``black`` or ``white`` (grey levels)."""

    mask: np.ndarray
    black: float
    white: float


def find_clipping(frame: WorkingFrame, luma: np.ndarray) -> Clipping:
    """Clipped samples of ``luma``, the frame's luma limited to its code range.

    Full-range luma clips at 0 and at the largest code. Limited-range luma clips at 16 and 235,
    unless at that end more samples lie more than one level beyond the nominal value than within
    one level of it: recorders often use the head- and footroom as plain range, and then the end
    of the code range is what clips.
    """
    layout = frame.geometry.layout
    top = layout.maximum / layout.grey_scale
    limited = (layout.family == "yuv" and not frame.colour.assumed_full_range()) or (
        layout.family == "gray" and frame.colour.full_range is False
    )
    black, white = 0.0, top
    if limited:
        if np.count_nonzero(luma < 15.0) <= np.count_nonzero(np.abs(luma - 16.0) <= 1.0):
            black = 16.0
        if np.count_nonzero(luma > 236.0) <= np.count_nonzero(np.abs(luma - 235.0) <= 1.0):
            white = 235.0
    half = 0.5 / layout.grey_scale
    return Clipping((luma <= black + half) | (luma >= white - half), black, white)
