"""C2PA content credentials on viewing copies, signed with the examiner's own key.

Source: C2PA specification 2.x, sections 13 (claims) and 14 (trust model). ``c2pa-python`` is an optional extra
(``exports``). A credential says where a copy comes from to programs that know nothing of ours; it is
no evidence: that is the signed record whose digest it names. Matroska and PDF are left alone: C2PA
does not know the first, and would break the PAdES signature of the second.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from forensic.errors import InternalError, UsageError, VerificationFailed
from forensic.signing.certificate import Certificate, certificate_pem, key_id
from forensic.signing.identity import Identity

UNLISTED = "signingCredential.untrusted"
"""The one status that a certificate of no public C2PA trust list always has."""
_COORDINATE = 32  # bytes of a P-256 coordinate
_VALIDITY = dt.timedelta(days=365)


@dataclass(frozen=True)
class Credential:
    """What was embedded: the examiner's ``key_id``, and whether its certificate had to be ``wrapped``."""

    key_id: str
    certificate_sha256: str
    wrapped: bool
    state: str
    status: tuple[str, ...]

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "key_id": self.key_id,
            "certificate_sha256": self.certificate_sha256,
            "certificate": "wrapper of the same key" if self.wrapped else "the identity's own",
            "state": self.state,
            "status": list(self.status),
        }


def embed_credentials(
    source: Path, media_type: str, target: Path, manifest: dict[str, Any], identity: Identity
) -> Credential:
    """Copy ``source`` to the new file ``target`` with ``manifest`` (C2PA manifest definition) signed inside.

    What was written is read back and validated. Raises ``UsageError`` (``export.no-credentials-library``),
    ``InternalError`` (``export.credentials``), ``VerificationFailed`` (``export.credentials-invalid``).
    """
    try:
        import c2pa
    except ImportError as error:
        raise UsageError(
            "export.no-credentials-library",
            "Content credentials need the optional extra 'exports' (c2pa-python), which is not installed.",
            "Install it, or export with --no-credentials.",
        ) from error
    chain, wrapped = _chain(identity)
    elliptic = isinstance(identity.certificate.public_key(), ec.EllipticCurvePublicKey)
    algorithm = c2pa.C2paSigningAlg.ES256 if elliptic else c2pa.C2paSigningAlg.ED25519

    def sign(data: bytes) -> bytes:
        signature = identity.sign(data)
        if not elliptic:
            return signature
        return b"".join(number.to_bytes(_COORDINATE, "big") for number in decode_dss_signature(signature))

    try:
        signer = c2pa.Signer.from_callback(sign, algorithm, "".join(map(certificate_pem, chain)), None)
        with c2pa.Builder(json.dumps(manifest)) as builder, source.open("rb") as given, target.open("x+b") as made:
            builder.sign(signer, media_type, given, made)
        with target.open("rb") as written, c2pa.Reader(media_type, written) as reader:
            found = json.loads(reader.json())
    except c2pa.C2paError as error:
        target.unlink(missing_ok=True)
        raise InternalError("export.credentials", f"The content credentials could not be made: {error}.") from error
    state = str(found.get("validation_state"))
    status = tuple(sorted({str(one.get("code")) for one in found.get("validation_status", [])}))
    if state not in ("Valid", "Trusted") or set(status) - {UNLISTED}:
        target.unlink(missing_ok=True)
        raise VerificationFailed(
            "export.credentials-invalid", f"The content credentials do not validate: {state}, {', '.join(status)}."
        )
    return Credential(identity.key_id, chain[0].fingerprint(hashes.SHA256()).hex(), wrapped, state, status)


def _chain(identity: Identity) -> tuple[list[Certificate], bool]:
    """Certificates to sign with, leaf first, and whether the leaf is a wrapper.

    C2PA refuses self-signed leaves and asks for an extended key usage. Where the identity's own
    certificate is no such leaf, the same public key and name are certified once more by an issuer made
    up for that purpose and thrown away: the credential is still signed by the examiner's key, which is
    what its key id shows.
    """
    own = identity.certificate
    if own.issuer != own.subject and _fits(own):
        return [own], False
    issuer_key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Wrapper for key {key_id(own)[:16]}")])
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    end = min(now + _VALIDITY, own.not_valid_after_utc)
    if end <= now:
        raise UsageError(
            "export.expired",
            f"The certificate expired on {own.not_valid_after_utc:%Y-%m-%d}: it signs no content credentials.",
            "Have it renewed (forensic identity request), or export without them (--no-credentials).",
        )
    public = own.public_key()
    leaf = (
        x509.CertificateBuilder()
        .subject_name(own.subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(secrets.randbits(150) | 1)
        .not_valid_before(now)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return [leaf], True


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _fits(certificate: Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.EMAIL_PROTECTION in usages
