"""From measured values to a verdict, by the criterion stated before. Pure, so that anybody can repeat it.

Decision rule (ISO/IEC 17025:2017, 7.1.3 and 7.8.6): for a mean, the requirement is met only if the whole confidence
interval lies on the right side of the limit; the doubt goes against the program.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from forensic.validation.intervals import mean_interval, share_interval
from forensic.validation.suite import Acceptance, Requirement, Suite

FEWEST_FOR_A_MEAN = 3


class Verdict(StrEnum):
    """Of a requirement. ``INCOMPLETE`` is of a whole validation alone."""

    PASS = "PASS"  # noqa: S105 - a verdict
    FAIL = "FAIL"
    NOT_RUN = "NOT RUN"
    INCOMPLETE = "INCOMPLETE"


@dataclass(frozen=True)
class Case:
    """One value: of a scene, an attempt, a file. ``detail``: JSON-able facts beside it."""

    name: str
    value: float
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """JSON-able; what is no finite number is null, also beside the value."""
        return {"name": self.name, "value": _finite(self.value), "detail": _finite(dict(self.detail))}


@dataclass(frozen=True)
class NoCase:
    """What gave no value, though it was looked at, and ``why``: it is told, and counts neither way."""

    name: str
    why: str

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        return {"name": self.name, "why": self.why}


def _finite(value: Any) -> Any:
    """``value`` with null for every number in it that is none, as of a metric that finds nothing to measure."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Judged:
    """A verdict with the estimate that it rests on; ``reason`` says why, in words."""

    verdict: Verdict
    estimate: dict[str, Any] | None
    reason: str


def judge(accept: Acceptance, values: Sequence[float], confidence: float) -> Judged:
    """The verdict on ``values``. A value that is no finite number, or no value at all, is never met."""
    if not values or not all(math.isfinite(value) for value in values):
        return Judged(
            Verdict.FAIL, None, "there is a case without a finite value" if values else "nothing was measured"
        )
    if accept.rule == "mean":
        return _by_mean(accept, values, confidence)
    if accept.rule == "share":
        held = sum(value >= 1.0 for value in values)
        share, low, high = share_interval(held, len(values), confidence)
        estimate = _estimate("share, Clopper-Pearson", share, low, high, len(values), confidence)
        return _decided(accept, share, estimate, f"{held} of {len(values)}")
    missed = sum(not _meets(accept, value) for value in values)
    worst = min(values) if accept.at_least is not None else max(values)
    estimate = {"method": "worst of all", "value": worst, "count": len(values)}
    verdict = Verdict.FAIL if missed else Verdict.PASS
    return Judged(verdict, estimate, f"{len(values) - missed} of {len(values)} met it")


def _by_mean(accept: Acceptance, values: Sequence[float], confidence: float) -> Judged:
    if len(values) < FEWEST_FOR_A_MEAN:
        return Judged(Verdict.FAIL, None, f"{len(values)} values are too few for an interval")
    mean, low, high = mean_interval(values, confidence)
    estimate = _estimate("mean, Student's t", mean, low, high, len(values), confidence)
    return _decided(accept, low if accept.at_least is not None else high, estimate, "the interval's end")


def _decided(accept: Acceptance, value: float, estimate: dict[str, Any], what: str) -> Judged:
    met = _meets(accept, value)
    return Judged(
        Verdict.PASS if met else Verdict.FAIL, estimate, f"{what} {'lies' if met else 'does not lie'} within the limit"
    )


def _meets(accept: Acceptance, value: float) -> bool:
    return value >= accept.limit if accept.at_least is not None else value <= accept.limit


def _estimate(method: str, value: float, low: float, high: float, count: int, confidence: float) -> dict[str, Any]:
    return {"method": method, "value": value, "low": low, "high": high, "count": count, "confidence": confidence}


@dataclass(frozen=True)
class Result:
    """What became of one requirement. ``not_run``: why it was not measured; then there are no cases."""

    requirement: Requirement
    cases: tuple[Case, ...] = ()
    not_run: str | None = None
    error: str | None = None
    seconds: float = 0.0
    no_case: tuple[NoCase, ...] = ()

    def judged(self, confidence: float) -> Judged:
        """By the requirement's own criterion."""
        if self.not_run is not None:
            return Judged(Verdict.NOT_RUN, None, self.not_run)
        if self.error is not None:
            return Judged(Verdict.FAIL, None, self.error)
        return judge(self.requirement.accept, [case.value for case in self.cases], confidence)

    def to_record(self, confidence: float) -> dict[str, Any]:
        """JSON-able."""
        judged = self.judged(confidence)
        return {
            "id": self.requirement.id,
            "verdict": judged.verdict.value,
            "estimate": judged.estimate,
            "reason": judged.reason,
            "cases": [case.to_record() for case in self.cases],
            **({"no_case": [one.to_record() for one in self.no_case]} if self.no_case else {}),
            "not_run": self.not_run,
            "error": self.error,
            "seconds": round(self.seconds, 3),
        }


def overall(mandatory: Iterable[tuple[bool, Verdict]], compared: bool | None) -> Verdict:
    """PASS only if every mandatory requirement passed and the master, if one was given, agrees.

    Something mandatory that was not run makes it INCOMPLETE, something that failed FAIL.
    """
    found = [verdict for needed, verdict in mandatory if needed]
    if Verdict.FAIL in found or compared is False:
        return Verdict.FAIL
    return Verdict.PASS if found and all(one is Verdict.PASS for one in found) else Verdict.INCOMPLETE


def contradictions(suite: Suite, record: Mapping[str, Any]) -> list[str]:
    """Where a recorded result does not follow from its own values by ``suite``; empty where it does.

    ``record``: the predicate of a validation (docs/formats/validation.md). Raises ``KeyError``, ``TypeError`` or
    ``ValueError`` for a record of another form.
    """
    found: list[str] = []
    if record["suite"]["sha256"] != suite.sha256:
        found.append("the suite is not the one that the record names")
    if record["requirements"] != suite.registered():
        found.append("the requirements are not those of the suite")
    results = record["results"]
    if [one["id"] for one in results] != [one.id for one in suite.requirements]:
        return [*found, "the results are not one for each requirement, in order"]
    verdicts: list[tuple[bool, Verdict]] = []
    for requirement, one in zip(suite.requirements, results, strict=True):
        cases = tuple(Case(case["name"], _number(case["value"]), case["detail"]) for case in one["cases"])
        again = Result(requirement, cases, one["not_run"], one["error"])
        if again.judged(suite.confidence).verdict.value != one["verdict"]:
            found.append(f"{requirement.id}: the verdict does not follow from the values")
        if {case.name for case in cases} & {each["name"] for each in one.get("no_case", ())}:
            found.append(f"{requirement.id}: a case that is told to be none")
        if one["not_run"] is not None and cases:
            found.append(f"{requirement.id}: not run, and measured")
        verdicts.append((requirement.mandatory, Verdict(one["verdict"])))
    comparison = record["master"]
    compared = None if comparison is None else bool(comparison["agrees"])
    if comparison is not None and compared == bool(comparison.get("differences", compared)):
        found.append("the comparison with the master does not follow from its differences")
    if overall(verdicts, compared).value != record["verdict"]:
        found.append("the overall verdict does not follow from the results")
    return found


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
