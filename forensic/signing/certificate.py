"""X.509 certificates: say what is in our own, read anybody's, name the key, check a signature.

Two kinds of key are accepted everywhere: ECDSA on P-256 with SHA-256 (FIPS 186-5) and Ed25519
(RFC 8032). Anything else is refused rather than guessed at.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import unicodedata
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from forensic.errors import BadInput, UsageError

Certificate = x509.Certificate  # so that other packages can name it without importing cryptography
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

SELF_ISSUED = "self-issued"
ISSUED = "issued"

SELF_ISSUED_VALIDITY = dt.timedelta(days=3652)  # ten years
_NAME_LIMIT = 64  # ub-common-name and ub-organization-name, RFC 5280 appendix A.1
_FORBIDDEN_CATEGORIES = {"Cc", "Cs", "Cn", "Co", "Zl", "Zp"}  # control, surrogate, unassigned, private


def distinguished_name(name: str, lab: str, title: str = "") -> x509.Name:
    """Common name, organisation and title (X.520), those that are given.

    Raises ``UsageError`` (``identity.name``).
    """
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, _name(name, "examiner"))]
    if lab:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, _name(lab, "laboratory")))
    if title:
        attributes.append(x509.NameAttribute(NameOID.TITLE, _name(title, "role")))
    return x509.Name(attributes)


def signer_certificate(
    public_key: PublicKey, subject: x509.Name, issuer: x509.Name, start: dt.datetime, end: dt.datetime
) -> x509.CertificateBuilder:
    """An end-entity certificate for document signing, to be signed by the issuer's key."""
    if start.tzinfo is None:
        raise UsageError("identity.time", "The time of issue has no time zone.")
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,  # nonRepudiation, under its newer name
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start.astimezone(dt.UTC).replace(microsecond=0))
        .not_valid_after(end.astimezone(dt.UTC).replace(microsecond=0))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _name(text: str, what: str) -> str:
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= _NAME_LIMIT or any(unicodedata.category(c) in _FORBIDDEN_CATEGORIES for c in name):
        raise UsageError(
            "identity.name",
            f"The {what}'s name {text!r} cannot stand in a certificate.",
            f"Use 1 to {_NAME_LIMIT} characters without line breaks or control characters.",
        )
    return name


def read_certificate(pem: str | bytes) -> Certificate:
    """Read exactly one certificate in the PEM form that this package (and openssl) writes.

    Text around the block, odd line lengths or a second certificate are refused, so that one
    certificate has one text. Raises ``BadInput`` (``certificate.unreadable``, ``certificate.algorithm``).
    """
    try:
        data = pem.encode("ascii") if isinstance(pem, str) else pem
        certificate = x509.load_pem_x509_certificate(data)
        # The parser is lazy: touch every field that is used later, so that it fails here.
        subject = certificate.subject.rfc4514_string() + certificate.issuer.rfc4514_string()
        valid = certificate.not_valid_before_utc <= certificate.not_valid_after_utc
        key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise BadInput("certificate.unreadable", f"Not a readable X.509 certificate: {error}.") from error
    if not subject or not valid or certificate.public_bytes(serialization.Encoding.PEM) != data:
        raise BadInput(
            "certificate.unreadable",
            "The text is not exactly one PEM certificate with a name and a validity period.",
        )
    if _algorithm(key) is None:
        raise BadInput(
            "certificate.algorithm",
            f"The certificate's key ({type(key).__name__}) is neither ECDSA P-256 nor Ed25519.",
        )
    return certificate


def _algorithm(key: Any) -> str | None:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "ECDSA P-256 with SHA-256"
    return None


def common_name(certificate: Certificate) -> str:
    """The holder's name: the common name, or the whole subject where there is none."""
    return _attribute(certificate, NameOID.COMMON_NAME) or certificate.subject.rfc4514_string()


def certified_title(certificate: Certificate) -> str | None:
    """The title (X.520) on the certificate: in a laboratory's own certificates the role. None if there is none."""
    return _attribute(certificate, NameOID.TITLE)


def _attribute(certificate: Certificate, kind: x509.ObjectIdentifier) -> str | None:
    values = [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(kind)]
    return values[0] if len(values) == 1 else None


def is_supported_key(key: Any) -> bool:
    """Whether ``key`` is of a kind that is accepted for signing: ECDSA P-256 or Ed25519."""
    return _algorithm(key) is not None


def certificate_pem(certificate: Certificate) -> str:
    """The certificate as PEM text (RFC 7468), ending in a line break."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def public_key_id(key: PublicKey) -> str:
    """SHA-256 (hex) over the key's DER SubjectPublicKeyInfo: ``openssl pkey -pubin -outform DER | sha256sum``."""
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def key_id(certificate: Certificate) -> str:
    """``public_key_id`` of the key that ``certificate`` certifies."""
    return public_key_id(certificate.public_key())  # type: ignore[arg-type]


def certificate_kind(certificate: Certificate) -> str:
    """``self-issued`` when the holder vouches for himself, else ``issued`` (by somebody not checked here).

    A certificate that names itself as issuer must carry its own valid signature, else ``BadInput``
    (``certificate.self-signature``).
    """
    if certificate.issuer != certificate.subject:
        return ISSUED
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadInput(
            "certificate.self-signature", "The certificate names itself as issuer but did not sign itself."
        ) from error
    return SELF_ISSUED


def certificate_facts(certificate: Certificate) -> dict[str, str]:
    """What a reader needs to recognise the certificate; JSON-ready, all values are text.

    ``certificate_sha256`` is over the DER: ``openssl x509 -outform DER | sha256sum``.
    """
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "certificate_sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "key_id": key_id(certificate),
        "algorithm": _algorithm(certificate.public_key()) or "unsupported",
        "not_before": _utc(certificate.not_valid_before_utc),
        "not_after": _utc(certificate.not_valid_after_utc),
        "kind": certificate_kind(certificate),
    }


def _utc(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def sign_bytes(key: PrivateKey, data: bytes) -> bytes:
    """Sign ``data``: DER ECDSA-Sig-Value over SHA-256 for P-256, 64 raw bytes for Ed25519."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def signature_is_valid(certificate: Certificate, signature: bytes, data: bytes) -> bool:
    """Whether ``signature`` over ``data`` was made with the key that ``certificate`` certifies."""
    return signature_by_key_is_valid(certificate.public_key(), signature, data)


def signature_by_key_is_valid(key: Any, signature: bytes, data: bytes) -> bool:
    """Whether ``signature`` over ``data`` was made with the private half of ``key``, P-256 or Ed25519."""
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True
