"""Learn then Test: exact p-values, the sequence's order, and its failure rate by simulation beside two wrong ways."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.risk.calibration.binomial import clopper_pearson, fewest, most_failures, p_value
from forensic.risk.calibration.testing import DELTA, EPSILON, fixed_sequence, fixed_walk

LAMBDAS = tuple(float(one) for one in range(1, 11))


def test_p_values_worked_by_hand() -> None:
    assert p_value(0, 59, 0.05) == pytest.approx(0.95**59, rel=1e-12)  # 0.0485
    assert p_value(1, 2, 0.5) == pytest.approx(0.75)
    assert p_value(3, 3, 0.05) == pytest.approx(1.0)
    assert p_value(75, 1500, 0.05) == pytest.approx(0.5307, abs=1e-4)  # beyond what a float holds of the coefficients


@given(st.integers(1, 90), st.integers(0, 90), st.integers(1, 99))
def test_p_values_against_exact_fractions(n: int, failures: int, percent: int) -> None:
    failures, rate = min(failures, n), Fraction(percent, 100)
    exact = sum(comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(failures + 1))
    assert p_value(failures, n, percent / 100) == pytest.approx(float(exact), rel=1e-9)


def test_the_floor_is_59_recordings_without_a_failure() -> None:
    assert fewest(EPSILON, DELTA) == 59
    assert most_failures(58, EPSILON, DELTA) is None
    assert most_failures(59, EPSILON, DELTA) == 0
    assert most_failures(92, EPSILON, DELTA) == 0 and most_failures(93, EPSILON, DELTA) == 1
    assert most_failures(200, EPSILON, DELTA / 9) == 2


def test_fewer_recordings_than_the_floor_give_no_threshold_whatever_they_show() -> None:
    tested = fixed_sequence({1.0: [False] * 58, 2.0: [False] * 58})
    assert tested.threshold is None and tested.steps == ()
    assert tested.refused is not None and "58" in tested.refused and "59" in tested.refused


def test_the_first_failure_ends_the_sequence_even_if_a_laxer_threshold_would_pass() -> None:
    good, bad = [False] * 60, [True] * 60
    tested = fixed_sequence({3.0: good, 1.0: good, 2.0: bad})  # the order given does not matter
    assert [step.threshold for step in tested.steps] == [1.0, 2.0]
    assert tested.threshold == 1.0 and tested.failures == 0
    refused = fixed_sequence({1.0: bad, 2.0: good})
    assert refused.threshold is None and refused.failures is None
    assert refused.refused is not None and "60 of 60" in refused.refused


def test_thresholds_of_different_recordings_are_refused() -> None:
    with pytest.raises(ValueError, match="same recordings"):
        fixed_sequence({1.0: [False] * 60, 2.0: [False] * 61})


@given(st.lists(st.integers(0, 12), min_size=10, max_size=10), st.integers(60, 260))
def test_more_failures_never_give_a_laxer_threshold(failures: list[int], n: int) -> None:
    def tested(extra: int) -> float:
        losses = {
            one: [place < count + extra for place in range(n)] for one, count in zip(LAMBDAS, failures, strict=True)
        }
        return fixed_sequence(losses).threshold or 0.0

    assert tested(1) <= tested(0)


@given(st.lists(st.booleans(), min_size=60, max_size=200), st.randoms(use_true_random=False))
def test_the_order_of_recordings_does_not_matter(losses: list[bool], shuffler: object) -> None:
    other = list(losses)
    shuffler.shuffle(other)  # type: ignore[attr-defined]
    assert fixed_sequence({1.0: losses}).threshold == fixed_sequence({1.0: other}).threshold


def test_clopper_and_pearson_against_numbers_worked_by_hand() -> None:
    low, high = clopper_pearson(0, 59)
    assert low == 0.0 and high == pytest.approx(1 - 0.025 ** (1 / 59), abs=1e-9)
    low, high = clopper_pearson(200, 200)
    assert high == 1.0 and low == pytest.approx(0.025 ** (1 / 200), abs=1e-9)
    low, high = clopper_pearson(5, 10)
    assert low == pytest.approx(0.18708603, abs=1e-6) and high == pytest.approx(1 - 0.18708603, abs=1e-6)


# --- the failure rate by simulation ----------------------------------------------------------------
#
# A made-up class of recordings whose true failure rate at every threshold is known. A recording has a hidden
# badness u, uniform in 0..1. At threshold k of 10 the share of wrong LOW pixels is 0 where u < 1 - rate(k), else 0.3:
# a few recordings are bad as a whole, as real ones are. LOW grows with the threshold.

N, TRIALS, PIXELS = 200, 400, 400
RATES = np.array([0.0, 0.01, 0.02, 0.03, 0.045, 0.055, 0.07, 0.1, 0.15, 0.25])


def _draws(rng: np.random.Generator) -> np.ndarray:
    """Share of wrong LOW pixels, float (thresholds, recordings), of one calibration set."""
    bad = rng.random(N)[None, :] > 1.0 - RATES[:, None]
    return np.where(bad, 0.3, 0.0)


def _learn_then_test(shares: np.ndarray) -> int:
    losses = {one: list(row > 0.05) for one, row in zip(LAMBDAS, shares, strict=True)}
    threshold = fixed_sequence(losses).threshold
    return 0 if threshold is None else int(threshold)


def _pooled_pixels(shares: np.ndarray) -> int:
    """Wrong: every pixel an independent trial; the laxest threshold with at most 5 % of all wrong, 95 % sure."""
    n = N * PIXELS
    means = shares.mean(axis=1)
    bounds = means + 1.6449 * np.sqrt(np.maximum(means * (1 - means), 1e-12) / n)
    passing = np.flatnonzero(bounds <= 0.05)
    return int(passing[-1]) + 1 if passing.size else 0


def _mean_risk(shares: np.ndarray) -> int:
    """Wrong for this claim: bounds the mean share over recordings (Hoeffding), not how many recordings fail."""
    bounds = shares.mean(axis=1) + 0.3 * np.sqrt(np.log(1 / DELTA) / (2 * N))
    passing = np.flatnonzero(bounds <= 0.05)
    return int(passing[-1]) + 1 if passing.size else 0


def _violations(method: object) -> int:
    """In how many of the trials the accepted threshold's true failure rate exceeds epsilon."""
    rng = np.random.default_rng(20261122)
    chosen = [method(_draws(rng)) for _ in range(TRIALS)]  # type: ignore[operator]
    return sum(1 for one in chosen if one and RATES[one - 1] > EPSILON)


def test_learn_then_test_keeps_its_failure_rate_and_is_not_idle() -> None:
    violations = _violations(_learn_then_test)
    low, high = clopper_pearson(violations, TRIALS, 0.99)
    assert low <= DELTA, f"{violations} of {TRIALS}: more than delta beyond chance"
    assert high <= 0.10
    rng = np.random.default_rng(7)
    assert np.mean([_learn_then_test(_draws(rng)) > 0 for _ in range(50)]) > 0.9


def test_pooled_pixels_and_mean_risk_miss_the_same_claim_almost_always() -> None:
    for method in (_pooled_pixels, _mean_risk):
        low, _ = clopper_pearson(_violations(method), TRIALS, 0.99)
        assert low > 0.5


def test_claims_tested_by_turns_keep_the_failure_rate_together() -> None:
    """Three claims with failure rates of their own: a threshold at which any of them fails too often is accepted no
    more often than delta allows, although each step has the whole of delta."""
    rng = np.random.default_rng(11)
    rates = np.stack([RATES, RATES * 0.8, RATES * 1.1])
    violations, idle = 0, 0
    for _ in range(TRIALS):
        bad = rng.random((3, 1, N)) > 1.0 - rates[:, :, None]
        losses = [{one: list(row) for one, row in zip(LAMBDAS, claim, strict=True)} for claim in bad]
        accepted = [tested.threshold for tested in fixed_walk(losses)]
        least = 0 if None in accepted else int(min(one for one in accepted if one is not None))
        violations += bool(least and rates[:, least - 1].max() > EPSILON)
        idle += least == 0
    low, _ = clopper_pearson(violations, TRIALS, 0.99)
    assert low <= DELTA and idle < 0.1 * TRIALS


def test_the_first_failure_ends_the_walk_for_every_claim() -> None:
    good, bad = [False] * 100, [True] * 20 + [False] * 80
    first, second, third = fixed_walk([{1.0: good, 2.0: good}, {1.0: good, 2.0: bad}, {1.0: good, 2.0: good}])
    assert (first.threshold, second.threshold, third.threshold) == (2.0, 1.0, 1.0)
    assert [len(one.steps) for one in (first, second, third)] == [2, 2, 1]
    none, untested = fixed_walk([{1.0: bad, 2.0: good}, {1.0: good, 2.0: good}])
    assert none.threshold is None and untested.steps == () and "not tested" in str(untested.refused)
    with pytest.raises(ValueError, match="same recordings"):
        fixed_walk([{1.0: good}, {2.0: good}])
