"""The log's and the witness's Ed25519 keys on disk (PKCS#8 PEM), one file each."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from forensic.errors import BadInput, StorageFailed, UsageError
from forensic.signing.keyfile import is_encrypted, read_private_key, write_private_key
from forensic.signing.note import NoteSigner, SignatureType


def create_note_key(path: Path, name: str, kind: SignatureType, passphrase: str | None) -> NoteSigner:
    """Make a key called ``name`` at ``path``: mode 0600 from its first byte, there whole or not at all.

    With a passphrase it is encrypted as ``write_private_key`` says. Raises ``UsageError`` (``log.key-exists``,
    ``identity.passphrase``) and ``StorageFailed`` (``log.key-storage``).
    """
    key = ed25519.Ed25519PrivateKey.generate()
    pem = write_private_key(key, passphrase)
    if path.exists() or path.is_symlink():
        raise UsageError("log.key-exists", f"There is a key at {path} already.", "A key is never overwritten.")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(partial, flags, 0o600), "wb") as stream:
                stream.write(pem)
                stream.flush()
                os.fsync(stream.fileno())
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed("log.key-storage", f"{path} cannot be written: {error.strerror or error}.") from error
    return NoteSigner(name, kind, key)


def load_note_key(path: Path, name: str, kind: SignatureType, passphrase: Callable[[], str] | None) -> NoteSigner:
    """Read the key at ``path`` as that of ``name``; ``passphrase`` is asked only if it is encrypted.

    Raises ``UsageError`` (``log.key-missing``, ``identity.passphrase``), ``BadInput`` (``identity.unreadable``,
    ``log.key-algorithm``) and ``StorageFailed`` (``log.key-storage``).
    """
    try:
        pem = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError("log.key-missing", f"There is no {path}.", "Restore it from a backup.") from error
    except OSError as error:
        raise StorageFailed("log.key-storage", f"{path} cannot be read: {error.strerror or error}.") from error
    secret = None
    if is_encrypted(pem):
        if passphrase is None:
            raise UsageError("identity.passphrase", f"{path} is protected by a passphrase and nobody is there to ask.")
        secret = passphrase()
    key = read_private_key(pem, secret, str(path))
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise BadInput("log.key-algorithm", f"The key at {path} is not an Ed25519 key.", "Restore it from a backup.")
    return NoteSigner(name, kind, key)
