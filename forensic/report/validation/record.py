"""The record of a validation as its report reads it: the signed one, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forensic.report.filed import FiledRecord
from forensic.report.values import at
from forensic.signing.statement import VALIDATION_PREDICATE


class ValidationRecord(FiledRecord):
    """Predicate and attestation, known to belong together. Raises as :class:`FiledRecord`."""

    def __init__(self, predicate: Mapping[str, Any], attestation: bytes) -> None:
        super().__init__(predicate, attestation, VALIDATION_PREDICATE, "validation")

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """Results by the id of their requirement."""
        return {str(at(one, "id")): dict(one) for one in self.listed("results") if isinstance(one, Mapping)}
