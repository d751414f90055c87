"""Closing a run folder: signed report and ``manifest.sha256``."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from forensic.case.attest import Attestation
from forensic.case.layout import RunFolder
from forensic.case.storage import storage, write_file
from forensic.case.workspace import Workspace
from forensic.hashes import sha256_file
from forensic.report.document import build_pdf
from forensic.report.signature import sign_pdf

_AWKWARD = re.compile(r"[\\\n\r]")


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


def write_manifest(folder: RunFolder) -> str:
    """Write ``manifest.sha256`` in the format of ``sha256sum``; return its own SHA-256."""
    lines = [
        f"{sha256_file(path)}  {folder.name(path)}\n" for path in folder.files() if path.name != folder.manifest.name
    ]
    write_file(folder.manifest, "".join(lines).encode("utf-8"))
    return sha256_file(folder.manifest)


def read_manifest_file(path: Path) -> dict[str, str]:
    """Names and digests of a ``manifest.sha256``; raises ``ValueError`` on any other line."""
    listed: dict[str, str] = {}
    for line in path.read_bytes().decode("utf-8").splitlines():
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None or _AWKWARD.search(line) or match[2] in listed:
            raise ValueError(f"not a line of sha256sum: {line[:80]!r}")
        listed[match[2]] = match[1]
    return listed
