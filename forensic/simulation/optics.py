"""The lens: blur of a high-resolution picture, and the point spread function that does it."""

from __future__ import annotations

import cv2
import numpy as np

from forensic.simulation import psf
from forensic.simulation.degradation import Optics
from forensic.simulation.rendering import blurred_by_turning

_BORDER = cv2.BORDER_REFLECT


def kernel(optics: Optics, factor: int) -> np.ndarray:
    """Point spread function on the grid ``factor`` times finer than the recording's; float64, sum one.

    Without optics, and for ``rotation`` whose blur differs from place to place, it is a single one.
    """
    if optics.kind == "gaussian":
        return psf.anisotropic_gaussian(optics.sigma_x * factor, optics.sigma_y * factor, optics.angle)
    if optics.kind == "defocus":
        return psf.disc(optics.radius * factor)
    if optics.kind == "airy":
        return psf.airy(optics.radius * factor)
    if optics.kind == "motion":
        return psf.line(optics.length * factor, optics.angle)
    return np.ones((1, 1))


def blurred(picture: np.ndarray, optics: Optics, factor: int) -> np.ndarray:
    """``picture`` (float32, (rows, columns[, 3])) through the lens; mirrored beyond its borders."""
    if optics.kind == "none":
        return picture
    if optics.kind == "rotation":
        return blurred_by_turning(picture, optics.arc)
    if optics.kind == "gaussian" and (optics.angle == 0.0 or optics.sigma_x == optics.sigma_y):
        across = psf.gaussian_profile(optics.sigma_x * factor).astype(np.float32)
        down = psf.gaussian_profile(optics.sigma_y * factor).astype(np.float32)
        return np.asarray(cv2.sepFilter2D(picture, cv2.CV_32F, across, down, borderType=_BORDER))
    # OpenCV's filter2D correlates; a convolution takes the kernel the other way round.
    turned = np.ascontiguousarray(kernel(optics, factor)[::-1, ::-1], dtype=np.float32)
    return np.asarray(cv2.filter2D(picture, cv2.CV_32F, turned, borderType=_BORDER))
