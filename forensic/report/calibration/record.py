"""The record of a calibration as its report reads it: signed, with the artefact and the registration that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forensic.errors import VerificationFailed
from forensic.hashes import parse_canonical, sha256_bytes
from forensic.report.filed import FiledRecord
from forensic.risk.calibration.artefact import Calibration, Stratum, parse_calibration
from forensic.risk.calibration.laboratory import HeldOut, Laboratory
from forensic.signing.statement import CALIBRATION_PREDICATE

ARTEFACT, REGISTRATION = "calibration.json", "registration.json"


class CalibrationRecord(FiledRecord):
    """``calibration`` and ``plan`` (what was registered) are those whose digests the signed record names.

    ``files``: bytes by name. Raises as :class:`FiledRecord` and ``parse_calibration``, and ``VerificationFailed``
    (``report.record-changed``) for files that are not the signed ones.
    """

    def __init__(self, predicate: Mapping[str, Any], attestation: bytes, files: Mapping[str, bytes]) -> None:
        super().__init__(predicate, attestation, CALIBRATION_PREDICATE, "calibration")
        named = {subject.name: subject.sha256 for subject in self.statement.subjects}
        for name in (ARTEFACT, REGISTRATION):
            if name not in files or named.get(name) != sha256_bytes(files[name]):
                raise VerificationFailed("report.record-changed", f"{name} is not the one that was signed.")
        self.calibration: Calibration = parse_calibration(files[ARTEFACT])
        self.plan: Mapping[str, Any] = parse_canonical(files[REGISTRATION])
        if self.calibration.laboratory is None:
            raise VerificationFailed("report.record-changed", "The calibration is not a laboratory's own.")
        self.laboratory: Laboratory = self.calibration.laboratory
        self.registration_sha256 = named[REGISTRATION]

    def low_below(self, stratum: Stratum) -> float | None:
        """The threshold of LOW, None where there is no LOW."""
        return None if self.calibration.contradicted(stratum) else stratum.threshold

    def why_no_low(self, stratum: Stratum) -> str:
        """The reason; empty where there is LOW."""
        if self.calibration.contradicted(stratum):
            return "the held-out recordings contradict the calibration"
        return stratum.refused or ""

    def tested(self, stratum: Stratum) -> HeldOut:
        """Its held-out test: the form requires one of every stratum, in order."""
        return self.laboratory.held_out[self.calibration.strata.index(stratum)]
