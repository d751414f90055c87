"""Whether signed bytes are about a validation, and who signed them."""

from __future__ import annotations

from typing import Any

from forensic.case.identities import parse_utc
from forensic.case.verification.certificates import check_certificate
from forensic.case.verification.checks import Verification
from forensic.case.verification.records import at
from forensic.case.verification.trust import Trust
from forensic.errors import ForensicError
from forensic.signing.statement import VALIDATION_PREDICATE, verify_statement


def is_validation(data: bytes) -> bool:
    """Whether ``data`` is a sound signed statement about a validation."""
    try:
        verify_statement(data, predicate_type=VALIDATION_PREDICATE)
    except ForensicError:
        return False
    return True


def check_validation_signer(verification: Verification, data: bytes, predicate: dict[str, Any], trust: Trust) -> None:
    """I3 and I4 of who signed a validation, as of the end that its record states."""
    _, verified = verify_statement(data, predicate_type=VALIDATION_PREDICATE)
    try:
        signed = parse_utc(str(at(predicate, "validation", "finished_utc")))
    except ValueError:
        signed = None
    check_certificate(verification, verified.certificates[0], predicate, trust, signed=signed)
