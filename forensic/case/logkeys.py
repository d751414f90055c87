"""The keys of a workspace's log and of its witness: made when first needed, vouched for by the ledger.

Each is introduced by a ledger entry, so that the examiner's certificate vouches for it. A key file that the ledger
does not know is refused, and one that is gone is never replaced in silence: others may know the old one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forensic.case.layout import WorkspaceLayout
from forensic.case.locking import exclusive
from forensic.case.lognames import KEY_INTRODUCED, Purpose
from forensic.case.storage import make_folder, storage
from forensic.case.workspace import Workspace
from forensic.errors import ForensicError, UsageError, VerificationFailed
from forensic.ledger.store import Ledger
from forensic.signing.keyfile import is_encrypted
from forensic.signing.note import NoteSigner, VerifierKey, parse_vkey
from forensic.signing.notekey import create_note_key, load_note_key


@contextmanager
def log_lock(layout: WorkspaceLayout) -> Iterator[None]:
    """Hold the workspace's log alone: looking at its last state and writing the next one is one step.

    Raises ``StorageFailed`` (``log.busy``).
    """
    make_folder(layout.log_key.parent)
    with exclusive(layout.log_key.with_name("lock"), "log.busy"):
        yield


def introduced(ledger: Ledger, purpose: Purpose) -> list[VerifierKey]:
    """The keys that the ledger introduced for ``purpose``, oldest first. Raises ``VerificationFailed``
    (``log.key-entry``) for an entry that introduces none."""
    keys = []
    for entry in ledger.entries(event=KEY_INTRODUCED):
        if entry.data.get("purpose") == purpose.word:
            try:
                keys.append(parse_vkey(str(entry.data.get("vkey"))))
            except ForensicError as error:
                raise VerificationFailed("log.key-entry", f"Entry {entry.seq}: {error.message}") from error
    return keys


def signer_for(workspace: Workspace, purpose: Purpose, *, renew: bool = False) -> NoteSigner:
    """The workspace's key for ``purpose``, made and introduced if there never was one. Hold ``log_lock``.

    ``renew`` makes another one: the key file, if it is there, is set aside under another name. Raises
    ``UsageError`` (``log.key-missing``, ``identity.passphrase``), ``VerificationFailed`` (``log.key-unknown``)
    and as ``Ledger.append`` does.
    """
    path, name = purpose.path(workspace.layout), purpose.name(workspace.id)
    known = introduced(workspace.ledger, purpose)
    if renew and known:
        _set_aside(path)
    elif known and not path.exists():
        raise UsageError(
            "log.key-missing",
            f"The ledger introduced a {purpose.word} key, but {path} is gone.",
            "Restore it from a backup, or give --new-key and tell everybody who knows the old one.",
        )
    fresh = not path.exists()
    if fresh:
        protected = workspace.signer.protection == "passphrase"
        passphrase = workspace.passphrase() if protected and workspace.passphrase is not None else None
        signer = create_note_key(path, name, purpose.type, passphrase)
    else:
        signer = load_note_key(path, name, purpose.type, workspace.passphrase)
    if known and not fresh and signer.verifier != known[-1]:
        raise VerificationFailed(
            "log.key-unknown",
            f"The key at {path} is {signer.verifier}, the ledger introduced {known[-1]}.",
            "Restore the key from a backup.",
        )
    if fresh or not known:  # without fresh: a crash came between the key file and its entry
        facts = {
            "vkey": str(signer.verifier),
            "purpose": purpose.word,
            "protection": "passphrase" if is_encrypted(path.read_bytes()) else "none",
        }
        workspace.ledger.append(KEY_INTRODUCED, {**facts, "replaces": str(known[-1])} if known else facts)
    return signer


def _set_aside(path: Path) -> None:
    if not path.exists():
        return
    number = 1
    while (aside := path.with_name(f"{path.stem}-replaced-{number}{path.suffix}")).exists():
        number += 1
    with storage(path, "setting aside"):
        path.rename(aside)
