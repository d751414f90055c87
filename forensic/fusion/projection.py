"""Soft projection of an output onto consistency with its input, weighted by the input's noise.

x̃ = x̂ + Aᵀ (A Aᵀ + τ I)⁻¹ (y − A x̂)

is the maximum a posteriori estimate for y = A x + n, n ~ N(0, σₙ²), x ~ N(x̂, σₓ²) with τ =
σₙ² / σₓ² (Tarantola, *Inverse Problem Theory*, SIAM 2005, section 3.2): the smallest change to x̂
that explains y as far as its noise deserves. The limit τ → 0 is the range-null space
decomposition used by DDNM (Wang, Yu and Zhang, arXiv:2212.00490, 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from forensic.fusion.conjugate_gradients import Solution, solve
from forensic.fusion.forward import ForwardModel

PRIOR_SIGMA = 32.0  # σₓ: grey levels by which the output's pixels may be wrong a priori; engineering choice
_LEAST_ERROR = 0.29  # grey levels: rounding
ITERATIONS = 30
TOLERANCE = 1e-3


def noise_weight(noise_sigma: float) -> float:
    """τ = σₙ² / σₓ² for ``noise_sigma`` in grey levels."""
    return (noise_sigma / PRIOR_SIGMA) ** 2


@dataclass(frozen=True)
class SoftProjection:
    """``projected``: x̃, float32 (s·h, s·w). ``conflict``: y − A x̂ *before* the projection, signed,
    float32 (h, w) grey levels. ``solution``: the linear system's solution and residual."""

    projected: np.ndarray
    conflict: np.ndarray
    solution: Solution


def consistent(
    x: np.ndarray, y: np.ndarray, forward: ForwardModel, strength: float, deadband: float
) -> tuple[np.ndarray, float, float]:
    """``x`` (s·h, s·w) drawn towards consistency with ``y`` (h, w), both float32 luma in grey levels.

    x ← x + ``strength`` · Aᵀ(AAᵀ + τI)⁻¹ r, where r is the conflict y − A x less ``deadband``: what noise and the
    quantiser explain is not held against x, so that they are not drawn back into it (the soft threshold of D. L.
    Donoho, De-noising by soft-thresholding, IEEE Transactions on Information Theory 41 (1995), 613-627; τ by
    ``deadband`` as the standard deviation of the error). Also returned: the root mean square of y − A x before and
    after. ``strength`` 0 returns ``x`` itself.
    """
    conflict = np.asarray(cv2.subtract(y, forward.apply(x)))
    before = _rms(conflict)
    if strength == 0.0:
        return x, before, before
    rest = np.sign(conflict) * np.maximum(np.abs(conflict) - np.float32(deadband), np.float32(0.0))
    solution = _solved(rest.astype(np.float32), forward, noise_weight(max(deadband, _LEAST_ERROR)))
    drawn = np.asarray(cv2.scaleAdd(forward.adjoint(solution.x), strength, x))
    return drawn, before, _rms(np.asarray(cv2.subtract(y, forward.apply(drawn))))


def _rms(picture: np.ndarray) -> float:
    return float(np.sqrt(np.mean(picture.astype(np.float64) ** 2)))


def soft_projection(x: np.ndarray, y: np.ndarray, forward: ForwardModel, tau: float) -> SoftProjection:
    """Project ``x`` (s·h, s·w) onto ``y`` (h, w), both float32 luma in grey levels.

    At most 30 conjugate gradient steps, to a relative residual of 1e-3; the same bytes give the
    same bytes. ``tau`` must be positive (:func:`noise_weight`).
    """
    conflict = np.asarray(cv2.subtract(y, forward.apply(x)))
    solution = _solved(conflict, forward, tau)
    return SoftProjection(np.asarray(cv2.add(x, forward.adjoint(solution.x))), conflict, solution)


def _solved(residual: np.ndarray, forward: ForwardModel, tau: float) -> Solution:
    """(A Aᵀ + τ I)⁻¹ ``residual``."""

    def operator(v: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.scaleAdd(v, tau, forward.gram(v)))

    return solve(operator, residual, iterations=ITERATIONS, tolerance=TOLERANCE)
