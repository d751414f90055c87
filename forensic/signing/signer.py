"""What can sign: a key in a file, or one that never leaves a token. Nobody else needs to know which."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from forensic.signing.certificate import PrivateKey, PublicKey, sign_bytes


class Signer(Protocol):
    """A private key that can be used, wherever it is."""

    @property
    def public_key(self) -> PublicKey:
        """The public half."""

    @property
    def protection(self) -> str:
        """What stands between a thief and the key: ``none``, ``passphrase`` or ``token``."""

    def sign(self, data: bytes) -> bytes:
        """Sign ``data``: DER ECDSA over SHA-256 for P-256, 64 raw bytes for Ed25519."""


@dataclass(frozen=True, slots=True)
class FileKey:
    """A key read from a PKCS#8 file."""

    private_key: PrivateKey = field(repr=False)
    protection: str

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self.private_key.public_key()

    def sign(self, data: bytes) -> bytes:
        """Sign ``data`` with the key in memory."""
        return sign_bytes(self.private_key, data)
