"""Learn then Test: the largest threshold of LOW whose failure rate is shown to be small enough, or none.

A. N. Angelopoulos, S. Bates, E. J. Candès, M. I. Jordan, L. Lei, "Learn then Test: Calibrating Predictive Algorithms
to Achieve Risk Control", arXiv:2110.01052 (Annals of Applied Statistics 2025). For every candidate lambda the null
hypothesis is "in more than epsilon of the recordings the claim fails". The candidates are tested in an order fixed
beforehand, strict to lax, each at the full level, and the first that is not rejected ends the sequence. Then with
probability at least 1 - delta over the calibration recordings no lambda is accepted whose failure rate exceeds
epsilon. Where several sequences are run (claims, strata) each gets delta / their number (Bonferroni).
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
    """Test every threshold of ``losses``, strict (small) to lax, until one fails.

    ``losses``: by threshold, whether the claim failed in each recording; the same recordings everywhere. ``delta``:
    the level of this sequence, already divided by the number of sequences. Raises ``ValueError`` if the thresholds
    do not have equally many recordings.
    """
    counts = {len(values) for values in losses.values()}
    if len(counts) != 1:
        raise ValueError("every threshold needs the same recordings")
    (n,) = counts
    floor = fewest(epsilon, delta)
    if n < floor:
        return Tested(n, epsilon, delta, (), None, f"{n} recordings are fewer than the {floor} that zero failures need")
    steps: list[Step] = []
    for threshold in sorted(losses):
        failures = sum(map(bool, losses[threshold]))
        probability = p_value(failures, n, epsilon)
        steps.append(Step(threshold, failures, probability, probability <= delta))
        if not steps[-1].passed:
            break
    accepted = [step.threshold for step in steps if step.passed]
    if accepted:
        return Tested(n, epsilon, delta, tuple(steps), accepted[-1], None)
    first = steps[0]
    refused = f"already at threshold {first.threshold:g} the claim failed in {first.failures} of {n} recordings"
    return Tested(n, epsilon, delta, tuple(steps), None, refused)
