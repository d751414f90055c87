"""A picture at places between its pixels, exactly at those places (OpenCV's remap rounds them to 1/32 px)."""

from __future__ import annotations

import cv2
import numpy as np


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel, a = -0.5."""
    d = np.abs(distance)
    return np.where(d < 1, (1.5 * d - 2.5) * d * d + 1, np.where(d < 2, ((-0.5 * d + 2.5) * d - 4) * d + 2, 0.0))


def shifted(picture: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """``picture(x + dx, y + dy)``, float32, bicubic; the edge is repeated."""
    whole_x, whole_y = int(np.floor(dx)), int(np.floor(dy))
    kernels = []
    for rest in (dx - whole_x, dy - whole_y):
        weights = _cubic(np.arange(-2, 3) - rest)
        kernels.append((weights / weights.sum()).astype(np.float32))
    height, width = picture.shape
    if whole_x or whole_y:
        reach_x, reach_y = min(abs(whole_x), width), min(abs(whole_y), height)
        padded = cv2.copyMakeBorder(picture, reach_y, reach_y, reach_x, reach_x, cv2.BORDER_REPLICATE)
        top = min(max(reach_y + whole_y, 0), 2 * reach_y)
        left = min(max(reach_x + whole_x, 0), 2 * reach_x)
        picture = padded[top : top + height, left : left + width]
    return np.asarray(
        cv2.sepFilter2D(
            np.ascontiguousarray(picture), cv2.CV_32F, kernels[0], kernels[1], borderType=cv2.BORDER_REPLICATE
        )
    )


def sampled(picture: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``picture`` (float32) at (``columns``, ``rows``), arrays of one shape; bicubic; the edge is repeated."""
    height, width = picture.shape
    x0, y0 = np.floor(columns).astype(np.int64), np.floor(rows).astype(np.int64)
    fx, fy = columns - x0, rows - y0
    flat = picture.ravel()
    across = [(np.clip(x0 + tap, 0, width - 1), _cubic(fx - tap).astype(np.float32)) for tap in (-1, 0, 1, 2)]
    result = np.zeros(columns.shape, np.float32)
    for tap in (-1, 0, 1, 2):
        base = np.clip(y0 + tap, 0, height - 1) * width
        line = np.zeros(columns.shape, np.float32)
        for place, weight in across:
            line += weight * flat[base + place]
        result += _cubic(fy - tap).astype(np.float32) * line
    return result


def inside(columns: np.ndarray, rows: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Which places lie on a picture of ``shape`` (between the centres of its outermost pixels)."""
    return (columns >= 0) & (rows >= 0) & (columns <= shape[1] - 1) & (rows <= shape[0] - 1)
