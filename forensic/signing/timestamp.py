"""RFC 3161 timestamps: what is asked, what is accepted as the answer, what a stored token proves.

A token says: the authority saw this digest, and its clock showed this time. Two things are checked
apart. That the token *holds* (form, digest, signature by the enclosed certificate, which is for
timestamping and was valid then) needs nobody's trust. That it *counts* needs roots that the verifier
names. Sources: RFC 3161, RFC 5816 (signing certificate), RFC 5652 (CMS).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from forensic.errors import BadInput, UsageError, VerificationFailed
from forensic.signing.chain import Authorities, is_issued_by, list_is_of, read_authorities
from forensic.signing.tokenform import (
    PARSING,
    canonical_token,
    malformed,
    path_of,
    response_around,
    signed_parts,
    token_of,
)

NO_ROOTS = Authorities()
_HASHES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": ("sha256", hashes.SHA256()),
    "2.16.840.1.101.3.4.2.2": ("sha384", hashes.SHA384()),
    "2.16.840.1.101.3.4.2.3": ("sha512", hashes.SHA512()),
}
_SIZES = {32: "sha256", 48: "sha384", 64: "sha512"}
# RFC 3161, 4, 1): after a revocation for one of these reasons, what was stamped before stands.
_ORDERLY = {
    x509.ReasonFlags.unspecified,
    x509.ReasonFlags.affiliation_changed,
    x509.ReasonFlags.superseded,
    x509.ReasonFlags.cessation_of_operation,
}


@dataclass(frozen=True, slots=True)
class Timestamp:
    """What a token that holds says. ``root``: SHA-256 of the trusted certificate that it leads to, or None.

    ``accuracy_s``: how far the authority says its clock may be off, in seconds; None if it does not say.
    """

    time: dt.datetime
    accuracy_s: float | None
    serial: str
    policy: str
    tsa: str
    tsa_sha256: str
    issuer: str
    root: str | None = None
    distrust: str = ""

    @property
    def trusted(self) -> bool:
        """Whether it leads to a root that the verifier named."""
        return self.root is not None

    @property
    def utc(self) -> str:
        """The time as ISO 8601 with Z; fractions of a second only where the token has them."""
        text = self.time.isoformat(timespec="microseconds" if self.time.microsecond else "seconds")
        return text.replace("+00:00", "Z")

    def facts(self) -> dict[str, str]:
        """JSON-ready: time, authority and its certificate, serial number, policy."""
        return {
            "utc": self.utc,
            "tsa": self.tsa,
            "tsa_sha256": self.tsa_sha256,
            "serial": self.serial,
            "policy": self.policy,
            "accuracy_s": "not stated" if self.accuracy_s is None else f"{self.accuracy_s:g}",
        }


@dataclass(frozen=True, slots=True)
class TimestampRequest:
    """A TimeStampReq (DER) over ``digest``, with the nonce that the answer must repeat."""

    der: bytes
    digest: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class AcceptedResponse:
    """An answer in the form that is kept. ``left_out``: what of the authority's answer is not in it."""

    response: bytes
    timestamp: Timestamp
    left_out: tuple[str, ...]

    @property
    def token(self) -> bytes:
        """The token (CMS ContentInfo, DER) alone."""
        return token_of(self.response)[0]


def read_roots(files: Iterable[bytes]) -> Authorities:
    """Timestamp authorities that somebody trusts: PEM files (certificates, revocation lists) or DER certificates.

    Raises ``UsageError`` (``timestamp.roots``).
    """
    try:
        return read_authorities(files)
    except BadInput as error:
        raise UsageError(
            "timestamp.roots",
            f"The roots of the timestamp authority cannot be read: {error.message}",
            "Give PEM certificates.",
        ) from error


def build_request(digest: bytes) -> TimestampRequest:
    """Ask for a timestamp over ``digest`` (SHA-256, -384 or -512, by its length), with certificate and nonce."""
    from asn1crypto import algos, tsp

    nonce = secrets.randbits(63) | 1 << 63
    imprint = tsp.MessageImprint(
        {"hash_algorithm": algos.DigestAlgorithm({"algorithm": _SIZES[len(digest)]}), "hashed_message": digest}
    )
    request = tsp.TimeStampReq({"version": "v1", "message_imprint": imprint, "nonce": nonce, "cert_req": True})
    return TimestampRequest(request.dump(), digest, nonce)


def accept_response(data: bytes, request: TimestampRequest, roots: Authorities = NO_ROOTS) -> AcceptedResponse:
    """Check an authority's answer to ``request`` and put it into the form that is kept.

    With ``roots`` it must lead to one of them (certificates missing from the answer are added); without, it must
    hold by itself. Raises ``BadInput`` (``timestamp.malformed``) and ``VerificationFailed``
    (``timestamp.refused``, ``.nonce``, ``.imprint``, ``.signature``, ``.certificate``, ``.untrusted``).
    """
    token, told = token_of(data)
    form, changed = canonical_token(token, roots.certificates)
    response = response_around(form)
    timestamp = verify_response(response, request.digest, roots)
    if _decoded(response).tst_info.nonce != request.nonce:
        raise VerificationFailed("timestamp.nonce", "The timestamp answers another request: its nonce differs.")
    require_roots(timestamp, roots)
    return AcceptedResponse(response, timestamp, (*told, *changed))


def require_roots(timestamp: Timestamp, roots: Authorities) -> None:
    """Where ``roots`` are configured, insist that the timestamp leads to one of them.

    Raises ``VerificationFailed`` (``timestamp.untrusted``).
    """
    if roots.certificates and not timestamp.trusted:
        raise VerificationFailed(
            "timestamp.untrusted",
            f"The timestamp by {timestamp.tsa} does not lead to the configured roots: {timestamp.distrust}",
            "Check [timestamp] roots in settings.toml.",
        )


def verify_response(data: bytes, digest: bytes, roots: Authorities = NO_ROOTS) -> Timestamp:
    """Check a stored TimeStampResp over ``digest``; ``Timestamp.trusted`` says whether it leads to ``roots``.

    The bytes must be exactly the form that is kept, so that no byte can change unnoticed. Raises as
    :func:`accept_response` does.
    """
    token, _ = token_of(data)
    if response_around(token) != data:
        raise malformed("it is not in the one form that is kept: bytes that nobody signed differ")
    return verify_token(token, {_SIZES[len(digest)]: digest}, roots)


def verify_token(token: bytes, digests: Mapping[str, bytes], roots: Authorities = NO_ROOTS) -> Timestamp:
    """Check a token (CMS ContentInfo) alone; ``digests`` holds the document's digests by algorithm name."""
    form, _ = canonical_token(token)
    if form != token:
        raise malformed("it is not in the one form that is kept: bytes that nobody signed differ")
    response = _decoded(response_around(token))
    path = path_of(token)
    info = response.tst_info
    algorithm = _HASHES.get(info.message_imprint.hash_algorithm.dotted_string, ("", None))[0]
    if algorithm not in digests:
        raise VerificationFailed("timestamp.imprint", "The timestamp's digest is of another kind than expected.")
    if not hmac.compare_digest(info.message_imprint.message, digests[algorithm]):
        raise VerificationFailed("timestamp.imprint", "The timestamp is about another document: the digest differs.")
    _check_signature(token, path[0])
    time = stated_time(token)
    _check_certificate(path[0], time)
    root, distrust = _root(response, digests[algorithm], path, roots)
    own = path[0]
    return Timestamp(
        time=time,
        accuracy_s=_seconds(info.accuracy),
        serial=f"{info.serial_number:x}",
        policy=info.policy.dotted_string,
        tsa=own.subject.rfc4514_string(),
        tsa_sha256=own.fingerprint(hashes.SHA256()).hex(),
        issuer=own.issuer.rfc4514_string(),
        root=root,
        distrust=distrust,
    )


def _decoded(response: bytes) -> Any:
    from rfc3161_client import decode_timestamp_response

    try:
        parsed = decode_timestamp_response(response)
        # The parser is lazy: touch what is used later, so that it fails here.
        info = parsed.tst_info
        _ = info.gen_time, info.serial_number, info.policy, info.nonce, info.message_imprint.message
        _ = parsed.signed_data.certificates, parsed.signed_data.signer_infos
    except PARSING as error:
        raise malformed(" ".join(str(error).split())[:160]) from error
    return parsed


def stated_time(token: bytes) -> dt.datetime:
    """genTime of a canonical token, with its fraction of a second (which rfc3161-client cuts off)."""
    from asn1crypto import tsp

    try:
        time: dt.datetime = tsp.TSTInfo.load(signed_parts(token).content, strict=True)["gen_time"].native
    except PARSING as error:
        raise malformed(" ".join(str(error).split())[:160]) from error
    if time.utcoffset() != dt.timedelta(0):
        raise malformed("its time is not in UTC")
    return time


def _seconds(accuracy: Any) -> float | None:
    if accuracy is None:
        return None
    parts = ((accuracy.seconds, 1.0), (accuracy.millis, 1e-3), (accuracy.micros, 1e-6))
    return sum((value or 0) * unit for value, unit in parts)


def _check_signature(token: bytes, certificate: x509.Certificate) -> None:
    """The signed attributes hold the content's digest, and the certificate's key signed them (RFC 5652, 5.4)."""
    try:
        parts = signed_parts(token)
    except PARSING as error:
        raise malformed(" ".join(str(error).split())[:160]) from error
    algorithm = next(kind for name, kind in _HASHES.values() if name == parts.digest_name)
    key = certificate.public_key()
    try:
        if hashlib.new(parts.digest_name, parts.content).digest() != parts.message_digest:
            raise InvalidSignature
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(parts.signature, parts.attributes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(parts.signature, parts.attributes, ec.ECDSA(algorithm))
        else:
            raise malformed(f"its key is of kind {type(key).__name__}")
    except (InvalidSignature, ValueError, UnsupportedAlgorithm) as error:
        raise VerificationFailed(
            "timestamp.signature", "The timestamp's signature does not hold: time, digest or token were changed."
        ) from error


def _check_certificate(certificate: x509.Certificate, at: dt.datetime) -> None:
    """RFC 3161, 2.3: extended key usage, critical, timeStamping and nothing else; and it was valid at that time."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        only = extension.critical and list(extension.value) == [ExtendedKeyUsageOID.TIME_STAMPING]
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        only = False
    if not only:
        raise VerificationFailed(
            "timestamp.certificate", "The certificate that signed the timestamp is not for timestamping alone."
        )
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise VerificationFailed(
            "timestamp.certificate",
            "The certificate that signed the timestamp was not valid at the time that it states.",
        )


def _root(response: Any, digest: bytes, path: Sequence[x509.Certificate], roots: Authorities) -> tuple[str | None, str]:
    """SHA-256 of the trusted certificate that the token leads to at its own time; else why there is none."""
    from rfc3161_client import VerificationError, VerifierBuilder

    if not roots.certificates:
        return None, "no trusted authority was named"
    revoked = _revoked(path, roots, response.tst_info.gen_time)
    if revoked:
        return None, revoked
    reason = ""
    for root in roots.certificates:
        # One root at a time, so that it is known which; the others may serve as certificates in between.
        others = [each for each in roots.certificates if each != root and each.issuer != each.subject]
        try:
            VerifierBuilder(roots=[root, *others]).build().verify(response, digest)
        except (VerificationError, *PARSING) as error:
            reason = " ".join(str(error).split())
            continue
        return root.fingerprint(hashes.SHA256()).hex(), ""
    word = reason.rpartition("Verify error: ")[2].partition('"')[0] or reason
    return None, f"no path to a trusted authority ({word[:120]})"


def _revoked(path: Sequence[x509.Certificate], roots: Authorities, at: dt.datetime) -> str:
    """Why revocation lists speak against the token, or empty.

    Certificates that the token lacks may come from the verifier's files. Whichever way OpenSSL takes, it leads over
    certificates that are looked at here.
    """
    pool, on_the_way = (*path, *roots.certificates), [path[0]]
    for certificate in on_the_way:  # grows while it is gone through
        issuers = [each for each in pool if each.subject == certificate.issuer]
        on_the_way += [each for each in issuers if each not in on_the_way and is_issued_by(certificate, each)]
        for crl in roots.lists:
            entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is None or not any(list_is_of(crl, issuer) for issuer in issuers):
                continue
            try:
                reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
            except (x509.ExtensionNotFound, ValueError):
                reason = x509.ReasonFlags.key_compromise  # not stated: the worst is assumed
            if reason not in _ORDERLY or entry.revocation_date_utc <= at:
                return f"{certificate.subject.rfc4514_string()} is revoked since {entry.revocation_date_utc:%Y-%m-%d}"
    return ""
