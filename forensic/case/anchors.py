"""Checkpoints over the ledger: issued here, carried elsewhere, so that history before them cannot be rewritten.

The ledger's entries are the truth: a checkpoint's entry is written before its file, a cosignature's before it is
stored. Files lost between the two are made again from the entries, because Ed25519 is deterministic.
The format is docs/formats/checkpoint.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.case.ending import record_end
from forensic.case.layout import AnchorFolder, WorkspaceLayout, is_anchor_name
from forensic.case.logkeys import log_lock, signer_for
from forensic.case.lognames import ANCHORING, COSIGNED, ISSUED, LOG, REFUSED
from forensic.case.regularfile import read_regular
from forensic.case.storage import make_folder, write_file
from forensic.case.workspace import Workspace
from forensic.errors import ForensicError, VerificationFailed
from forensic.hashes import sha256_bytes, verify_consistency
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.store import Ledger
from forensic.signing.checkpoint import Checkpoint, SignedCheckpoint, parse_signed_checkpoint, sign_checkpoint
from forensic.signing.note import MAX_NOTE_BYTES, Note, NoteSignature, NoteSigner, parse_note, parse_signature_lines


@dataclass(frozen=True)
class IssuedCheckpoint:
    """A checkpoint of this workspace. ``new`` if this call issued it."""

    size: int
    root: bytes
    note: bytes
    folder: AnchorFolder
    new: bool = False


def issue_checkpoint(workspace: Workspace, *, new_key: bool = False) -> IssuedCheckpoint:
    """A checkpoint over the ledger as it stands; the last one again if only anchoring happened since.

    Refuses, on the record, to sign what does not contain everything that it signed before. Raises
    ``VerificationFailed`` (``log.inconsistent``, ``log.key-unknown``), ``UsageError`` (``log.key-missing``) and
    as writing does.
    """
    with log_lock(workspace.layout):
        signer = signer_for(workspace, LOG, renew=new_key)
        ledger = workspace.ledger
        try:
            issued = list(ledger.entries(event=ISSUED))
            _restore(workspace, signer, issued)
            size = ledger.size
            root = ledger.root(size)
            _require_consistent(workspace, issued, size, root)
        except VerificationFailed as error:
            if error.code == "log.inconsistent":
                record_end(ledger, REFUSED, {"code": error.code, "reason": error.message}, error)
            raise
        last = None if not issued or new_key else _settled(workspace, issued[-1])
        return last or _issue(workspace, signer, size, root)


def anchor_folders(layout: WorkspaceLayout) -> list[AnchorFolder]:
    """The folders of checkpoints, smallest first. Names that are no size are left out."""
    try:
        names = sorted(path.name for path in layout.anchors.iterdir() if is_anchor_name(path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [AnchorFolder(layout.anchors / name) for name in names]


def cosignature_entries(ledger: Ledger) -> Iterator[LedgerEntry]:
    """The entries about cosignatures received, oldest first."""
    return ledger.entries(event=COSIGNED)


def store_cosignatures(workspace: Workspace, size: int) -> AnchorFolder:
    """Write the file with every cosignature that the ledger has for the checkpoint of ``size``."""
    folder = workspace.layout.anchor(size)
    signed = parse_signed_checkpoint(read_regular(folder.checkpoint, MAX_NOTE_BYTES))
    lines: list[NoteSignature] = []
    for entry in cosignature_entries(workspace.ledger):
        if entry.data.get("size") == size:
            lines.extend(parse_signature_lines(f"{entry.data.get('signature')}\n".encode()))
    if lines:
        there = _cosigned_already(folder, signed)
        data = (there or signed.note).with_signatures(lines).to_bytes()
        if there is None or there.to_bytes() != data:
            write_file(folder.cosigned, data)
    return folder


def _cosigned_already(folder: AnchorFolder, signed: SignedCheckpoint) -> Note | None:
    """The note in the file of cosignatures, if it is about this checkpoint; a damaged one counts for nothing."""
    try:
        note = parse_note(read_regular(folder.cosigned, MAX_NOTE_BYTES))
    except (OSError, ForensicError):
        return None
    return note if note.text == signed.note.text else None


# Issuing ---------------------------------------------------------------------------------------------------------


def _issue(workspace: Workspace, signer: NoteSigner, size: int, root: bytes) -> IssuedCheckpoint:
    note = sign_checkpoint(Checkpoint(signer.name, size, root), signer).to_bytes()
    facts = {"origin": signer.name, "size": size, "root": root.hex(), "vkey": str(signer.verifier)}
    workspace.ledger.append(ISSUED, {**facts, "sha256": sha256_bytes(note)})
    folder = workspace.layout.anchor(size)
    _write(folder.checkpoint, note)
    return IssuedCheckpoint(size, root, note, folder, new=True)


def _write(path: Path, note: bytes) -> None:
    make_folder(path.parent)
    write_file(path, note)


def _restore(workspace: Workspace, signer: NoteSigner, issued: list[LedgerEntry]) -> None:
    """Make again the files that the entries speak of and a crash (or somebody) has taken."""
    for entry in issued:
        folder = workspace.layout.anchor(_size(entry))
        if folder.checkpoint.exists() or entry.data.get("vkey") != str(signer.verifier):
            continue
        note = sign_checkpoint(_checkpoint(entry), signer).to_bytes()
        if sha256_bytes(note) == entry.data.get("sha256"):
            _write(folder.checkpoint, note)
    for size in {entry.data.get("size") for entry in cosignature_entries(workspace.ledger)}:
        if isinstance(size, int) and workspace.layout.anchor(size).checkpoint.exists():
            store_cosignatures(workspace, size)


def _require_consistent(workspace: Workspace, issued: list[LedgerEntry], size: int, root: bytes) -> None:
    """The ledger must contain whatever was signed before: by its own entries, and by the files among the anchors."""
    ledger = workspace.ledger
    earlier = {(_size(entry), _checkpoint(entry).root): f"entry {entry.seq}" for entry in issued}
    for folder in anchor_folders(workspace.layout):
        if folder.checkpoint.exists():
            checkpoint = _read(folder).checkpoint
            earlier.setdefault((checkpoint.size, checkpoint.root), str(folder.checkpoint))
    for (old, old_root), where in sorted(earlier.items()):
        if old > size or ledger.root(old) != old_root:
            raise _inconsistent(f"the checkpoint of size {old} ({where}) is not part of the ledger")
    for old, old_root in sorted(earlier)[-1:]:
        if not verify_consistency(old, size, ledger.consistency_proof(old, size), old_root, root):
            raise _inconsistent(f"no consistency proof leads from size {old} to size {size}")


def _read(folder: AnchorFolder) -> SignedCheckpoint:
    try:
        return parse_signed_checkpoint(read_regular(folder.checkpoint, MAX_NOTE_BYTES))
    except OSError as error:
        raise _inconsistent(f"{folder.checkpoint} cannot be read ({error.strerror})") from error
    except ForensicError as error:
        raise _inconsistent(f"{folder.checkpoint} is damaged ({error.message})") from error


def _settled(workspace: Workspace, last: LedgerEntry) -> IssuedCheckpoint | None:
    """The checkpoint of ``last``, if its file is there as issued and nothing but anchoring came after it."""
    size, ledger = _size(last), workspace.ledger
    folder = workspace.layout.anchor(size)
    if not folder.checkpoint.exists():
        return None
    note = read_regular(folder.checkpoint, MAX_NOTE_BYTES)
    if sha256_bytes(note) != last.data.get("sha256"):
        return None
    for seq in range(size + 1, ledger.size + 1):
        if not ledger.entry(seq).event.startswith(ANCHORING):
            return None
    return IssuedCheckpoint(size, _checkpoint(last).root, note, folder)


def _size(entry: LedgerEntry) -> int:
    return _checkpoint(entry).size


def _checkpoint(entry: LedgerEntry) -> Checkpoint:
    """What an entry says was issued. Raises ``VerificationFailed`` (``log.inconsistent``) if it says nothing."""
    data: dict[str, Any] = entry.data
    size, root = data.get("size"), data.get("root")
    try:
        if isinstance(size, int) and 0 < size < entry.seq and isinstance(root, str) and len(root) == 64:
            return Checkpoint(str(data.get("origin")), size, bytes.fromhex(root))
    except ValueError as error:
        raise _inconsistent(f"entry {entry.seq} does not say which checkpoint was issued") from error
    raise _inconsistent(f"entry {entry.seq} does not say which checkpoint was issued")


def _inconsistent(reason: str) -> VerificationFailed:
    return VerificationFailed(
        "log.inconsistent",
        f"No checkpoint was signed: {reason}. History was changed after it was anchored, or the anchors are damaged.",
        "Restore ledger and anchors from one backup; a damaged file may be removed, it is made again from the ledger.",
    )
