"""Checks on signed statements: the record of a run, the proof of a still."""

from __future__ import annotations

from typing import Any

from forensic.case.verification.checks import Verification
from forensic.case.verification.records import at
from forensic.errors import ForensicError
from forensic.signing.certificate import certificate_facts
from forensic.signing.statement import RUN_PREDICATE, Statement, verify_statement


def check_attestation(
    verification: Verification, data: bytes, predicate_type: str = RUN_PREDICATE, number: str = "A1"
) -> Statement | None:
    """A1: the envelope is canonical, every signature in it verifies, the statement is well-formed."""
    title = "record is signed and unchanged"
    try:
        statement, verified = verify_statement(data, predicate_type=predicate_type)
        signers = [certificate_facts(certificate) for certificate in verified.certificates]
    except ForensicError as error:
        verification.record(number, title, False, f"{error.code}: {error.message}")
        return None
    for facts in signers:
        verification.signers[facts["certificate_sha256"]] = facts["subject"]
    kinds = {facts["kind"] for facts in signers}
    verification.record(number, title, True, f"{' and '.join(sorted(kinds))} certificate")
    return statement


def signer_matches_record(verification: Verification, predicate: dict[str, Any]) -> bool:
    """A2: the certificate that signed is the one that the record names as the examiner's."""
    named = at(predicate, "examiner", "identity", "certificate_sha256")
    return verification.record(
        "A2",
        "signer is the identity named in the record",
        isinstance(named, str) and set(verification.signers) == {named},
        f"fingerprint {named}",
    )
