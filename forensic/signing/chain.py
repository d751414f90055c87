"""Whether a certificate leads to an authority that somebody trusts, at a given time, and was not revoked.

Source: RFC 5280, section 6, in the part that document signing needs: names, signatures, validity,
basic constraints with path length, key usage, revocation lists. What it does not understand it
refuses: an unknown critical extension (name constraints, policies that are critical) ends the path.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtensionOID

from forensic.errors import BadInput
from forensic.signing.certificate import Certificate

RevocationList = x509.CertificateRevocationList  # so that others can name it without importing cryptography
_BEGIN = b"-----BEGIN "
_LONGEST_LINE = 80
_UNDERSTOOD = {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE}
_STRONG = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_LONGEST_PATH = 5
_MOST_BLOCKS = 64
_MOST_SIGNATURES = 256
_PARSING = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)


@dataclass(frozen=True)
class Authorities:
    """Trusted certificates, and the revocation lists that came with them."""

    certificates: tuple[Certificate, ...] = ()
    lists: tuple[RevocationList, ...] = ()


@dataclass(frozen=True)
class Standing:
    """What the authorities say of a certificate.

    ``fault``: why no path leads to a trusted authority, or empty. ``revoked``: since when it (or one
    above it) is revoked, or None. ``newest_list``: when the newest list about it was issued, None if there is none;
    ``list_expires``: when the next one was due.
    """

    fault: str
    path: tuple[Certificate, ...] = ()
    revoked: dt.datetime | None = None
    revoked_why: str = ""
    newest_list: dt.datetime | None = None
    list_expires: dt.datetime | None = None

    def is_listed_at(self, moment: dt.datetime) -> bool:
        """Whether the newest list about it says how it stood at ``moment``: issued since, or in force then."""
        known = [date for date in (self.newest_list, self.list_expires) if date is not None]
        return self.newest_list is not None and moment <= max(known)


def _blocks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and text of each PEM block, in time linear in the text."""
    place = found = 0
    while (start := data.find(_BEGIN, place)) >= 0:
        kind_end = data.find(b"-----", start + len(_BEGIN), start + _LONGEST_LINE)
        kind = data[start + len(_BEGIN) : max(kind_end, start)]
        mark = b"-----END " + kind + b"-----"
        end = data.find(mark, start) if kind else -1
        if end < 0:
            return
        found += 1
        if found > _MOST_BLOCKS:
            raise BadInput("certificate.unreadable", f"More than {_MOST_BLOCKS} certificates in one file.")
        place = end + len(mark)
        yield kind, data[start:place]


def read_certificates(data: bytes) -> tuple[Certificate, ...]:
    """All certificates of a PEM text, whatever their keys; other blocks and text around are skipped.

    Raises ``BadInput`` (``certificate.unreadable``).
    """
    return tuple(_certificate(block) for kind, block in _blocks(data) if kind == b"CERTIFICATE")


def _certificate(data: bytes) -> Certificate:
    try:
        certificate = (
            x509.load_pem_x509_certificate(data) if data.startswith(b"-----") else x509.load_der_x509_certificate(data)
        )
        # The parser is lazy: touch what is used later, so that it fails here.
        _touch(certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string(), certificate.extensions)
        _touch(certificate.not_valid_after_utc, certificate.not_valid_before_utc)
    except _PARSING as error:
        raise BadInput("certificate.unreadable", f"Not a readable X.509 certificate: {error}.") from error
    return certificate


def _touch(*_fields: object) -> None:
    """The arguments have been evaluated; that was all."""


def read_revocation_list(data: bytes) -> RevocationList:
    """One revocation list, PEM or DER. Raises ``BadInput`` (``certificate.revocation-list``)."""
    try:
        crl = x509.load_pem_x509_crl(data) if data.startswith(b"-----") else x509.load_der_x509_crl(data)
        _touch(crl.issuer.rfc4514_string(), crl.extensions, crl.last_update_utc, crl.next_update_utc)
        for revoked in crl:
            _touch(revoked.extensions, revoked.revocation_date_utc)
    except _PARSING as error:
        raise BadInput("certificate.revocation-list", f"Not a readable revocation list: {error}.") from error
    return crl


def read_authorities(files: Iterable[bytes]) -> Authorities:
    """What a person trusts: PEM files with certificates and revocation lists, or one DER certificate each.

    Raises ``BadInput`` (``certificate.unreadable``, ``certificate.revocation-list``) also for a file
    without any certificate or list in it.
    """
    certificates: list[Certificate] = []
    lists: list[RevocationList] = []
    for data in files:
        before = len(certificates) + len(lists)
        certificates += read_certificates(data)
        lists += [read_revocation_list(block) for kind, block in _blocks(data) if kind == b"X509 CRL"]
        if len(certificates) + len(lists) == before:
            certificates.append(_certificate(data))
    return Authorities(tuple(certificates), tuple(lists))


def standing(
    certificate: Certificate, chain: Iterable[Certificate], authorities: Authorities, at: dt.datetime
) -> Standing:
    """Follow ``certificate`` through ``chain`` to one of ``authorities``, everything as of ``at``.

    Lists count if an authority on the path signed them, wherever they came from. Never raises for
    what the certificates hold.
    """
    try:
        usage = _usage(certificate)
    except _PARSING:  # a signer's certificate is not taken apart where it is read
        return Standing("the certificate's extensions cannot be read")
    if usage is not None and not (usage.digital_signature or usage.content_commitment):
        return Standing("the certificate is not meant for signing")
    search = _Search(tuple(chain)[:_MOST_BLOCKS], authorities.certificates, at)
    for path in search.paths((certificate,)):
        return _with_revocation(path, authorities.lists)
    return Standing("; ".join(dict.fromkeys(search.faults)) or "its issuer is not among the trusted authorities")


@dataclass
class _Search:
    """The search for a path. Hostile certificates that all issue one another are given up on, not followed for ever."""

    pool: tuple[Certificate, ...]
    trusted: tuple[Certificate, ...]
    at: dt.datetime
    faults: list[str] = field(default_factory=list)
    signatures: int = 0

    def paths(self, path: tuple[Certificate, ...]) -> Iterator[tuple[Certificate, ...]]:
        """Every path that begins as ``path`` does and ends at a trusted certificate."""
        last = path[-1]
        fault = _own_fault(last, self.at)
        if fault:
            self.faults.append(fault)
            return
        for issuer in self.trusted:
            if self._issued(last, issuer):
                fault = _own_fault(issuer, self.at) or _issuing_fault(issuer, len(path) - 1)
                if not fault:
                    yield (*path, issuer)
                else:
                    self.faults.append(fault)
        if len(path) < _LONGEST_PATH:
            for issuer in self.pool:
                if issuer not in path and self._issued(last, issuer):
                    fault = _issuing_fault(issuer, len(path) - 1)
                    if fault:
                        self.faults.append(fault)
                    else:
                        yield from self.paths((*path, issuer))

    def _issued(self, certificate: Certificate, issuer: Certificate) -> bool:
        if certificate.issuer != issuer.subject:
            return False
        self.signatures += 1
        if self.signatures > _MOST_SIGNATURES:
            self.faults.append("too many certificates issue one another")
            return False
        return is_issued_by(certificate, issuer)


def is_issued_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether names agree and ``issuer``'s key signed ``certificate``, whatever else either says. Never raises."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *_PARSING):
        return False
    return True


def _own_fault(certificate: Certificate, at: dt.datetime) -> str:
    name = certificate.subject.rfc4514_string()
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        return f"the certificate of {name} was not valid at {at:%Y-%m-%dT%H:%M:%SZ}"
    if any(extension.critical and extension.oid not in _UNDERSTOOD for extension in certificate.extensions):
        return f"the certificate of {name} makes a critical demand that is not understood"
    try:
        digest = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return f"the certificate of {name} is signed in a way that is not understood"
    if digest is not None and not isinstance(digest, _STRONG):
        return f"the certificate of {name} is signed over the weak digest {digest.name}"
    return ""


def _issuing_fault(issuer: Certificate, below: int) -> str:
    """``below``: number of authorities under this one on the path."""
    name = issuer.subject.rfc4514_string()
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return f"{name} is not a certificate authority"
    if not constraints.ca:
        return f"{name} is not a certificate authority"
    if constraints.path_length is not None and below > constraints.path_length:
        return f"{name} may not have so many authorities below it"
    usage = _usage(issuer)
    if usage is not None and not usage.key_cert_sign:
        return f"{name} may not sign certificates"
    return ""


def _usage(certificate: Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _with_revocation(path: tuple[Certificate, ...], lists: tuple[RevocationList, ...]) -> Standing:
    revoked: dt.datetime | None = None
    why = ""
    newest: RevocationList | None = None
    for certificate, issuer in pairwise(path):
        for crl in lists:
            if not list_is_of(crl, issuer):
                continue
            if certificate is path[0] and (newest is None or crl.last_update_utc > newest.last_update_utc):
                newest = crl
            entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None and (revoked is None or entry.revocation_date_utc < revoked):
                revoked = entry.revocation_date_utc
                why = f"{certificate.subject.rfc4514_string()} is revoked by its authority since {_text(revoked)}"
    return Standing(
        "",
        path,
        revoked,
        why,
        None if newest is None else newest.last_update_utc,
        None if newest is None else newest.next_update_utc,
    )


def list_is_of(crl: RevocationList, issuer: Certificate) -> bool:
    """Whether ``issuer`` signed this revocation list, and the list makes no demand that is not understood."""
    if crl.issuer != issuer.subject or any(extension.critical for extension in crl.extensions):
        return False
    usage = _usage(issuer)
    if usage is not None and not usage.crl_sign:
        return False
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def revocation_list_pem(crl: RevocationList) -> str:
    """The list as PEM text."""
    return crl.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
