"""PAdES signature on the report: certifying, no change allowed afterwards; baseline B-B, B-T, B-LT or B-LTA.

ETSI EN 319 142-1, 6.3 (levels); ISO 32000-2, 12.8 (signatures, DocMDP permission 1, which leaves room for
validation data and document timestamps alone).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from forensic.errors import BadInput, ForensicError, InternalError, StorageFailed, UsageError
from forensic.report.longterm import with_validation_data
from forensic.signing.validationdata import ValidationData

FIELD = "ForensicSignature"
TIMESTAMP_FIELD = "ForensicTimestamp"
Stamp = Callable[[bytes], bytes]
"""From a digest (SHA-256; of a signature by Ed25519 SHA-512) to a timestamp token over it, DER, checked."""

_ROOM = 8192  # bytes kept free for a token, half as much again added by pyHanko; usual ones have 1 to 6 KiB


class SigningIdentity(Protocol):
    """What is needed of :class:`forensic.signing.identity.Identity`."""

    @property
    def certificate_der(self) -> bytes:
        """X.509 certificate."""

    def sign(self, data: bytes) -> bytes:
        """Signature over ``data``: DER ECDSA with SHA-256, or raw Ed25519."""


def _signer(identity: SigningIdentity, chain: Sequence[str] = ()) -> Any:
    from asn1crypto import pem, x509
    from pyhanko.sign.signers import Signer
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    from forensic.signing.tokenform import certificate_path

    class IdentitySigner(Signer):
        """Signs through the identity, so that the private key never leaves its own package."""

        async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
            return bytes(80) if dry_run else identity.sign(data)

    above = [pem.unarmor(each.encode("ascii"))[2] for each in chain]
    enclosed: Any = SimpleCertificateStore()  # type: ignore[no-untyped-call]
    # Whole up to a root, or not at all: a certificate that nothing vouches for could be changed unnoticed.
    for each in certificate_path(identity.certificate_der, above)[1:]:
        enclosed.register(x509.Certificate.load(each))
    return IdentitySigner(signing_cert=x509.Certificate.load(identity.certificate_der), cert_registry=enclosed)


def _stamper(stamp: Stamp) -> Any:
    from asn1crypto import cms
    from pyhanko.sign.timestamps import TimeStamper

    class OwnTimeStamper(TimeStamper):
        """Gets tokens from ``stamp``, so that pyHanko opens no connection; asks nobody to learn a token's size."""

        async def async_dummy_response(self, md_algorithm: str) -> Any:
            return cms.ContentInfo({"content_type": "data", "content": cms.OctetString(bytes(_ROOM))})

        async def async_timestamp(self, message_digest: bytes, md_algorithm: str) -> Any:
            token = stamp(message_digest)
            if len(token) > _ROOM:
                raise BadInput(
                    "timestamp.size", f"The timestamp has {len(token)} bytes; a report has room for {_ROOM}."
                )
            return cms.ContentInfo.load(token)

    return OwnTimeStamper()  # type: ignore[no-untyped-call]


def sign_pdf(
    unsigned: Path,
    out: Path,
    identity: SigningIdentity,
    *,
    reason: str,
    location: str | None = None,
    when: datetime,
    chain: Sequence[str] = (),
    stamp: Stamp | None = None,
) -> None:
    """Sign the PDF at ``unsigned`` and write the result to ``out``; the input is left as it is.

    The signature is invisible on the page, certifies the document (DocMDP: no changes), and covers
    every byte but its own value. ``when`` (with a time zone) is the claimed signing time. ``chain``: PEM
    certificates above the signer's. With ``stamp`` the signature carries a timestamp over its value (B-T).
    Raises ``BadInput`` (``report.unsigned-unreadable``), ``UsageError`` (``report.signing-time``),
    ``StorageFailed`` (``report.storage``), ``BadInput`` (``timestamp.size``) and whatever ``stamp`` raises; then
    ``out`` is not there.
    """
    from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
    from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner

    if when.tzinfo is None:
        raise UsageError("report.signing-time", "The signing time has no time zone.")
    signer = _signer(identity, chain)
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
    stamper = None if stamp is None else _stamper(stamp)

    def sign(source: BinaryIO, target: BinaryIO) -> None:
        _at(PdfSigner(metadata, signer=signer, timestamper=stamper), when).sign_pdf(_writer(source), output=target)

    _written(unsigned, out, sign)


def add_validation_data(signed: Path, out: Path, data: ValidationData) -> None:
    """Add certificates and revocation lists to a report with a timestamped signature (B-LT).

    Raises ``BadInput`` (``report.revision``) and ``StorageFailed`` (``report.storage``).
    """

    def extend(source: BinaryIO, target: BinaryIO) -> None:
        target.write(with_validation_data(source.read(), data))

    _written(signed, out, extend)


def add_document_timestamp(signed: Path, out: Path, stamp: Stamp) -> None:
    """Add a timestamp over the whole file, validation data included (B-LTA). Raises as :func:`sign_pdf`."""
    from pyhanko.sign.signers import PdfTimeStamper

    def extend(source: BinaryIO, target: BinaryIO) -> None:
        stamper = PdfTimeStamper(_stamper(stamp), field_name=TIMESTAMP_FIELD)
        stamper.timestamp_pdf(_writer(source), "sha256", output=target)

    _written(signed, out, extend)


def _written(source: Path, out: Path, make: Callable[[BinaryIO, BinaryIO], None]) -> None:
    """Let ``make`` write ``out`` from ``source``; after an error ``out`` is gone."""
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.sign.general import SigningError

    try:
        with source.open("rb") as stream, out.open("w+b") as target:
            make(io.BytesIO(stream.read()), target)
    except SigningError as error:
        out.unlink(missing_ok=True)
        raise InternalError("report.signing", f"The report could not be signed: {error}.") from error
    except PdfError as error:
        out.unlink(missing_ok=True)
        raise BadInput("report.unsigned-unreadable", f"The PDF to be signed cannot be read: {error}.") from error
    except OSError as error:
        raise StorageFailed(
            "report.storage", f"The signed report cannot be written to {out}: {error.strerror or error}."
        ) from error
    except ForensicError:
        out.unlink(missing_ok=True)
        raise


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
