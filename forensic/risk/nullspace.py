"""Null-space injection: what an output holds that its input cannot determine.

A maps many pictures to the same input. Whatever n with A n = 0 is added to an output, y − A x
stays as it was: data consistency alone is *blind* to invented detail, a licence plate's strokes
finer than the sampling included. So the part of the output that the data leave open is compared
with the least assuming picture that explains the same data, the Tikhonov reference

x_T = argmin |y − A x|² + λ |∇x|²     (Tikhonov 1963; Phillips 1962),

and both are first projected softly onto the data: x̃ − x̃_T = (I − Aᵀ(AAᵀ+τI)⁻¹A)(x̂ − x_T). The
bracket is the soft null-space projector τ (AᵀA + τI)⁻¹: 1 where A passes nothing, about 0 where
it passes well above the noise. Detail that is *true* but cannot be seen in the input counts too:
the map says "not from this frame", not "wrong".
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from forensic.fusion.conjugate_gradients import Solution, solve
from forensic.fusion.forward import ForwardModel
from forensic.fusion.projection import SoftProjection, soft_projection

SMOOTHNESS = 0.05  # λ in units of 1 / scale², A Aᵀ's gain for a flat picture
ITERATIONS = 12
TOLERANCE = 3e-3


def tikhonov_reference(y: np.ndarray, forward: ForwardModel) -> tuple[np.ndarray, Solution]:
    """x_T for ``y`` (h, w) float32 grey levels: float32 (s·h, s·w), and how the system was solved.

    ∇ is the forward difference with free borders. Conjugate gradients for the correction to
    bilinear interpolation: at most 12 steps or a relative residual of 3e-3.
    """
    weight = SMOOTHNESS / forward.factor**2
    start = forward.interpolate(y)

    def penalty(x: np.ndarray) -> np.ndarray:
        # −∇ᵀ∇ with free borders is the five-point Laplacian under half-sample symmetric reflection.
        return np.asarray(cv2.Laplacian(x, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REFLECT))

    def operator(x: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.scaleAdd(penalty(x), -weight, forward.adjoint(forward.apply(x))))

    rhs = cv2.scaleAdd(penalty(start), weight, forward.adjoint(cv2.subtract(y, forward.apply(start))))
    solution = solve(operator, np.asarray(rhs), iterations=ITERATIONS, tolerance=TOLERANCE)
    return np.asarray(cv2.add(start, solution.x)), solution


def rms_window(scale: int) -> int:
    """Side in output pixels of the square window of the local RMS: two input pixels each way, odd."""
    return 4 * scale + 1


def local_rms(values: np.ndarray, window: int) -> np.ndarray:
    """Root of the mean square of float32 ``values`` over a ``window`` x ``window`` box at each pixel."""
    square = cv2.multiply(values, values)
    mean = cv2.boxFilter(square, cv2.CV_32F, (window, window), borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.sqrt(np.maximum(mean, np.float32(0.0))))


@dataclass(frozen=True)
class Injection:
    """``component``: x̃ − x̃_T, signed, float32 (s·h, s·w) grey levels; ``rms``: its local RMS;
    ``reference_solution``: how Tikhonov's reference was found, where that was it."""

    component: np.ndarray
    rms: np.ndarray
    reference_solution: Solution | None


def nullspace_injection(
    projection: SoftProjection, y: np.ndarray, forward: ForwardModel, tau: float, fused: np.ndarray | None = None
) -> Injection:
    """Injection of the output whose soft ``projection`` onto ``y`` with the same ``tau`` is given.

    ``fused``: what many frames show without a learned prior, float32 of the output's size; it takes Tikhonov's place.
    """
    reference, solution = (fused, None) if fused is not None else tikhonov_reference(y, forward)
    projected = soft_projection(reference, y, forward, tau).projected
    component = np.asarray(cv2.subtract(projection.projected, projected))
    return Injection(component, local_rms(component, rms_window(forward.factor)), solution)
