"""A timestamp authority whose clock and certificates are whatever a test wants: pyHanko's, another maker's code.

``openssl ts`` refuses to work with a wrong certificate or clock; an attacker does not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from asn1crypto import keys, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from pyhanko.sign.timestamps.dummy_client import DummyTimeStamper

START, END = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
STAMPING = (ExtendedKeyUsageOID.TIME_STAMPING,)


@dataclass
class MadeUpTsa:
    """``clock``: the time that it states; None for the true one. ``between``: authorities between root and unit.

    ``enclosed``: how many certificates above its own its tokens carry (from its own upwards).
    """

    clock: dt.datetime | None = None
    usage: Sequence[x509.ObjectIdentifier] | None = STAMPING
    critical: bool = True
    valid: tuple[dt.datetime, dt.datetime] = (START, END)
    between: int = 0
    enclosed: int = 9
    name: str = "Made-up TSA"
    chain: list[x509.Certificate] = field(default_factory=list)
    issuing_keys: list[rsa.RSAPrivateKey] = field(default_factory=list)

    def __post_init__(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        root = self._certificate(f"{self.name} root", key, None, None, authority=True)
        issuer, self.chain, self.issuing_keys = (root, key), [root], [key]
        for place in range(self.between):
            key = rsa.generate_private_key(65537, 2048)
            above = self._certificate(f"{self.name} {place}", key, issuer[0], issuer[1], authority=True)
            self.chain.insert(0, above)
            self.issuing_keys.insert(0, key)
            issuer = (above, key)
        self.key = rsa.generate_private_key(65537, 2048)
        self.certificate = self._certificate(self.name, self.key, *issuer, authority=False)

    def _certificate(
        self,
        name: str,
        key: rsa.RSAPrivateKey,
        issuer: x509.Certificate | None,
        issuer_key: rsa.RSAPrivateKey | None,
        *,
        authority: bool,
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        valid = (START, END) if authority else self.valid
        builder = x509.CertificateBuilder(
            subject if issuer is None else issuer.subject,
            subject,
            key.public_key(),
            x509.random_serial_number(),
            *valid,
        ).add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if not authority and self.usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.usage), critical=self.critical)
        return builder.sign(issuer_key or key, hashes.SHA256())

    @property
    def root(self) -> bytes:
        """PEM of its root."""
        return self.chain[-1].public_bytes(serialization.Encoding.PEM)

    def answer(self, request: bytes) -> bytes:
        """The TimeStampResp to a TimeStampReq."""
        stamper = DummyTimeStamper(
            _asn1(self.certificate),
            keys.PrivateKeyInfo.load(
                self.key.private_bytes(
                    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            ),
            certs_to_embed=[_asn1(each) for each in self.chain[: self.enclosed]],
            fixed_dt=self.clock or dt.datetime.now(dt.UTC).replace(microsecond=0),
        )
        response: bytes = stamper.request_tsa_response(tsp.TimeStampReq.load(request)).dump()
        return response

    def revoked(self, when: dt.datetime, reason: x509.ReasonFlags | None, above: int = 0) -> bytes:
        """PEM of a revocation list by the issuer that names its certificate, or one so many steps above it."""
        certificate = (self.certificate, *self.chain)[above]
        entry = x509.RevokedCertificateBuilder(certificate.serial_number, when)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        crl = x509.CertificateRevocationListBuilder(
            issuer_name=certificate.issuer, last_update=when, next_update=END
        ).add_revoked_certificate(entry.build())
        return crl.sign(self.issuing_keys[above], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(serialization.Encoding.DER))
