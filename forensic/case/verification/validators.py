"""Whether signed bytes are about a validation or a calibration; who signed the record of one."""

from __future__ import annotations

from typing import Any

from forensic.case.identities import parse_utc
from forensic.case.verification.certificates import check_certificate
from forensic.case.verification.checks import Verification
from forensic.case.verification.records import at
from forensic.case.verification.trust import Trust
from forensic.errors import ForensicError
from forensic.signing.statement import CALIBRATION_PREDICATE, VALIDATION_PREDICATE, verify_statement

PREDICATES = {"validation": VALIDATION_PREDICATE, "calibration": CALIBRATION_PREDICATE}


def is_about(data: bytes, about: str) -> bool:
    """Whether ``data`` is a sound signed statement about a ``validation`` or a ``calibration``."""
    try:
        verify_statement(data, predicate_type=PREDICATES[about])
    except ForensicError:
        return False
    return True


def check_record_signer(
    verification: Verification,
    data: bytes,
    predicate: dict[str, Any],
    trust: Trust,
    about: str = "validation",
    whose: str = "the signer's",
) -> None:
    """I3 and I4 of who signed the record ``data`` ``about`` a validation or a calibration, as of the end it states."""
    _, verified = verify_statement(data, predicate_type=PREDICATES[about])
    try:
        signed = parse_utc(str(at(predicate, about, "finished_utc")))
    except ValueError:
        signed = None
    check_certificate(verification, verified.certificates[0], predicate, trust, signed=signed, whose=whose)
