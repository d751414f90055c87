"""What the learned score is told of a mapped frame: planes on a grid of cells of 2 x 2 output pixels.

All are in grey levels of the 8-bit scale unless said otherwise; definitions and sources in docs/risk-map.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from forensic.fusion.forward import ForwardModel
from forensic.risk.regions import DETAIL, INJECTION, MATERIAL, RECORDING

CELL = 2  # output pixels
_BORDER = cv2.BORDER_REFLECT

#: Features by what they tell of; a region's driver is one of these groups.
GROUPS: dict[str, tuple[str, ...]] = {
    INJECTION: (INJECTION,),
    DETAIL: ("bicubic",),
    MATERIAL: ("gradient", "gradient-wide", "deviation", "deviation-wide", "recorded-deviation", "headroom"),
    RECORDING: ("quantiser", "noise", "blur"),
}
#: Features that are one number for the whole frame.
WHOLE = frozenset(GROUPS[RECORDING])


@dataclass(frozen=True)
class Circumstances:
    """What holds for the frame as a whole: quantiser on H.264's scale, noise in grey levels, blur as in the domain's
    measures. None where not known, which the head sees as 0."""

    quantiser: float | None
    noise: float
    blur: float | None


def local_deviation(picture: np.ndarray, window: int) -> np.ndarray:
    """Standard deviation of float32 ``picture`` in the ``window`` x ``window`` box around each pixel."""
    size = (window, window)
    centred = cv2.subtract(picture, np.full_like(picture, np.float32(picture.mean(dtype=np.float64))))
    mean = cv2.boxFilter(centred, cv2.CV_32F, size, borderType=_BORDER)
    square = cv2.boxFilter(cv2.multiply(centred, centred), cv2.CV_32F, size, borderType=_BORDER)
    return np.asarray(cv2.sqrt(np.maximum(cv2.subtract(square, cv2.multiply(mean, mean)), np.float32(0.0))))


def gradient(picture: np.ndarray) -> np.ndarray:
    """Magnitude of the gradient by central differences, grey levels per pixel."""
    across = cv2.Sobel(picture, cv2.CV_32F, 1, 0, ksize=1, scale=0.5, borderType=_BORDER)
    down = cv2.Sobel(picture, cv2.CV_32F, 0, 1, ksize=1, scale=0.5, borderType=_BORDER)
    return np.asarray(cv2.magnitude(across, down))


def cells(plane: np.ndarray) -> np.ndarray:
    """Mean of every cell: float32 (rows / 2, columns / 2), rounded up; the last of an odd side counts twice there."""
    rows, columns = plane.shape
    if rows % CELL or columns % CELL:
        plane = cv2.copyMakeBorder(plane, 0, rows % CELL, 0, columns % CELL, cv2.BORDER_REPLICATE)
    size = (plane.shape[1] // CELL, plane.shape[0] // CELL)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def features_of(
    y: np.ndarray,
    x: np.ndarray,
    forward: ForwardModel,
    injection: np.ndarray,
    known: Circumstances,
) -> dict[str, np.ndarray]:
    """All features by name, float32 on the grid of cells.

    ``y``, ``x``: luma of input and output, float32; ``injection``: null-space injection at output resolution.
    """
    s = forward.factor
    size = (x.shape[1], x.shape[0])
    found = {INJECTION: cells(injection)}
    found["bicubic"] = cells(cv2.absdiff(x, cv2.resize(y, size, interpolation=cv2.INTER_CUBIC)))
    found["gradient"] = cells(gradient(x)) * np.float32(s)
    found["gradient-wide"] = cells(gradient(cv2.GaussianBlur(x, (0, 0), s, borderType=_BORDER))) * np.float32(s)
    found["deviation"] = cells(local_deviation(x, 2 * s + 1))
    found["deviation-wide"] = cells(local_deviation(x, 8 * s + 1))
    found["recorded-deviation"] = cells(forward.replicate(local_deviation(y, 3)))
    found["headroom"] = cells(np.clip(np.minimum(x, np.float32(255.0) - x), 0.0, 127.5))
    shape = found["bicubic"].shape
    for name in sorted(WHOLE):
        found[name] = np.full(shape, np.float32(getattr(known, name) or 0.0))
    return found
