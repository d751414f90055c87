"""The ledger extract of a bundle: every entry signed, in the log, and none left out of the thread.

An extract is not a ledger: entries about other cases are missing from it. That none about *this* one is
missing follows from the links in the entries; that the entries are the log's own, from their inclusion proofs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from forensic.case.lognames import KEY_INTRODUCED, LOG
from forensic.case.regularfile import open_regular
from forensic.case.verification.bundle_container import OpenedBag
from forensic.case.verification.bundle_links import ISSUED, Links
from forensic.case.verification.bundleform.bag import ENTRIES, PROOFS, proof_name
from forensic.case.verification.bundleform.description import ENDING
from forensic.case.verification.custody import Custody
from forensic.errors import BadInput, ForensicError
from forensic.hashes import parse_canonical
from forensic.ledger.entry import GENESIS, PAYLOAD_TYPE, Head, LedgerEntry, parse_entry
from forensic.ledger.keys import KEY_EVENTS, KeyRules
from forensic.ledger.order import CREATED, EventOrder
from forensic.signing.certificate import key_id
from forensic.signing.checkpoint import parse_inclusion_proof
from forensic.signing.dsse import verify_envelope
from forensic.signing.note import VerifierKey, parse_vkey

_LONGEST_LINE = 32 << 20
_PROOF_LIMIT = 1 << 20
_KEPT_FAULTS = 5


@dataclass
class Extract:
    """What was found in the extract; ``faults`` by the number of the check that they fail."""

    custody: Custody = field(default_factory=lambda: Custody(complete=False))
    faults: dict[str, list[str]] = field(default_factory=dict)
    count: int = 0
    created: LedgerEntry | None = None
    issued: LedgerEntry | None = None
    log_keys: list[tuple[int, VerifierKey]] = field(default_factory=list)
    """The log's keys, each with the number of the entry that introduced it."""
    own_witnesses: set[VerifierKey] = field(default_factory=set)
    """Keys with which the workspace cosigns the logs of others."""
    keys: KeyRules = field(default_factory=KeyRules)
    hashes: dict[int, str] = field(default_factory=dict)
    destroyed: set[str] = field(default_factory=set)

    def fault(self, check: str, reason: str) -> None:
        """Note that ``check`` failed; at most five reasons are kept."""
        listed = self.faults.setdefault(check, [])
        if len(listed) < _KEPT_FAULTS:
            listed.append(reason)


def read_extract(bag: OpenedBag, notes: set[bytes], scope: tuple[str, Any]) -> Extract:
    """Read and examine the extract of ``bag``. ``custody`` is filled with what it says about ``scope``.

    ``notes`` are the texts of the checkpoint that a proof may end with: with and without cosignatures.
    Fills B7 (form and order), B8 (signatures), B9 (proofs), B10 (nothing left out), B11 (possible order).
    """
    return _Reader(bag, notes, scope).run()


@dataclass
class _Reader:
    bag: OpenedBag
    notes: set[bytes]
    scope: tuple[str, Any]
    extract: Extract = field(default_factory=Extract)
    order: EventOrder = field(default_factory=EventOrder)
    previous: Head = GENESIS
    first_linked: int = 0
    links: Links = field(default_factory=Links)

    def run(self) -> Extract:
        extract = self.extract
        proofs = set()
        try:
            for entry, envelope in self._lines():
                self._take(entry, envelope)
                proofs.add(proof_name(entry.seq))
        except (ForensicError, OSError, ValueError) as error:
            extract.fault("B7", error.message if isinstance(error, ForensicError) else str(error))
            return extract
        for name in sorted(set(self.bag.below(PROOFS)) - proofs):
            extract.fault("B9", f"{name} proves no entry of the extract")
        self._check_ends()
        if extract.issued is not None:
            for reason in self.links.faults(extract.issued):
                extract.fault("B10", reason)
        return extract

    def _lines(self) -> Iterator[tuple[LedgerEntry, bytes]]:
        with open_regular(self.bag.root / ENTRIES) as stream:
            number, rest = 0, b""
            while block := stream.read(1 << 20):
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    number += 1
                    yield _parsed(line, number)
                if len(rest) > _LONGEST_LINE:
                    raise BadInput("bundle.extract", f"line {number + 1} is too long")
            if rest:
                raise BadInput("bundle.extract", "the last line is not ended")

    def _take(self, entry: LedgerEntry, envelope: bytes) -> None:
        extract = self.extract
        if entry.seq <= self.previous.seq:
            extract.fault("B7", f"entry {entry.seq} follows entry {self.previous.seq}")
        if entry.seq == self.previous.seq + 1 and entry.prev != self.previous.hash:
            extract.fault("B7", f"entry {entry.seq} names another predecessor than entry {self.previous.seq}")
        if entry.thread is None and self.first_linked:
            extract.fault("B7", f"entry {entry.seq} is of an older form than entry {self.first_linked} before it")
        if entry.thread is not None and not self.first_linked:
            self.first_linked = entry.seq
        self.previous = entry.head
        extract.count += 1
        extract.hashes[entry.seq] = entry.hash
        self._check_signature(entry, envelope)
        self._check_proof(entry)
        fault = self.order.fault(entry.seq, entry.event, entry.case, entry.exhibit, entry.run)
        if fault is not None:
            extract.fault("B11", f"entry {entry.seq}: {fault}")
        self.order.admit(entry.seq, entry.event, entry.case, entry.exhibit, entry.run)
        self.links.take(entry)
        self._note(entry)

    def _note(self, entry: LedgerEntry) -> None:
        extract = self.extract
        if entry.event == CREATED and entry.seq == 1:
            extract.created = entry
        elif entry.event == KEY_INTRODUCED:
            try:
                key = parse_vkey(str(entry.data.get("vkey")))
            except BadInput as error:
                extract.fault("B8", f"entry {entry.seq}: {error.message}")
                return
            if entry.data.get("purpose") == LOG.word:
                extract.log_keys.append((entry.seq, key))
            else:
                extract.own_witnesses.add(key)
        extract.issued = entry if entry.event == ISSUED else None
        field_, value = self.scope
        if getattr(entry, field_) != value:
            extract.custody.take_aside(entry)
            return
        extract.custody.take(entry)
        if entry.event in ENDING and entry.exhibit is not None:
            extract.destroyed.add(entry.exhibit)

    def _check_signature(self, entry: LedgerEntry, envelope: bytes) -> None:
        keys = self.extract.keys
        if entry.event == CREATED and entry.seq == 1:
            self._admit(entry)  # signs itself; every later certificate is vouched for
        try:
            verified = verify_envelope(parse_canonical(envelope), payload_type=PAYLOAD_TYPE, trusted=keys.may_sign())
        except ForensicError as error:
            self.extract.fault("B8", f"entry {entry.seq}: {error.message}")
            return
        signers = [(key_id(signer), signer.subject.rfc4514_string()) for signer in verified.certificates]
        if verified.payload != entry.canonical:
            self.extract.fault("B8", f"the envelope of entry {entry.seq} holds another text than the entry")
        elif signers != [(entry.actor["key_id"], entry.actor["subject"])]:
            self.extract.fault("B8", f"entry {entry.seq} names an actor who did not sign it")
        elif (fault := keys.fault(entry.event, entry.data)) is not None:
            self.extract.fault("B8", f"entry {entry.seq}: {fault}")
        elif entry.event in KEY_EVENTS and entry.seq > 1:
            self._admit(entry)

    def _admit(self, entry: LedgerEntry) -> None:
        try:
            self.extract.keys.admit(entry.seq, entry.event, entry.data)
        except BadInput as error:
            self.extract.fault("B8", f"entry {entry.seq} introduces no usable certificate: {error.message}")

    def _check_proof(self, entry: LedgerEntry) -> None:
        try:
            data = self.bag.read(proof_name(entry.seq), _PROOF_LIMIT)
            proof = parse_inclusion_proof(data)
        except OSError as error:
            self.extract.fault("B9", f"the proof of entry {entry.seq} cannot be read: {error.strerror}")
            return
        except BadInput as error:
            self.extract.fault("B9", f"the proof of entry {entry.seq}: {error.message}")
            return
        if proof.to_bytes() != data or proof.extra is not None or proof.signed.note.to_bytes() not in self.notes:
            self.extract.fault("B9", f"the proof of entry {entry.seq} is not about the bundle's checkpoint")
        elif proof.index != entry.seq - 1 or not proof.includes(entry.canonical):
            self.extract.fault("B9", f"entry {entry.seq} is not in the tree of the checkpoint")

    def _check_ends(self) -> None:
        if self.extract.created is None:
            self.extract.fault("B7", "it does not begin with the creation of the workspace")
        if self.extract.issued is None:
            self.extract.fault("B7", f"it does not end with the entry {ISSUED}")


def _parsed(line: bytes, number: int) -> tuple[LedgerEntry, bytes]:
    value = parse_canonical(line)
    if not isinstance(value, dict) or set(value) != {"entry", "envelope"}:
        raise BadInput("bundle.extract", f"line {number} does not have exactly an entry and an envelope")
    if not isinstance(value["entry"], str) or not isinstance(value["envelope"], str):
        raise BadInput("bundle.extract", f"line {number} does not hold texts")
    return parse_entry(value["entry"].encode()), value["envelope"].encode()
