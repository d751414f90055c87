"""Parameters of film grain from residuals: strength against level, and an autoregressive filter for each plane.

What stands still from frame to frame (texture, fixed pattern, repeated coding) cancels in the difference of two frames;
what changes has half of that difference's covariance. The filter follows from it by the normal equations (Norkin and
Birkbeck, "Film grain synthesis for AV1 video codec", DCC 2018; Jain, "Advances in mathematical models for image
processing", Proc. IEEE 69, 1981, for two dimensions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forensic.grain.parameters import MOST_CHROMA_POINTS, MOST_LUMA_POINTS, GrainParameters, Points, neighbours
from forensic.grain.sampling import BAND, BLOCK, Residuals
from forensic.grain.synthesis import templates

_LAG = 3
_RIDGE = 1e-3
_KNOTS = 17
_SMOOTH = 0.02
_ROUNDS = 6
_TRIALS = 12  # templates by which the filter's gain is measured
_EXCITATION = 32.0
_STABLE = 2.5  # times the measured power that the filter's own may have
_SHRINK = 0.97


@dataclass(frozen=True)
class StrengthCurve:
    """Standard deviation of what changes from frame to frame, in grey levels, at every knot of level.

    ``support``: blocks near each knot. Without any, the nearest knot that has some is taken.
    """

    levels: np.ndarray
    sigma: np.ndarray
    support: np.ndarray

    def at(self, level: np.ndarray) -> np.ndarray:
        """Strength at ``level``, by straight lines."""
        return np.asarray(np.interp(level, self.levels, self.sigma))


def rounding_variance(bits: int) -> float:
    """Variance of rounding to whole code values of ``bits`` bits, in grey levels of the 8-bit scale."""
    return 4.0 ** -(min(bits, 16) - 8) / 12.0


def block_variances(found: Residuals, plane: int) -> np.ndarray:
    """Variance of what changes in every chosen block, less that of rounding."""
    blocks = np.concatenate([one[plane] for one in found.changing])
    return np.asarray(np.mean(blocks * blocks, axis=(1, 2), dtype=np.float64) - rounding_variance(found.bits))


def strength_curve(level: np.ndarray, variance: np.ndarray) -> StrengthCurve:
    """A smooth curve through ``variance`` of blocks against their ``level``, robust against blocks with texture."""
    knots = np.linspace(0.0, 256.0, _KNOTS)
    place = np.clip(level / BAND, 0.0, _KNOTS - 1.001)
    low = place.astype(int)
    part = place - low
    design = np.zeros((level.size, _KNOTS))
    design[np.arange(level.size), low] = 1.0 - part
    design[np.arange(level.size), low + 1] += part
    second = np.diff(np.eye(_KNOTS), 2, axis=0)
    first = np.diff(np.eye(_KNOTS), 1, axis=0)
    weight = np.full(level.size, 1.0 / max(float(np.median(np.abs(variance))), 0.05) ** 2)
    base = weight.copy()
    solution: np.ndarray = np.zeros(_KNOTS)
    for _ in range(_ROUNDS):
        normal = design.T @ (design * weight[:, None])
        scale = np.trace(normal) / _KNOTS
        stiff = scale * (_SMOOTH * second.T @ second + 1e-4 * first.T @ first)
        solution = np.linalg.solve(normal + stiff + 1e-9 * scale * np.eye(_KNOTS), design.T @ (weight * variance))
        fitted = np.maximum(design @ solution, 0.02)
        gap = (variance - fitted) / fitted
        spread = 1.4826 * float(np.median(np.abs(gap - np.median(gap)))) + 1e-6
        base = 1.0 / (fitted + 0.05) ** 2
        weight = base * np.minimum(1.0, 2.0 * spread / np.maximum(np.abs(gap), 1e-9))
    support = (design > 0).sum(axis=0)
    held = np.flatnonzero(support >= 4)
    if not held.size:
        held = np.array([int(np.argmax(support))])
    nearest = held[np.abs(np.arange(_KNOTS)[:, None] - held[None, :]).argmin(axis=1)]
    return StrengthCurve(knots, np.sqrt(np.maximum(solution, 0.0))[nearest], support)


# --- the filter -------------------------------------------------------------------------------


def covariances(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """Covariance of ``first`` at x with ``second`` at x + (row, column), an array with offset 0 at its middle.

    ``first``, ``second``: lists of blocks (blocks, rows, columns).
    """
    rows, columns = first[0].shape[1:]
    shape = (2 * rows, 2 * columns)
    total: np.ndarray = np.zeros((shape[0], shape[1] // 2 + 1), np.complex128)
    count = 0
    for one, other in zip(first, second, strict=True):
        product = np.conj(np.fft.rfft2(one, shape)) * np.fft.rfft2(other, shape)
        total += np.sum(product, axis=0, dtype=np.complex128)
        count += len(one)
    summed = np.fft.fftshift(np.fft.irfft2(total, shape))
    apart = [np.abs(np.arange(-size, size)) for size in (rows, columns)]
    overlapping = np.outer(rows - apart[0], columns - apart[1])
    return np.asarray(summed / np.maximum(overlapping, 1) / max(count, 1))


def _lookup(covariance: np.ndarray, row: int, column: int) -> float:
    return float(covariance[covariance.shape[0] // 2 + row, covariance.shape[1] // 2 + column])


def solve_filter(own: np.ndarray, luma: tuple[np.ndarray, float] | None, lag: int = _LAG) -> tuple[np.ndarray, float]:
    """(coefficients, standard deviation of the excitation) of a plane with unit variance and covariance ``own``.

    ``luma``: covariance of the plane at x with the mean of luma at x + offset, and that mean's variance; its
    coefficient is the last.
    """
    places = neighbours(lag)
    count = len(places) + (luma is not None)
    matrix, right = np.zeros((count, count)), np.zeros(count)
    for i, (row, column) in enumerate(places):
        right[i] = _lookup(own, row, column)
        for j, (other_row, other_column) in enumerate(places):
            matrix[i, j] = _lookup(own, row - other_row, column - other_column)
    if luma is not None:
        cross, variance = luma
        for i, (row, column) in enumerate(places):
            matrix[i, -1] = matrix[-1, i] = _lookup(cross, -row, -column)
        matrix[-1, -1], right[-1] = variance, _lookup(cross, 0, 0)
    power = _lookup(own, 0, 0)
    matrix += _RIDGE * power * np.eye(count)
    weights = np.linalg.solve(matrix, right)
    left = power - float(weights @ right)
    return weights, float(np.sqrt(max(left, 0.02 * power) / power))


def response(weights: np.ndarray, lag: int, size: int = 64) -> np.ndarray:
    """Power of the filter 1 / (1 - A) at the frequencies of a ``size`` x ``size`` transform."""
    kernel = np.zeros((size, size))
    kernel[0, 0] = 1.0
    for (row, column), weight in zip(neighbours(lag), weights, strict=False):
        kernel[row % size, column % size] -= weight
    return np.asarray(1.0 / np.maximum(np.abs(np.fft.fft2(kernel)) ** 2, 1e-6))


def impulse_energy(weights: np.ndarray, lag: int, size: int = 48) -> float:
    """Energy of the response to one impulse, over ``size`` rows: as good as infinite if it is not stable."""
    picture = np.zeros((size, 2 * size))
    picture[0, size] = 1.0
    places = neighbours(lag)
    for row in range(size):
        above = np.zeros(2 * size)
        for (up, across), weight in zip(places, weights, strict=False):
            if up and row + up >= 0:
                above += weight * np.roll(picture[row + up], -across)
        picture[row] += above
        for column in range(lag, 2 * size):
            for (up, across), weight in zip(places, weights, strict=False):
                if not up:
                    picture[row, column] += weight * picture[row, column + across]
        if not np.all(np.isfinite(picture[row])) or np.abs(picture[row]).max() > 1e6:
            return float("inf")
    return float(np.sum(picture * picture))


def stable(weights: np.ndarray, excitation: float, lag: int) -> np.ndarray:
    """``weights``, drawn towards nothing until an impulse dies out and the filter's power is near what was measured."""
    count = len(neighbours(lag))
    for _ in range(80):
        energy = impulse_energy(weights[:count], lag) * excitation**2
        if energy <= _STABLE:
            return weights
        weights = np.concatenate([weights[:count] * _SHRINK, weights[count:]])
    return np.zeros_like(weights)


# --- whole numbers ----------------------------------------------------------------------------


def in_whole_numbers(
    curves: Sequence[StrengthCurve | None],
    filters: Sequence[np.ndarray | None],
    excitations: Sequence[float],
    subsampling: tuple[int, int] | None,
    lag: int = _LAG,
) -> GrainParameters:
    """The parameters nearest to the curves and filters of luma, Cb and Cr; None for a plane without grain."""
    count = len(neighbours(lag))
    weights: list[np.ndarray] = []
    for plane in range(3):
        own = filters[plane]
        full = np.zeros(count + (plane > 0)) if own is None else own.copy()
        if plane and own is not None:  # of luma's template, whose strength is not that of the grain
            full[-1] *= excitations[0] / excitations[plane]
        weights.append(full)
    largest = max(float(np.abs(one).max(initial=0.0)) for one in weights)
    shift = next((one for one in (9, 8, 7) if largest * 2**one <= 127), 6)
    whole = [tuple(int(value) for value in np.clip(np.rint(one * 2**shift), -128, 127)) for one in weights]
    unit: list[Points] = [() if curve is None else ((0, 1), (255, 1)) for curve in curves]
    shaped = GrainParameters(
        luma_points=unit[0], cb_points=unit[1], cr_points=unit[2],
        lag=lag, luma_coefficients=whole[0], cb_coefficients=whole[1], cr_coefficients=whole[2], ar_shift=shift,
    )  # fmt: skip
    gains = template_sigmas(shaped, subsampling)
    most = max(
        (float(curve.sigma.max()) / gain for curve, gain in zip(curves, gains, strict=False) if curve is not None),
        default=0.0,
    )
    scaling = next((one for one in (11, 10, 9) if most * 2**one <= 255), 8)
    points: list[Points] = [
        () if curve is None else _points(curve, 2**scaling / gains[plane], most_points)
        for plane, (curve, most_points) in enumerate(
            zip(curves, (MOST_LUMA_POINTS, MOST_CHROMA_POINTS, MOST_CHROMA_POINTS), strict=True)
        )
    ]
    return replace(
        shaped, luma_points=points[0], cb_points=points[1], cr_points=points[2], scaling_shift=scaling
    )  # fmt: skip


def template_sigmas(parameters: GrainParameters, subsampling: tuple[int, int] | None) -> list[float]:
    """Standard deviation of the templates of luma, Cb and Cr, over twelve seeds, where blocks are taken from."""
    squares: list[list[float]] = [[], [], []]
    for trial in range(_TRIALS):
        for plane, grain in enumerate(templates(parameters, 1 + 5003 * trial, 8, subsampling)):
            if grain is not None:
                inner = grain[9:, 9 : grain.shape[1] - 3].astype(np.float64)
                squares[plane].append(float(np.mean(inner * inner)))
    return [float(np.sqrt(np.mean(one))) if one else _EXCITATION for one in squares]


def _points(curve: StrengthCurve, factor: float, most: int) -> Points:
    """Knots of the curve as (level, scaling), the least telling left out until no more than ``most`` remain."""
    pairs = zip(curve.levels.tolist(), curve.sigma.tolist(), strict=True)
    knots = [(min(int(level), 255), sigma * factor) for level, sigma in pairs]
    while len(knots) > 2:
        costs = []
        for number in range(1, len(knots) - 1):
            (x0, y0), (x, y), (x1, y1) = knots[number - 1 : number + 2]
            costs.append(abs(y - (y0 + (y1 - y0) * (x - x0) / (x1 - x0))) * (x1 - x0))
        least = int(np.argmin(costs))
        if len(knots) <= most and costs[least] > 0.25:
            break
        del knots[least + 1]
    points = tuple((level, min(max(round(scaling), 0), 255)) for level, scaling in knots)
    return points if any(scaling for _, scaling in points) else ()


def mean_over(luma: np.ndarray, subsampling: tuple[int, int]) -> np.ndarray:
    """Blocks of luma (blocks, 32, 32) averaged to the places of colour samples."""
    across, down = subsampling
    return luma.reshape(-1, BLOCK >> down, 1 << down, BLOCK >> across, 1 << across).mean(axis=(2, 4))
