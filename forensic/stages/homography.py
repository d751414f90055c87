"""Plane-to-plane perspective maps (homographies) by four points, for one set of points or many at once."""

from __future__ import annotations

import numpy as np

_LEAST_SINE = 0.02  # of the angle at a corner: below, three corners lie on a line as far as marking can tell
_LEAST_SIDE = 1.0  # pixels


def homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The map H with ``target ~ H source`` through four point pairs.

    ``source`` and ``target`` are float64 (..., 4, 2), no three points of either on a line (see
    :func:`quadrilateral_fault`); leading axes are worked on independently. Returns (..., 3, 3) with the
    last element 1 or, where that element vanishes, the largest. Points are centred and scaled before the
    8x8 system is solved (R. Hartley, In defense of the eight-point algorithm, PAMI 19 (1997), 580-593).
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    from_shape, from_points = _normalised(source)
    to_shape, to_points = _normalised(target)
    x, y = from_points[..., 0], from_points[..., 1]
    u, v = to_points[..., 0], to_points[..., 1]
    zero, one = np.zeros_like(x), np.ones_like(x)
    upper = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], axis=-1)
    lower = np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], axis=-1)
    matrix = np.concatenate([upper, lower], axis=-2)
    right = np.concatenate([u, v], axis=-1)[..., None]
    solved = np.linalg.solve(matrix, right)[..., 0]
    middle = np.concatenate([solved, np.ones((*solved.shape[:-1], 1))], axis=-1).reshape(*solved.shape[:-1], 3, 3)
    result = np.linalg.inv(to_shape) @ middle @ from_shape
    last = result[..., 2:3, 2:3]
    largest = np.abs(result).max(axis=(-2, -1), keepdims=True)
    return np.asarray(result / np.where(np.abs(last) > 1e-12 * largest, last, largest))


def _normalised(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The similarity that centres ``points`` and brings them to unit size, and the points under it."""
    centre = points.mean(axis=-2, keepdims=True)
    size = np.abs(points - centre).max(axis=(-2, -1), keepdims=True)
    shape = np.zeros((*points.shape[:-2], 3, 3))
    shape[..., 0, 0] = shape[..., 1, 1] = 1.0 / size[..., 0, 0]
    shape[..., 0, 2] = -centre[..., 0, 0] / size[..., 0, 0]
    shape[..., 1, 2] = -centre[..., 0, 1] / size[..., 0, 0]
    shape[..., 2, 2] = 1.0
    return shape, (points - centre) / size


def mapped(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (``x``, ``y``) under the 3x3 ``matrix`` (float64, any shape)."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    depth = g * x + h * y + i
    return (a * x + b * y + c) / depth, (d * x + e * y + f) / depth


def mapped_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """``points`` (..., N, 2) under ``matrix`` (..., 3, 3), leading axes alike."""
    extended = np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1)
    result = extended @ np.swapaxes(matrix, -1, -2)
    return np.asarray(result[..., :2] / result[..., 2:])


def depths(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Homogeneous third coordinate of ``points`` (N, 2): of one sign on one side of the plane's horizon."""
    return np.asarray(points @ matrix[2, :2] + matrix[2, 2])


def quadrilateral_fault(corners: np.ndarray) -> str | None:
    """What is wrong with ``corners`` (4, 2) as top left, top right, bottom right, bottom left, or None.

    They must run clockwise as seen (y down), be convex, and no three may lie nearly on a line.
    """
    sides = np.roll(corners, -1, axis=0) - corners
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    if lengths.min() < _LEAST_SIDE:
        return "two of the corners are less than a pixel apart"
    following = np.roll(sides, -1, axis=0)
    sines = (sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]) / (lengths * np.roll(lengths, -1))
    if np.abs(sines).min() < _LEAST_SINE:
        return "three of the corners lie on one line, or nearly so"
    if (sines < 0).all():
        return "the corners run anticlockwise, which would mirror the picture"
    if sines.min() < 0:
        return "the corners do not make a convex shape: they are in the wrong order, or cross"
    return None
