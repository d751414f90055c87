"""Registration of a frame to the reference: to a few hundredths of a pixel, robust against what moves.

Gauss-Newton on the grey level difference, coarse to fine (Lucas and Kanade 1981; Baker and Matthews
2004), with weights that fall with the residual (Odobez and Bouthemy 1995), from phase correlation
(Kuglin and Hines 1975) where it does not settle from rest. Both pictures are smoothed first: what
sampling has folded (aliasing) does not move with the scene and would pull towards whole pixels.
A turn, scale or perspective is fitted after the shift and kept only where it explains more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from forensic.fusion.interpolation import inside, sampled, shifted
from forensic.fusion.motion import Motion

Model = Literal["none", "translation", "affine", "homography"]

_SMOOTHING = 0.8  # px
_LEAST_SIDE = 16  # px of the coarsest picture
_ROUNDS = 16
_SETTLED = 0.002  # px
_PARAMETERS = {"translation": 2, "affine": 6, "homography": 8}
_BETTER = 0.95  # residual of a richer motion over that of a poorer one for it to be kept
_TIE = 0.25  # px


@dataclass(frozen=True)
class Registered:
    """``motion`` from the reference to the frame; ``residual``: robust spread (grey levels) of what it leaves."""

    motion: Motion
    residual: float


def register(reference: np.ndarray, frame: np.ndarray, model: Model = "affine") -> Registered | None:
    """Register float32 luma ``frame`` to ``reference`` of the same shape, or None where it cannot be done.

    A flat picture is at rest. One below 16 px on a side is registered from rest: to shifts of about two pixels.
    ``model``: the richest motion tried.
    """
    smooth_reference, smooth_frame = _smoothed(reference), _smoothed(frame)
    if model == "none" or min(reference.std(), frame.std()) < 1e-3:
        return Registered(Motion.shift(0.0, 0.0), _spread(smooth_frame - smooth_reference))
    if min(reference.shape) < _LEAST_SIDE:
        return refine(reference, frame, Motion.shift(0.0, 0.0), model)
    return _richer(smooth_reference, smooth_frame, _shift(smooth_reference, smooth_frame), model)


def refine(reference: np.ndarray, frame: np.ndarray, start: Motion, model: Model) -> Registered | None:
    """Register ``frame`` (of any shape) from ``start``, which must be right to about two pixels.

    The shift is refined first, then what ``model`` allows beyond it.
    """
    first, second = _smoothed(reference), _smoothed(frame)
    least = min(first.size // 4, _LEAST_SIDE**2)
    return _richer(first, second, _refined(first, second, start.matrix, 2, least), model)


def _richer(
    smooth_reference: np.ndarray, smooth_frame: np.ndarray, found: Registered | None, model: Model
) -> Registered | None:
    if found is None:
        return None
    for richer in ("affine", "homography"):
        if _PARAMETERS[model] < _PARAMETERS[richer]:
            break
        least = min(smooth_reference.size // 4, _LEAST_SIDE**2)
        better = _refined(smooth_reference, smooth_frame, found.motion.matrix, _PARAMETERS[richer], least)
        if better is None or better.residual > _BETTER * found.residual:
            break
        found = better
    return found


def _smoothed(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REFLECT))


def _spread(residual: np.ndarray) -> float:
    return 1.4826 * float(np.median(np.abs(residual)))


def _shift(reference: np.ndarray, frame: np.ndarray) -> Registered | None:
    candidates = []
    found = _coarse_to_fine(reference, frame)
    if found is not None:
        candidates.append(found)
    height, width = reference.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(reference * window, frame * window)
    if found is None or np.hypot(*np.subtract((dx, dy), found.motion.displacement(reference.shape))) > _TIE:
        other = _refined(reference, frame, Motion.shift(dx, dy).matrix, 2)
        if other is not None:
            candidates.append(other)
    return min(candidates, key=lambda candidate: candidate.residual) if candidates else None


def _coarse_to_fine(reference: np.ndarray, frame: np.ndarray) -> Registered | None:
    pyramid = [(reference, frame)]
    while min(pyramid[-1][0].shape) >= 3 * _LEAST_SIDE:
        half = tuple(side // 2 for side in reversed(pyramid[-1][0].shape))
        first, second = (cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in pyramid[-1])
        pyramid.append((first, second))
    dx, dy = 0.0, 0.0
    found: Registered | None = None
    for first, second in reversed(pyramid):
        dx, dy = 2 * dx, 2 * dy
        found = _refined(first, second, Motion.shift(dx, dy).matrix, 2)
        if found is not None:
            dx, dy = found.motion.displacement(first.shape)
    return found


def _refined(
    reference: np.ndarray, frame: np.ndarray, start: np.ndarray, parameters: int, least: int = _LEAST_SIDE**2
) -> Registered | None:
    """Iterate from ``start``; None where it does not settle or the pictures hardly overlap."""
    height, width = reference.shape
    matrix = start.copy()
    unit = 0.5 * max(height, width)  # lengths in this unit keep the normal equations well conditioned
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = (x - np.float32((width - 1) / 2)) / np.float32(unit), (y - np.float32((height - 1) / 2)) / np.float32(unit)
    for _ in range(_ROUNDS):
        motion = Motion(matrix)
        columns, rows = motion.places_in_frame(reference.shape)
        if parameters == 2 and frame.shape == reference.shape and Motion(matrix).is_shift:
            moved = shifted(frame, float(matrix[0, 2]), float(matrix[1, 2]))
        else:
            moved = sampled(frame, columns, rows)
        valid = inside(columns - 2, rows - 2, (frame.shape[0] - 4, frame.shape[1] - 4))
        valid[:2] = valid[-2:] = False
        valid[:, :2] = valid[:, -2:] = False
        if np.count_nonzero(valid) < max(least, 0.1 * valid.size):
            return None
        # The mean of both gradients: insensitive to the noise of either (Brandt 1997, symmetric tracking).
        mean = np.float32(0.5) * (moved + reference)
        slope_x = cv2.Sobel(mean, cv2.CV_32F, 1, 0, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)[valid]
        slope_y = cv2.Sobel(mean, cv2.CV_32F, 0, 1, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)[valid]
        residual = (moved - reference)[valid]
        residual = residual - np.float32(np.median(residual))  # a change of light is no motion
        spread = max(_spread(residual), 0.25)
        weight = 1.0 / (1.0 + (residual / np.float32(3.0 * spread)) ** 2) ** 2
        step = _step(slope_x, slope_y, residual, weight, x[valid], y[valid], parameters)
        if step is None:
            return None
        change = _change(step, unit, width, height)
        matrix = matrix @ change if parameters > 2 else matrix + (change - np.eye(3))
        matrix = matrix / matrix[2, 2]
        if np.abs(step[:2]).max() < _SETTLED and np.abs(step[2:]).max(initial=0.0) * unit < _SETTLED * 4:
            return Registered(Motion(matrix), spread)
    return None


def _step(
    slope_x: np.ndarray, slope_y: np.ndarray, residual: np.ndarray, weight: np.ndarray,
    x: np.ndarray, y: np.ndarray, parameters: int,
) -> np.ndarray | None:  # fmt: skip
    """Weighted least squares for (tx, ty in px; the rest per unit length), None where it is not determined."""
    jacobian = [slope_x, slope_y]
    if parameters >= 6:
        jacobian += [slope_x * x, slope_x * y, slope_y * x, slope_y * y]
    if parameters == 8:
        radial = slope_x * x + slope_y * y
        jacobian += [radial * x, radial * y]
    weighted = [weight * column for column in jacobian]
    normal = np.array([[float(np.sum(a * b, dtype=np.float64)) for b in jacobian] for a in weighted])
    right = np.array([float(np.sum(a * residual, dtype=np.float64)) for a in weighted])
    size = np.sqrt(np.diag(normal))
    if (size <= 0).any():
        return None
    scaled = normal / np.outer(size, size)
    if np.linalg.cond(scaled) > 1e6:  # stripes: the shift along them is not seen
        return None
    return np.asarray(-np.linalg.solve(scaled, right / size) / size)


def _change(step: np.ndarray, unit: float, width: int, height: int) -> np.ndarray:
    """The step as a homography of reference pixels."""
    full = np.zeros(8)
    full[: step.size] = step
    tx, ty, xx, xy, yx, yy, px, py = full
    centred = np.array(
        [[1 + xx / unit, xy / unit, tx], [yx / unit, 1 + yy / unit, ty], [-px / unit**2, -py / unit**2, 1.0]]
    )
    middle = np.eye(3)
    middle[:2, 2] = (width - 1) / 2, (height - 1) / 2
    return np.asarray(middle @ centred @ np.linalg.inv(middle))
