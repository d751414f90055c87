"""PAdES signature on the report: certifying, no change allowed afterwards; baseline B-B, B-T, B-LT or B-LTA.

ETSI EN 319 142-1, 6.3 (levels); ISO 32000-2, 12.8 (signatures, DocMDP permission 1, which leaves room for
validation data and document timestamps alone).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

from forensic.errors import BadInput, InternalError, UsageError
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
    unsigned: bytes,
    identity: SigningIdentity,
    *,
    reason: str,
    location: str | None = None,
    when: datetime,
    chain: Sequence[str] = (),
    stamp: Stamp | None = None,
) -> bytes:
    """The PDF ``unsigned``, signed. In memory: what lies on a disk meanwhile could be exchanged before it is signed.

    The signature is invisible on the page, certifies the document (DocMDP: no changes), and covers
    every byte but its own value. ``when`` (with a time zone) is the claimed signing time. ``chain``: PEM
    certificates above the signer's. With ``stamp`` the signature carries a timestamp over its value (B-T).
    Raises ``BadInput`` (``report.unsigned-unreadable``, ``timestamp.size``), ``UsageError``
    (``report.signing-time``) and whatever ``stamp`` raises.
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

    with _worded():
        target = io.BytesIO()
        _at(PdfSigner(metadata, signer=signer, timestamper=stamper), when).sign_pdf(_writer(unsigned), output=target)
    return target.getvalue()


def add_validation_data(signed: bytes, data: ValidationData) -> bytes:
    """A report with a timestamped signature, and certificates and revocation lists added to it (B-LT).

    Raises ``BadInput`` (``report.revision``).
    """
    with _worded():
        return with_validation_data(signed, data)


def add_document_timestamp(signed: bytes, stamp: Stamp) -> bytes:
    """Add a timestamp over the whole file, validation data included (B-LTA). Raises as :func:`sign_pdf`."""
    from pyhanko.sign.signers import PdfTimeStamper

    with _worded():
        target = io.BytesIO()
        stamper = PdfTimeStamper(_stamper(stamp), field_name=TIMESTAMP_FIELD)
        stamper.timestamp_pdf(_writer(signed), "sha256", output=target)
    return target.getvalue()


@contextmanager
def _worded() -> Iterator[None]:
    """The library's errors in our words."""
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.sign.general import SigningError

    try:
        yield
    except SigningError as error:
        raise InternalError("report.signing", f"The report could not be signed: {error}.") from error
    except PdfError as error:
        raise BadInput("report.unsigned-unreadable", f"The PDF to be signed cannot be read: {error}.") from error


def _writer(pdf: bytes) -> Any:
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

    class Writer(IncrementalPdfFileWriter):
        """Adds the signature and nothing else: no modification date from the clock, no metadata stream."""

        def _update_meta(self) -> None:
            pass

    return Writer(io.BytesIO(pdf))


def _at(signer: Any, when: datetime) -> Any:
    """Make the sessions of a pyHanko ``signer`` use ``when`` instead of the clock."""
    start = signer.init_signing_session

    def session_at(*arguments: Any, **options: Any) -> Any:
        session = start(*arguments, **options)
        session.system_time = when
        return session

    signer.init_signing_session = session_at
    return signer
