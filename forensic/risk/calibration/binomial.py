"""Exact binomial tails, and what follows from them."""

from __future__ import annotations

from functools import lru_cache
from math import comb, fsum, lgamma, log

import numpy as np

_NOTHING = -746.0  # whose exponential is zero as a float
_COEFFICIENTS_FIT = 1000  # above, binomial coefficients exceed what a float holds


def p_value(failures: int, n: int, epsilon: float) -> float:
    """P(X <= ``failures``), X ~ Binomial(``n``, ``epsilon``): exact p-value of "the failure rate exceeds epsilon".

    If the rate is above ``epsilon``, the probability of a p-value of at most u is at most u, for every u: the
    distribution function falls as the rate rises. Raises ``ValueError`` for numbers that are none.
    """
    if not 0 <= failures <= n or n < 1 or not 0.0 < epsilon < 1.0:
        raise ValueError(f"no binomial p-value for {failures} of {n} at {epsilon}")
    if n <= _COEFFICIENTS_FIT:
        terms = [comb(n, k) * epsilon**k * (1.0 - epsilon) ** (n - k) for k in range(failures + 1)]
    else:
        k = np.arange(failures + 1)
        logs = _coefficients(n)[: failures + 1] + k * log(epsilon) + (n - k) * log(1.0 - epsilon)
        terms = np.exp(logs[logs > _NOTHING]).tolist()
    return min(1.0, fsum(terms))


@lru_cache(maxsize=8)
def _coefficients(n: int) -> np.ndarray:
    """Logarithms of the binomial coefficients of ``n``: float64 (n + 1)."""
    logs = np.array([lgamma(k + 1) for k in range(n + 1)])
    return lgamma(n + 1) - logs - logs[::-1]


def fewest(epsilon: float, delta: float) -> int:
    """The least number of recordings at which no failure gives a p-value of at most ``delta`` (59 at 5 %, 5 %)."""
    n = 1
    while p_value(0, n, epsilon) > delta:
        n += 1
    return n


def most_failures(n: int, epsilon: float, delta: float) -> int | None:
    """The most failures of ``n`` at which the p-value is still at most ``delta``; None where not even zero will do."""
    best = None
    for failures in range(n + 1):
        if p_value(failures, n, epsilon) > delta:
            break
        best = failures
    return best


def clopper_pearson(failures: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided exact interval of a rate (Clopper and Pearson, Biometrika 26, 1934), by bisection."""
    tail = (1.0 - confidence) / 2.0

    def solve(at_most: int, target: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2.0
            low, high = (middle, high) if p_value(at_most, n, middle) > target else (low, middle)
        return (low + high) / 2.0

    lower = 0.0 if failures == 0 else solve(failures - 1, 1.0 - tail)
    upper = 1.0 if failures == n else solve(failures, tail)
    return lower, upper
