"""What a risk map was calibrated for: status, statements, class, numbers, and where no LOW label exists and why."""

from __future__ import annotations

from collections import Counter
from typing import Any

from reportlab.platypus import Flowable

from forensic.report.blocks import Content, facts, notice, paragraph, table
from forensic.report.sections.heldout import held_out_table, held_out_test
from forensic.report.theme import SMALL, SUBHEADING
from forensic.report.typeset import bold
from forensic.report.values import at, flatten, items, spoken
from forensic.report.wording import word_list, words, words_of

UNCALIBRATED = "UNCALIBRATED"
CALIBRATED = "CALIBRATED ON SIMULATED RECORDINGS"
CALIBRATED_OWN = "CALIBRATED ON THE LABORATORY'S OWN PAIRS"
OUTSIDE = "OUTSIDE THE CALIBRATED DOMAIN: NO LOW LABEL"
REFUSED = "NO THRESHOLD PASSED THE CALIBRATION: NO LOW LABEL"
WITH_LOW = (CALIBRATED, CALIBRATED_OWN)
_STANDING = {
    UNCALIBRATED: "uncalibrated", CALIBRATED: "simulated", CALIBRATED_OWN: "laboratory", OUTSIDE: "outside",
    REFUSED: "refused",
}  # fmt: skip


def status_of(part: Any) -> str:
    """Status of the run's map or of one frame's ``summary``; UNCALIBRATED where nothing is said."""
    status = at(part, "status")
    return status if isinstance(status, str) and status else UNCALIBRATED


def mark(status: str) -> str:
    """What every page with a map of that status says."""
    if status == UNCALIBRATED:
        return words("title", "uncalibrated_mark")
    return f"RISK MAP: {status}" if status in WITH_LOW else status


def _statuses(mapped: Any) -> list[str]:
    """Status of every mapped frame."""
    return [status_of(at(frame, "summary")) for frame in items(at(mapped, "frames"))]


def is_uncalibrated(mapped: Any) -> bool:
    """Whether neither the run's map as a whole nor that of any frame has another status."""
    return {status_of(mapped), *_statuses(mapped)} == {UNCALIBRATED}


def standing(mapped: Any) -> str:
    """What the run's map is, by the status of every frame of it, in a sentence of the certification's draft."""
    found, said = Counter(_statuses(mapped)), words_of("certification", "map")
    if not found:
        return said["none"]
    if len(found) > 1:
        each = "; ".join(f"{count} of {found.total()} {status}" for status, count in found.items())
        return said["mixed"].format(frames=each)
    (status,) = found
    return said[_STANDING.get(status, "other")].format(status=status)


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
        *_laboratory(mapped, artefact, workspace),
        *_shipped(mapped, artefact),
        *(paragraph(text, SMALL) for text in _does_not_show(artefact)),
    ]


def _does_not_show(artefact: Any) -> list[str]:
    """What the calibration leaves open; of a shipped one with the worst that is known of writing."""
    worst = words("calibration", "worst_of_writing").format(worst=words("calibration", "worst"))
    shipped = at(artefact, "laboratory") is None
    return [*word_list("calibration", "does_not_show"), *([worst] if shipped else [])]


def _shipped(mapped: Any, artefact: Any) -> list[Flowable]:
    """The held-out test of a shipped calibration; a laboratory's own stands among what is told of that."""
    if at(artefact, "laboratory") is not None:
        return []
    return held_out_test(mapped, artefact, _having_low(mapped))


def _having_low(mapped: Any) -> dict[str, list[str]]:
    """The mapped frames that may have LOW, by stratum."""
    found: dict[str, list[str]] = {}
    for frame in items(at(mapped, "frames")):
        verdict = at(frame, "summary", "calibration")
        if status_of(verdict) in WITH_LOW:
            found.setdefault(spoken(at(verdict, "stratum")), []).append(spoken(at(frame, "frame")))
    return found


def registered(own: Any, workspace: Any) -> str:
    """When a laboratory's calibration was registered, and on whose word; ``workspace``: id of the run's own."""
    told = at(own, "registered")
    entry = f"{spoken(at(told, 'utc'))}, ledger entry {spoken(at(told, 'seq'))}, before anything was scored"
    if at(own, "workspace") == workspace:
        return entry
    return f"{entry}, by its own record (of workspace {spoken(at(own, 'workspace'))})"


def _laboratory(mapped: Any, artefact: Any, workspace: Any) -> list[Flowable]:
    """Whose calibration it is, when it was registered, and its held-out test; nothing for a shipped one."""
    own = at(artefact, "laboratory")
    if own is None:
        return []
    who = f"{spoken(at(own, 'name'))}, {spoken(at(own, 'examiner'))}"
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
        held_out_table(items(at(own, "held_out")), artefact),
        paragraph(words("calibration", "laboratory_files"), SMALL),
    ]


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
