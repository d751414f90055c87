"""A laboratory's own certificate authority: one key in a folder of its own, for a handful of people.

Files: ``key.pem`` (or ``token.toml``), ``certificate.pem``, ``crl.pem``, and ``issued/SERIAL.pem``, a copy of
everything it ever certified. The role that a person has stands on the certificate as title (X.520).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from forensic.errors import BadInput, StorageFailed, UsageError, VerificationFailed
from forensic.signing.certificate import (
    Certificate,
    certificate_pem,
    distinguished_name,
    is_supported_key,
    read_certificate,
    signer_certificate,
)
from forensic.signing.chain import (
    RevocationList,
    list_is_of,
    read_revocation_list,
    revocation_list_pem,
)
from forensic.signing.identity import (
    CERTIFICATE_FILE,
    CRL_FILE,
    KEY_FILE,
    Identity,
    load_identity,
    place_files,
    replace_file,
)
from forensic.signing.keyfile import write_private_key
from forensic.signing.sealing import seal_certificate, seal_request, seal_revocation_list
from forensic.signing.signer import FileKey, Signer

ROLES = ("examiner", "reviewer")
ISSUED = "issued"
DEFAULT_DAYS = 3 * 365
DEFAULT_LIST_DAYS = 90
_AUTHORITY_VALIDITY = dt.timedelta(days=20 * 365)
_REASONS = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessation-of-operation": x509.ReasonFlags.cessation_of_operation,
}
REASONS = tuple(_REASONS)


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority that can issue and revoke."""

    folder: Path
    identity: Identity

    @property
    def certificate(self) -> Certificate:
        """Its own certificate."""
        return self.identity.certificate

    @property
    def signer(self) -> Signer:
        """Its key."""
        return self.identity.signer


def create_authority(folder: Path, *, name: str, passphrase: str | None, now: dt.datetime) -> Authority:
    """Make an authority called ``name`` in ``folder``: P-256, twenty years, no authorities below it, an empty list.

    Raises ``UsageError`` (``identity.name``, ``identity.passphrase``, ``identity.exists``) and
    ``StorageFailed`` (``identity.storage``).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    signer = FileKey(key, "none" if passphrase is None else "passphrase")
    certificate = _authority_certificate(signer, name, now)
    crl = _revocation_list(signer, certificate, None, None, now, dt.timedelta(days=DEFAULT_LIST_DAYS))
    files = {
        KEY_FILE: write_private_key(key, passphrase),
        CERTIFICATE_FILE: certificate_pem(certificate).encode("ascii"),
        CRL_FILE: revocation_list_pem(crl).encode("ascii"),
    }
    place_files(folder, files)
    return Authority(folder, Identity(signer, certificate))


def _authority_certificate(signer: Signer, name: str, now: dt.datetime) -> Certificate:
    subject = distinguished_name(name, "")
    start = now.astimezone(dt.UTC).replace(microsecond=0)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(signer.public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _AUTHORITY_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(signer.public_key), critical=False)
    )
    return seal_certificate(builder, signer)


def open_authority(folder: Path, passphrase_callback: Callable[[], str] | None) -> Authority:
    """Open the authority in ``folder``. Raises as ``load_identity``, and ``UsageError`` (``authority.none``)."""
    identity = load_identity(folder, passphrase_callback)
    try:
        is_authority = identity.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        is_authority = False
    if not is_authority:
        raise UsageError("authority.none", f"{folder} holds an identity, not a certificate authority.")
    return Authority(folder, identity)


def certificate_request(identity: Identity) -> str:
    """A certificate request (PKCS#10, PEM) for the identity's key under its present name."""
    return (
        seal_request(identity.certificate.subject, identity.signer)
        .public_bytes(serialization.Encoding.PEM)
        .decode("ascii")
    )


def issue(authority: Authority, request_pem: bytes, *, role: str, days: int, now: dt.datetime) -> Certificate:
    """Certify the key of a request for ``days``, with the name and organisation on it and ``role`` as title.

    The request must be signed with the key that it is about. A copy is kept in ``issued``. Whether the name
    is that of the person who brought the request is for the authority's holder to know. Raises ``BadInput``
    (``certificate.request``), ``UsageError`` (``identity.role``, ``authority.days``) and ``StorageFailed``.
    """
    if role not in ROLES:
        raise UsageError("identity.role", f"There is no role {role!r}.", f"Choose one of: {', '.join(ROLES)}.")
    request = _read_request(request_pem)
    names = {kind: _single(request.subject, kind) for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)}
    own = authority.certificate
    start = now.astimezone(dt.UTC).replace(microsecond=0)
    end = min(start + dt.timedelta(days=days), own.not_valid_after_utc)
    if not 1 <= days <= 3653 or end <= start:
        raise UsageError("authority.days", f"A certificate cannot be valid for {days} days here.", "Choose 1 to 3653.")
    subject = distinguished_name(names[NameOID.COMMON_NAME], names[NameOID.ORGANIZATION_NAME], role)
    builder = signer_certificate(request.public_key(), subject, own.subject, start, end).add_extension(  # type: ignore[arg-type]
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.signer.public_key), critical=False
    )
    certificate = seal_certificate(builder, authority.signer)
    try:
        (authority.folder / ISSUED).mkdir(exist_ok=True)
    except OSError as error:
        raise StorageFailed(
            "identity.storage", f"{authority.folder} cannot be written to: {error.strerror}."
        ) from error
    replace_file(_issued_file(authority, certificate.serial_number), certificate_pem(certificate).encode("ascii"))
    return certificate


def _read_request(pem: bytes) -> x509.CertificateSigningRequest:
    try:
        request = x509.load_pem_x509_csr(pem)
        sound = request.is_signature_valid and is_supported_key(request.public_key())
        request.subject.rfc4514_string()
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion) as error:
        raise BadInput("certificate.request", f"Not a readable certificate request: {error}.") from error
    if not sound:
        raise BadInput(
            "certificate.request",
            "The request is not signed with the key that it is about, or that key is neither P-256 nor Ed25519.",
        )
    return request


def _single(subject: x509.Name, kind: x509.ObjectIdentifier) -> str:
    values = [str(attribute.value) for attribute in subject.get_attributes_for_oid(kind)]
    if len(values) > 1:
        raise BadInput("certificate.request", "The request states a name twice.")
    return values[0] if values else ""


def _issued_file(authority: Authority, serial: int) -> Path:
    return authority.folder / ISSUED / f"{serial:x}.pem"


def revoke(
    authority: Authority,
    serial: str | None,
    *,
    reason: str = "unspecified",
    days: int = DEFAULT_LIST_DAYS,
    now: dt.datetime,
) -> RevocationList:
    """Issue the revocation list anew, with ``serial`` (hexadecimal) on it if one is given, as ``crl.pem``.

    What was on it stays on it. Raises ``UsageError`` (``authority.serial``, ``authority.days``),
    ``VerificationFailed`` (``authority.list``: the present list is not this authority's) and ``StorageFailed``.
    """
    if not 1 <= days <= 3653:
        raise UsageError("authority.days", f"A list cannot be valid for {days} days.", "Choose 1 to 3653.")
    added = None
    if serial is not None:
        added = (_known_serial(authority, serial), _REASONS[reason])
    present = current_list(authority)
    crl = _revocation_list(authority.signer, authority.certificate, present, added, now, dt.timedelta(days=days))
    replace_file(authority.folder / CRL_FILE, revocation_list_pem(crl).encode("ascii"))
    return crl


def _known_serial(authority: Authority, serial: str) -> int:
    try:
        number = int(serial.replace(":", ""), 16)
        issued = read_certificate(_issued_file(authority, number).read_bytes())
    except (ValueError, OSError) as error:
        raise UsageError(
            "authority.serial",
            f"This authority has issued no certificate with the serial number {serial!r}.",
            f"The certificates are in {authority.folder / ISSUED}, named after their serial numbers.",
        ) from error
    return issued.serial_number


def current_list(authority: Authority) -> RevocationList:
    """The list in ``crl.pem``, checked. Raises ``VerificationFailed`` (``authority.list``)."""
    try:
        crl = read_revocation_list((authority.folder / CRL_FILE).read_bytes())
    except OSError as error:
        raise VerificationFailed(
            "authority.list",
            f"{authority.folder / CRL_FILE} cannot be read: {error.strerror}.",
            "Restore it from a backup: a new list would forget who is revoked.",
        ) from error
    if not list_is_of(crl, authority.certificate):
        raise VerificationFailed("authority.list", "The present revocation list is not signed by this authority.")
    return crl


def _revocation_list(
    signer: Signer,
    certificate: Certificate,
    present: RevocationList | None,
    added: tuple[int, x509.ReasonFlags] | None,
    now: dt.datetime,
    validity: dt.timedelta,
) -> RevocationList:
    moment = now.astimezone(dt.UTC).replace(microsecond=0)
    number = 1 if present is None else _number(present) + 1
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(moment)
        .next_update(moment + validity)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key), critical=False)
    )
    listed = set()
    for entry in present or ():
        builder = builder.add_revoked_certificate(entry)
        listed.add(entry.serial_number)
    if added is not None and added[0] not in listed:
        entry_builder = x509.RevokedCertificateBuilder().serial_number(added[0]).revocation_date(moment)
        if added[1] is not x509.ReasonFlags.unspecified:
            entry_builder = entry_builder.add_extension(x509.CRLReason(added[1]), critical=False)
        builder = builder.add_revoked_certificate(entry_builder.build())
    return seal_revocation_list(builder, signer)


def _number(crl: RevocationList) -> int:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0


def list_facts(crl: RevocationList) -> dict[str, object]:
    """Issuer, number, dates and revoked serial numbers (hexadecimal) of a list; JSON-ready."""
    return {
        "issuer": crl.issuer.rfc4514_string(),
        "number": _number(crl),
        "issued_utc": crl.last_update_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "next_utc": None if crl.next_update_utc is None else crl.next_update_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "revoked": sorted(f"{entry.serial_number:x}" for entry in crl),
    }
