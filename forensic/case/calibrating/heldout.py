"""What the held-out test of a shipped calibration found: read from its table beside the model's card, for the record.

A laboratory's own calibration holds its test itself (``laboratory.held_out`` of the artefact). A shipped one does not:
its test is ``evaluation.csv`` beside the card, which pins it (``held_out_sha256``). The record of a run holds the
numbers, the digest of the table that they were read from, and the one that the card has.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import TYPE_CHECKING, Any

from forensic.hashes import sha256_bytes
from forensic.registry.cards import HELD_OUT_FILE as FILE
from forensic.registry.cards import load_card
from forensic.resources import models_dir
from forensic.risk.calibration.breakdown import AREAS, BRIGHTNESS
from forensic.risk.calibration.criteria import TOLERANCES
from forensic.risk.calibration.laboratory import Failed, HeldOut, Shown, rate_limits

if TYPE_CHECKING:
    from forensic.risk.calibration.artefact import Calibration, Stratum

_MOST_BYTES = 1 << 20
_ROUNDED = 6e-4  # the table has three decimals
_INSIDE = "in the domain"

Rows = Mapping[str, Mapping[str, str]]


def held_out_of(calibration: Calibration) -> dict[str, Any]:
    """What the record says of the held-out test of a shipped ``calibration``.

    ``file`` and ``sha256`` of the table (null: it cannot be read), ``pinned`` (the digest on the card; null: it has
    none), ``strata`` in the order of the artefact, each as in ``laboratory.held_out``; and ``why_none``: null, or why
    there are no numbers, where ``strata`` is empty. A table that is gone, is not the one that the card pins or does
    not agree with itself stops no run: it changes no level.
    """
    told: dict[str, Any] = {"file": FILE, "sha256": None, "pinned": None, "why_none": None, "strata": []}
    try:
        told["pinned"] = load_card(calibration.subject.model, models_dir()).held_out_sha256
        data = _read(calibration)
        told["sha256"] = sha256_bytes(data)
        if told["pinned"] not in (None, told["sha256"]):
            return {**told, "why_none": f"{FILE} is not the one that the model's card names"}
        return {**told, "strata": [one.model_dump(mode="json") for one in _strata(data, calibration)]}
    except OSError as error:
        return {**told, "why_none": f"{FILE} cannot be read: {error.strerror or 'it is too large'}"}
    except KeyError as error:
        return {**told, "why_none": f"{FILE} has no row {error}"}
    except (ValueError, TypeError, csv.Error):  # pydantic's errors are ValueErrors
        return {**told, "why_none": f"{FILE} does not agree with itself"}


def _read(calibration: Calibration) -> bytes:
    with (models_dir() / calibration.subject.model / FILE).open("rb") as stream:
        data = stream.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise OSError
    return data


def _strata(data: bytes, calibration: Calibration) -> Iterator[HeldOut]:
    tables: dict[str, dict[str, Mapping[str, str]]] = {}
    for row in csv.DictReader(StringIO(data.decode("utf-8"), newline="")):
        tables.setdefault(row["stratum"], {})[row["what"]] = row
    for stratum in calibration.strata:
        if stratum.name not in tables:
            raise KeyError(stratum.name)
        yield _held_out(tables[stratum.name], stratum, calibration)


def _held_out(rows: Rows, stratum: Stratum, calibration: Calibration) -> HeldOut:
    whole = rows["outside the domain"]
    n = int(whole["n"])
    if stratum.threshold is None:
        outside = round(float(whole["value"]) * n)
        failures, some, area, shown = [0] * len(calibration.claims), Failed.of(0, 0), None, []
        abstained = n - outside
    else:
        each = [_failed(rows, f"claim failed, {one.kind} {one.tolerance}, {_INSIDE}") for one in calibration.claims]
        failures, inside = [one.failures for one in each], _failed(rows, f"any claim failed, {_INSIDE}")
        some, area = (
            _failed(rows, f"any claim failed, {_INSIDE} with LOW"),
            float(rows[f"LOW area, {_INSIDE}"]["value"]),
        )
        outside, abstained = n - inside.n, inside.n - some.n
        if {one.n for one in each} != {inside.n} or some.failures != inside.failures:
            raise ValueError("the rows are of different recordings")
        shown = list(_shown(rows))
    limits = [rate_limits(one, n - outside) for one in failures]
    found = HeldOut(
        stratum=stratum.name,
        n=n,
        outside=outside,
        abstained=abstained,
        failures=failures,
        low=[low for low, _ in limits],
        high=[high for _, high in limits],
        any_claim=some,
        low_area=area,
        shown=shown,
    )
    if n == 0 or abs(outside / n - float(whole["value"])) > _ROUNDED:
        raise ValueError("the share outside the domain is not that of the counts")
    return found


def _failed(rows: Rows, what: str) -> Failed:
    """Counts of the row, with the limits of the rate computed again; those in the row must be these, rounded."""
    row = rows[what]
    failures, n = (int(one) for one in row["value"].split("/"))
    found = Failed.of(failures, n)
    given = (float(row["low"]), float(row["high"]))
    if int(row["n"]) != n or any(abs(a - b) > _ROUNDED for a, b in zip(given, (found.low, found.high), strict=True)):
        raise ValueError("the limits of a rate are not those of its counts")
    return found


def _shown(rows: Rows) -> Iterator[Shown]:
    """By brightness and by kind of area, as ``risk.calibration.evaluating.shown`` gives them."""
    for name in BRIGHTNESS:
        yield _part(rows, "brightness", name, None)
    for name in AREAS:
        for tolerance in TOLERANCES:
            yield _part(rows, "area", name, tolerance)


def _part(rows: Rows, by: str, name: str, tolerance: int | None) -> Shown:
    label = f"{by} {name}, {_INSIDE}"
    failed = _failed(rows, f"{'any claim' if tolerance is None else f'share {tolerance}'} failed, {label} with LOW")
    area = rows.get(f"LOW area, {label}")  # there is none where no recording has such a part
    n = 0 if area is None else int(area["n"])
    return Shown.model_validate(
        {
            "by": by,
            "name": name,
            "tolerance": tolerance,
            "n": n,
            "abstained": n - failed.n,
            "low_area": None if area is None else float(area["value"]),
            "failed": failed,
        }
    )
