"""The report's makers, from file to file: tests look at the files with other programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forensic.report import document, signature
from forensic.signing.validationdata import ValidationData


def build_pdf(predicate: Mapping[str, Any], run_folder: Path, attestation: bytes, out: Path) -> None:
    """Write the unsigned report to ``out``."""
    out.write_bytes(document.build_pdf(predicate, run_folder, attestation))


def sign_pdf(unsigned: Path, out: Path, identity: signature.SigningIdentity, **options: Any) -> None:
    """Write ``unsigned``, signed, to ``out``."""
    out.write_bytes(signature.sign_pdf(unsigned.read_bytes(), identity, **options))


def add_validation_data(signed: Path, out: Path, data: ValidationData) -> None:
    """Write ``signed`` with ``data`` to ``out``."""
    out.write_bytes(signature.add_validation_data(signed.read_bytes(), data))


def add_document_timestamp(signed: Path, out: Path, stamp: signature.Stamp) -> None:
    """Write ``signed`` with a document timestamp to ``out``."""
    out.write_bytes(signature.add_document_timestamp(signed.read_bytes(), stamp))
