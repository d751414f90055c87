"""``forensic verify``: find out what a path is, and check it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from forensic.case.layout import ATTESTATION, MANIFEST, WorkspaceLayout
from forensic.case.verification.attestations import check_attestation, signer_matches_record
from forensic.case.verification.checks import Verification
from forensic.case.verification.reports import verify_report
from forensic.case.verification.runs import verify_run
from forensic.case.verification.stills import verify_still
from forensic.case.verification.workspaces import verify_workspace
from forensic.errors import ForensicError, UsageError

_PNG = b"\x89PNG\r\n\x1a\n"


def verify(path: Path, *, fingerprint: str | None = None, say: Callable[[str], None] = lambda _: None) -> Verification:
    """Verify a report, run folder, workspace, still or attestation at ``path``.

    ``fingerprint``: SHA-256 of the certificate that must have signed, obtained from the laboratory
    by another way. Raises ``UsageError`` (``verify.unknown-kind``) for anything else.
    """
    try:
        verification = _verify(path, say)
    except UsageError:
        raise
    except ForensicError as error:
        # Whatever stops a check is a failed check: nothing unverifiable may look like bad usage.
        verification = Verification(str(path), "unknown")
        verification.record("X1", "the material can be examined", False, f"{error.code}: {error.message}")
    if fingerprint is not None:
        wanted = fingerprint.replace(":", "").replace(" ", "").lower()
        verification.record(
            "K1", "signed with the expected certificate", set(verification.signers) == {wanted}, f"expected {wanted}"
        )
    return verification


def _verify(path: Path, say: Callable[[str], None]) -> Verification:
    if path.is_dir():
        if (path / MANIFEST).exists() or (path / ATTESTATION).exists():
            return verify_run(path)
        if WorkspaceLayout(path).ledger.exists():
            return verify_workspace(path, say)
        raise UsageError("verify.unknown-kind", f"{path} is neither a run folder nor a workspace.")
    try:
        with path.open("rb") as stream:
            magic = stream.read(len(_PNG))
    except OSError as error:
        raise UsageError("verify.unreadable", f"{path} cannot be read: {error.strerror}.") from error
    if magic == _PNG:
        return verify_still(path)[0]
    if magic.startswith(b"%PDF") or path.suffix.lower() == ".pdf":
        return verify_report(path)[0]
    if path.suffix.lower() == ".json":
        verification = Verification(str(path), "record")
        statement = check_attestation(verification, path.read_bytes())
        if statement is not None:
            signer_matches_record(verification, statement.predicate)
            verification.signed = True
        return verification
    raise UsageError(
        "verify.unknown-kind",
        f"{path} is not something that can be verified alone.",
        "Give a report.pdf, a run folder, a workspace, a still or an attestation.json.",
    )
