"""The record of a validation as its report reads it: the signed one, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forensic.errors import BadInput, VerificationFailed
from forensic.hashes import canonical_json, sha256_bytes
from forensic.report.values import at, items
from forensic.signing.statement import VALIDATION_PREDICATE, verify_statement


class ValidationRecord:
    """Predicate and attestation, known to belong together.

    Raises ``BadInput`` (``report.schema``) for another kind of record, ``VerificationFailed``
    (``report.record-changed``) if the predicate is not the one that was signed, and what ``verify_statement`` raises.
    """

    def __init__(self, predicate: Mapping[str, Any], attestation: bytes) -> None:
        if at(predicate, "schema") != VALIDATION_PREDICATE:
            raise BadInput("report.schema", f"The record's schema is not {VALIDATION_PREDICATE}.")
        statement, _ = verify_statement(attestation, predicate_type=VALIDATION_PREDICATE)
        if canonical_json(statement.predicate) != canonical_json(dict(predicate)):
            raise VerificationFailed(
                "report.record-changed",
                "The record to be reported is not the one in the signed attestation.",
                "Use the attestation.json of this validation, unchanged.",
            )
        self.predicate = statement.predicate
        self.attestation_sha256 = sha256_bytes(attestation)

    def get(self, *path: str) -> Any:
        """Value at ``path``, None where it is missing."""
        return at(self.predicate, *path)

    def listed(self, *path: str) -> list[Any]:
        """List at ``path``, empty where it is missing."""
        return items(self.get(*path))

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """Results by the id of their requirement."""
        return {str(at(one, "id")): dict(one) for one in self.listed("results") if isinstance(one, Mapping)}
