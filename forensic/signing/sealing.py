"""Certificates, requests and revocation lists signed by any :class:`Signer`, also one on a token.

``cryptography`` signs these with a key that it holds itself. They are composed with a key made for
the moment, and what is to be signed (the TBS part, which names no key but the subject's) is then
signed by the real one.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from forensic.signing.certificate import Certificate, PrivateKey
from forensic.signing.der import bits, sequence
from forensic.signing.signer import Signer

_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")  # RFC 5758, 3.2
_ED25519 = bytes.fromhex("300506032b6570")  # RFC 8410, 3
_NO_ATTRIBUTES = bytes.fromhex("a000")  # [0] IMPLICIT, empty
_VERSION_0 = bytes.fromhex("020100")


def _stand_in(signer: Signer) -> tuple[PrivateKey, hashes.SHA256 | None]:
    """A key of the signer's kind, made for the moment, and the hash to use with it."""
    if isinstance(signer.public_key, ed25519.Ed25519PublicKey):
        return ed25519.Ed25519PrivateKey.generate(), None
    return ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()


def _sealed(to_be_signed: bytes, signer: Signer) -> bytes:
    algorithm = _ED25519 if isinstance(signer.public_key, ed25519.Ed25519PublicKey) else _ECDSA_SHA256
    return sequence(to_be_signed, algorithm, bits(signer.sign(to_be_signed)))


def seal_certificate(builder: x509.CertificateBuilder, signer: Signer) -> Certificate:
    """The certificate that ``builder`` describes, signed by ``signer``."""
    key, digest = _stand_in(signer)
    draft = builder.sign(key, digest)
    return x509.load_der_x509_certificate(_sealed(draft.tbs_certificate_bytes, signer))


def seal_revocation_list(
    builder: x509.CertificateRevocationListBuilder, signer: Signer
) -> x509.CertificateRevocationList:
    """The revocation list that ``builder`` describes, signed by ``signer``."""
    key, digest = _stand_in(signer)
    draft = builder.sign(key, digest)
    return x509.load_der_x509_crl(_sealed(draft.tbs_certlist_bytes, signer))


def seal_request(subject: x509.Name, signer: Signer) -> x509.CertificateSigningRequest:
    """A certificate request (PKCS#10, RFC 2986) for the signer's own key, without attributes."""
    spki = signer.public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    information = sequence(_VERSION_0, subject.public_bytes(), spki, _NO_ATTRIBUTES)
    return x509.load_der_x509_csr(_sealed(information, signer))
