"""Private keys on disk: PKCS#8 PEM, protected with a key derivation that makes guessing expensive.

``cryptography`` writes PKCS#8 with PBKDF2 at 2048 rounds and offers no way to ask for more. The
container is therefore put together here: PBES2 (RFC 8018) with scrypt (RFC 7914) and AES-256-CBC, the
form that ``openssl pkcs8 -topk8 -scrypt`` writes and ``openssl pkey`` reads.
"""

from __future__ import annotations

import base64
import os
import textwrap
import unicodedata
from typing import Any, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from forensic.errors import BadInput, UsageError
from forensic.signing.certificate import PrivateKey
from forensic.signing.der import integer, octets, sequence

# 16 MiB and five passes: as hard to guess as 128 MiB and one, and within OpenSSL's limit of 32 MiB.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 14, 8, 5
_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_PBES2 = bytes.fromhex("06092a864886f70d01050d")  # 1.2.840.113549.1.5.13
_SCRYPT = bytes.fromhex("06092b06010401da47040b")  # 1.3.6.1.4.1.11591.4.11
_AES_256_CBC = bytes.fromhex("060960864801650304012a")  # 2.16.840.1.101.3.4.1.42


def passphrase_bytes(passphrase: str) -> bytes:
    """The passphrase as it is used: NFC, UTF-8. Raises ``UsageError`` (``identity.passphrase``)."""
    # NFC, because keyboards and systems differ in how they compose the same visible letters.
    try:
        secret = unicodedata.normalize("NFC", passphrase).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("identity.passphrase", "The passphrase is not valid text.") from error
    if not 1 <= len(secret) <= 1023:
        raise UsageError("identity.passphrase", "The passphrase must have 1 to 1023 bytes.", "Choose another one.")
    return secret


def write_private_key(key: PrivateKey, passphrase: str | None) -> bytes:
    """``key`` as PKCS#8 PEM; with a passphrase encrypted as the module says, with ``None`` plain.

    Raises ``UsageError`` (``identity.passphrase``).
    """
    plain = serialization.NoEncryption()
    if passphrase is None:
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    secret = passphrase_bytes(passphrase)
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, plain)
    text = base64.b64encode(_encrypted(der, secret)).decode("ascii")
    lines = [_ENCRYPTED.decode("ascii"), *textwrap.wrap(text, 64), "-----END ENCRYPTED PRIVATE KEY-----", ""]
    return "\n".join(lines).encode("ascii")


def _encrypted(der: bytes, secret: bytes) -> bytes:
    """EncryptedPrivateKeyInfo (RFC 5958) over the PrivateKeyInfo ``der``."""
    salt, vector = os.urandom(16), os.urandom(16)
    key = Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(secret)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    data = encryptor.update(padder.update(der) + padder.finalize()) + encryptor.finalize()
    costs = (integer(value) for value in (SCRYPT_N, SCRYPT_R, SCRYPT_P))
    derivation = sequence(_SCRYPT, sequence(octets(salt), *costs))
    cipher = sequence(_AES_256_CBC, octets(vector))
    return sequence(sequence(_PBES2, sequence(derivation, cipher)), octets(data))


def is_encrypted(pem: bytes) -> bool:
    """Whether ``pem`` is a key that needs a passphrase."""
    return _ENCRYPTED in pem


def read_private_key(pem: bytes, passphrase: str | None, where: str) -> PrivateKey:
    """Read a PKCS#8 PEM key, ECDSA P-256 or Ed25519; ``where`` names it in messages.

    Raises ``UsageError`` (``identity.passphrase``) and ``BadInput`` (``identity.unreadable``,
    ``identity.algorithm``).
    """
    secret = None if passphrase is None else passphrase_bytes(passphrase)
    try:
        key: Any = serialization.load_pem_private_key(pem, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if secret is not None:
            raise UsageError(
                "identity.passphrase", f"The passphrase does not open the key in {where}.", "Try again."
            ) from error
        raise BadInput(
            "identity.unreadable",
            f"The key in {where} is damaged or not a PKCS#8 PEM key.",
            "Restore it from a backup.",
        ) from error
    p256 = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
    if not (p256 or isinstance(key, ed25519.Ed25519PrivateKey)):
        raise BadInput("identity.algorithm", f"The key in {where} is neither ECDSA P-256 nor Ed25519.")
    return cast(PrivateKey, key)
