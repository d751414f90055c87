"""The signed report of a run folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from forensic.case.attest import Attestation
from forensic.case.layout import RunFolder
from forensic.case.storage import storage
from forensic.case.workspace import Workspace
from forensic.hashes import sha256_file
from forensic.report.document import build_pdf
from forensic.report.signature import sign_pdf


def issue_report(
    workspace: Workspace, folder: RunFolder, attestation: Attestation, when: datetime, target: Path
) -> str:
    """Typeset and sign the report of the run in ``folder`` as ``target``; return its SHA-256.

    Working files lie beside ``target``; it is there whole or not at all.
    """
    unsigned = target.with_name(".report.unsigned.pdf")
    signed = target.with_name(".report.signed.pdf")
    try:
        with storage(target, "writing"):
            build_pdf(attestation.predicate, folder.root, attestation.data, unsigned)
            sign_pdf(unsigned, signed, workspace.signer, reason="Record of an enhancement run", when=when)
            signed.replace(target)
    finally:
        unsigned.unlink(missing_ok=True)
        signed.unlink(missing_ok=True)
    return sha256_file(target)
