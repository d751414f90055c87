"""Checks on a report: its PDF signature, and the attestation that it carries."""

from __future__ import annotations

from pathlib import Path

from forensic.case.verification.attestations import check_attestation, signer_matches_record
from forensic.case.verification.checks import Verification
from forensic.case.verification.trust import NOTHING, Trust
from forensic.report.verification import check_report
from forensic.signing.statement import Statement


def verify_report(path: Path, *, trust: Trust = NOTHING) -> tuple[Verification, Statement | None]:
    """Verify the PDF at ``path``; also returns the statement inside it, if that is sound."""
    verification = Verification(str(path), "report")
    report = check_report(path)
    verification.record(
        "R1",
        "PDF signature is valid, covers the whole file, and permits no change",
        report.sound,
        "; ".join(report.findings),
    )
    if report.signer_sha256 is not None:
        verification.signers[report.signer_sha256] = report.signer_subject or ""
    if not verification.record("R2", "record is attached", report.attestation is not None):
        return verification, None
    statement = check_attestation(verification, report.attestation or b"")
    if statement is not None:
        signer_matches_record(verification, statement.predicate)
        verification.signed = report.sound
    verification.not_checked.append("the output itself: verify the run folder, or compare sha256sum with the report")
    verification.not_checked.append(
        "whether a later report of this run has replaced this one: only the run folder and the ledger can show that"
    )
    return verification, statement
