"""The examiner's signing identity: a private key and its certificate, in a folder of two PEM files."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from forensic.errors import BadInput, ForensicError, StorageFailed, UsageError, VerificationFailed
from forensic.signing.certificate import (
    Certificate,
    PrivateKey,
    certificate_facts,
    certificate_kind,
    certificate_pem,
    issue_certificate,
    key_id,
    public_key_id,
    read_certificate,
    sign_bytes,
)

KEY_FILE = "key.pem"
CERTIFICATE_FILE = "certificate.pem"
_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class Identity:
    """A key that can sign, and the certificate by which others know it.

    ``protection`` says how the key lay on disk: ``passphrase`` or ``none``.
    """

    private_key: PrivateKey = field(repr=False)
    certificate: Certificate
    protection: str

    @property
    def kind(self) -> str:
        """``self-issued`` or ``issued`` (by a third party whose trust nobody has checked here)."""
        return certificate_kind(self.certificate)

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key's DER SubjectPublicKeyInfo, 64 hexadecimal digits."""
        return key_id(self.certificate)

    @property
    def subject(self) -> str:
        """The holder's distinguished name as RFC 4514 text."""
        return self.certificate.subject.rfc4514_string()

    @property
    def certificate_pem(self) -> str:
        """The certificate as PEM text."""
        return certificate_pem(self.certificate)

    @property
    def certificate_der(self) -> bytes:
        """The certificate as DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def sign(self, data: bytes) -> bytes:
        """Sign ``data``: DER ECDSA over SHA-256 for P-256, 64 raw bytes for Ed25519."""
        return sign_bytes(self.private_key, data)

    def facts(self) -> dict[str, str]:
        """``certificate_facts`` plus ``protection``; JSON-ready, holds nothing secret."""
        return {**certificate_facts(self.certificate), "protection": self.protection}


def create_identity(folder: Path, *, examiner: str, lab: str, passphrase: str | None, now: dt.datetime) -> Identity:
    """Make an ECDSA P-256 key and a self-issued certificate in ``folder`` (``key.pem``, ``certificate.pem``).

    ``folder`` appears complete or not at all (staged beside it, then renamed), the key has mode
    0600 from its first byte, and an existing identity is never overwritten. With a passphrase the
    key is PKCS#8 encrypted (PBES2: AES-256-CBC, PBKDF2-HMAC-SHA-256); ``None`` leaves it plain.

    Raises ``UsageError`` (``identity.name``, ``identity.passphrase``, ``identity.exists``,
    ``identity.time``) and ``StorageFailed`` (``identity.storage``).
    """
    secret = None if passphrase is None else _passphrase_bytes(passphrase)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue_certificate(key, examiner=examiner, lab=lab, now=now)
    encryption: serialization.KeySerializationEncryption = (
        serialization.NoEncryption() if secret is None else serialization.BestAvailableEncryption(secret)
    )
    key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    try:
        _place(folder, {KEY_FILE: key_pem, CERTIFICATE_FILE: certificate_pem(certificate).encode("ascii")})
    except OSError as error:
        raise StorageFailed(
            "identity.storage", f"The identity could not be written to {folder}: {error.strerror or error}."
        ) from error
    return Identity(key, certificate, "none" if secret is None else "passphrase")


def _passphrase_bytes(passphrase: str) -> bytes:
    # NFC, because keyboards and systems differ in how they compose the same visible letters.
    try:
        secret = unicodedata.normalize("NFC", passphrase).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("identity.passphrase", "The passphrase is not valid text.") from error
    if not 1 <= len(secret) <= 1023:
        raise UsageError("identity.passphrase", "The passphrase must have 1 to 1023 bytes.", "Choose another one.")
    return secret


def _place(folder: Path, files: dict[str, bytes]) -> None:
    """Write ``files`` into a new ``folder`` in one step. An empty folder of that name may stand there."""
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.with_name(f"{folder.name}.partial-{secrets.token_hex(6)}")
    staging.mkdir(0o700)
    try:
        for name, data in files.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with os.fdopen(os.open(staging / name, flags, 0o600), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()  # Windows renames onto nothing only
        if folder.exists():
            raise UsageError(
                "identity.exists",
                f"{folder} already holds files.",
                "An identity is never overwritten; use another folder.",
            )
        staging.rename(folder)
    except BaseException as error:
        for name in files:
            (staging / name).unlink(missing_ok=True)
        staging.rmdir()
        # Somebody else's identity arrived between the look and the rename: theirs stands.
        if isinstance(error, OSError) and (folder / KEY_FILE).exists():
            raise UsageError("identity.exists", f"{folder} already holds an identity.") from error
        raise


def load_identity(folder: Path, passphrase_callback: Callable[[], str] | None = None) -> Identity:
    """Load the identity in ``folder``; the callback is asked once, only if the key is encrypted.

    The certificate must certify this very key. Raises ``UsageError`` (``identity.missing``,
    ``identity.passphrase``), ``BadInput`` (``identity.unreadable``, ``identity.algorithm``,
    ``certificate.*``), ``VerificationFailed`` (``identity.mismatch``) and ``StorageFailed``
    (``identity.storage``).
    """
    key_pem, certificate_text = _read(folder / KEY_FILE), _read(folder / CERTIFICATE_FILE)
    encrypted = _ENCRYPTED in key_pem
    secret = None
    if encrypted:
        if passphrase_callback is None:
            raise UsageError(
                "identity.passphrase",
                f"The key in {folder} is protected by a passphrase and nobody is there to ask.",
                "Run the command at a terminal.",
            )
        secret = _passphrase_bytes(passphrase_callback())
    key = _private_key(key_pem, secret, folder)
    certificate = read_certificate(certificate_text.replace(b"\r\n", b"\n"))  # an editor's line ends
    certificate_kind(certificate)
    if key_id(certificate) != public_key_id(key.public_key()):
        raise VerificationFailed(
            "identity.mismatch",
            f"The certificate in {folder} belongs to another key.",
            "Restore key.pem and certificate.pem from the same backup.",
        )
    return Identity(key, certificate, "passphrase" if encrypted else "none")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError("identity.missing", f"There is no {path}.", "Run `forensic init` first.") from error
    except OSError as error:
        raise StorageFailed("identity.storage", f"{path} cannot be read: {error.strerror or error}.") from error


def _private_key(pem: bytes, secret: bytes | None, folder: Path) -> PrivateKey:
    try:
        key: Any = serialization.load_pem_private_key(pem, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        problem: ForensicError = BadInput(
            "identity.unreadable",
            f"The key in {folder} is damaged or not a PKCS#8 PEM key.",
            "Restore it from a backup.",
        )
        if secret is not None:
            problem = UsageError(
                "identity.passphrase", f"The passphrase does not open the key in {folder}.", "Try again."
            )
        raise problem from error
    p256 = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
    if not (p256 or isinstance(key, ed25519.Ed25519PrivateKey)):
        raise BadInput("identity.algorithm", f"The key in {folder} is neither ECDSA P-256 nor Ed25519.")
    return cast(PrivateKey, key)
