"""What a risk map was calibrated for: status, statements, class, numbers, and where no LOW label exists and why."""

from __future__ import annotations

from typing import Any

from reportlab.platypus import Flowable

from forensic.report.blocks import Content, facts, notice, paragraph, table
from forensic.report.theme import SMALL, SUBHEADING
from forensic.report.typeset import bold
from forensic.report.values import at, flatten, items, percent, spoken
from forensic.report.wording import word_list, words

UNCALIBRATED = "UNCALIBRATED"
CALIBRATED = "CALIBRATED ON SIMULATED RECORDINGS"
CALIBRATED_OWN = "CALIBRATED ON THE LABORATORY'S OWN PAIRS"
WITH_LOW = (CALIBRATED, CALIBRATED_OWN)


def status_of(part: Any) -> str:
    """Status of the run's map or of one frame's ``summary``; UNCALIBRATED where nothing is said."""
    status = at(part, "status")
    return status if isinstance(status, str) and status else UNCALIBRATED


def mark(status: str) -> str:
    """What every page with a map of that status says."""
    if status == UNCALIBRATED:
        return words("title", "uncalibrated_mark")
    return f"RISK MAP: {status}" if status in WITH_LOW else status


def calibration(mapped: Any, workspace: Any) -> list[Flowable]:
    """The calibration that the run's map cites, or why it cites none though there is one; else nothing.

    ``workspace``: id of the run's own.
    """
    artefact = at(mapped, "calibration", "artefact")
    if artefact is None:
        refused = at(mapped, "calibration_refused")
        said = f"{words('calibration', 'refused')} {spoken(refused)}."
        return [] if refused is None else [notice(UNCALIBRATED, [said], "caution")]
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
                ("Made with", ", ".join(" ".join(one) for one in flatten(at(artefact, "software"), name=str))),
            ],
            0.3,
        ),
        table(["Stratum", "n", "LOW", "Without LOW", "Why there is none"], rows, (0.24, 0.08, 0.16, 0.14, 0.38)),
        *_laboratory(mapped, at(artefact, "laboratory"), workspace),
        *(paragraph(text, SMALL) for text in word_list("calibration", "does_not_show")),
    ]


def registered(own: Any, workspace: Any) -> str:
    """When a laboratory's calibration was registered, and on whose word; ``workspace``: id of the run's own."""
    told = at(own, "registered")
    entry = f"{spoken(at(told, 'utc'))}, ledger entry {spoken(at(told, 'seq'))}, before anything was scored"
    if at(own, "workspace") == workspace:
        return entry
    return f"{entry}, by its own record (of workspace {spoken(at(own, 'workspace'))})"


def _laboratory(mapped: Any, own: Any, workspace: Any) -> list[Flowable]:
    """Whose calibration it is, when it was registered, and its held-out test; nothing for a shipped one."""
    if own is None:
        return []
    who = f"{spoken(at(own, 'name'))}, {spoken(at(own, 'examiner'))}"
    rows: list[list[Content]] = []
    for tested in items(at(own, "held_out")):
        n, outside = at(tested, "n"), at(tested, "outside")
        failed = [
            f"{spoken(count)} ({percent(low)} to {percent(high)})"
            for count, low, high in zip(
                items(at(tested, "failures")), items(at(tested, "low")), items(at(tested, "high")), strict=False
            )
        ]
        rows.append(
            [
                spoken(at(tested, "stratum")),
                spoken(n),
                spoken(outside),
                spoken(at(tested, "abstained")),
                "; ".join(failed),
                _any(at(tested, "any_claim")),
            ]
        )
    return [
        paragraph(words("calibration", "laboratory"), SUBHEADING),
        facts(
            [
                ("Calibration", spoken(at(own, "id"))),
                ("Laboratory and examiner", who),
                ("Signer's certificate, SHA-256", spoken(at(own, "certificate_sha256"))),
                ("Signed record, SHA-256", spoken(at(mapped, "calibration", "attestation_sha256"))),
                ("Registered", registered(own, workspace)),
                ("Types of picture", ", ".join(spoken(one) for one in items(at(own, "pictures")))),
                ("Pairs refused", spoken(at(own, "refused"))),
                ("Earlier calibrations of this model", spoken(at(own, "earlier"))),
                ("Recordings that share a name, file or picture with those", spoken(at(own, "seen_before"))),
            ],
            0.3,
        ),
        table(
            [
                "Held out",
                "n",
                "Outside",
                "Without LOW",
                "Claims failed in the domain (95 % limits)",
                "Any, of those with LOW",
            ],
            rows,
            (0.18, 0.06, 0.1, 0.12, 0.33, 0.21),
        ),
        paragraph(words("calibration", "laboratory_files"), SMALL),
    ]


def _any(counted: Any) -> str:
    """Recordings with LOW that failed any claim, with the limits of the rate; a dash where there are none."""
    n = at(counted, "n")
    if not isinstance(n, int) or n == 0:
        return "–"
    return f"{spoken(at(counted, 'failures'))} of {n} ({percent(at(counted, 'low'))} to {percent(at(counted, 'high'))})"


def judged(summary: Any) -> list[Flowable]:
    """What the calibration says of one frame."""
    verdict = at(summary, "calibration")
    if verdict is None:
        return []
    status = status_of(verdict)
    if status not in WITH_LOW:
        return [notice(status, [f"{words('calibration', 'no_low')} {spoken(at(verdict, 'reason'))}."], "caution")]
    told = [spoken(one) for one in items(at(verdict, "statements"))]
    where = f"Stratum of class S: {spoken(at(verdict, 'stratum'))}; n = {spoken(at(verdict, 'n'))}."
    return [notice(status, [*told, where], "note")]
