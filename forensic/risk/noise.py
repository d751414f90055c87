"""Noise of a picture, robustly: the median of a high-pass that edges and shading hardly touch."""

from __future__ import annotations

import cv2
import numpy as np

QUANTISATION_SIGMA = 12.0**-0.5  # of rounding to whole 8-bit grey levels: no picture is surer than that
_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6.0  # unit gain for white noise
_MAD_TO_SIGMA = 1.0 / 0.6744897501960817  # inverse of the standard normal's third quartile
_FEWEST_SAMPLES = 64


def estimate_sigma(y: np.ndarray, excluded: np.ndarray | None = None) -> float:
    """Standard deviation of the noise of ``y`` (rows, columns) float32, in its own grey levels.

    The difference of two Laplacians (Immerkaer, "Fast noise variance estimation", CVIU 64, 1996)
    cancels planes and parabolas; the median absolute deviation takes the place of his mean
    (Donoho and Johnstone, Biometrika 81, 1994), so that edges and texture, if they fill less
    than half of the picture, do not count as noise. ``excluded``: boolean mask of samples left
    out (clipped ones have no noise). Never below the noise of 8-bit rounding, 0.29 grey levels,
    which is also the answer for pictures too small to measure. Strong compression removes fine
    noise, so the result understates the error of heavily compressed video.
    """
    if min(y.shape) < 3:
        return QUANTISATION_SIGMA
    high = np.abs(cv2.filter2D(y, cv2.CV_32F, _MASK, borderType=cv2.BORDER_REFLECT)[1:-1, 1:-1])
    samples = high.ravel()
    if excluded is not None:
        reach = cv2.dilate(excluded.astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
        kept = high[reach == 0]
        if kept.size >= _FEWEST_SAMPLES:
            samples = kept
    return max(float(np.median(samples)) * _MAD_TO_SIGMA, QUANTISATION_SIGMA)
