"""The record of a run as the report reads it: checked against its signed attestation first."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from forensic.errors import BadInput, VerificationFailed
from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json, sha256_bytes
from forensic.report.values import at, items
from forensic.signing.certificate import certificate_facts
from forensic.signing.statement import RUN_PREDICATE, STILL_PREDICATE, verify_statement

MANIFEST = "manifest.sha256"


class RunRecord:
    """Predicate, attestation and run folder, known to belong together.

    Raises ``BadInput`` (``report.schema``, ``report.record``) for a record that this version does
    not understand, ``VerificationFailed`` (``report.record-changed``) if the predicate is not the
    one that was signed, (``report.unlabelled``) for generated pictures without their label, and
    what :func:`forensic.signing.statement.verify_statement` raises.
    """

    def __init__(self, predicate: Mapping[str, Any], folder: Path, attestation: bytes) -> None:
        if at(predicate, "schema") != RUN_PREDICATE:
            raise BadInput("report.schema", f"The record's schema is not {RUN_PREDICATE}.")
        statement, verified = verify_statement(attestation, predicate_type=RUN_PREDICATE)
        if canonical_json(statement.predicate) != canonical_json(dict(predicate)):
            raise VerificationFailed(
                "report.record-changed",
                "The record to be reported is not the one in the signed attestation.",
                "Use the attestation.json of this run, unchanged.",
            )
        self.predicate = statement.predicate
        self.folder = folder
        self.attestation = attestation
        self.level_shares: dict[str, dict[str, float]] = {}  # by level map, as measured
        self.attestation_sha256 = sha256_bytes(attestation)
        self.signer = certificate_facts(verified.certificates[0])
        self.digests = {subject.name: {subject.sha256} for subject in statement.subjects}
        self._collect_digests()
        self.stage_class = self._highest_class()
        if self.generative and self.get("output", "labelled") is not True:
            raise VerificationFailed(
                "report.unlabelled",
                "The output is of generative class but not recorded as labelled.",
                "No report is made of unlabelled generated pictures.",
            )

    def get(self, *path: str) -> Any:
        """Value at ``path`` of the predicate, None where it is missing."""
        return at(self.predicate, *path)

    def listed(self, *path: str) -> list[Any]:
        """List at ``path`` of the predicate, empty where it is missing."""
        return items(self.get(*path))

    @property
    def run_id(self) -> str:
        """Identifier of the run."""
        return str(self.get("run", "id") or "unidentified run")

    @property
    def generative(self) -> bool:
        """Whether anything in the run is of generative class."""
        return self.stage_class is StageClass.GENERATIVE

    @property
    def creative(self) -> bool:
        """Whether the run was made in creative mode (anything but ``forensic`` counts)."""
        return bool(self.get("run", "mode") != "forensic")

    def seconds(self, pts: Any) -> str:
        """``pts`` as seconds in the exhibit's time base, six decimals; empty if it cannot be told."""
        try:
            value = int(pts) * Fraction(str(self.get("exhibit", "time_base")))
        except (ValueError, TypeError, ZeroDivisionError):
            return ""
        return f"{float(value):.6f} s"

    def _collect_digests(self) -> None:
        """Every digest stated for a file of the run: all of them must hold."""
        for still in self.listed("stills"):
            self._add(at(still, "after"), at(still, "sha256"))
            self._add(at(still, "after"), at(still, "after_sha256"))
            self._add(at(still, "before"), at(still, "before_sha256"))
            self._add(at(still, "beside"), at(still, "beside_sha256"))
        self._add(self.get("output", "file"), self.get("output", "sha256"))
        try:
            lines = (self.folder / MANIFEST).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return  # it is written after the report; a reissue finds it
        for line in lines:
            digest, _, name = line.partition("  ")
            if name != "report.pdf":
                self._add(name, digest)

    def _add(self, name: Any, digest: Any) -> None:
        if isinstance(name, str) and isinstance(digest, str):
            self.digests.setdefault(name, set()).add(digest)

    def _highest_class(self) -> StageClass:
        named = [self.get("output", "stage_class")]
        named += [at(stage, "class") for stage in self.listed("recipe", "stages")]
        named += [at(model, "class") for model in self.listed("models") if at(model, "class") is not None]
        for still in self.listed("stills"):
            named += [value for key in ("stage_class", "class") if (value := at(still, key)) is not None]
            named.append(self._sidecar_class(at(still, "after")))
        return max(StageClass.parse(name) for name in named)

    def _sidecar_class(self, still: Any) -> Any:
        """Class that the signed sidecar of a still states; the lowest where there is no sidecar.

        A sidecar that does not verify raises what ``verify_statement`` raises.
        """
        try:
            data = (self.folder / f"{still}.json").read_bytes()
        except (OSError, ValueError):
            return StageClass.PRESENTATION.label
        statement, _ = verify_statement(data, predicate_type=STILL_PREDICATE)
        return at(statement.predicate, "stage_class")
