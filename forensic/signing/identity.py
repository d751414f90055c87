"""A signing identity: a key, on disk or on a token, and its certificate, in a folder of its own.

Files: ``certificate.pem``; ``key.pem`` or ``token.toml``; where an authority certified the key,
``chain.pem`` (its certificates, issuer first) and ``crl.pem`` (its revocation list).
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from forensic.errors import StorageFailed, UsageError, VerificationFailed
from forensic.signing.certificate import (
    SELF_ISSUED_VALIDITY,
    Certificate,
    PublicKey,
    certificate_facts,
    certificate_kind,
    certificate_pem,
    distinguished_name,
    key_id,
    public_key_id,
    read_certificate,
    signer_certificate,
)
from forensic.signing.chain import read_certificates
from forensic.signing.keyfile import is_encrypted, read_private_key, write_private_key
from forensic.signing.sealing import seal_certificate
from forensic.signing.signer import FileKey, Signer
from forensic.signing.token import TOKEN_FILE, TokenPlace, open_token, read_token_description

KEY_FILE = "key.pem"
CERTIFICATE_FILE = "certificate.pem"
CHAIN_FILE = "chain.pem"
CRL_FILE = "crl.pem"


@dataclass(frozen=True, slots=True)
class Identity:
    """A key that can sign, and the certificate by which others know it.

    ``chain``: certificates of the authorities above it, issuer first; empty if self-issued.
    """

    signer: Signer = field(repr=False)
    certificate: Certificate
    chain: tuple[Certificate, ...] = ()

    @property
    def protection(self) -> str:
        """What guards the key: ``token``, ``passphrase`` or ``none``."""
        return self.signer.protection

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

    @property
    def chain_pem(self) -> list[str]:
        """The chain as PEM texts."""
        return [certificate_pem(certificate) for certificate in self.chain]

    def sign(self, data: bytes) -> bytes:
        """Sign ``data``: DER ECDSA over SHA-256 for P-256, 64 raw bytes for Ed25519."""
        return self.signer.sign(data)

    def facts(self) -> dict[str, str]:
        """``certificate_facts`` plus ``protection``; JSON-ready, holds nothing secret."""
        return {**certificate_facts(self.certificate), "protection": self.protection}


def create_identity(folder: Path, *, examiner: str, lab: str, passphrase: str | None, now: dt.datetime) -> Identity:
    """Make an ECDSA P-256 key and a self-issued certificate in ``folder`` (``key.pem``, ``certificate.pem``).

    ``folder`` appears complete or not at all (staged beside it, then renamed), the key has mode
    0600 from its first byte, and an existing identity is never overwritten. With a passphrase the
    key is encrypted (see ``keyfile``); ``None`` leaves it plain.

    Raises ``UsageError`` (``identity.name``, ``identity.passphrase``, ``identity.exists``,
    ``identity.time``) and ``StorageFailed`` (``identity.storage``).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    key_pem = write_private_key(key, passphrase)
    signer = FileKey(key, "none" if passphrase is None else "passphrase")
    certificate = self_issued(signer, name=examiner, lab=lab, now=now)
    place_files(folder, {KEY_FILE: key_pem, CERTIFICATE_FILE: certificate_pem(certificate).encode("ascii")})
    return Identity(signer, certificate)


def create_token_identity(
    folder: Path, place: TokenPlace, pin: str, *, examiner: str, lab: str, now: dt.datetime
) -> Identity:
    """An identity whose key lies on a token already; ``folder`` gets certificate and ``token.toml``, no secret.

    Raises as :func:`create_identity`, and ``UsageError`` (``identity.token…``).
    """
    signer = open_token(place, pin, None)
    certificate = self_issued(signer, name=examiner, lab=lab, now=now)
    pem = certificate_pem(certificate).encode("ascii")
    place_files(folder, {TOKEN_FILE: place.to_toml().encode("utf-8"), CERTIFICATE_FILE: pem})
    return Identity(signer, certificate)


def self_issued(signer: Signer, *, name: str, lab: str, now: dt.datetime) -> Certificate:
    """A ten-year certificate for the signer's key, signed by it (RFC 5280).

    It fits document signing (PAdES): key usage digitalSignature and nonRepudiation, not a CA.
    ``now`` must carry a time zone. Raises ``UsageError`` (``identity.name``, ``identity.time``).
    """
    subject = distinguished_name(name, lab)
    builder = signer_certificate(signer.public_key, subject, subject, now, now + SELF_ISSUED_VALIDITY)
    return seal_certificate(builder, signer)


def place_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write ``files`` into a new ``folder`` in one step, readable by the owner only.

    Raises ``UsageError`` (``identity.exists``) and ``StorageFailed`` (``identity.storage``).
    """
    try:
        _place(folder, files)
    except OSError as error:
        raise StorageFailed(
            "identity.storage", f"The identity could not be written to {folder}: {error.strerror or error}."
        ) from error


def _place(folder: Path, files: dict[str, bytes]) -> None:
    """Write ``files`` into a new ``folder`` in one step. An empty folder of that name may stand there."""
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.with_name(f"{folder.name}.partial-{secrets.token_hex(6)}")
    staging.mkdir(0o700)
    try:
        for name, data in files.items():
            _write(staging / name, data)
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
        if isinstance(error, OSError) and (folder / CERTIFICATE_FILE).exists():
            raise UsageError("identity.exists", f"{folder} already holds an identity.") from error
        raise


def _write(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def load_identity(folder: Path, passphrase_callback: Callable[[], str] | None = None) -> Identity:
    """Load the identity in ``folder``; the callback is asked once, only if the key is encrypted or on a token.

    The certificate must certify this very key. Raises ``UsageError`` (``identity.missing``,
    ``identity.passphrase``, ``identity.token…``), ``BadInput`` (``identity.unreadable``, ``identity.algorithm``,
    ``certificate.*``), ``VerificationFailed`` (``identity.mismatch``) and ``StorageFailed``
    (``identity.storage``).
    """
    if (folder / TOKEN_FILE).is_file() and not (folder / KEY_FILE).exists():
        certificate = _certificate(_read(folder / CERTIFICATE_FILE))
        place = read_token_description(folder / TOKEN_FILE)
        pin = _ask(folder, passphrase_callback)
        signer: Signer = open_token(place, pin, certificate)
    else:
        key_pem, certificate_text = _read(folder / KEY_FILE), _read(folder / CERTIFICATE_FILE)
        encrypted = is_encrypted(key_pem)
        secret = _ask(folder, passphrase_callback) if encrypted else None
        signer = FileKey(read_private_key(key_pem, secret, str(folder)), "passphrase" if encrypted else "none")
        certificate = _certificate(certificate_text)
    if key_id(certificate) != public_key_id(signer.public_key):
        raise _mismatch(folder)
    chain = folder / CHAIN_FILE
    return Identity(signer, certificate, read_certificates(_read(chain)) if chain.is_file() else ())


def install_certificate(
    folder: Path, certificate: Certificate, chain: tuple[Certificate, ...], public_key: PublicKey
) -> None:
    """Replace the certificate beside an existing key by one that an authority issued for this very key.

    Raises ``VerificationFailed`` (``identity.mismatch``) and ``StorageFailed`` (``identity.storage``).
    """
    if key_id(certificate) != public_key_id(public_key):
        raise _mismatch(folder)
    pem = "".join(certificate_pem(one) for one in chain)
    replace_file(folder / CHAIN_FILE, pem.encode("ascii"))
    replace_file(folder / CERTIFICATE_FILE, certificate_pem(certificate).encode("ascii"))


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` durably in place of ``path``, readable by the owner only. Raises ``StorageFailed``."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        _write(partial, data)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageFailed("identity.storage", f"{path} cannot be written: {error.strerror or error}.") from error


def _certificate(pem: bytes) -> Certificate:
    certificate = read_certificate(pem.replace(b"\r\n", b"\n"))  # an editor's line ends
    certificate_kind(certificate)
    return certificate


def _ask(folder: Path, passphrase_callback: Callable[[], str] | None) -> str:
    if passphrase_callback is None:
        raise UsageError(
            "identity.passphrase",
            f"The key in {folder} is protected by a passphrase and nobody is there to ask.",
            "Run the command at a terminal, or use --passphrase-fd.",
        )
    return passphrase_callback()


def _mismatch(folder: Path) -> VerificationFailed:
    return VerificationFailed(
        "identity.mismatch",
        f"The certificate in {folder} belongs to another key.",
        "Restore key and certificate from the same backup.",
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError("identity.missing", f"There is no {path}.", "Run `forensic init` first.") from error
    except OSError as error:
        raise StorageFailed("identity.storage", f"{path} cannot be read: {error.strerror or error}.") from error
