"""Where passphrases and PINs come from: a file descriptor, the keyring, the terminal. Never an argument, never
the environment: both can be read by others.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import click

from forensic.errors import ForensicError, UsageError

_LONGEST_LINE = 4096


class Passphrases:
    """Asks for passphrases one after the other, each from the first source that there is.

    With ``descriptor`` they are its lines, in the order in which the terminal would have asked; an empty line
    stands for no passphrase where that is possible.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def of(self, folder: Path) -> str:
        """The passphrase, or PIN, of the identity in ``folder``."""
        from forensic.signing.keychain import recall
        from forensic.signing.token import TOKEN_FILE

        if self._descriptor is not None:
            return self._line(self._descriptor)
        remembered = recall(folder)
        if remembered is not None:
            return remembered
        what = "PIN of the token" if (folder / TOKEN_FILE).is_file() else "Passphrase of the signing key"
        if not sys.stdin.isatty():
            raise UsageError(
                "identity.passphrase-needed",
                f"The {what.lower()} of {_holder(folder)} is needed and there is no terminal to ask for it.",
                "Give the command at a terminal, or use: forensic --passphrase-fd N …",
            )
        return str(click.prompt(f"{what} of {_holder(folder)}", hide_input=True, err=True))

    def new(self, what: str, *, token: bool = False) -> str | None:
        """A passphrase for a key about to be made (None: unprotected), or the PIN of the token where it is.

        Where there is nobody to ask, there is none: a key is then not protected, and that is said.
        """
        if self._descriptor is not None:
            return self._line(self._descriptor) or None
        if not sys.stdin.isatty():
            if token:
                raise UsageError(
                    "identity.passphrase-needed",
                    "The PIN of the token is needed and there is no terminal to ask for it.",
                    "Give the command at a terminal, or use: forensic --passphrase-fd N …",
                )
            return None
        if token:
            return str(click.prompt(f"PIN of the token for {what}", hide_input=True, err=True))
        answer = click.prompt(
            f"Passphrase for {what} (empty: leave it unprotected)",
            hide_input=True, confirmation_prompt=True, default="", show_default=False, err=True,
        )  # fmt: skip
        return str(answer) or None

    def _line(self, descriptor: int) -> str:
        """The next line, byte by byte: nothing beyond it is taken from whoever else reads there."""
        data = bytearray()
        try:
            while (byte := os.read(descriptor, 1)) not in (b"", b"\n"):
                data += byte
                if len(data) > _LONGEST_LINE:
                    raise UsageError("identity.passphrase-fd", f"A line of file descriptor {descriptor} is too long.")
        except OSError as error:
            raise UsageError(
                "identity.passphrase-fd", f"File descriptor {descriptor} cannot be read: {error.strerror}."
            ) from error
        if not data and byte == b"":
            raise UsageError(
                "identity.passphrase-fd",
                f"File descriptor {descriptor} holds no further passphrase.",
                "Write one line for each passphrase, in the order in which the terminal would ask.",
            )
        try:
            return data.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise UsageError("identity.passphrase-fd", "The passphrase is not valid UTF-8.") from error

    def close(self) -> None:
        """Close the file descriptor; standard input and output stay."""
        if self._descriptor is not None and self._descriptor > 2:
            with suppress(OSError):  # it was never open, which reading has said
                os.close(self._descriptor)
        self._descriptor = None


def _holder(folder: Path) -> str:
    """Whose key is meant: the name on the certificate, else the folder."""
    from forensic.signing.certificate import common_name, read_certificate
    from forensic.signing.identity import CERTIFICATE_FILE

    try:
        return common_name(read_certificate((folder / CERTIFICATE_FILE).read_bytes().replace(b"\r\n", b"\n")))
    except (OSError, ForensicError):
        return str(folder)


def passphrases() -> Passphrases:
    """The sources of this command line."""
    found = click.get_current_context().find_root().obj
    return found if isinstance(found, Passphrases) else Passphrases(None)
