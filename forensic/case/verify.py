"""``forensic verify``: find out what a path is, and check it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from forensic.case.layout import (
    ATTESTATION,
    FRAMES,
    GENERATIVE_OUTPUT,
    MANIFEST,
    OUTPUT,
    REGISTRATION,
    REPORT,
    RESULT,
    SUITE,
    WorkspaceLayout,
)
from forensic.case.regularfile import JSON_LIMIT, open_regular, read_regular
from forensic.case.verification.anchors import is_checkpoint, note_unused, verify_checkpoint
from forensic.case.verification.attestations import check_attestation, signer_matches_record
from forensic.case.verification.bundleform.bag import BAGIT, ENTRIES, STATEMENT, TAG_MANIFEST
from forensic.case.verification.bundleform.bag import MANIFEST as BAG_MANIFEST
from forensic.case.verification.bundles import verify_bundle
from forensic.case.verification.calibrations import verify_calibration, verify_calibration_record
from forensic.case.verification.checks import Verification
from forensic.case.verification.handling import verify_handover
from forensic.case.verification.identities import check_identities
from forensic.case.verification.reports import verify_report
from forensic.case.verification.runs import verify_run
from forensic.case.verification.stills import check_proof_signer, verify_still
from forensic.case.verification.trust import NOTHING, Trust
from forensic.case.verification.validations import verify_validation, verify_validation_record
from forensic.case.verification.workspaces import verify_workspace
from forensic.errors import ForensicError, UsageError
from forensic.signing.statement import RUN_PREDICATE, STILL_PREDICATE, verify_statement

_PNG = b"\x89PNG\r\n\x1a\n"
_PDF = b"%PDF"
_ZIP = b"PK\x03\x04"
_BAG_FILES = (BAGIT, STATEMENT, BAG_MANIFEST, TAG_MANIFEST, ENTRIES)
_RUN_FILES = (MANIFEST, ATTESTATION, REPORT, OUTPUT, GENERATIVE_OUTPUT, FRAMES)
_VALIDATION_NAME = re.compile(r"V-\d{8}T\d{6}Z-[0-9a-f]{6}(\.incomplete)?", re.ASCII)
_CALIBRATION_NAME = re.compile(r"C-\d{8}T\d{6}Z-[0-9a-f]{6}(\.incomplete)?", re.ASCII)
_RUN_NAME = re.compile(r"R-\d{8}T\d{6}Z-[0-9a-f]{6}(\.incomplete)?", re.ASCII)


def verify(path: Path, *, trust: Trust = NOTHING, say: Callable[[str], None] = lambda _: None) -> Verification:
    """Verify a report, run folder, validation, bundle, workspace, still or signed statement at ``path``.

    What it is, its name says as well as its content: a picture whose first byte was changed is a
    picture that fails. ``trust``: what the verifier has from elsewhere. Raises ``UsageError`` (``verify.unknown-kind``,
    ``verify.unreadable``) for what is none of these by name and content, or not there.
    """
    try:
        verification = _verify(path, trust, say)
    except UsageError:
        raise
    except ForensicError as error:
        # Whatever stops a check is a failed check: nothing unverifiable may look like bad usage.
        verification = failed(path, f"{error.code}: {error.message}")
    except OSError as error:
        verification = failed(path, str(error.strerror or error))
    except Exception as error:  # noqa: BLE001 - whatever hostile material provokes is a failed check, never a crash
        verification = failed(path, f"the material could not be examined: {type(error).__name__}: {error}")
    note_unused(verification, trust)
    _require_use(verification, trust)
    if trust.fingerprint is not None:
        wanted = trust.fingerprint.replace(":", "").replace(" ", "").lower()
        # A ledger has several signers; one of them has vouched for the others, or for those who did.
        # So in a bundle, where whoever signed is one of the extract's signers (B14, I1, S8): keys are rotated.
        own = verification.kind in ("workspace", "bundle") and wanted in verification.signers
        expected = own or set(verification.signers) == {wanted}
        verification.record("K1", "signed with the expected certificate", expected, f"expected {wanted}")
    return verification


def _require_use(verification: Verification, trust: Trust) -> None:
    """K2: an authority that nothing was held against must not look as if it had vouched."""
    if trust.authorities and not any(check.number in ("I3", "I6") for check in verification.checks):
        verification.record(
            "K2", "the authority that you named was asked about the signer", False, "no check here could make use of it"
        )


def failed(path: Path, reason: str) -> Verification:
    """The result for material that could not be examined: check X1, failed."""
    verification = Verification(str(path), "unknown")
    verification.record("X1", "the material can be examined", False, reason)
    return verification


def _verify(path: Path, trust: Trust, say: Callable[[str], None]) -> Verification:
    if path.is_dir():
        return _verify_folder(path, trust, say)
    # A link that the user names is followed; links inside the material are not.
    file = _resolved(path)
    suffix = path.suffix.lower()
    magic = b""
    try:
        with open_regular(file) as stream:
            magic = stream.read(len(_PNG))
    except OSError as error:
        if isinstance(error, FileNotFoundError) or suffix not in (".png", ".pdf", ".json", ".zip"):
            raise UsageError("verify.unreadable", f"{path} cannot be read: {error.strerror}.") from error
    if magic == _PNG or suffix == ".png":
        return verify_still(file, trust)[0]
    if magic.startswith(_PDF) or suffix == ".pdf":
        return verify_report(file, trust=trust)[0]
    if magic.startswith(_ZIP) or suffix == ".zip":
        return verify_bundle(file, say, trust=trust)
    if suffix == ".json":
        return _verify_statement(path, read_regular(file, JSON_LIMIT), trust)
    if is_checkpoint(file):
        return verify_checkpoint(file, trust=trust)
    raise UsageError(
        "verify.unknown-kind",
        f"{path} is not something that can be verified alone.",
        "Give a report.pdf, run folder, bundle, workspace, still, its proof, an attestation.json or a checkpoint.",
    )


def _resolved(path: Path) -> Path:
    try:
        return path.resolve() if path.is_symlink() else path
    except RuntimeError as error:  # a loop of links, on Python before 3.13
        raise OSError(str(error)) from error


def _verify_folder(path: Path, trust: Trust, say: Callable[[str], None]) -> Verification:
    layout = WorkspaceLayout(path)
    if any((path / name).exists() for name in _BAG_FILES):
        return verify_bundle(path, say, trust=trust)
    if layout.ledger.exists():
        return verify_workspace(path, say, trust=trust)
    if _RUN_NAME.fullmatch(path.absolute().name):
        return verify_run(path, trust=trust)
    if _VALIDATION_NAME.fullmatch(path.absolute().name) or any((path / name).exists() for name in (RESULT, SUITE)):
        return verify_validation(path, trust=trust)
    if _CALIBRATION_NAME.fullmatch(path.absolute().name) or (path / REGISTRATION).exists():
        return verify_calibration(path, trust=trust)
    if any((path / name).exists() for name in _RUN_FILES):
        return verify_run(path, trust=trust)
    if layout.runs.is_dir() and (layout.exhibits.is_dir() or layout.identity.is_dir()):
        return verify_workspace(path, say, trust=trust)  # whose ledger is gone: C1 fails
    raise UsageError("verify.unknown-kind", f"{path} is neither a run folder nor a bundle nor a workspace.")


def _verify_statement(path: Path, data: bytes, trust: Trust) -> Verification:
    """A signed statement alone: the record of a run, the proof of a still, a transfer or its acknowledgement."""
    if (handed := verify_handover(path, data, trust)) is not None:
        return handed
    if (calibrated := verify_calibration_record(path, data, trust)) is not None:
        return calibrated
    if (validated := verify_validation_record(path, data, trust)) is not None:
        return validated
    if not _is_proof(data):
        verification = Verification(str(path), "record")
        statement = check_attestation(verification, data)
        if statement is not None:
            signer_matches_record(verification, statement.predicate)
            check_identities(verification, data, None, trust)
            verification.signed = True
            verification.not_checked.append("the files that the record is about: verify the run folder")
        return verification
    verification = Verification(str(path), "proof of a still")
    if check_attestation(verification, data, STILL_PREDICATE, "S3") is not None:
        check_proof_signer(verification, data, trust)
        verification.signed = True
        verification.not_checked.append("the picture that the proof is about: verify it with the proof beside it")
    return verification


def _is_proof(data: bytes) -> bool:
    try:
        verify_statement(data, predicate_type=RUN_PREDICATE)
    except ForensicError as error:
        return error.code == "statement.predicate-type" and STILL_PREDICATE in error.message
    return False
