"""What a risk map was calibrated for: status, statements, class, numbers, and where no LOW label exists and why."""

from __future__ import annotations

from typing import Any

from reportlab.platypus import Flowable

from forensic.report.blocks import Content, facts, notice, paragraph, table
from forensic.report.theme import SMALL, SUBHEADING
from forensic.report.typeset import bold
from forensic.report.values import at, items, spoken
from forensic.report.wording import word_list, words

UNCALIBRATED = "UNCALIBRATED"
CALIBRATED = "CALIBRATED ON SIMULATED RECORDINGS"


def status_of(part: Any) -> str:
    """Status of the run's map or of one frame's ``summary``; UNCALIBRATED where nothing is said."""
    status = at(part, "status")
    return status if isinstance(status, str) and status else UNCALIBRATED


def mark(status: str) -> str:
    """What every page with a map of that status says."""
    if status == UNCALIBRATED:
        return words("title", "uncalibrated_mark")
    return f"RISK MAP: {status}" if status == CALIBRATED else status


def calibration(mapped: Any) -> list[Flowable]:
    """The calibration that the run's map cites: nothing where it cites none."""
    artefact = at(mapped, "calibration", "artefact")
    if artefact is None:
        return []
    subject = at(artefact, "subject")
    rows: list[list[Content]] = []
    for stratum in items(at(artefact, "strata")):
        threshold = at(stratum, "threshold")
        rows.append(
            [
                spoken(at(stratum, "name")),
                spoken(at(stratum, "n")),
                bold("no LOW") if threshold is None else f"below {spoken(threshold)}",
                spoken(at(stratum, "abstained")),
                spoken(at(stratum, "refused")) if threshold is None else "",
            ]
        )
    return [
        paragraph(words("calibration", "heading"), SUBHEADING),
        facts(
            [
                ("Calibration, SHA-256", spoken(at(mapped, "calibration", "sha256"))),
                ("Model", f"{spoken(at(subject, 'model'))}, {spoken(at(subject, 'precision'))}"),
                ("Weights, SHA-256", spoken(at(subject, "weights_sha256"))),
                ("Score", spoken(at(artefact, "score"))),
                ("Origin", spoken(at(artefact, "origin"))),
                ("Class S", spoken(at(artefact, "class"))),
            ],
            0.3,
        ),
        table(["Stratum", "n", "LOW", "Without LOW", "Why there is none"], rows, (0.24, 0.08, 0.16, 0.14, 0.38)),
        *(paragraph(text, SMALL) for text in word_list("calibration", "does_not_show")),
    ]


def judged(summary: Any) -> list[Flowable]:
    """What the calibration says of one frame."""
    verdict = at(summary, "calibration")
    if verdict is None:
        return []
    status = status_of(verdict)
    if status != CALIBRATED:
        return [notice(status, [f"{words('calibration', 'no_low')} {spoken(at(verdict, 'reason'))}."], "caution")]
    told = [spoken(one) for one in items(at(verdict, "statements"))]
    where = f"Stratum of class S: {spoken(at(verdict, 'stratum'))}; n = {spoken(at(verdict, 'n'))}."
    return [notice(status, [*told, where], "note")]
