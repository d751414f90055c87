"""Claims, counts and rates of a calibration in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence

from forensic.report.fonts import BOLD
from forensic.report.theme import CAUTION
from forensic.report.typeset import Span
from forensic.report.values import percent
from forensic.report.wording import calibration as say
from forensic.risk.calibration.artefact import Claim, StepTaken
from forensic.risk.calibration.laboratory import Failed

NO_LOW = Span("no LOW", BOLD, CAUTION)


def claimed(claim: Claim) -> str:
    """The claim in a sentence."""
    beta = None if claim.beta is None else f"{100 * claim.beta:g} %"
    cap = None if claim.cap is None else f"{claim.cap:g}"
    return str(say("claim", claim.kind)).format(beta=beta, cap=cap, tolerance=claim.tolerance)


def called(number: int, claim: Claim) -> str:
    """Its name in tables: ``1 share 16``."""
    return f"{number + 1} {claim.kind} {claim.tolerance}"


def level(value: float | None) -> str:
    """Grey levels; a dash for none."""
    return "–" if value is None else f"{value:g}"


def share(value: float | None) -> str:
    """A share in per cent; a dash for none."""
    return "–" if value is None else percent(value)


def rate(failures: int, n: int, low: float, high: float) -> str:
    """``2 of 40 (0.6 % to 16.9 %)``; a dash where nothing was tested."""
    return "–" if n == 0 else f"{failures} of {n} ({percent(low)} to {percent(high)})"


def failed(one: Failed) -> str:
    """As :func:`rate`."""
    return rate(one.failures, one.n, one.low, one.high)


def step(steps: Sequence[StepTaken], place: int) -> str | Span:
    """Failures and p-value of the step at ``place``; bold where it did not pass; a dash where it was not taken."""
    if place >= len(steps):
        return "–"
    one = steps[place]
    told = f"{one.failures}, p = {one.p_value:.2g}"
    return told if one.passed else Span(told, BOLD)
