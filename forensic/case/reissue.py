"""``forensic report RUN``: issue the PDF of a finished run again."""

from __future__ import annotations

from pathlib import Path

from forensic.case.attest import Attestation
from forensic.case.filelist import write_manifest
from forensic.case.issue import issue_report
from forensic.case.layout import RunFolder
from forensic.case.storage import storage
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


def reissue(workspace: Workspace, run_id: str) -> Path:
    """Issue the report anew from the unchanged record; the old one is kept and named superseded.

    Raises ``VerificationFailed`` (``run.changed``) if the run folder does not verify any more,
    apart from its report.
    """
    entry, folder, attestation = recorded_run(workspace, run_id)
    failed = [
        check for check in verify_run(folder.root, ledger=LedgerUse.NONE).checks
        if not check.passed and check.number not in ("M2", "M5") and not check.number.startswith("R")
    ]  # fmt: skip
    if failed:
        raise VerificationFailed(
            "run.changed",
            f"Run {run_id} does not verify: {failed[0].number} {failed[0].title}: {failed[0].detail}",
            f"See: forensic verify {folder.root}",
        )
    superseded = None
    if folder.report.exists():
        number = 1
        while folder.superseded_report(number).exists():
            number += 1
        superseded = {"file": folder.superseded_report(number).name, "sha256": sha256_file(folder.report)}
        with storage(folder.report, "keeping the old report of"):
            folder.report.rename(folder.superseded_report(number))
    report = issue_report(workspace, folder, attestation, utc_now())
    workspace.ledger.append(
        "report.issued",
        {"report_sha256": report, "manifest_sha256": write_manifest(folder), "superseded": superseded},
        case=entry.case,
        exhibit=entry.exhibit,
        run=run_id,
    )
    return folder.report
