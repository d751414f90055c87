"""Translation between two pictures of the same scene, in fractions of a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from forensic.stages.opencv import opencv

_AT_REST = 0.125  # pixels: shifts below are what noise and compression alone make of a camera that stands still
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

    Phase correlation (Kuglin and Hines 1975) gives a first value; one that is not at rest is refined by
    maximising the enhanced correlation coefficient (Evangelidis and Psarakis 2008) at half resolution.
    """
    cv2 = opencv()
    height, width = reference.shape
    if min(height, width) < 16 or float(reference.std()) == 0.0 or float(other.std()) == 0.0:
        return Shift(0, 0)
    (dx, dy), _ = cv2.phaseCorrelate(reference, other, _hann(width, height))
    if abs(dx) < _AT_REST and abs(dy) < _AT_REST:
        return Shift(0, 0)
    half = (max(width // 2, 8), max(height // 2, 8))
    scale_x, scale_y = width / half[0], height / half[1]
    small = [cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in (reference, other)]
    warp = np.array([[1, 0, dx / scale_x], [0, 1, dy / scale_y]], dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-5)
    try:
        _, warp = cv2.findTransformECC(small[0], small[1], warp, cv2.MOTION_TRANSLATION, criteria, None, 5)
    except cv2.error:  # it did not converge: the pictures do not show the same thing
        return None
    dx, dy = float(warp[0, 2]) * scale_x, float(warp[1, 2]) * scale_y
    if not (np.isfinite(dx) and np.isfinite(dy)):
        return None
    shift = Shift(round(dx * _STEPS), round(dy * _STEPS))
    return shift if _explains(reference, other, shift) else Shift(0, 0)


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
