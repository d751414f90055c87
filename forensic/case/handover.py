"""Transfer and acknowledgement: two signed statements that hand an exhibit on (docs/custody.md, section 3).

Strict readers, light: ``forensic verify`` needs them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from forensic.errors import BadInput, VerificationFailed
from forensic.hashes import sha256_bytes
from forensic.signing.certificate import certificate_facts
from forensic.signing.statement import (
    ACKNOWLEDGEMENT_PREDICATE,
    TRANSFER_PREDICATE,
    Statement,
    verify_statement,
)

EXHIBIT = "exhibit"
TRANSFER = "transfer.json"
LIMIT = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Transfer:
    """A transfer statement whose signature holds. ``sha256`` is the exhibit's, ``digest`` the statement file's own."""

    id: str
    digest: str
    case: str
    exhibit: str
    sha256: str
    size: int
    recipient_fingerprint: str | None
    signer: dict[str, str]
    predicate: dict[str, Any]


@dataclass(frozen=True)
class Acknowledgement:
    """An acknowledgement whose signature holds. ``found`` is the digest of the file that the recipient got."""

    transfer: str
    transfer_digest: str
    accepted: bool
    found: str | None
    reason: str | None
    digest: str
    signer: dict[str, str]
    predicate: dict[str, Any]


def read_transfer(data: bytes) -> Transfer:
    """Verify and read a transfer statement.

    Raises ``BadInput`` (``transfer.malformed`` and those of ``verify_statement``), ``VerificationFailed``.
    """
    statement, signer = _verified(data, TRANSFER_PREDICATE)
    predicate = statement.predicate
    file, to = _object(predicate.get("file")), _object(predicate.get("to"))
    size, sha256 = file.get("size"), file.get("sha256")
    fingerprint = to.get("certificate_sha256")
    sound = (
        _matches(_UUID, predicate.get("transfer"))
        and all(isinstance(predicate.get(key), str) and predicate[key] for key in ("case", "exhibit"))
        and _matches(_SHA256, sha256)
        and type(size) is int
        and (fingerprint is None or _matches(_SHA256, fingerprint))
        and [(subject.name, subject.sha256) for subject in statement.subjects] == [(EXHIBIT, sha256)]
    )
    if not sound:
        raise BadInput("transfer.malformed", "The statement does not have the form of a transfer.")
    return Transfer(
        predicate["transfer"], sha256_bytes(data), predicate["case"], predicate["exhibit"], file["sha256"],
        file["size"], fingerprint, signer, predicate,
    )  # fmt: skip


def read_acknowledgement(data: bytes) -> Acknowledgement:
    """Verify and read an acknowledgement.

    Raises ``BadInput`` (``acknowledgement.malformed`` and those of ``verify_statement``), ``VerificationFailed``.
    """
    statement, signer = _verified(data, ACKNOWLEDGEMENT_PREDICATE)
    predicate = statement.predicate
    accepted, reason = predicate.get("accepted"), predicate.get("reason")
    found = _object(predicate.get("found")).get("sha256")
    expected = [(TRANSFER, predicate.get("transfer_sha256"))] + ([] if found is None else [(EXHIBIT, found)])
    sound = (
        _matches(_UUID, predicate.get("transfer"))
        and _matches(_SHA256, predicate.get("transfer_sha256"))
        and isinstance(accepted, bool)
        and (found is None or _matches(_SHA256, found))
        and not (accepted and found is None)
        and (reason is None or isinstance(reason, str))
        and [(subject.name, subject.sha256) for subject in statement.subjects] == expected
    )
    if not sound:
        raise BadInput("acknowledgement.malformed", "The statement does not have the form of an acknowledgement.")
    return Acknowledgement(
        predicate["transfer"], predicate["transfer_sha256"], predicate["accepted"], found, reason,
        sha256_bytes(data), signer, predicate,
    )  # fmt: skip


def require_answer(answer: Acknowledgement, transfer: Transfer) -> None:
    """Insist that ``answer`` is about this very transfer, by the addressee where one is named.

    Raises ``VerificationFailed`` (``acknowledgement.other-transfer``, ``.other-file``, ``.other-signer``).
    """
    if (answer.transfer, answer.transfer_digest) != (transfer.id, transfer.digest):
        raise VerificationFailed(
            "acknowledgement.other-transfer", "The acknowledgement answers another transfer statement than this one."
        )
    if answer.accepted and answer.found != transfer.sha256:
        raise VerificationFailed(
            "acknowledgement.other-file", "The acknowledgement accepts a file with another digest than the exhibit's."
        )
    if transfer.recipient_fingerprint not in (None, answer.signer["certificate_sha256"]):
        raise VerificationFailed(
            "acknowledgement.other-signer",
            "The acknowledgement is signed by another certificate than the one that the transfer names.",
        )
    if answer.signer["key_id"] == transfer.signer["key_id"]:
        raise VerificationFailed(
            "acknowledgement.other-signer", "The acknowledgement is signed with the sender's own key."
        )


def _verified(data: bytes, predicate_type: str) -> tuple[Statement, dict[str, str]]:
    statement, verified = verify_statement(data, predicate_type=predicate_type)
    if len(verified.certificates) != 1:
        raise BadInput("transfer.malformed", "The statement must have exactly one signer.")
    return statement, certificate_facts(verified.certificates[0])


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
