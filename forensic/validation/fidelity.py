"""How close a picture is to the truth: PSNR-Y, SSIM-Y, PSNR-B.

Pictures are luma planes [H, W] in grey levels of the 8-bit scale (0..255), of any real dtype; sums are
taken in float64. Nothing is quantised here: a delivered picture is quantised before it is measured.
Border cutting is the caller's, by :func:`inside`.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from forensic.errors import UsageError

PEAK = 255.0
_WINDOW, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03  # Wang et al. 2004, section III.B and III.C


def inside(picture: np.ndarray, border: int) -> np.ndarray:
    """``picture`` without ``border`` pixels on every side. Raises ``UsageError`` (``fidelity.border``)."""
    if border < 0 or min(picture.shape[:2]) <= 2 * border:
        raise UsageError(
            "fidelity.border", f"A border of {border} pixels leaves nothing of a picture of {picture.shape[:2]}."
        )
    return picture[border : picture.shape[0] - border, border : picture.shape[1] - border]


def _pair(result: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if result.ndim != 2 or result.shape != truth.shape or result.size == 0:
        raise UsageError("fidelity.shape", f"Planes of {result.shape} and {truth.shape} cannot be compared.")
    return result.astype(np.float64), truth.astype(np.float64)


def mean_square_error(result: np.ndarray, truth: np.ndarray) -> float:
    """Mean of the squared difference, grey levels squared. Raises ``UsageError`` (``fidelity.shape``)."""
    a, b = _pair(result, truth)
    return float(np.mean((a - b) ** 2))


def decibels(error: float) -> float:
    """10 log10(255² / ``error``); infinite for no error."""
    return math.inf if error <= 0.0 else 10.0 * math.log10(PEAK**2 / error)


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, peak 255; infinite for equal planes."""
    return decibels(mean_square_error(result, truth))


def ssim_map(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity at every place where the 11x11 window lies inside: [H - 10, W - 10] float64.

    Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, Image Quality Assessment: From Error Visibility to
    Structural Similarity, IEEE Transactions on Image Processing 13 (2004), 600-612: circular Gaussian window
    11x11 of standard deviation 1.5 with unit sum, K1 = 0.01, K2 = 0.03, L = 255, at the picture's own
    resolution. Raises ``UsageError`` (``fidelity.shape``) for planes that differ in shape or are smaller.
    """
    a, b = _pair(result, truth)
    if min(a.shape) < _WINDOW:
        raise UsageError("fidelity.shape", f"SSIM needs {_WINDOW} rows and columns, the plane has {a.shape}.")
    reach = _WINDOW // 2
    positions = np.arange(-reach, reach + 1, dtype=np.float64)
    kernel = np.exp(-(positions**2) / (2.0 * _SIGMA**2))
    kernel /= kernel.sum()  # the product of two such kernels is the paper's window

    def mean(plane: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)[reach:-reach, reach:-reach])

    c1, c2 = (_K1 * PEAK) ** 2, (_K2 * PEAK) ** 2
    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    numerator = (2.0 * mean_a * mean_b + c1) * (2.0 * covariance + c2)
    return np.asarray(numerator / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)))


def ssim(result: np.ndarray, truth: np.ndarray) -> float:
    """Mean of :func:`ssim_map`, at most 1."""
    return float(ssim_map(result, truth).mean())


def _steps(plane: np.ndarray, block: int, phase: tuple[int, int]) -> tuple[float, int, float, int]:
    """Sum of squared neighbour differences and their number, across block boundaries and elsewhere."""
    at, at_count, off, off_count = 0.0, 0, 0.0, 0
    for axis in (0, 1):
        difference = np.diff(plane, axis=axis) ** 2
        boundary = (np.arange(1, plane.shape[axis]) - phase[axis]) % block == 0
        across = difference.compress(boundary, axis=axis)
        within = difference.compress(~boundary, axis=axis)
        at, at_count = at + float(across.sum()), at_count + across.size
        off, off_count = off + float(within.sum()), off_count + within.size
    return at, at_count, off, off_count


def blocking_effect_factor(picture: np.ndarray, block: int, phase: tuple[int, int] = (0, 0)) -> float:
    """Blocking effect factor (BEF) in grey levels squared, at least 0.

    C. Yim, A. C. Bovik, Quality Assessment of Deblocked Images, IEEE Transactions on Image Processing 20
    (2011), 88-98: the mean squared step across block boundaries less the mean
    squared step elsewhere, where it is larger, times log2(block) / log2(shorter side). A boundary lies
    between columns x - 1 and x where (x - ``phase[1]``) is a multiple of ``block``; rows likewise with
    ``phase[0]``. Raises ``UsageError`` (``fidelity.block``) where no boundary lies in the picture.
    """
    plane = picture.astype(np.float64)
    if block < 2 or min(plane.shape) <= block:
        raise UsageError("fidelity.block", f"A picture of {plane.shape} has no blocks of {block} pixels to compare.")
    at, at_count, off, off_count = _steps(plane, block, phase)
    excess = at / at_count - off / off_count
    return excess * math.log2(block) / math.log2(min(plane.shape)) if excess > 0.0 else 0.0


def psnr_b(result: np.ndarray, truth: np.ndarray, block: int, phase: tuple[int, int] = (0, 0)) -> float:
    """PSNR that counts blockiness of ``result`` as error (Yim and Bovik 2011), dB: 255² / (MSE + BEF)."""
    return decibels(mean_square_error(result, truth) + blocking_effect_factor(result, block, phase))
