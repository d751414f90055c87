"""The held-out test of a calibration: a table of its strata, and what it found where this run's frames lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from reportlab.platypus import Flowable

from forensic.report.blocks import Content, paragraph, table
from forensic.report.theme import SUBHEADING
from forensic.report.values import at, items, percent, spoken
from forensic.report.wording import words_of
from forensic.risk.calibration.criteria import TOLERANCES
from forensic.risk.calibration.laboratory import HeldOut, Shown, rate_limits

WRITING, CHARACTER = "text-like", TOLERANCES[-1]
"""The kind of area that holds writing, and by how much a LOW pixel of it may differ before it counts as wrong."""


def held_out_test(mapped: Any, artefact: Any, frames: Mapping[str, Sequence[str]]) -> list[Flowable]:
    """Of a shipped calibration, as the record has it.

    ``frames``: those that may have LOW, by stratum; of their strata the numbers stand in words, too.
    """
    said, told = words_of("calibration", "held_out"), at(mapped, "calibration", "held_out")
    heading = paragraph(said["heading"], SUBHEADING)
    if told is None:
        return [heading, paragraph(said["missing"])]
    origin = {"file": spoken(at(told, "file")), "sha256": spoken(at(told, "sha256"))}
    strata = items(at(told, "strata"))
    try:
        found = {one.stratum: one for one in map(HeldOut.model_validate, strata)}
    except ValidationError:
        return [heading, paragraph(said["unsound"].format_map(origin))]
    if not found:
        return [heading, paragraph(said["none"].format(reason=spoken(at(told, "why_none"))))]
    origin["pinned"] = said["not_pinned" if at(told, "pinned") is None else "pinned"]
    here = [_here(found[name], numbers) for name, numbers in frames.items() if name in found]
    return [
        heading,
        paragraph(said["intro"].format_map(origin)),
        held_out_table(strata, artefact),
        *(paragraph(text) for text in here),
    ]


def held_out_table(strata: Sequence[Any], artefact: Any) -> Flowable:
    """A row for each of ``strata`` (``held_out`` of the record); the names of the claims are those of ``artefact``."""
    claims = [f"{spoken(at(one, 'kind'))} {spoken(at(one, 'tolerance'))}" for one in items(at(artefact, "claims"))]
    rows: list[list[Content]] = []
    for tested in strata:
        failed = [
            f"{claim}: {spoken(count)} ({_share(low)} to {_share(high)})"
            for claim, count, low, high in zip(
                claims,
                items(at(tested, "failures")),
                items(at(tested, "low")),
                items(at(tested, "high")),
                strict=False,
            )
        ]
        rows.append(
            [
                spoken(at(tested, "stratum")),
                spoken(at(tested, "n")),
                spoken(at(tested, "outside")),
                spoken(at(tested, "abstained")),
                _share(at(tested, "low_area")),
                "; ".join(failed),
                _any(at(tested, "any_claim")),
            ]
        )
    header = [
        "Held out", "n", "Outside", "Without LOW", "LOW area", "Claims failed in the domain (95 % limits)",
        "Any, of those with LOW",
    ]  # fmt: skip
    return table(header, rows, (0.15, 0.06, 0.1, 0.11, 0.1, 0.29, 0.19))


def _here(tested: HeldOut, frames: Sequence[str]) -> str:
    """The numbers of a stratum in which frames of this run lie, in words."""
    said, any_claim = words_of("calibration", "held_out"), tested.any_claim
    if not tested.inside:
        return said["here_none"].format(stratum=tested.stratum, frames=", ".join(frames))
    low, high = rate_limits(any_claim.failures, tested.inside)
    text = said["here"].format(
        stratum=tested.stratum,
        frames=", ".join(frames),
        failed=any_claim.failures,
        inside=tested.inside,
        limits=f"{percent(low)} to {percent(high)}",
        of_low=_any(any_claim.model_dump()),
        without=tested.abstained,
        area=_share(tested.low_area),
    )
    writing = [_writing(one) for one in tested.shown if (one.name, one.tolerance) == (WRITING, CHARACTER)]
    return " ".join([text, *writing])


def _writing(one: Shown) -> str:
    said, failed = words_of("calibration", "held_out"), one.failed
    key = "writing" if failed.n else "writing_none"
    return said[key].format(n=one.n, having=failed.n, tolerance=one.tolerance, failed=_any(failed.model_dump()))


def _share(value: Any) -> str:
    return percent(value) if isinstance(value, int | float) and not isinstance(value, bool) else "–"


def _any(counted: Any) -> str:
    """Recordings that failed, of how many, with the limits of the rate; a dash where there are none."""
    n = at(counted, "n")
    if not isinstance(n, int) or n == 0:
        return "–"
    return f"{spoken(at(counted, 'failures'))} of {n} ({_share(at(counted, 'low'))} to {_share(at(counted, 'high'))})"
