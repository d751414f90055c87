"""The checkpoints in a bundle: the one that its entries are proved under, and others of the same ledger.

As in a workspace, nothing here counts by itself: only witnesses, timestamp authorities and checkpoints that
the verifier brings along raise the verdict.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from forensic.case.lognames import LOG, time_text
from forensic.case.verification.anchors import TrustedKeys
from forensic.case.verification.bundle_container import OpenedBag
from forensic.case.verification.bundle_extract import Extract
from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.bundleform.bag import anchor_folder
from forensic.case.verification.checks import Verdict, Verification
from forensic.case.verification.loghistory import keys_in_force
from forensic.case.verification.trust import Trust
from forensic.errors import ForensicError
from forensic.hashes import verify_consistency
from forensic.signing.checkpoint import (
    Checkpoint,
    SignedCheckpoint,
    parse_kept_checkpoint,
    parse_signed_checkpoint,
    parse_witness_request,
)
from forensic.signing.note import MAX_NOTE_BYTES, VerifierKey, parse_vkey
from forensic.signing.timestamp import Timestamp, read_roots, verify_response

_TIMESTAMP_LIMIT = 1 << 20


@dataclass(frozen=True)
class Checkpoints:
    """The bundle's own checkpoint as issued and, where there are cosignatures, with them."""

    issued: SignedCheckpoint
    cosigned: SignedCheckpoint | None

    @property
    def notes(self) -> set[bytes]:
        """The note that every inclusion proof must end with."""
        return {(self.cosigned or self.issued).note.to_bytes()}


def read_checkpoints(bag: OpenedBag) -> Checkpoints:
    """Read them; their signatures are checked later. Raises ``BadInput`` and ``OSError``."""
    issued = parse_signed_checkpoint(bag.read(names.CHECKPOINT, MAX_NOTE_BYTES))
    cosigned = None
    if names.COSIGNED in bag.digests:
        cosigned = parse_signed_checkpoint(bag.read(names.COSIGNED, MAX_NOTE_BYTES))
    return Checkpoints(issued, cosigned)


def check_checkpoints(
    verification: Verification,
    bag: OpenedBag,
    own: Checkpoints,
    extract: Extract,
    trust: Trust,
    listed_witnesses: object,
) -> None:
    """B12 (own checkpoint), B13 (others and the way to them), N5, N6, N7, and the rungs that they reach.

    ``listed_witnesses``: the verifier keys of witnesses that ``bundle.json`` names, so that cosignatures by
    witnesses whom the verifier does not know are checked too.
    """
    _Examination(verification, bag, own, extract, trust).run(listed_witnesses)


@dataclass
class _Examination:
    verification: Verification
    bag: OpenedBag
    own: Checkpoints
    extract: Extract
    trust: Trust
    witnesses: dict[str, VerifierKey] = field(default_factory=dict)
    witnessed: dict[int, list[str]] = field(default_factory=dict)
    stamped: dict[int, list[str]] = field(default_factory=dict)
    sound: dict[int, Checkpoint] = field(default_factory=dict)

    def run(self, listed_witnesses: object) -> None:
        self.keys = TrustedKeys.of(self.trust)
        self.roots = read_roots(self.trust.tsa_roots)
        self._read_witnesses(listed_witnesses)
        own = self.own.issued.checkpoint
        if self._check_own():
            self._take(own.size, names.CHECKPOINT, names.COSIGNED, names.CHECKPOINT_TIMESTAMP, self.own.issued)
        sizes = sorted({name.removeprefix(names.ANCHORS).partition("/")[0] for name in self.bag.below(names.ANCHORS)})
        for size in sizes:
            self._check_other(size)
        for data in self.trust.checkpoints:
            self._check_kept(data)
        self._conclude(Verdict.WITNESSED, self.witnessed, "witnessed", "cosigned by a witness")
        self._conclude(Verdict.TIMESTAMPED, self.stamped, "timestamped", "timestamped by an authority")

    def _read_witnesses(self, listed: object) -> None:
        try:
            keys = [parse_vkey(text) for text in listed] if isinstance(listed, list) else []
        except (ForensicError, TypeError, AttributeError) as error:
            self.verification.record("N5", "cosignatures hold", False, f"bundle.json names no witness: {error}")
            keys = []
        self.witnesses = {str(key): key for key in (*keys, *self.keys.witnesses)}

    def _signed(self, signed: SignedCheckpoint, where: str) -> str | None:
        """Why the checkpoint is not the log's, or None. Records N7 about the bundle's own one."""
        origin = None if self.extract.created is None else LOG.name(str(self.extract.created.data.get("workspace")))
        if signed.checkpoint.origin != origin:
            return f"it is about {signed.checkpoint.origin}, not {origin}"
        try:
            key = signed.require_log(keys_in_force(self.extract.log_keys, signed.checkpoint.size))
        except ForensicError as error:
            return error.message
        if signed is not self.own.issued:
            return None
        if self.keys.logs:
            self.verification.record(
                "N7", "checkpoint is signed by a log key that you named", key in self.keys.logs, f"{where}, {key}"
            )
        else:
            self.verification.not_checked.append(
                f"whose log key {key} is: compare it with the laboratory's and give it with --log-key"
            )
        return None

    def _check_own(self) -> bool:
        checkpoint = self.own.issued.checkpoint
        fault = self._signed(self.own.issued, f"size {checkpoint.size}")
        last = self.extract.issued
        if fault is None and (last is None or checkpoint.size < last.seq):
            fault = f"it covers {checkpoint.size} entries only"
        return self.verification.record(
            "B12",
            "checkpoint is signed by the key that the ledger introduced for its log",
            fault is None,
            fault or f"{checkpoint.size} entries, root {checkpoint.root.hex()}",
        )

    def _check_other(self, size: str) -> None:
        title = "other checkpoint is of the same, only growing ledger"
        try:
            folder = anchor_folder(int(size))
            signed = parse_signed_checkpoint(self.bag.read(f"{folder}checkpoint", MAX_NOTE_BYTES))
            fault = self._signed(signed, f"size {size}") or self._way(signed, folder)
            if signed.checkpoint.size != int(size):
                fault = "its folder names another size"
        except OSError as error:
            fault = str(error.strerror)
        except (ForensicError, ValueError) as error:
            fault = error.message if isinstance(error, ForensicError) else str(error)
        if self.verification.record("B13", title, fault is None, f"size {size}" + (f": {fault}" if fault else "")):
            self._take(int(size), f"{folder}checkpoint", f"{folder}cosigned", f"{folder}checkpoint.tsr", signed)

    def _way(self, signed: SignedCheckpoint, folder: str) -> str | None:
        """Why the consistency proof between it and the bundle's checkpoint does not hold, or None."""
        request = parse_witness_request(self.bag.read(f"{folder}consistency", MAX_NOTE_BYTES))
        old, new = sorted((self.own.issued, signed), key=lambda one: one.checkpoint.size)
        if request.old_size != old.checkpoint.size or request.signed != new:
            return "its consistency proof is about other checkpoints"
        a, b = old.checkpoint, new.checkpoint
        holds = a.size < b.size and verify_consistency(a.size, b.size, request.proof, a.root, b.root)
        return None if holds else "no consistency proof leads from one to the other: the history was rewritten"

    def _take(self, size: int, checkpoint: str, cosigned: str, timestamp: str, signed: SignedCheckpoint) -> None:
        """Cosignatures and timestamp of a checkpoint that is the log's own."""
        self.sound[size] = signed.checkpoint
        if cosigned in self.bag.digests:
            self._check_cosigned(size, cosigned, signed)
        if timestamp in self.bag.digests:
            self._check_timestamp(size, checkpoint, timestamp)

    def _check_cosigned(self, size: int, name: str, signed: SignedCheckpoint) -> None:
        title = "cosignatures are on the same checkpoint and hold"
        try:
            note = parse_signed_checkpoint(self.bag.read(name, MAX_NOTE_BYTES)).note
            found = SignedCheckpoint(signed.checkpoint, note).cosignatures(self.witnesses.values())
        except (OSError, ForensicError) as error:
            reason = error.message if isinstance(error, ForensicError) else str(error.strerror)
            self.verification.record("N5", title, False, f"size {size}: {reason}")
            return
        lines = len(note.signatures) - len(signed.note.signatures)
        whole = note.text == signed.note.text and note.signatures[: -lines or None] == signed.note.signatures
        if not self.verification.record(
            "N5", title, whole and 0 < lines == len(found), f"size {size}, {len(found)} of {lines} by known witnesses"
        ):
            return
        for key, line in found:
            moment = time_text(line.time) or f"POSIX time {line.time}"
            if key in self.extract.own_witnesses:
                self.verification.not_checked.append(f"{key.name} is the workspace's own key: that is no witness")
            elif key in self.keys.witnesses:
                self.witnessed.setdefault(size, []).append(f"{key} cosigned {size} entries at {moment} (its own clock)")
            else:
                self.verification.not_checked.append(
                    f"cosigned up to entry {size} by {key}: name it with --witness if you trust it"
                )

    def _check_timestamp(self, size: int, checkpoint: str, name: str) -> None:
        title = "timestamp is about this checkpoint and holds"
        try:
            digest = hashlib.sha256(self.bag.read(checkpoint, MAX_NOTE_BYTES)).digest()
            stamp = verify_response(self.bag.read(name, _TIMESTAMP_LIMIT), digest, self.roots)
        except (OSError, ForensicError) as error:
            reason = error.message if isinstance(error, ForensicError) else str(error.strerror)
            self.verification.record("T1", title, False, f"size {size}: {reason}")
            return
        self.verification.record("T1", title, True, f"size {size}, {stamp.utc} by {stamp.tsa}")
        if stamp.trusted:
            self.stamped.setdefault(size, []).append(
                f"{size} entries of the ledger existed at {stamp.utc}, {stamp.tsa}"
            )
        else:
            self.verification.not_checked.append(untrusted(f"checkpoint of size {size}", stamp))

    def _check_kept(self, data: bytes) -> None:
        """N6: a checkpoint that the verifier kept himself; the bundle can answer for the sizes that it carries."""
        title = "checkpoint kept elsewhere is of the same ledger"
        try:
            kept, _ = parse_kept_checkpoint(data)
        except ForensicError as error:
            self.verification.record("N6", title, False, error.message)
            return
        known = self.sound.get(kept.size)
        where = f"size {kept.size}, root {kept.root.hex()}"
        if kept.origin != self.own.issued.checkpoint.origin:
            self.verification.record("N6", title, False, f"it is about {kept.origin}")
        elif known is None:
            self.verification.not_checked.append(
                f"your checkpoint of {where}: the bundle has no checkpoint of this size"
            )
        else:
            self.verification.record("N6", title, known.root == kept.root, where)

    def _conclude(self, rung: Verdict, reached: dict[int, list[str]], word: str, how: str) -> None:
        note = self.verification.not_checked.append
        if not reached:
            asked = self.keys.witnesses if rung is Verdict.WITNESSED else self.roots.certificates
            note(f"no sound checkpoint here is {how} that you named" if asked else f"whether the ledger was {word}")
            return
        best, needed = max(reached), self.extract.custody.newest()
        shown_by = "; ".join(reached[min(size for size in reached if size >= needed)]) if best >= needed else ""
        if best >= needed:
            self.verification.reach(rung, shown_by)
        else:
            note(f"{word} only up to entry {best}, but entry {needed} belongs to this material")


def untrusted(what: str, stamp: Timestamp) -> str:
    """The line about a timestamp that holds and does not count."""
    return (
        f"timestamp of the {what}: {stamp.utc} by {stamp.tsa}, certificate SHA-256 {stamp.tsa_sha256} "
        f"({stamp.distrust}): name its root with --tsa-root if you trust it"
    )
