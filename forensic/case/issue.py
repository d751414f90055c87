"""The signed report of a run folder."""

from __future__ import annotations

from datetime import datetime

from forensic.case.attest import Attestation
from forensic.case.layout import RunFolder
from forensic.case.storage import storage
from forensic.case.workspace import Workspace
from forensic.hashes import sha256_file
from forensic.report.document import build_pdf
from forensic.report.signature import sign_pdf


def issue_report(workspace: Workspace, folder: RunFolder, attestation: Attestation, when: datetime) -> str:
    """Typeset and sign ``report.pdf``; return its SHA-256."""
    unsigned = folder.root / ".report.unsigned.pdf"
    signed = folder.root / ".report.signed.pdf"
    try:
        with storage(folder.report, "writing"):
            build_pdf(attestation.predicate, folder.root, attestation.data, unsigned)
            sign_pdf(unsigned, signed, workspace.signer, reason="Record of an enhancement run", when=when)
            signed.replace(folder.report)
    finally:
        unsigned.unlink(missing_ok=True)
        signed.unlink(missing_ok=True)
    return sha256_file(folder.report)
