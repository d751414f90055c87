"""Checks on checkpoints, N1 to N7: those in a workspace, those kept elsewhere, and one alone.

A checkpoint that lies in the material proves nothing by itself. It counts through a witness whom the verifier
named, or because the verifier kept it himself: then not even the holder of every key can change what came before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forensic.case.layout import AnchorFolder, WorkspaceLayout, is_anchor_name
from forensic.case.lognames import time_text
from forensic.case.regularfile import open_regular, read_regular
from forensic.case.storage import is_folder
from forensic.case.verification.checks import Verdict, Verification
from forensic.case.verification.loghistory import LogHistory
from forensic.case.verification.trust import Trust
from forensic.errors import ForensicError, UsageError
from forensic.hashes import sha256_bytes
from forensic.signing.checkpoint import Checkpoint, SignedCheckpoint, parse_kept_checkpoint, parse_signed_checkpoint
from forensic.signing.note import MAX_NOTE_BYTES, Note, SignatureType, VerifierKey, parse_note, parse_vkey

TITLES = {
    "N1": "checkpoint can be read and is the one that its name says",
    "N2": "checkpoint is this ledger's, signed by a key that the ledger introduced before",
    "N3": "checkpoint is part of this ledger",
    "N4": "checkpoint is as the ledger says it was issued",
    "N5": "cosignatures hold and are those that the ledger received",
    "N6": "checkpoint kept elsewhere is part of this ledger",
    "N7": "newest checkpoint is signed by a log key that you named",
}
_HEAD = 1 << 16
_FILES = {"checkpoint", "checkpoint.tsr", "cosigned"}


@dataclass(frozen=True)
class TrustedKeys:
    """The verifier's keys, parsed."""

    witnesses: tuple[VerifierKey, ...]
    logs: tuple[VerifierKey, ...]

    @classmethod
    def of(cls, trust: Trust) -> TrustedKeys:
        """Raises ``UsageError`` (``verify.vkey``) for what is no verifier key, or one for another use."""
        return cls(
            tuple(_trusted_key(text, SignatureType.COSIGNATURE, "--witness") for text in trust.witnesses),
            tuple(_trusted_key(text, SignatureType.ED25519, "--log-key") for text in trust.log_keys),
        )


def _trusted_key(text: str, kind: SignatureType, option: str) -> VerifierKey:
    try:
        key = parse_vkey(text.strip())
    except ForensicError as error:
        raise UsageError("verify.vkey", f"{option}: {error.message}", error.remedy) from error
    if key.type is not kind:
        raise UsageError("verify.vkey", f"{option}: {key} is a key for another use (type {key.type:#04x}).")
    return key


def check_anchors(verification: Verification, layout: WorkspaceLayout, *, trust: Trust, covering: int) -> None:
    """N1 to N7 on a workspace whose ledger the audit found sound.

    ``covering`` is the number of the entry that a witnessed checkpoint must include for the rung WITNESSED.
    Raises ``UsageError`` (``verify.vkey``) for trusted keys that are none.
    """
    keys = TrustedKeys.of(trust)
    _Examination(verification, layout, trust, keys, LogHistory.read(layout.ledger)).run(covering)


class _Examination:
    def __init__(
        self, verification: Verification, layout: WorkspaceLayout, trust: Trust, keys: TrustedKeys, history: LogHistory
    ) -> None:
        self.verification, self.layout, self.trust = verification, layout, trust
        self.keys, self.history = keys, history
        self.witnessed: dict[int, list[str]] = {}
        self.untrusted: dict[str, int] = {}
        self.newest = 0

    def run(self, covering: int) -> None:
        if self.history.faults:
            self._record("N2", False, "; ".join(self.history.faults[:3]))
        present = self._folders()
        self.newest = max(present, default=0)
        for size, folder in sorted(present.items()):
            self._check_folder(size, folder)
        for size, recorded in sorted(self.history.issued.items()):
            root = self.history.root(size)
            if any(claimed != (root.hex() if root else "") for claimed, _ in recorded):
                self._record(
                    "N3", False, f"the ledger says that a checkpoint of size {size} with another root was issued"
                )
            if size not in present:
                self.verification.not_checked.append(
                    f"checkpoint of size {size}: the ledger says that it was issued, its file is not there"
                )
        for data in self.trust.checkpoints:
            self._check_kept(data)
        self._conclude(covering, anchored=bool(present or self.history.issued))

    def _record(self, number: str, passed: bool, detail: str = "") -> bool:
        return self.verification.record(number, TITLES[number], passed, detail)

    def _folders(self) -> dict[int, AnchorFolder]:
        """The folders of checkpoints by size; anything else among them fails N1."""
        root = self.layout.anchors
        if not root.exists() and not root.is_symlink():
            return {}
        if not is_folder(root):
            self._record("N1", False, "anchors is not a folder")
            return {}
        found, strays = {}, []
        for path in sorted(root.iterdir()):
            inside = {file.name for file in path.iterdir()} if is_folder(path) else {""}
            settled = {name for name in inside if not (name.startswith(".") and name.endswith(".partial"))}
            if is_anchor_name(path.name) and settled <= _FILES:
                if settled:  # an empty folder is what a crash leaves before the first file
                    found[int(path.name)] = AnchorFolder(path)
            else:
                strays.append(path.name)
        if strays:
            self._record("N1", False, f"among the anchors lies what is none: {', '.join(strays[:5])}")
        return found

    def _check_folder(self, size: int, folder: AnchorFolder) -> None:
        try:
            data = read_regular(folder.checkpoint, MAX_NOTE_BYTES)
            signed = parse_signed_checkpoint(data)
        except OSError as error:
            self._record("N1", False, f"size {size}: {error.strerror}")
            return
        except ForensicError as error:
            self._record("N1", False, f"size {size}: {error.message}")
            return
        if not self._record("N1", signed.checkpoint.size == size, f"size {size}"):
            return
        sound = self._check_signed(signed, f"size {size}")
        notes = [sha256 for _, sha256 in self.history.issued.get(size, [])]
        sound &= self._record("N4", sha256_bytes(data) in notes, f"size {size}")
        cosigned = self._check_cosigned(size, folder, signed)
        if sound and cosigned is not None:
            self._count(SignedCheckpoint(signed.checkpoint, cosigned))

    def _check_signed(self, signed: SignedCheckpoint, where: str) -> bool:
        """N2, N3, N7."""
        checkpoint = signed.checkpoint
        try:
            if checkpoint.origin != self.history.origin:
                raise UsageError("checkpoint.origin", f"it is about {checkpoint.origin}, not {self.history.origin}")
            key = signed.require_log(self.history.keys_at(checkpoint.size))
        except ForensicError as error:
            self._record("N2", False, f"{where}: {error.message}")
            return False
        sound = self._record("N2", True, f"{where}, {key}")
        sound &= self._record("N3", self.history.root(checkpoint.size) == checkpoint.root, where)
        if self.keys.logs and checkpoint.size == self.newest:  # older ones: signed by whichever key was in force
            sound &= self._record("N7", key in self.keys.logs, f"{where}, {key}")
        return sound

    def _check_cosigned(self, size: int, folder: AnchorFolder, signed: SignedCheckpoint) -> Note | None:
        """N5; the note with its cosignatures, None if it fails."""
        try:
            note = parse_note(read_regular(folder.cosigned, MAX_NOTE_BYTES))
            if note.text != signed.note.text or not set(signed.note.signatures) <= set(note.signatures):
                raise UsageError("cosigned.other", "it is not about the checkpoint beside it")
            note.signed_by([*self.history.cosigners.values(), *self.keys.witnesses])
        except FileNotFoundError:
            return signed.note
        except OSError as error:
            self._record("N5", False, f"size {size}: {error.strerror}")
            return None
        except ForensicError as error:
            self._record("N5", False, f"size {size}: {error.message}")
            return None
        further = [line for line in note.signatures if line not in signed.note.signatures]
        unknown = [line.name for line in further if (size, line.line.rstrip("\n")) not in self.history.cosigned]
        passed = self._record(
            "N5", not unknown, f"size {size}" + (f": not on record: {', '.join(unknown[:5])}" if unknown else "")
        )
        return note if passed else None

    def _check_kept(self, data: bytes) -> None:
        """N6: a checkpoint that the verifier kept himself."""
        try:
            checkpoint, note = parse_kept_checkpoint(data)
            where = f"size {checkpoint.size}, root {checkpoint.root.hex()}"
            if checkpoint.origin != self.history.origin:
                raise UsageError("checkpoint.origin", f"it is about {checkpoint.origin}, not {self.history.origin}")
            if note is not None:
                allowed = self.history.keys_at(checkpoint.size) or self.keys.logs
                SignedCheckpoint(checkpoint, note).require_log(allowed)
                note.signed_by([*self.history.cosigners.values(), *self.keys.witnesses])
        except ForensicError as error:
            self._record("N6", False, error.message)
            return
        root = self.history.root(checkpoint.size)
        if root is None and checkpoint.size > 0:
            where += f": the ledger has only {self.history.entries} entries"
        elif root is not None and root != checkpoint.root:
            where += f": the ledger's root at this size is {root.hex()}"
        if self._record("N6", root == checkpoint.root, where) and note is not None:
            self._count(SignedCheckpoint(checkpoint, note))

    def _count(self, signed: SignedCheckpoint) -> None:
        """Note who cosigned a sound checkpoint: witnesses whom the verifier named, and others."""
        size = signed.checkpoint.size
        for key, line in signed.cosignatures(self.keys.witnesses):
            if key in self.history.own_witnesses:
                self.verification.not_checked.append(f"{key.name} is this workspace's own key: that is no witness")
                continue
            moment = time_text(line.time) or f"POSIX time {line.time}"
            self.witnessed.setdefault(size, []).append(f"{key} cosigned {size} entries at {moment} (its own clock)")
        for key, _ in signed.cosignatures(self.history.cosigners.values()):
            if key not in self.keys.witnesses:
                self.untrusted[str(key)] = max(size, self.untrusted.get(str(key), 0))

    def _conclude(self, covering: int, *, anchored: bool) -> None:
        note = self.verification.not_checked.append
        if not anchored:
            note("no checkpoint was ever issued: only copies kept elsewhere stand against a rewritten ledger")
        for vkey, size in sorted(self.untrusted.items()):
            note(f"cosigned up to entry {size} by {vkey}: name it with --witness if you trust it")
        if anchored and not self.keys.logs:
            for _, key in self.history.keys[-1:]:
                note(f"whose log key {key} is: compare it with the laboratory's and give it with --log-key")
        if not self.witnessed:
            if self.keys.witnesses:
                note("no sound checkpoint here is cosigned by a witness that you named")
            return
        best = max(self.witnessed)
        shown_by = "; ".join(dict.fromkeys(self.witnessed[best]))
        if best >= covering:
            self.verification.reach(Verdict.WITNESSED, shown_by)
        else:
            note(f"witnessed only up to entry {best}, but entry {covering} belongs to this material: {shown_by}")
        if best < self.history.entries:
            note(f"entries {best + 1} to {self.history.entries} of the ledger are younger than what was witnessed")


def note_unused(verification: Verification, trust: Trust) -> None:
    """Say so where the verifier's checkpoints or keys met no checkpoint: unused, they protect nothing.

    Raises ``UsageError`` (``verify.vkey``) for keys that are none.
    """
    TrustedKeys.of(trust)
    named = ((trust.checkpoints, "checkpoints"), (trust.witnesses, "witnesses"), (trust.log_keys, "log keys"))
    if trust.tsa_roots and not any(check.number.startswith("T") for check in verification.checks):
        verification.not_checked.append("the timestamp roots that you named: there is no timestamp here")
    given = [word for values, word in named if values]
    if given and not any(check.number in TITLES for check in verification.checks):
        verification.not_checked.append(f"the {' and '.join(given)} that you named: nothing here was held against them")


def is_checkpoint(path: Path) -> bool:
    """Whether the file is a checkpoint by its name, or a signed note by its content. Raises ``OSError``."""
    if path.name in ("checkpoint", "cosigned") or path.suffix.lower() == ".checkpoint":
        return True
    with open_regular(path) as stream:
        return "\n\n— ".encode() in stream.read(_HEAD)


def verify_checkpoint(path: Path, *, trust: Trust) -> Verification:
    """A checkpoint alone (a signed note): N1, and with the verifier's keys N7 and N5."""
    verification = Verification(str(path), "checkpoint")
    keys = TrustedKeys.of(trust)
    try:
        signed = parse_signed_checkpoint(read_regular(path, MAX_NOTE_BYTES))
    except OSError as error:
        verification.record("N1", "checkpoint can be read", False, str(error.strerror))
        return verification
    except ForensicError as error:
        verification.record("N1", "checkpoint can be read", False, error.message)
        return verification
    checkpoint = signed.checkpoint
    detail = f"{checkpoint.origin}, {checkpoint.size} entries, root {checkpoint.root.hex()}"
    verification.record("N1", "checkpoint can be read", True, detail)
    _check_signers_alone(verification, signed, keys)
    for data in trust.checkpoints:
        _compare_kept(verification, checkpoint, data)
    verification.not_checked.append("the ledger that it is about: verify the workspace or a bundle with --checkpoint")
    return verification


def _check_signers_alone(verification: Verification, signed: SignedCheckpoint, keys: TrustedKeys) -> None:
    if keys.logs:
        try:
            detail = str(signed.require_log(keys.logs))
            verification.signed = True
        except ForensicError as error:
            detail = error.message
        verification.record("N7", TITLES["N7"], verification.signed, detail)
    else:
        verification.not_checked.append("the log's signature: give the log's key with --log-key")
    try:
        found = signed.cosignatures(keys.witnesses)
    except ForensicError as error:
        verification.record("N5", "cosignatures hold", False, error.message)
        return
    for key, line in found:
        moment = time_text(line.time) or f"POSIX time {line.time}"
        verification.record("N5", "cosignatures hold", True, f"{key}, {moment} (its own clock)")
        verification.reach(Verdict.WITNESSED, f"{key} cosigned it at {moment} (its own clock)")
    known = {line for _, line in found}
    others = sorted({line.name for line in signed.note.signatures if line not in known} - {signed.checkpoint.origin})
    if others:
        verification.not_checked.append(
            f"signatures by {', '.join(others)}: name them with --witness if you trust them"
        )


def _compare_kept(verification: Verification, checkpoint: Checkpoint, data: bytes) -> None:
    try:
        kept, _ = parse_kept_checkpoint(data)
    except ForensicError as error:
        verification.record("N6", "checkpoint kept elsewhere agrees", False, error.message)
        return
    if (kept.origin, kept.size) == (checkpoint.origin, checkpoint.size):
        verification.record("N6", "checkpoint kept elsewhere agrees", kept.root == checkpoint.root, kept.root.hex())
    else:
        verification.not_checked.append(
            f"the checkpoint of {kept.origin} with {kept.size} entries: only the ledger can show whether both agree"
        )
