"""``forensic report RUN``: issue the PDF of a finished run again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forensic.case.attest import Attestation
from forensic.case.ending import record_end, why_ended
from forensic.case.filelist import read_manifest_file
from forensic.case.issue import issue_report
from forensic.case.layout import REPORT, RunFolder, is_superseded_name
from forensic.case.recovery import scratch_folder
from forensic.case.storage import storage, sync_file, sync_folder, write_file
from forensic.case.verification.records import at
from forensic.case.verification.reports import verify_report
from forensic.case.verification.runs import LedgerUse, verify_run
from forensic.case.workspace import Workspace, utc_now
from forensic.errors import UsageError, VerificationFailed
from forensic.hashes import sha256_file
from forensic.ledger.entry import LedgerEntry
from forensic.signing.statement import RUN_PREDICATE, verify_statement


def finished_entry(workspace: Workspace, run_id: str) -> LedgerEntry:
    """The ledger's ``run.finished`` of a run. Raises ``UsageError`` (``run.unknown``, ``run.not-finished``)."""
    entry = next(iter(workspace.ledger.entries(event="run.finished", run=run_id)), None)
    if entry is not None:
        return entry
    if next(iter(workspace.ledger.entries(run=run_id)), None) is None:
        raise UsageError("run.unknown", f"There is no run {run_id!r} in this workspace.", "See: forensic log")
    raise UsageError("run.not-finished", f"Run {run_id} did not finish.", f"See: forensic log --run {run_id}")


def recorded_run(workspace: Workspace, run_id: str) -> tuple[LedgerEntry, RunFolder, Attestation]:
    """A finished run's entry, folder and record, the record checked against signature and ledger."""
    entry = finished_entry(workspace, run_id)
    folder = workspace.layout.run(run_id)
    try:
        data = folder.attestation.read_bytes()
    except OSError as error:
        raise VerificationFailed(
            "run.missing", f"The record of run {run_id} cannot be read: {error.strerror}."
        ) from error
    statement, _ = verify_statement(data, predicate_type=RUN_PREDICATE)
    attestation = Attestation(statement.predicate, data)
    if attestation.sha256 != entry.data["attestation_sha256"]:
        raise VerificationFailed(
            "run.changed",
            f"The record of run {run_id} is not the one in the ledger.",
            f"See: forensic verify {folder.root}",
        )
    return entry, folder, attestation


def reissue(workspace: Workspace, run_id: str, say: Callable[[str], None] = lambda _: None) -> Path:
    """Issue the report anew from the unchanged record; the old one is kept and named superseded.

    The new report is whole before the run folder is touched, and a reissue that was broken off is
    repaired by the next. Raises ``VerificationFailed`` (``run.changed``) if the run folder does not
    verify any more, apart from its report, and ``UsageError`` (``report.signer``) under another
    identity. What goes wrong is recorded as ``report.failed``.
    """
    entry = finished_entry(workspace, run_id)
    identity = {"case": entry.case, "exhibit": entry.exhibit, "run": run_id}
    try:
        _, folder, attestation = recorded_run(workspace, run_id)
        _require_signer(workspace, attestation)
        _require_sound(folder, run_id)
        with scratch_folder(workspace.layout) as scratch:
            issued = _replace(workspace, entry, folder, attestation, scratch, say)
        workspace.ledger.append("report.issued", issued, **identity)
    except BaseException as error:
        code, reason = why_ended(error)
        record_end(workspace.ledger, "report.failed", {"code": code, "reason": reason}, error, **identity)
        raise
    return folder.report


def _require_signer(workspace: Workspace, attestation: Attestation) -> None:
    """Record and report have one signer: a report by another key would fail R4."""
    named = at(attestation.predicate, "examiner", "identity", "certificate_sha256")
    if workspace.signer.facts()["certificate_sha256"] != named:
        raise UsageError(
            "report.signer",
            f"The record was signed under certificate {named}, not under the present one.",
            "Its report can be issued again only with that identity (--as); timestamps: forensic anchor.",
        )


def _require_sound(folder: RunFolder, run_id: str) -> None:
    """Everything but the report must verify; the list of files is replaced with it."""
    for check in verify_run(folder.root, ledger=LedgerUse.NONE).checks:
        if check.passed or check.number.startswith("R"):
            continue
        changed = set(check.detail.split(", "))
        only_reports = all(name == REPORT or is_superseded_name(name) for name in changed)
        if check.number in ("M2", "M3", "M5", "A5") and only_reports:
            continue
        raise VerificationFailed(
            "run.changed",
            f"Run {run_id} does not verify: {check.number} {check.title}: {check.detail}",
            f"See: forensic verify {folder.root}",
        )


def _replace(
    workspace: Workspace,
    entry: LedgerEntry,
    folder: RunFolder,
    attestation: Attestation,
    scratch: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Make the new report, keep the one in the ledger, put the new one in place; return the facts of it."""
    fresh = scratch / REPORT
    report = issue_report(workspace, folder, attestation, utc_now(), fresh, say)
    earlier = list(workspace.ledger.entries(event="report.issued", run=entry.run))
    recorded = (earlier[-1] if earlier else entry).data["report_sha256"]
    present = _digest(folder.report)
    superseded, discarded = None, None
    kept = _kept(folder, recorded, {(one.data.get("superseded") or {}).get("file") for one in earlier})
    if kept is None and present == recorded and _is_report_of(folder.report, attestation):
        kept = _copy_aside(folder, scratch)
    if kept is not None:
        superseded = {"file": kept.name, "sha256": recorded}
    if present is not None and present != recorded:
        # Not the report that was issued last: damaged, exchanged, or of a reissue that was broken off.
        discarded = {"file": REPORT, "sha256": present}
    with storage(folder.report, "replacing"):
        fresh.replace(folder.report)
        sync_folder(folder.root)
    return {
        "report_sha256": report,
        "manifest_sha256": _list_again(folder),
        "superseded": superseded,
        "discarded": discarded,
    }


def _list_again(folder: RunFolder) -> str:
    """The list of files with the reports' digests brought up to date; all else has just been verified against it."""
    listed = read_manifest_file(folder.manifest)
    for path in (folder.report, *folder.superseded_reports()):
        listed[folder.name(path)] = sha256_file(path)
    lines = [
        f"{listed[folder.name(path)]}  {folder.name(path)}\n" for path in folder.files() if path != folder.manifest
    ]
    write_file(folder.manifest, "".join(lines).encode("utf-8"))
    return sha256_file(folder.manifest)


def _digest(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None


def _is_report_of(path: Path, attestation: Attestation) -> bool:
    """Whether ``path`` is a valid signed report that carries this very record."""
    part, inside = verify_report(path)
    return (
        all(check.passed for check in part.checks) and inside is not None and inside.predicate == attestation.predicate
    )


def _kept(folder: RunFolder, recorded: str, known: set[str | None]) -> Path | None:
    """The issued report as a reissue that was broken off has set it aside, unrecorded; None if there is none."""
    for path in folder.superseded_reports():
        if path.name not in known and _digest(path) == recorded:
            return path
    return None


def _copy_aside(folder: RunFolder, scratch: Path) -> Path:
    number = 1
    while folder.superseded_report(number).exists():
        number += 1
    copy, kept = scratch / "superseded.pdf", folder.superseded_report(number)
    with storage(kept, "keeping the old report as"):
        shutil.copyfile(folder.report, copy)
        sync_file(copy)
        copy.replace(kept)
    return kept
