"""Intervals against published tables, and against how often they hold by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.validation.intervals import incomplete_beta, mean_interval, share_interval, student_quantile


@pytest.mark.parametrize(
    ("share", "freedom", "value"),
    [(0.975, 1, 12.7062), (0.975, 3, 3.18245), (0.975, 7, 2.36462), (0.975, 30, 2.04227), (0.95, 5, 2.01505),
     (0.995, 9, 3.24984), (0.975, 1000, 1.96234)],
)  # fmt: skip
def test_student_quantiles_are_those_of_the_tables(share: float, freedom: int, value: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(value, abs=2e-4)


def test_incomplete_beta_has_its_known_values() -> None:
    assert incomplete_beta(1.0, 1.0, 0.3) == pytest.approx(0.3)
    assert incomplete_beta(2.0, 3.0, 0.5) == pytest.approx(0.6875)
    assert incomplete_beta(0.5, 0.5, 0.5) == pytest.approx(0.5)
    assert (incomplete_beta(2, 2, 0.0), incomplete_beta(2, 2, 1.0)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("held", "count", "low", "high"),
    [(0, 10, 0.0, 0.308497), (10, 10, 0.691503, 1.0), (5, 10, 0.187086, 0.812914), (59, 59, 0.939390, 1.0)],
)
def test_shares_have_the_interval_of_clopper_and_pearson(held: int, count: int, low: float, high: float) -> None:
    share, below, above = share_interval(held, count, 0.95)
    assert share == held / count
    assert below == pytest.approx(low, abs=2e-5)
    assert above == pytest.approx(high, abs=2e-5)


def test_a_mean_lies_in_its_interval_as_often_as_stated() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(1000):
        _, low, high = mean_interval(list(rng.normal(2.0, 3.0, 4)), 0.9)
        inside += low <= 2.0 <= high
    assert 870 <= inside <= 930
