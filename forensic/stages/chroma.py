"""Y'CbCr planes at one resolution, and the linear step to R'G'B' and back (ITU-T H.273)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from forensic.frames.colour import LUMA_WEIGHTS
from forensic.frames.frame import Planes, WorkingFrame
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, chroma_siting, resample

NEUTRAL = np.float32(128.0)


def chroma_at_luma(frame: WorkingFrame) -> tuple[np.ndarray, np.ndarray]:
    """Cb and Cr of a Y'CbCr frame at luma resolution: bilinear, in phase by the declared siting."""
    layout = frame.geometry.layout
    x, y = chroma_siting(frame.geometry, frame.colour)
    pitch_x, pitch_y = 1 << layout.chroma_shift_x, 1 << layout.chroma_shift_y
    rows = AxisMap(frame.geometry.height, Fraction(1, pitch_y), -y / pitch_y)
    columns = AxisMap(frame.geometry.width, Fraction(1, pitch_x), -x / pitch_x)
    blue, red = (resample(plane, rows, columns, KERNELS["bilinear"]) for plane in frame.planes[1:3])
    return blue, red


def luma_at_chroma(frame: WorkingFrame) -> np.ndarray:
    """Luma of a Y'CbCr frame at chroma resolution: antialiased bilinear, in phase."""
    layout = frame.geometry.layout
    x, y = chroma_siting(frame.geometry, frame.colour)
    height, width = frame.geometry.plane_shapes[1]
    rows = AxisMap(height, Fraction(1 << layout.chroma_shift_y), y)
    columns = AxisMap(width, Fraction(1 << layout.chroma_shift_x), x)
    return resample(frame.planes[0], rows, columns, KERNELS["bilinear"])


def rgb_matrix(frame: WorkingFrame) -> np.ndarray:
    """3x3 float64: (Y', Cb - 128, Cr - 128) in grey levels → R'G'B' relative to black, as coded.

    The result is on the luma scale (white is 219 above black for limited range): gains of
    R'G'B' do not care.
    """
    kr, kb = LUMA_WEIGHTS[frame.colour.assumed_matrix(frame.geometry.height)]
    kg = 1.0 - kr - kb
    # Limited range spreads chroma over 224 codes where luma has 219.
    chroma = 1.0 if frame.colour.assumed_full_range() else 219.0 / 224.0
    blue, red = 2.0 * (1.0 - kb) * chroma, 2.0 * (1.0 - kr) * chroma
    return np.array([[1.0, 0.0, red], [1.0, -kb * blue / kg, -kr * red / kg], [1.0, blue, 0.0]])


def mix(row: np.ndarray, planes: Planes) -> np.ndarray:
    """Weighted sum of float32 ``planes`` with the weights ``row``."""
    result = planes[0] * np.float32(row[0])
    for weight, plane in zip(row[1:], planes[1:], strict=True):
        result += plane * np.float32(weight)
    return result
