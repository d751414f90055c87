"""Confidence intervals for few scenes: Student's for a mean, Clopper and Pearson's for a share. No library needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

_ROUNDS = 300
_TINY = 1e-300


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b); the distribution function of a beta variable.

    Continued fraction after DLMF 8.17.22 by Lentz's method (W. H. Press et al., Numerical Recipes, 6.4).
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    ) / a  # fmt: skip
    c, d = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, _ROUNDS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away(1.0 + term * d)
            c = _away(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * value


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _root(rises: Callable[[float], float], low: float, high: float) -> float:
    """Where ``rises`` goes through zero, by halving."""
    for _ in range(200):
        middle = (low + high) / 2.0
        low, high = (middle, high) if rises(middle) < 0.0 else (low, middle)
    return (low + high) / 2.0


def student_quantile(share: float, freedom: int) -> float:
    """Quantile (``share`` from 0.5 to below 1) of Student's t distribution with ``freedom`` degrees of freedom."""

    def beyond(t: float) -> float:
        return 1.0 - 0.5 * incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t)) - share

    return _root(beyond, 0.0, 1e6)


def mean_interval(values: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """(mean, low, high): Student's two-sided interval of the mean of independent values, at least two of them.

    Exact for normal values; scenes are near enough to that for a mean, and the number of them is stated beside it.
    """
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    reach = student_quantile(0.5 + confidence / 2.0, count - 1) * math.sqrt(variance / count)
    return mean, mean - reach, mean + reach


def share_interval(held: int, count: int, confidence: float) -> tuple[float, float, float]:
    """(share, low, high): C. J. Clopper, E. S. Pearson, Biometrika 26 (1934), 404-413; never narrower than stated."""
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if held == 0 else _root(lambda p: incomplete_beta(held, count - held + 1, p) - tail, 0.0, 1.0)
    high = 1.0 if held == count else _root(lambda p: incomplete_beta(held + 1, count - held, p) - (1 - tail), 0.0, 1.0)
    return held / count, low, high
