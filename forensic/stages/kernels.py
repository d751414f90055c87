"""Interpolation kernels: continuous functions of the distance in samples, with their support."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Kernel:
    """``weight(t)`` for distances |t| < ``support``; ``support`` 0 means: take the nearest sample."""

    name: str
    support: int
    weight: Callable[[np.ndarray], np.ndarray]


def _triangle(t: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(1.0 - np.abs(t), 0.0))


def _keys(t: np.ndarray) -> np.ndarray:
    """Keys 1981, a = -1/2: third-order accurate."""
    t = np.abs(t)
    inner = (1.5 * t - 2.5) * t * t + 1.0
    outer = ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return np.where(t <= 1.0, inner, np.where(t < 2.0, outer, 0.0))


def _lanczos3(t: np.ndarray) -> np.ndarray:
    """Duchon 1979: sinc windowed by the main lobe of a sinc three times as wide."""
    return np.where(np.abs(t) < 3.0, np.sinc(t) * np.sinc(t / 3.0), 0.0)


def _nearest(t: np.ndarray) -> np.ndarray:
    return np.ones_like(t)


KERNELS: dict[str, Kernel] = {
    "nearest": Kernel("nearest", 0, _nearest),
    "bilinear": Kernel("bilinear", 1, _triangle),
    "bicubic": Kernel("bicubic", 2, _keys),
    "lanczos": Kernel("lanczos", 3, _lanczos3),
}
