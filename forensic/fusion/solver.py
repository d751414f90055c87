"""The fused picture: the one that explains all frames, is smooth between edges and repeats itself.

Minimised, in a fixed number of steps and without randomness:

    Σ_k Σ_i w_ki ρ(y_k − A_k x)_i + λ Σ |∇x| + self-similarity of x

1. Total variation (Rudin, Osher and Fatemi 1992) by reweighted least squares, each step solved by conjugate
   gradients (Vogel and Oman 1996): a first picture with clean edges and no ringing.
2. Half-quadratic splitting (Geman and Yang 1995; Venkatakrishnan, Bouman and Wohlberg 2013): x is drawn
   towards its own self-similar part, and solved for again under the data.

What a decoder hands out is known to half a quantisation step only. Where the step is given, the part of a
residual that rounding in an 8x8 transform domain can explain is not held against x (the projection onto
the quantisation intervals of Gunturk, Altunbasak and Mersereau 2004, here with a narrower interval).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from forensic.fusion.sampling import Canvas
from forensic.fusion.selfsimilarity import shrunk, similar_blocks
from forensic.fusion.transforms import block_cosine

_EDGE = np.float32(1.0)  # grey levels per px: gradients below are not edges
_FREE = 0.08  # of a quantisation step: half-width of the interval in which a coefficient is free
_CODING_ERROR = 0.23  # of a quantisation step: measured error of H.264 per pixel, docs/fusion.md
_CODING_DOUBT = 0.15  # of a quantisation step: the part of it that smoothing can mend; the rest is detail that is lost
MOST_DOUBT = 60.0  # grey levels squared: from here on smoothing takes away more than it mends, docs/fusion.md
_INTERSECTING = 3  # frames from which intervals of different frames narrow each other down
_OUTLIER = 4.0  # spreads: residuals beyond count less, as their inverse (Huber 1964)
_VARIATION = 0.018  # λ over the variance of a low-resolution pixel
_PULL = 0.12
_REMAINING = 0.5  # of λ in the rounds of self-similarity
_LEAST_SHRINKAGE = 4.0  # grey levels
_GROUPING = (0, 2)  # rounds before which groups are formed anew


class Sampler(Protocol):
    """A_k."""

    def apply(self, x: np.ndarray) -> np.ndarray: ...
    def adjoint(self, y: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Observation:
    """One frame: luma ``y`` (height, width), its operator, ``weight`` 0..1 of each pixel, and the quantisation
    step of its codec in grey levels of an orthonormal transform (0: none or unknown)."""

    y: np.ndarray = field(repr=False)
    sampler: Sampler
    weight: np.ndarray = field(repr=False)
    step: float = 0.0


@dataclass(frozen=True)
class Effort:
    """Fixed numbers of steps: reweightings and their gradient steps, self-similarity rounds and theirs."""

    reweightings: int = 8
    steps: int = 10
    rounds: int = 4
    round_steps: int = 8
    radius: int = 12


def noise_variance(noise: float, step: float) -> float:
    """Variance (grey levels squared) by which a low-resolution pixel may be wrong: sensor and codec."""
    return noise * noise + (_CODING_ERROR * step) ** 2


def reconstruct(
    canvas: Canvas,
    observations: Sequence[Observation],
    start: np.ndarray,
    noise: float,
    effort: Effort,
    strength: float = 1.0,
    repeats: np.ndarray | float = 0.0,
    most_doubt: float = MOST_DOUBT,
) -> np.ndarray:
    """The fused picture on ``canvas``, float32, from ``start`` of the same shape.

    ``noise``: standard deviation (grey levels) that differs from frame to frame. ``strength`` multiplies the
    weight of both priors. ``repeats``, of the shape of ``start`` or one number for all of it: how many of the
    observations show there the samples of another one again (a camera at rest): the codec's error in them is the same
    error, and counting it as often would leave the priors too little say over what no frame shows. Where something
    moves nothing is shown again. ``most_doubt``: bound of what coding adds to the priors' weight (grey levels squared).
    """
    used = [each for each in observations if each.weight.any()]
    if not used:
        return start.copy()
    variances = [noise_variance(noise, each.step) for each in used]
    best = min(variances)
    precise = [np.float32(best / variance) * each.weight for each, variance in zip(used, variances, strict=True)]
    problem = _Problem(used, precise, [each.y for each in used])
    x = start.astype(np.float32, copy=True)
    coding = (1.0 + repeats) * (_CODING_DOUBT * min(each.step for each in used)) ** 2
    doubt = noise * noise + np.minimum(coding, most_doubt)
    weight = np.asarray(strength * _VARIATION * doubt, np.float32)
    for number in range(effort.reweightings):
        if number >= 2:
            problem.reconsider(x, noise)
        x = _smoothed_once(problem, x, weight, effort.steps)
    sigma = max(_LEAST_SHRINKAGE, 1.1 * float(np.sqrt(best)))
    pull = np.asarray(strength * _PULL * doubt / sigma**2, np.float32)
    groups = None
    for number in range(effort.rounds):
        if number in _GROUPING or groups is None:
            groups = similar_blocks(x, effort.radius)
        target = shrunk(x, groups, sigma)
        problem.reconsider(x, noise)
        x = _drawn_to(problem, x, target, pull, np.float32(_REMAINING) * weight, effort.round_steps)
    return x


class _Problem:
    """The data term: Σ_k A_kᵀ W_k A_k and Σ_k A_kᵀ W_k y_k with the present robust weights and free intervals."""

    def __init__(self, used: Sequence[Observation], precise: list[np.ndarray], targets: list[np.ndarray]) -> None:
        self._used, self._precise = used, precise
        self._weights, self._targets = precise, targets

    def reconsider(self, x: np.ndarray, noise: float) -> None:
        """Set robust weights and targets from the residuals of ``x``."""
        weights, targets = [], []
        for each, precise in zip(self._used, self._precise, strict=True):
            residual = np.where(precise > 0, each.y - each.sampler.apply(x), np.float32(0.0))
            target = each.y
            if each.step > 0.0 and len(self._used) >= _INTERSECTING:
                limit = np.float32(_FREE * each.step)
                explained = block_cosine(np.clip(block_cosine(residual), -limit, limit), inverse=True)
                target = each.y - explained
                residual = residual - explained
            spread = np.float32(_OUTLIER * np.sqrt(noise_variance(noise, each.step)))
            excess = np.maximum(np.abs(residual), spread)
            weights.append(precise * (spread / excess))
            targets.append(target)
        self._weights, self._targets = weights, targets

    def solve(
        self, prior: Callable[[np.ndarray], np.ndarray], toward: np.ndarray | None, start: np.ndarray, steps: int
    ) -> np.ndarray:
        """``steps`` conjugate gradient steps from ``start`` for (Σ AᵀWA + prior) x = Σ AᵀWy + ``toward``."""

        def operator(v: np.ndarray) -> np.ndarray:
            total = prior(v)
            for each, weight in zip(self._used, self._weights, strict=True):
                total += each.sampler.adjoint(weight * each.sampler.apply(v))
            return total

        right = np.zeros_like(start) if toward is None else toward.copy()
        for each, weight, target in zip(self._used, self._weights, self._targets, strict=True):
            right += each.sampler.adjoint(weight * target)
        return conjugate_gradients(operator, right, start, steps)


def _smoothed_once(problem: _Problem, x: np.ndarray, weight: np.ndarray, steps: int) -> np.ndarray:
    """One reweighting of total variation."""
    across, down = _gradient(x)
    edge = weight / np.sqrt(across * across + down * down + _EDGE * _EDGE)

    def prior(v: np.ndarray) -> np.ndarray:
        right, below = _gradient(v)
        return _gradient_adjoint(edge * right, edge * below)

    return problem.solve(prior, None, x, steps)


def _drawn_to(
    problem: _Problem, x: np.ndarray, target: np.ndarray, pull: np.ndarray, weight: np.ndarray, steps: int
) -> np.ndarray:
    """``x`` under the data and ``target``, with what is left of total variation against overshoot at edges."""
    across, down = _gradient(x)
    edge = weight / np.sqrt(across * across + down * down + _EDGE * _EDGE)

    def prior(v: np.ndarray) -> np.ndarray:
        right, below = _gradient(v)
        return pull * v + _gradient_adjoint(edge * right, edge * below)

    return problem.solve(prior, pull * target, target, steps)


def _gradient(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Forward differences with free borders."""
    across, down = np.zeros_like(x), np.zeros_like(x)
    np.subtract(x[:, 1:], x[:, :-1], out=across[:, :-1])
    np.subtract(x[1:], x[:-1], out=down[:-1])
    return across, down


def _gradient_adjoint(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    total = -across
    total[:, 1:] += across[:, :-1]
    total -= down
    total[1:] += down[:-1]
    return total


def conjugate_gradients(
    operator: Callable[[np.ndarray], np.ndarray], right: np.ndarray, start: np.ndarray, steps: int
) -> np.ndarray:
    """``steps`` steps of Hestenes and Stiefel's method (1952) from ``start``; sums in double precision."""
    x = start.copy()
    residual = right - operator(x)
    direction = residual.copy()
    energy = _inner(residual, residual)
    for _ in range(steps):
        if energy <= 0.0:
            break
        image = operator(direction)
        curvature = _inner(direction, image)
        if curvature <= 0.0:
            break
        step = np.float32(energy / curvature)
        x += step * direction
        residual -= step * image
        before, energy = energy, _inner(residual, residual)
        direction *= np.float32(energy / before)
        direction += residual
    return x


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    """Σ a b in a fixed order, outside BLAS."""
    return float(np.sum(a * b, dtype=np.float64))
