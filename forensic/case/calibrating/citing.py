"""``enhance --calibration FOLDER``: a laboratory's own calibration, accepted only where everything about it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensic.case.calibrating.events import COMPLETED
from forensic.case.identities import parse_utc
from forensic.case.layout import ATTESTATION, REPORT, CalibrationFolder
from forensic.case.regularfile import read_regular
from forensic.case.verification.calibrations import Examined, examine, ledger_faults, read_files, report_fault
from forensic.case.verification.records import at
from forensic.case.workspace import Workspace, utc_now
from forensic.errors import BadInput, UsageError, VerificationFailed
from forensic.hashes import sha256_bytes
from forensic.report.verification import MAX_BYTES
from forensic.signing.certificate import certificate_facts, key_id
from forensic.signing.chain import Authorities, read_certificates, standing

if TYPE_CHECKING:
    from forensic.risk.calibration.artefact import Calibration
    from forensic.stages.stage import Stage


@dataclass(frozen=True)
class OwnCalibration:
    """A calibration that holds here, and its files, which go into the run's folder, its report among them."""

    calibration: Calibration
    files: Mapping[str, bytes] = field(repr=False)

    def to_record(self) -> dict[str, Any]:
        """What the run's record says of it beside the artefact."""
        return {
            "attestation_sha256": sha256_bytes(self.files[ATTESTATION]),
            "files": {name: sha256_bytes(data) for name, data in self.files.items()},
        }


def own_calibration(workspace: Workspace, folder: Path, stages: Sequence[Stage[Any]]) -> OwnCalibration:
    """The calibration in ``folder``, checked as ``forensic verify`` does, for exactly these ``stages``.

    Whoever signed must be known here: the workspace's ledger says that it was completed, with a key that it does not
    call revoked, or the pinned authority certified the signer. Raises ``UsageError`` (``calibration.unknown``),
    ``VerificationFailed`` (``calibration.unsound``, ``calibration.unsigned``, ``calibration.signer``,
    ``calibration.not-completed``), ``BadInput`` (``calibration.invalid``, ``calibration.other-subject``,
    ``risk.head``) and as ``verify_statement``.
    """
    from forensic.risk.calibration.artefact import QUANTILE
    from forensic.risk.calibration.shelf import head_of

    if not folder.is_dir():
        raise UsageError("calibration.unknown", f"{folder} is no folder.", "Name the folder of a calibration.")
    files = read_files(CalibrationFolder(folder))
    if ATTESTATION not in files:
        raise VerificationFailed(
            "calibration.unsigned", f"{folder} holds no signed record: nobody vouches for this calibration."
        )
    found = examine(files)
    report = CalibrationFolder(folder).report
    files[REPORT] = _read(report)
    _require_signer(workspace, found, files)
    fault = report_fault(report, files[ATTESTATION])
    if fault is not None:
        raise VerificationFailed("calibration.unsound", f"Its report is not that of this calibration: {fault}.")
    _require_subject(found.calibration, stages)
    if found.calibration.score == QUANTILE:
        head_of(found.calibration)  # the score is made with this very head, or not at all
    return OwnCalibration(found.calibration, files)


def _read(report: Path) -> bytes:
    try:
        return read_regular(report, MAX_BYTES)
    except OSError as error:
        raise VerificationFailed("calibration.unsound", f"Its report cannot be read: {error.strerror}.") from error


def _require_signer(workspace: Workspace, found: Examined, files: Mapping[str, bytes]) -> None:
    laboratory = found.calibration.laboratory
    (signer,) = found.signature.certificates
    identifier, register = key_id(signer), workspace.identities
    subject = certificate_facts(signer)["subject"]
    known = register.known.get(identifier)
    if known is not None and known.revoked is not None:
        raise VerificationFailed(
            "calibration.signer", f"The key of {subject}, who signed the calibration, is revoked.", "Calibrate anew."
        )
    if laboratory is not None and laboratory.workspace == workspace.id:
        entries = [
            entry
            for event in ("calibration.registered", COMPLETED)
            for entry in workspace.ledger.entries(event=event)
            if entry.data.get("calibration") == laboratory.id
        ]
        faults = ledger_faults(entries, files, found.statement.predicate, {"report": sha256_bytes(files[REPORT])})
        if faults:
            raise VerificationFailed(
                "calibration.not-completed", f"The ledger does not vouch for calibration {laboratory.id}: {faults[0]}."
            )
        return
    if register.authority is None:
        raise VerificationFailed(
            "calibration.signer",
            f"The calibration was made in another workspace and signed by {subject}; this one knows no authority that "
            "could vouch for that.",
            "Pin the laboratory's authority (forensic identity pin-ca), or calibrate in this workspace.",
        )
    predicate = found.statement.predicate
    try:
        signed = parse_utc(str(at(predicate, "calibration", "finished_utc")))
    except ValueError as error:
        raise VerificationFailed("calibration.signer", "The calibration does not say when it was signed.") from error
    chain = at(predicate, "examiner", "identity", "chain")
    texts = "".join(map(str, chain if isinstance(chain, list) else []))
    authorities = Authorities((register.authority,), tuple(register.lists))
    brought = read_certificates(texts.encode("ascii", "replace"))
    then = standing(signer, (*brought, *register.chains), authorities, min(signed, utc_now()))
    if then.fault or then.revoked is not None:
        raise VerificationFailed(
            "calibration.signer",
            f"The pinned authority does not vouch for {subject}: {then.fault or then.revoked_why}.",
        )


def _require_subject(calibration: Calibration, stages: Sequence[Stage[Any]]) -> None:
    from forensic.risk.calibration.shelf import subject_of

    found = subject_of(stages)
    if found is not None and found[0] == calibration.subject:
        return
    told = calibration.subject
    what = "This recipe cannot have a calibration" if found is None else "; ".join(
        f"{name} is {getattr(found[0], name)}, calibrated was {getattr(told, name)}"
        for name in type(told).model_fields
        if getattr(found[0], name) != getattr(told, name)
    )  # fmt: skip
    raise BadInput(
        "calibration.other-subject",
        f"The calibration is not of what this run does: {what}.",
        "A calibration holds for one model, its weights, precision, scale, stage and parameters, and for whole "
        "pictures or for regions (--roi), not for both.",
    )
