"""Translation between two pictures of the same scene, in fractions of a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from forensic.media.opencv import opencv
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, resample

_AT_REST = 0.125  # pixels: shifts below are what noise and compression alone make of a camera that stands still
_ROUNDS = 12
_LEAST_SIDE = 16  # pixels
_OUTLIER = np.float32(25.0)  # grey levels: what moves in the scene differs by more and must not decide
_STEPS = 64  # shifts are rounded to 1/64 pixel, so that they can be recorded exactly


@dataclass(frozen=True)
class Shift:
    """``other(x + dx, y + dy)`` shows what ``reference(x, y)`` shows; in 1/64 pixel."""

    dx_64: int
    dy_64: int

    @property
    def dx(self) -> float:
        """Pixels to the right."""
        return self.dx_64 / _STEPS

    @property
    def dy(self) -> float:
        """Pixels down."""
        return self.dy_64 / _STEPS


@lru_cache(maxsize=4)
def _hann(width: int, height: int) -> np.ndarray:
    cv2 = opencv()
    window: np.ndarray = cv2.createHanningWindow((width, height), cv2.CV_32F)
    window.flags.writeable = False
    return window


def translation(reference: np.ndarray, other: np.ndarray) -> Shift | None:
    """Estimate the shift between two float32 luma planes of equal shape, or None if it cannot be found.

    Iterated least squares on the gradient, coarse to fine (Lucas and Kanade 1981), with weights that
    fall with the residual, so that what moves in the scene does not pull (Odobez and Bouthemy 1995).
    Where that does not settle it is started again from phase correlation (Kuglin and Hines 1975). A
    shift that does not make the pictures match better than none is not believed.
    """
    height, width = reference.shape
    if min(height, width) < _LEAST_SIDE or float(reference.std()) == 0.0 or float(other.std()) == 0.0:
        return Shift(0, 0)
    found = _coarse_to_fine(reference, other)
    if found is None:
        window = _hann(width, height)
        # The window is applied here: given one, phaseCorrelate multiplies it into its arguments in place
        # where their size suits the Fourier transform (OpenCV 5.0).
        (dx, dy), _ = opencv().phaseCorrelate(reference * window, other * window)
        found = _refined(reference, other, dx, dy)
    if found is None:
        return None
    at_rest = max(abs(found.dx), abs(found.dy)) < _AT_REST
    return Shift(0, 0) if at_rest or not _explains(reference, other, found) else found


def _coarse_to_fine(reference: np.ndarray, other: np.ndarray) -> Shift | None:
    cv2 = opencv()
    pyramid = [(reference, other)]
    while min(pyramid[-1][0].shape) >= 4 * _LEAST_SIDE:
        half = tuple(side // 2 for side in reversed(pyramid[-1][0].shape))
        first, second = (cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in pyramid[-1])
        pyramid.append((first, second))
    dx, dy = 0.0, 0.0
    found: Shift | None = None
    for first, second in reversed(pyramid):
        found = _refined(first, second, 2 * dx, 2 * dy)
        if found is not None:
            dx, dy = found.dx, found.dy
        else:
            dx, dy = 2 * dx, 2 * dy
    return found


def _refined(reference: np.ndarray, other: np.ndarray, dx: float, dy: float) -> Shift | None:
    height, width = reference.shape
    for _ in range(_ROUNDS):
        shift = Shift(round(dx * _STEPS), round(dy * _STEPS))
        rows = AxisMap(height, offset=Fraction(shift.dy_64, _STEPS))
        columns = AxisMap(width, offset=Fraction(shift.dx_64, _STEPS))
        moved = resample(other, rows, columns, KERNELS["bicubic"])
        edge_y, edge_x = int(np.ceil(abs(shift.dy))) + 2, int(np.ceil(abs(shift.dx))) + 2
        if 2 * edge_y + _LEAST_SIDE > height or 2 * edge_x + _LEAST_SIDE > width:
            return None
        inner = slice(edge_y, height - edge_y), slice(edge_x, width - edge_x)
        mean = np.float32(0.5) * (moved + reference)
        slope_x = np.float32(0.5) * (mean[:, 2:] - mean[:, :-2])[inner[0], edge_x - 1 : width - edge_x - 1]
        slope_y = np.float32(0.5) * (mean[2:] - mean[:-2])[edge_y - 1 : height - edge_y - 1, inner[1]]
        residual = (moved - reference)[inner]
        spread = max(1.48 * float(np.median(np.abs(residual))), 0.5)
        weight = 1.0 / (1.0 + (residual / np.float32(2.0 * spread)) ** 2) ** 2
        sums = [
            float(np.sum(weight * first * second, dtype=np.float64))
            for first, second in (
                (slope_x, slope_x),
                (slope_x, slope_y),
                (slope_y, slope_y),
                (slope_x, residual),
                (slope_y, residual),
            )
        ]
        xx, xy, yy, xr, yr = sums
        determinant = xx * yy - xy * xy
        if determinant <= 1e-9 * xx * yy or xx == 0.0 or yy == 0.0:  # stripes: the shift along them is not seen
            return None
        step_x, step_y = -(yy * xr - xy * yr) / determinant, -(xx * yr - xy * xr) / determinant
        dx, dy = shift.dx + step_x, shift.dy + step_y
        if max(abs(step_x), abs(step_y)) < 1.0 / _STEPS:
            return Shift(round(dx * _STEPS), round(dy * _STEPS))
    return None  # it did not settle: the pictures do not show the same thing


def _explains(reference: np.ndarray, other: np.ndarray, shift: Shift) -> bool:
    """Whether the pictures match better shifted than not: a repetitive scene correlates at false shifts too."""
    x, y = round(shift.dx), round(shift.dy)
    height, width = reference.shape
    if abs(x) >= width or abs(y) >= height:
        return False
    here = slice(max(0, -y), height - max(0, y)), slice(max(0, -x), width - max(0, x))
    there = slice(max(0, y), height - max(0, -y)), slice(max(0, x), width - max(0, -x))
    if x == 0 and y == 0:
        return True
    still, moved = (np.minimum(np.abs(reference[here] - other[place]), _OUTLIER) for place in (here, there))
    return float(moved.mean(dtype=np.float64)) < 0.95 * float(still.mean(dtype=np.float64))
