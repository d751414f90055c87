"""Learn then Test: the largest threshold of LOW whose failure rate is shown to be small enough, or none.

A. N. Angelopoulos, S. Bates, E. J. Candès, M. I. Jordan, L. Lei, "Learn then Test: Calibrating Predictive Algorithms
to Achieve Risk Control", arXiv:2110.01052 (Annals of Applied Statistics 2025). For every candidate lambda the null
hypothesis is "in more than epsilon of the recordings the claim fails". The candidates are tested in an order fixed
beforehand, strict to lax, each at the full level, and the first that is not rejected ends the sequence. Then with
probability at least 1 - delta over the calibration recordings no lambda is accepted whose failure rate exceeds
epsilon. Several claims are tested in one such sequence, one after the other at every lambda; where several sequences
are run (strata) each gets delta / their number (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forensic.risk.calibration.binomial import fewest, p_value

EPSILON = 0.05
DELTA = 0.05


@dataclass(frozen=True)
class Step:
    """One test of the sequence."""

    threshold: float
    failures: int
    p_value: float
    passed: bool


@dataclass(frozen=True)
class Tested:
    """What a sequence gave. ``threshold`` None: no LOW, and ``refused`` says why."""

    n: int
    epsilon: float
    delta: float
    steps: tuple[Step, ...]
    threshold: float | None
    refused: str | None

    @property
    def failures(self) -> int | None:
        """Failures among the ``n`` recordings at the accepted threshold."""
        accepted = [step.failures for step in self.steps if step.passed]
        return accepted[-1] if accepted else None


def fixed_sequence(losses: Mapping[float, Sequence[bool]], epsilon: float = EPSILON, delta: float = DELTA) -> Tested:
    """Test every threshold of ``losses``, strict (small) to lax, until one fails: :func:`fixed_walk` of one claim."""
    (tested,) = fixed_walk([losses], epsilon, delta)
    return tested


def fixed_walk(
    losses: Sequence[Mapping[float, Sequence[bool]]], epsilon: float = EPSILON, delta: float = DELTA
) -> list[Tested]:
    """Test several claims in one fixed sequence: at the strictest threshold the first claim, the second, ...; then at
    the next; until one fails, which ends it all.

    ``losses``: for every claim, by threshold, whether it failed in each recording; the same recordings and thresholds
    everywhere. ``delta``: the level of the whole walk, already divided by the number of walks. A threshold at which
    every claim passed is accepted for all of them. Raises ``ValueError`` if recordings or thresholds differ.
    """
    counts = {len(values) for one in losses for values in one.values()}
    if len(counts) != 1 or any(one.keys() != losses[0].keys() for one in losses):
        raise ValueError("every threshold needs the same recordings")
    (n,) = counts
    floor = fewest(epsilon, delta)
    if n < floor:
        refused = f"{n} recordings are fewer than the {floor} that zero failures need"
        return [Tested(n, epsilon, delta, (), None, refused) for _ in losses]
    steps: list[list[Step]] = [[] for _ in losses]
    for threshold in sorted(losses[0]):
        for own, taken in zip(losses, steps, strict=True):
            failures = sum(map(bool, own[threshold]))
            probability = p_value(failures, n, epsilon)
            taken.append(Step(threshold, failures, probability, probability <= delta))
            if not taken[-1].passed:
                return [_tested(n, epsilon, delta, one) for one in steps]
    return [_tested(n, epsilon, delta, one) for one in steps]


def _tested(n: int, epsilon: float, delta: float, steps: Sequence[Step]) -> Tested:
    accepted = [step.threshold for step in steps if step.passed]
    if accepted:
        return Tested(n, epsilon, delta, tuple(steps), accepted[-1], None)
    if not steps:
        return Tested(n, epsilon, delta, (), None, "not tested: a claim before it failed")
    first = steps[0]
    refused = f"already at threshold {first.threshold:g} the claim failed in {first.failures} of {n} recordings"
    return Tested(n, epsilon, delta, tuple(steps), None, refused)
