"""in-toto Statement v1: which files (subjects) a signed claim (predicate) is about.

Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md. The predicate types
are tag URIs (RFC 4151): names, not addresses, and in a name space that nobody can sell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forensic.errors import BadInput, InternalError
from forensic.hashes import canonical_json, parse_canonical
from forensic.signing.certificate import Certificate
from forensic.signing.dsse import VerifiedPayload, sign_envelope, verify_envelope
from forensic.signing.identity import Identity

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
RUN_PREDICATE = "tag:forensic-tool,2026:run/v1"
STILL_PREDICATE = "tag:forensic-tool,2026:still/v1"
TRANSFER_PREDICATE = "tag:forensic-tool,2026:transfer/v1"
ACKNOWLEDGEMENT_PREDICATE = "tag:forensic-tool,2026:acknowledgement/v1"
VALIDATION_PREDICATE = "tag:forensic-tool,2026:validation/v1"
CALIBRATION_PREDICATE = "tag:forensic-tool,2026:calibration-record/v1"

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Subject:
    """A file that the statement is about: its name, and its SHA-256 as 64 hexadecimal digits."""

    name: str
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """The in-toto ResourceDescriptor."""
        return {"name": self.name, "digest": {"sha256": self.sha256}}


@dataclass(frozen=True, slots=True)
class Statement:
    """A parsed statement: its subjects, predicate type and predicate."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: dict[str, Any]

    def sha256_of(self, name: str) -> str | None:
        """The digest stated for the subject called ``name``, or None if it is not a subject."""
        return next((subject.sha256 for subject in self.subjects if subject.name == name), None)


def build_statement(predicate_type: str, subjects: Sequence[Subject], predicate: Mapping[str, Any]) -> bytes:
    """Compose a statement and return its canonical JSON (RFC 8785), ready to be signed.

    Raises ``InternalError`` (``statement.invalid``, ``canonical.unserialisable``) for a statement
    that ``parse_statement`` would refuse.
    """
    data = canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [subject.to_json() for subject in subjects],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )
    try:
        parse_statement(data, predicate_type=predicate_type)
    except BadInput as error:
        raise InternalError("statement.invalid", f"Refused to build a statement: {error.message}") from error
    return data


def parse_statement(data: bytes, *, predicate_type: str) -> Statement:
    """Parse and check a statement strictly: canonical bytes, exactly the four keys, the expected predicate type.

    At least one subject; names are non-empty and unique; each digest is exactly one SHA-256.
    Raises ``BadInput`` (``canonical.invalid``, ``statement.malformed``, ``statement.predicate-type``).
    """
    value = parse_canonical(data)
    if not isinstance(value, dict) or set(value) != {"_type", "subject", "predicateType", "predicate"}:
        raise _malformed("it must have exactly the keys _type, subject, predicateType and predicate")
    if value["_type"] != STATEMENT_TYPE:
        raise _malformed(f"its _type is not {STATEMENT_TYPE}")
    if value["predicateType"] != predicate_type:
        raise BadInput(
            "statement.predicate-type",
            f"The statement's predicate is {str(value['predicateType'])[:100]!r}, not {predicate_type!r}.",
        )
    if not isinstance(value["predicate"], dict):
        raise _malformed("its predicate is not an object")
    listed = value["subject"]
    if not isinstance(listed, list) or not listed:
        raise _malformed("it has no subject")
    subjects = tuple(_subject(item) for item in listed)
    if len({subject.name for subject in subjects}) != len(subjects):
        raise _malformed("two subjects have one name")
    return Statement(subjects, predicate_type, value["predicate"])


def _subject(item: Any) -> Subject:
    if not isinstance(item, dict) or set(item) != {"name", "digest"}:
        raise _malformed("a subject must have exactly the keys name and digest")
    name, digest = item["name"], item["digest"]
    if not isinstance(name, str) or not name:
        raise _malformed("a subject has no name")
    if not isinstance(digest, dict) or set(digest) != {"sha256"}:
        raise _malformed("a subject's digest must be exactly one sha256")
    sha256 = digest["sha256"]
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise _malformed("a sha256 must be 64 lower-case hexadecimal digits")
    return Subject(name, sha256)


def _malformed(reason: str) -> BadInput:
    return BadInput("statement.malformed", f"Not a valid in-toto Statement v1: {reason}.")


def sign_statement(statement: bytes, identity: Identity) -> bytes:
    """Wrap a built statement in a DSSE envelope with the signer's certificate; returns canonical JSON."""
    return canonical_json(sign_envelope(PAYLOAD_TYPE, statement, identity))


def verify_statement(
    data: bytes, *, predicate_type: str, trusted: Mapping[str, Certificate] | None = None
) -> tuple[Statement, VerifiedPayload]:
    """Read an attestation file: canonical DSSE JSON, valid signatures, a well-formed statement inside.

    ``trusted`` as for ``verify_envelope``. Raises ``BadInput`` and ``VerificationFailed`` with the
    codes of ``parse_canonical``, ``verify_envelope`` and ``parse_statement``.
    """
    verified = verify_envelope(parse_canonical(data), payload_type=PAYLOAD_TYPE, trusted=trusted)
    return parse_statement(verified.payload, predicate_type=predicate_type), verified
