"""Point spread functions, sampled: float64, odd sides, not negative, sum one, centred.

Lengths are in pixels of the grid that the kernel is for, angles in degrees counter-clockwise from the
horizontal as seen on the screen (rows count downwards).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

_FINE = 8  # sub-samples per pixel and axis when a sharp-edged function is averaged over pixels
_AIRY_ZEROS = (3.8317059702075125, 16.470630050877634)  # first and fifth zero of the Bessel function J1
_AIRY_REACH = _AIRY_ZEROS[1] / _AIRY_ZEROS[0]  # the kernel ends at the fifth dark ring


def gaussian(sigma: float) -> np.ndarray:
    """Sampled Gaussian out to four standard deviations."""
    reach = max(1, int(np.ceil(4.0 * sigma)))
    profile = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return _normalised(np.outer(profile, profile))


def gaussian_profile(sigma: float) -> np.ndarray:
    """One axis of :func:`gaussian`: float64, sum one."""
    reach = max(1, int(np.ceil(4.0 * sigma)))
    return _normalised(np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2))


@lru_cache(maxsize=64)
def anisotropic_gaussian(sigma_x: float, sigma_y: float, angle: float) -> np.ndarray:
    """Sampled Gaussian with standard deviation ``sigma_x`` along ``angle`` and ``sigma_y`` across it."""
    turn = np.deg2rad(angle)
    reach = max(1, int(np.ceil(4.0 * max(sigma_x, sigma_y))))
    position = np.arange(-reach, reach + 1, dtype=np.float64)
    y, x = position[:, None], position[None, :]
    along, across = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    return _shared(_normalised(np.exp(-0.5 * ((along / sigma_x) ** 2 + (across / sigma_y) ** 2))))


@lru_cache(maxsize=64)
def disc(radius: float) -> np.ndarray:
    """Uniform disc (defocus by geometrical optics), averaged over each pixel's area."""
    return _shared(_averaged(radius, lambda y, x: (x * x + y * y <= radius * radius).astype(np.float64)))


@lru_cache(maxsize=64)
def line(length: float, angle: float) -> np.ndarray:
    """Uniform straight line one pixel wide: motion during the exposure."""
    turn = np.deg2rad(angle)
    cosine, sine = np.cos(turn), -np.sin(turn)

    def inside(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        along, across = x * cosine + y * sine, y * cosine - x * sine
        return np.asarray((np.abs(along) <= length / 2) & (np.abs(across) <= 0.5)).astype(np.float64)

    return _shared(_averaged(length / 2 + 0.5, inside))


@lru_cache(maxsize=64)
def airy(radius: float) -> np.ndarray:
    """Airy pattern of a round aperture in focus, ``radius`` to the first dark ring, averaged over each pixel.

    (2 J1(v) / v)**2 with v = 3.8317 r / ``radius`` (Born and Wolf, Principles of Optics, 8.5.2), cut at the
    fifth dark ring and normalised there; 4 % of the light of the unbounded pattern lies beyond.
    """

    def intensity(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return airy_intensity(np.hypot(y, x), radius)

    return _shared(_averaged(_AIRY_REACH * radius, intensity))


def airy_intensity(distance: np.ndarray, radius: float) -> np.ndarray:
    """Airy pattern, 1 in the middle, at ``distance`` from it; zero from the fifth dark ring outwards."""
    v = _AIRY_ZEROS[0] * np.asarray(distance, dtype=np.float64) / radius
    table = np.linspace(0.0, _AIRY_ZEROS[1], 4097)
    values = np.ones_like(table)
    values[1:] = (2.0 * bessel_j1(table[1:]) / table[1:]) ** 2
    return np.interp(v, table, values, right=0.0)


def bessel_j1(x: np.ndarray) -> np.ndarray:
    """Bessel function J1 by Bessel's integral; the trapezoidal rule on a period converges exponentially."""
    tau = (np.arange(64) + 0.5) * (np.pi / 64)
    return np.asarray(np.cos(tau[:, None] - x[None, :] * np.sin(tau)[:, None]).mean(axis=0))


def _averaged(radius: float, value: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    reach = int(np.ceil(radius))
    count = (2 * reach + 1) * _FINE
    position = (np.arange(count) + 0.5) / _FINE - reach - 0.5
    sampled = value(position[:, None], position[None, :])
    return _normalised(sampled.reshape(2 * reach + 1, _FINE, 2 * reach + 1, _FINE).sum(axis=(1, 3)))


def _normalised(kernel: np.ndarray) -> np.ndarray:
    return np.asarray(kernel / kernel.sum())


def _shared(kernel: np.ndarray) -> np.ndarray:
    kernel.flags.writeable = False
    return kernel
