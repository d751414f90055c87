"""PAdES signature on the report: baseline B-B, certifying, no change allowed afterwards.

ETSI EN 319 142-1, 6.3 (level B-B); ISO 32000-2, 12.8 (signatures, DocMDP permission 1).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from forensic.errors import BadInput, StorageFailed, UsageError

FIELD = "ForensicSignature"


class SigningIdentity(Protocol):
    """What is needed of :class:`forensic.signing.identity.Identity`."""

    @property
    def certificate_der(self) -> bytes:
        """X.509 certificate."""

    def sign(self, data: bytes) -> bytes:
        """Signature over ``data``: DER ECDSA with SHA-256, or raw Ed25519."""


def _signer(identity: SigningIdentity) -> Any:
    from asn1crypto import x509
    from pyhanko.sign.signers import Signer

    class IdentitySigner(Signer):
        """Signs through the identity, so that the private key never leaves its own package."""

        async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
            return bytes(80) if dry_run else identity.sign(data)

    return IdentitySigner(signing_cert=x509.Certificate.load(identity.certificate_der))


def sign_pdf(
    unsigned: Path,
    out: Path,
    identity: SigningIdentity,
    *,
    reason: str,
    location: str | None = None,
    when: datetime,
) -> None:
    """Sign the PDF at ``unsigned`` and write the result to ``out``; the input is left as it is.

    The signature is invisible on the page, certifies the document (DocMDP: no changes), and covers
    every byte but its own value. ``when`` (with a time zone) is the claimed signing time; nobody
    confirms it. Raises ``BadInput`` (``report.unsigned-unreadable``), ``UsageError``
    (``report.signing-time``) and ``StorageFailed`` (``report.storage``).
    """
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
    from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner

    if when.tzinfo is None:
        raise UsageError("report.signing-time", "The signing time has no time zone.")
    signer = _signer(identity)
    pure = signer.signing_cert.public_key.algorithm == "ed25519"
    metadata = PdfSignatureMetadata(
        field_name=FIELD,
        md_algorithm="sha512" if pure else "sha256",
        subfilter=SigSeedSubFilter.PADES,
        certify=True,
        docmdp_permissions=MDPPerm.NO_CHANGES,
        reason=reason,
        location=location,
    )
    try:
        with unsigned.open("rb") as source, out.open("w+b") as target:
            writer = _writer(source)
            _at(PdfSigner(metadata, signer=signer), when).sign_pdf(writer, output=target)
    except PdfError as error:
        out.unlink(missing_ok=True)
        raise BadInput("report.unsigned-unreadable", f"The PDF to be signed cannot be read: {error}.") from error
    except OSError as error:
        raise StorageFailed(
            "report.storage", f"The signed report cannot be written to {out}: {error.strerror or error}."
        ) from error


def _writer(source: BinaryIO) -> Any:
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

    class Writer(IncrementalPdfFileWriter):
        """Adds the signature and nothing else: no modification date from the clock, no metadata stream."""

        def _update_meta(self) -> None:
            pass

    return Writer(source)


def _at(signer: Any, when: datetime) -> Any:
    """Make the sessions of a pyHanko ``signer`` use ``when`` instead of the clock."""
    start = signer.init_signing_session

    def session_at(*arguments: Any, **options: Any) -> Any:
        session = start(*arguments, **options)
        session.system_time = when
        return session

    signer.init_signing_session = session_at
    return signer
