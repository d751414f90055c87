"""Passphrases in the keyring of the operating system, only for identities whose holder asked for it.

``keyring`` is an optional extra (``keyring``), loaded only for such identities: a file named ``keyring``
in the identity's folder says that the passphrase is kept there, and under which name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forensic.errors import UsageError
from forensic.signing.certificate import key_id, read_certificate
from forensic.signing.identity import CERTIFICATE_FILE, replace_file

MARK = "keyring"
_SERVICE = "forensic signing key"


def is_remembered(folder: Path) -> bool:
    """Whether the passphrase of the identity in ``folder`` is said to be in the keyring."""
    return (folder / MARK).is_file()


def recall(folder: Path) -> str | None:
    """The remembered passphrase; None if it was never remembered, or the keyring has lost it.

    Raises ``UsageError`` (``identity.keyring``) if the keyring cannot be used.
    """
    if not is_remembered(folder):
        return None
    keyring = _keyring()
    try:
        found = keyring.get_password(_SERVICE, _name(folder))
    except keyring.errors.KeyringError as error:
        raise _unusable(error) from error
    return None if found is None else str(found)


def remember(folder: Path, passphrase: str) -> None:
    """Keep the passphrase of the identity in ``folder``. Raises ``UsageError`` (``identity.keyring``)."""
    keyring = _keyring()
    try:
        keyring.set_password(_SERVICE, _name(folder), passphrase)
    except keyring.errors.KeyringError as error:
        raise _unusable(error) from error
    replace_file(folder / MARK, f"{_SERVICE}: {_name(folder)}\n".encode("ascii"))


def forget(folder: Path) -> bool:
    """Remove it again; False if there was none. Raises ``UsageError`` (``identity.keyring``)."""
    if not is_remembered(folder):
        return False
    keyring = _keyring()
    try:
        keyring.delete_password(_SERVICE, _name(folder))
    except keyring.errors.PasswordDeleteError:
        pass  # it is gone already, which is what was asked for
    except keyring.errors.KeyringError as error:
        raise _unusable(error) from error
    (folder / MARK).unlink(missing_ok=True)
    return True


def _name(folder: Path) -> str:
    try:
        return key_id(read_certificate((folder / CERTIFICATE_FILE).read_bytes().replace(b"\r\n", b"\n")))
    except OSError as error:
        raise UsageError("identity.missing", f"There is no identity in {folder}.") from error


def _keyring() -> Any:
    try:
        import keyring
        import keyring.errors
    except ImportError as error:
        raise UsageError(
            "identity.keyring", "The package keyring is not installed.", "Install this program with its extra keyring."
        ) from error
    return keyring


def _unusable(error: Exception) -> UsageError:
    return UsageError(
        "identity.keyring",
        f"The system's keyring cannot be used: {error}.",
        "Unlock it, or use the terminal or --passphrase-fd.",
    )
