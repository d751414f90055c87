"""Conjugate gradients (Hestenes and Stiefel, 1952) for symmetric positive definite operators.

Inner products are summed in double precision in a fixed order, outside BLAS, whose result may
depend on its number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np


@dataclass(frozen=True)
class Solution:
    """``x`` (float32, shape of the right-hand side), iterations made, |b − M x| / |b| at the end."""

    x: np.ndarray
    iterations: int
    relative_residual: float

    def to_record(self) -> dict[str, Any]:
        """How well the system was solved; JSON-able."""
        return {"iterations": self.iterations, "relative_residual": round(self.relative_residual, 6)}


def solve(
    operator: Callable[[np.ndarray], np.ndarray], rhs: np.ndarray, *, iterations: int, tolerance: float
) -> Solution:
    """Solve M x = ``rhs`` from x = 0.

    Stops after ``iterations`` steps or when the residual, as the recursion carries it, is at most
    ``tolerance`` times |rhs|. ``operator`` applies M to a float32 array and returns a new one.
    """
    x = np.zeros_like(rhs)
    start = float(cv2.norm(rhs, cv2.NORM_L2SQR))
    if start == 0.0:
        return Solution(x, 0, 0.0)
    residual, direction = rhs.copy(), rhs.copy()
    energy, done = start, 0
    while done < iterations and energy > tolerance**2 * start:
        image = operator(direction)
        curvature = float(cv2.sumElems(cv2.multiply(direction, image))[0])
        if curvature <= 0.0:  # only rounding is left of the direction
            break
        step = energy / curvature
        cv2.scaleAdd(direction, step, x, dst=x)
        cv2.scaleAdd(image, -step, residual, dst=residual)
        previous, energy = energy, float(cv2.norm(residual, cv2.NORM_L2SQR))
        cv2.scaleAdd(direction, energy / previous, residual, dst=direction)
        done += 1
    return Solution(x, done, float(np.sqrt(energy / start)))
