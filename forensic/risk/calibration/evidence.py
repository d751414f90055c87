"""The table of a laboratory's calibration, and whether the artefact follows from it and from what was registered."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from forensic.errors import ForensicError
from forensic.hashes import canonical_json, parse_canonical, sha256_bytes
from forensic.risk.calibration import alignment, breakdown, drawn, quantisers, table
from forensic.risk.calibration.artefact import Calibration, Stratum
from forensic.risk.calibration.evaluating import held_out
from forensic.risk.calibration.form import MOST
from forensic.risk.calibration.independence import CALIBRATE, TEST, faults
from forensic.risk.calibration.laboratory import HeldOut, usual_pictures
from forensic.risk.calibration.strata import CLAIMS, Group, Recording, Worst, fit
from forensic.risk.calibration.testing import DELTA, EPSILON

#: What identifies a row; all of it is registered before anything is measured.
PLACE = ("recording", "list", "stratum", "reference_sha256", "degraded_sha256", "frame", "reference_frame", "picture")
FIELDS = (*PLACE, *table.FIELDS, *breakdown.FIELDS)
Row = Mapping[str, str]


def written(rows: Sequence[Row]) -> bytes:
    """The table as CSV, UTF-8."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8")


def read(data: bytes) -> list[dict[str, str]]:
    """The rows of a table as :func:`written` writes it. Raises ``ValueError`` for anything else."""
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))
    if any(row.keys() != set(FIELDS) or None in row.values() for row in rows) or written(rows) != data:
        raise ValueError("the table has not exactly the columns and form that it must have")
    return rows


def groups(rows: Sequence[Row], strata: Sequence[Mapping[str, Any]], which: str) -> list[Group]:
    """The recordings of one list (``calibrate``, ``test``) by stratum; several frames of one count once, the worst.

    ``strata``: ``name``, ``above``, ``up_to`` of each. Raises ``ValueError`` where a cell does not hold what it should.
    """
    found = []
    for one in strata:
        frames: dict[str, list[Recording]] = {}
        for row in rows:
            if (row["list"], row["stratum"]) == (which, one["name"]):
                frames.setdefault(row["recording"], []).append(_frame(row))
        found.append(Group(one["name"], one["above"], one["up_to"], [Worst.of(each) for each in frames.values()]))
    return found


def _frame(row: Row) -> Recording:
    """What the row counts. Raises ``ValueError`` where the kinds of area are not parts of the whole."""
    found, content = table.recording_of(row), breakdown.content_from(row)
    areas = content.areas.values()
    if sum(one.pixels for one in areas) != found.pixels or any(
        sum(one.low[threshold] for one in areas) != low for threshold, low in found.low.items()
    ):
        raise ValueError("the kinds of area do not add up to the recording")
    for tolerance, wrong in found.wrong.items():
        if any(sum(one.wrong[tolerance][threshold] for one in areas) != count for threshold, count in wrong.items()):
            raise ValueError("the wrong pixels by kind of area do not add up to those of the recording")
    return replace(found, content=content)


def pictures_of(rows: Iterable[Row]) -> list[str]:
    """Types of picture that the calibration list is usual with."""
    return usual_pictures((row["recording"], row["picture"]) for row in rows if row["list"] == CALIBRATE)


def registered_places(registration: Mapping[str, Any]) -> list[dict[str, str]]:
    """The rows that the registration announces, without their measurements, in order."""
    return [
        {name: str({**pair, "recording": one["recording"], "list": one["list"]}[name]) for name in PLACE}
        for one in registration["recordings"]
        for pair in one["pairs"]
    ]


def _measured_as_registered(row: Row, pair: Mapping[str, Any], scale: int) -> bool:
    """Whether ``row`` is of the registered region or picture, as large and as coarsely coded as that."""
    columns, rows = drawn.measured(pair)
    sides = {float(row["short"]), float(row["long"])}
    quantiser = float(row["quantiser"]) if row["quantiser"] else None
    return (int(row["pixels"]), sides, quantiser) == (
        scale**2 * columns * rows, {float(columns), float(rows)}, pair["quantiser"],
    )  # fmt: skip


def contradictions(calibration: Calibration, registration: bytes, recordings: bytes) -> list[str]:
    """Where ``calibration`` does not follow from what was registered and from the table of counts. Never raises."""
    try:
        return list(_contradictions(calibration, registration, recordings))
    except (ForensicError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, csv.Error) as error:
        return [f"registration or table cannot be read: {error}"]


def _contradictions(calibration: Calibration, registration: bytes, recordings: bytes) -> Iterator[str]:
    own = calibration.laboratory
    if own is None:
        yield "it is not a laboratory's own"
        return
    if sha256_bytes(registration) != calibration.scenes_sha256:
        yield "registration.json is not the one that the artefact names"
    if sha256_bytes(recordings) != calibration.recordings_sha256:
        yield "recordings.csv is not the one that the artefact names"
    plan, rows = parse_canonical(registration), read(recordings)
    if len(rows) > MOST:
        yield f"recordings.csv has more than {MOST} rows"
        return
    said = calibration.model_dump(mode="json", by_alias=True)
    for name in ("subject", "score", "head_sha256", "class", "epsilon", "delta", "claims"):
        if canonical_json(said[name]) != canonical_json(plan[name]):
            yield f"{name} is not as registered"
    for name, registered, found in (
        ("software", plan["score_software"], said["software"]), ("remarks", plan["remarks"], own.remarks),
    ):  # fmt: skip
        if registered != found:
            yield f"{name} is not as registered"
    foreign = [
        name
        for name, stated, proper in (
            ("claims", calibration.claims, list(CLAIMS)),
            ("epsilon", calibration.epsilon, EPSILON),
            ("delta", calibration.delta, DELTA),
        )
        if stated != proper
    ]
    if foreign:  # other numbers than those of the table: nothing that follows could be computed again
        yield f"{' and '.join(foreign)} of it are not those of this program"
        return
    limits = [{key: one[key] for key in ("name", "above", "up_to")} for one in said["strata"]]
    if canonical_json(limits) != canonical_json(plan["strata"]):
        yield "the strata are not those registered"
        return
    for name, value in (
        ("calibration", own.id), ("seen_before", own.seen_before), ("refused", own.refused), ("earlier", own.earlier),
    ):  # fmt: skip
        told = plan[name]
        if (len(told) if isinstance(told, list) else told) != value:
            yield f"{name} is not as registered"
    if [{name: row[name] for name in PLACE} for row in rows] != registered_places(plan):
        yield "the rows of recordings.csv are not the pairs registered, in their order"
        return
    yield from faults(plan)
    yield from quantisers.faults(plan)
    yield from alignment.faults(plan)
    yield from drawn.faults(plan)
    scale, claims = calibration.subject.scale, calibration.claims
    pairs = (pair for one in plan["recordings"] for pair in one["pairs"])
    for number, (row, pair) in enumerate(zip(rows, pairs, strict=True), start=1):
        if not _measured_as_registered(row, pair, scale):
            yield f"row {number} of recordings.csv is not of the region or picture registered"
    each, strata = fit(groups(rows, limits, CALIBRATE), scale, claims, calibration.epsilon, calibration.delta)
    if each != calibration.delta_each:
        yield "delta_each is not delta divided by the number of strata"
    if [_comparable(one) for one in strata] != [_comparable(one) for one in calibration.strata]:
        yield "the strata do not follow from the table"
    tested = held_out(calibration.strata, claims, scale, groups(rows, limits, TEST))
    if [_told(one) for one in tested] != [_told(one) for one in own.held_out]:
        yield "the held-out test does not follow from the table"
    if pictures_of(rows) != own.pictures:
        yield "the types of picture are not those of the table"


def _told(tested: HeldOut) -> dict[str, Any]:
    """All of it but the limits, which the form has computed again, to six digits: they come of a bisection."""
    said = tested.model_dump(mode="json", exclude={"low": True, "high": True, "any_claim": {"low", "high"}})
    for part in said["shown"]:
        part["failed"] = [part["failed"][name] for name in ("failures", "n")]
    return said


def _comparable(stratum: Stratum) -> dict[str, Any]:
    """All of it, p-values to nine digits: powers differ in the last between processors."""
    said = stratum.model_dump(mode="json")
    for sequence in said["sequences"]:
        for step in sequence["steps"]:
            step["p_value"] = round(step["p_value"], 9)
    return said
