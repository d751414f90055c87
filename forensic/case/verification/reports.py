"""Checks on a report: its PDF signature, and the attestation that it carries."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from forensic.case.verification.attestations import check_attestation, signer_matches_record
from forensic.case.verification.checks import Verification
from forensic.case.verification.existence import report_existed_at
from forensic.case.verification.identities import check_report_signer
from forensic.case.verification.timestamps import check_beside, check_inside
from forensic.case.verification.trust import NOTHING, Trust
from forensic.case.verification.validators import PREDICATES, check_record_signer, is_about
from forensic.report.verification import check_report
from forensic.signing.statement import Statement
from forensic.signing.timestamp import read_roots

_FOLLOWS = {
    "validation": "that the verdicts follow from the values",
    "calibration": "that thresholds and held-out rates follow from the counts",
}


def verify_report(path: Path, *, trust: Trust = NOTHING) -> tuple[Verification, Statement | None]:
    """Verify the PDF at ``path``; also returns the statement inside it, if that is sound."""
    verification = Verification(str(path), "report")
    report = check_report(path, read_roots(trust.tsa_roots))
    verification.record(
        "R1",
        "PDF signature is valid, covers the whole file, and permits no change",
        report.sound,
        "; ".join(report.findings),
    )
    check_inside(verification, report)
    check_beside(verification, path, trust, sound=report.sound)
    if report.signer_sha256 is not None:
        verification.signers[report.signer_sha256] = report.signer_subject or ""
    if not verification.record("R2", "record is attached", report.attestation is not None):
        return verification, None
    for about in PREDICATES:
        if is_about(report.attestation or b"", about):
            return verification, _filed(verification, report.attestation or b"", report.sound, trust, about)
    statement = check_attestation(verification, report.attestation or b"")
    if statement is not None:
        signer_matches_record(verification, statement.predicate)
        existed = partial(report_existed_at, path, trust)
        check_report_signer(verification, report.attestation or b"", trust, existed)
        verification.signed = report.sound
    verification.not_checked.append("the output itself: verify the run folder, or compare sha256sum with the report")
    verification.not_checked.append(
        "whether a later report of this run has replaced this one: only the run folder and the ledger can show that"
    )
    return verification, statement


def _filed(verification: Verification, data: bytes, sound: bool, trust: Trust, about: str) -> Statement | None:
    """A1 and A2 for the report of a validation or a calibration, and what it does not show by itself."""
    verification.kind = f"report of a {about}"
    statement = check_attestation(verification, data, PREDICATES[about])
    if statement is not None:
        signer_matches_record(verification, statement.predicate)
        check_record_signer(verification, data, statement.predicate, trust, about)
        verification.signed = sound
    verification.not_checked.append(f"{_FOLLOWS[about]}: verify the folder of the {about}")
    return statement
