"""What a calibration says of one mapped frame: a threshold of LOW with its statement, or no LOW and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forensic.risk.calibration.artefact import Calibration, Claim, Stratum
from forensic.risk.calibration.domain import MEASURES, outside
from forensic.risk.calibration.laboratory import Laboratory

#: All calibrations shipped come from simulated recordings: real footage can lie in their domain, not in their class.
CALIBRATED = "CALIBRATED ON SIMULATED RECORDINGS"
CALIBRATED_OWN = "CALIBRATED ON THE LABORATORY'S OWN PAIRS"
WITH_LOW = frozenset({CALIBRATED, CALIBRATED_OWN})
"""The statuses under which LOW exists."""
OUTSIDE = "OUTSIDE THE CALIBRATED DOMAIN: NO LOW LABEL"
REFUSED = "NO THRESHOLD PASSED THE CALIBRATION: NO LOW LABEL"
UNUSABLE = "UNCALIBRATED"
_COUNTED = {"share": "pixels marked LOW", "edges": "pixels marked LOW on edges of the scene"}


@dataclass(frozen=True)
class Judgement:
    """``low_below``: LOW is what lies below it, in grey levels of the tile's risk; 0 where there is no LOW."""

    status: str
    low_below: float
    stratum: str | None
    n: int | None
    reason: str | None
    departures: tuple[Mapping[str, Any], ...]
    measures: Mapping[str, float | None]
    statements: tuple[str, ...]
    calibration: Calibration

    def to_record(self) -> dict[str, Any]:
        """JSON-able; ``calibration_sha256`` names the artefact."""
        return {
            "status": self.status,
            "low_below": self.low_below if self.statements else None,
            "stratum": self.stratum,
            "n": self.n,
            "reason": self.reason,
            "outside": [dict(one) for one in self.departures],
            "measures": dict(self.measures),
            "statements": list(self.statements),
            "calibration_sha256": self.calibration.sha256,
        }


def judge(calibration: Calibration, measures: Mapping[str, float | None]) -> Judgement:
    """Judge a frame by its ``measures`` (:func:`forensic.risk.calibration.domain.measured`): all of them."""

    def none(status: str, reason: str, stratum: Stratum | None, told: tuple[Mapping[str, Any], ...] = ()) -> Judgement:
        name, n = (None, None) if stratum is None else (stratum.name, stratum.n)
        return Judgement(status, 0.0, name, n, reason, told, measures, (), calibration)

    stratum = next((one for one in calibration.strata if one.holds(measures["quantiser"])), None)
    if stratum is None:
        value = measures["quantiser"]
        what = "is not known" if value is None else f"of {value:g} lies in none of its strata"
        return none(OUTSIDE, f"the frame's H.264 quantiser {what}", None)
    departures = tuple(outside(stratum.ranges, measures))
    if departures:
        return none(OUTSIDE, "; ".join(map(_departure, departures)), stratum, departures)
    if stratum.threshold is None:
        return none(REFUSED, f"stratum {stratum.name!r}: {stratum.refused}", stratum)
    if calibration.contradicted(stratum):
        return none(REFUSED, f"stratum {stratum.name!r}: the held-out recordings contradict the calibration", stratum)
    statements = (*(statement(calibration, stratum, claim) for claim in calibration.claims), found_with_low(stratum))
    status = CALIBRATED if calibration.laboratory is None else CALIBRATED_OWN
    if calibration.laboratory is not None:
        statements = (*statements, *found_by_laboratory(calibration.laboratory, stratum))
    return Judgement(status, stratum.threshold, stratum.name, stratum.n, None, (), measures, statements, calibration)


def judge_before(calibration: Calibration, measures: Mapping[str, float | None]) -> Judgement | None:
    """The judgement of a frame for which no score can lead to LOW, by ``measures`` that are known without the score;
    None where the score decides."""
    found = judge(calibration, measures)
    return None if found.status in WITH_LOW else found


def unusable(calibration: Calibration, measures: Mapping[str, float | None], reason: str) -> Judgement:
    """Of a frame whose score could not be made as it was calibrated: uncalibrated, and nothing is LOW."""
    return Judgement(UNUSABLE, 0.0, None, None, reason, (), measures, (), calibration)


def _departure(one: Mapping[str, Any]) -> str:
    what = MEASURES[one["measure"]][1]
    if one["low"] is None:
        return f"{one['measure']} ({what}) was never measured in calibration"
    limits = f"{one['low']:g} to {one['high']:g}"
    if one["value"] is None:
        return f"{one['measure']} ({what}) has no value here; calibrated for {limits}"
    return f"{one['measure']} ({what}) is {one['value']:g}, {one['beyond']:g} outside {limits}"


def _percent(share: float) -> str:
    return f"{100.0 * share:g}%"


def statement(calibration: Calibration, stratum: Stratum, claim: Claim) -> str:
    """The only permitted wording, for one claim. Never a probability for a place in the picture."""
    opening = (
        f"For recordings of class S, tested on {stratum.n} independent scenes, we are "
        f"{_percent(1.0 - calibration.delta)} confident that in at least {_percent(1.0 - calibration.epsilon)} "
        "of such recordings "
    )
    if claim.kind == "area":
        return opening + (
            f"no connected group of pixels marked LOW that differ from the reference by more than {claim.tolerance} "
            f"grey levels is larger than {claim.cap:g} recorded pixels."
        )
    some = "" if claim.cap is None else f" (or no more than {claim.cap:g} recorded pixels of them, where they are few)"
    return opening + (
        f"at most {_percent(claim.beta or 0.0)} of the {_COUNTED[claim.kind]}{some} differ from the reference by more "
        f"than {claim.tolerance} grey levels."
    )


def found_with_low(stratum: Stratum) -> str:
    """What the statements must not hide: a recording without LOW cannot fail them. How many of those with LOW did."""
    failed = [
        step.failures
        for sequence in stratum.sequences
        for step in sequence.steps
        if step.threshold == stratum.threshold
    ]
    return (
        f"Of these {stratum.n} recordings {stratum.abstained} have no pixel marked LOW; of the other "
        f"{stratum.n - stratum.abstained}, these statements failed in {', '.join(map(str, failed))}, in this order."
    )


def found_by_laboratory(laboratory: Laboratory, stratum: Stratum) -> tuple[str, ...]:
    """Whose calibration it is, what its held-out test gave, and how often it was tried."""
    by = (
        f"Calibration {laboratory.id} by {laboratory.name} ({laboratory.examiner}), registered "
        f"{laboratory.registered.utc} before anything was scored, by the record of workspace {laboratory.workspace}."
    )
    told = [by]
    tested = laboratory.tested(stratum.name)
    if tested is not None and tested.inside:
        rates = ", ".join(
            f"{failed} ({100 * low:.1f} to {100 * high:.1f} %)"
            for failed, low, high in zip(tested.failures, tested.low, tested.high, strict=True)
        )
        told.append(
            f"Of {tested.n} held-out recordings {tested.inside} lay in the domain, {tested.abstained} of them without "
            f"LOW; these statements failed in {rates}, in this order (95 % limits of the rate)."
        )
    else:
        told.append("No held-out recording lay in the domain: nothing but the calibration recordings tested this.")
    if laboratory.refused:
        told.append(f"{laboratory.refused} pairs were refused before anything was scored (registration.json says why).")
    if laboratory.earlier:
        told.append(
            f"{laboratory.earlier} earlier calibrations of this model were registered there; "
            f"{laboratory.seen_before} recordings of this one share a name, a file or a picture with theirs. The "
            "statements do not allow for that."
        )
    return tuple(told)


def class_of(calibration: Calibration, stratum: str) -> str:
    """Class S in words, for a stratum."""
    return f"{calibration.class_} Stratum: {stratum}."
