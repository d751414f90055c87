"""The verified end of the ledger: what must be known before anything is read from it or appended to it.

The last entry signs the root of the Merkle tree over all entries before it, and the root of the
tally over all entries with it. So one signature is checked, and then every entry that is read is
held against the tree, and every answer of an index against the tally.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from forensic.errors import BadInput, ForensicError, UsageError
from forensic.hashes import MerkleTree, leaf_hash, parse_canonical, sha256_bytes
from forensic.ledger import schema
from forensic.ledger.chain import follow_chain, key_rows
from forensic.ledger.counting import load_tally
from forensic.ledger.entry import GENESIS, PAYLOAD_TYPE, VERSION, Head, LedgerEntry
from forensic.ledger.keys import KEY_EVENTS, KeyRules
from forensic.ledger.nodes import StoredTree
from forensic.ledger.rows import ENTRIES, ROW, StoredRow, broken, mentioning, parse_row, rows, rows_from
from forensic.ledger.tally import NOTHING, BrokenTally, Count, Kind, tally_key
from forensic.signing.certificate import Certificate, key_id
from forensic.signing.dsse import verify_envelope
from forensic.signing.identity import Identity


class Tail:
    """The last entry that was verified, the roots that it signs, and the keys that may sign after it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.keys = KeyRules()
        self.head = GENESIS
        self.utc = ""  # of the last entry; sorts before every time
        self.tree = StoredTree(path, MerkleTree())
        self.tally_root = NOTHING

    def load(self, connection: Connection, version: int, identity: Identity | None) -> None:
        """Verify the end of the ledger, who may sign, and that ``identity`` (if given) is one of them.

        In a Merkle log this takes O(log n); a ledger of the older form is followed from its first
        entry. Raises ``VerificationFailed`` (``ledger.broken``), ``UsageError``
        (``ledger.unknown-identity``, ``ledger.closed-identity``).
        """
        newest = list(rows(connection, ROW.order_by(ENTRIES.c.seq.desc()).limit(2)))
        if not newest:
            raise broken(self._path, "it holds no entry")
        last, *before = newest
        entry = parse_row(self._path, last)
        previous = Head(before[0].seq, sha256_bytes(before[0].entry)) if before else GENESIS
        if version == schema.MERKLE_LOG:
            self._stand_on(connection, entry)
        for key_entry, row in self._key_entries(connection, version, entry):
            self._verify(row, key_entry, Head(key_entry.seq - 1, key_entry.prev))
            self._check_key_rules(key_entry)
            self._admit_key(key_entry)
        if entry.event not in KEY_EVENTS:
            self._verify(last, entry, previous)
        elif (entry.seq - 1, entry.prev) != previous:
            raise broken(self._path, f"entry {entry.seq} does not follow entry {previous.seq}")
        if version == schema.CHAIN and follow_chain(connection, self._path) != entry.head:
            raise broken(self._path, f"entry {entry.seq} is not the last")
        self.head, self.utc = entry.head, entry.utc
        if identity is not None:
            self.check_identity(identity)

    def _stand_on(self, connection: Connection, entry: LedgerEntry) -> None:
        """Take the roots that ``entry`` signs; whether its signature holds is seen next."""
        if entry.tree is None or entry.tally is None:
            raise broken(self._path, f"entry {entry.seq} is of the older form, in a ledger that is a Merkle log")
        self.tree = StoredTree.load(connection, self._path, entry.seq - 1)
        if self.tree.tree.root().hex() != entry.tree.root:
            raise broken(self._path, f"the stored tree is not the one that entry {entry.seq} signs")
        self.tree.advance(leaf_hash(entry.canonical))
        self.tally_root = bytes.fromhex(entry.tally)

    def stand_on_stored(self, connection: Connection, size: int, tally_root: bytes) -> None:
        """After migration, whose result is in this same transaction: take the tree and the tally as stored."""
        self.tree = StoredTree.load(connection, self._path, size)
        self.tally_root = tally_root

    def _key_entries(
        self, connection: Connection, version: int, last: LedgerEntry
    ) -> Iterator[tuple[LedgerEntry, StoredRow]]:
        """Every entry about keys, in order; in a Merkle log each is under the root and none can be missing."""
        found: dict[int, tuple[LedgerEntry, StoredRow]] = {}
        if version == schema.CHAIN:
            found = {row.seq: (parse_row(self._path, row), row) for row in key_rows(connection)}
        for event in KEY_EVENTS if version == schema.MERKLE_LOG else ():
            entries = {
                row.seq: (parse_row(self._path, row), row) for row in rows(connection, mentioning("event", event))
            }
            self.tree.check_entries(connection, [entry for entry, _ in entries.values()])
            if any(entry.event != event for entry, _ in entries.values()) or len(entries) != (
                self.count(connection, "event", event).entries
            ):
                raise broken(self._path, f"entries {event} are missing from the index")
            found |= entries
        if 1 not in found:
            raise broken(self._path, "entry 1 is missing, or does not begin a ledger")
        if last.event in KEY_EVENTS and last.seq not in found:
            raise broken(self._path, f"entry {last.seq} is missing from the index")
        yield from (found[seq] for seq in sorted(found))

    def check_identity(self, identity: Identity) -> None:
        """Refuse an identity that may not sign here."""
        signer = self.keys.signers.get(identity.key_id)
        if signer is None:
            raise UsageError(
                "ledger.unknown-identity",
                f"The identity {identity.subject} was never introduced in {self._path}.",
                "Use the workspace's own identity, or let it introduce this one.",
            )
        if signer.closed is not None:
            raise UsageError(
                "ledger.closed-identity",
                f"The key of {identity.subject} may not sign in {self._path} any more ({signer.closed}).",
                "Work as another identity.",
            )

    def count(self, connection: Connection, kind: Kind, name: str) -> Count:
        """How many entries up to ``head`` carry this identifier, and which is the last: signed for, not looked up."""
        key = tally_key(kind, name)
        try:
            return load_tally(connection, [key], self.tally_root).count(key)
        except BrokenTally as error:
            raise self.broken_tally(error) from error

    def broken_tally(self, error: BrokenTally) -> ForensicError:
        """The error for a stored tally that is not the one signed for."""
        return broken(self._path, f"the stored tally is not the one that entry {self.head.seq} signs ({error})")

    def catch_up(self, connection: Connection) -> Iterator[LedgerEntry]:
        """Verify and yield what others appended since; refuse a ledger that does not hold any more."""
        fresh = rows_from(connection, self.head.seq)
        known = next(fresh, None)
        if known is None:
            raise broken(self._path, f"entry {self.head.seq} and all after it are gone")
        digest = self.head.hash
        if (known.seq, sha256_bytes(known.entry), known.entry_hash) != (self.head.seq, digest, digest.encode()):
            raise broken(self._path, f"entry {self.head.seq} is gone or changed since it was read")
        for row in fresh:
            entry = parse_row(self._path, row)
            self._verify(row, entry, self.head)
            if entry.version != VERSION or entry.tree != (self.head.seq, self.tree.tree.root().hex()):
                raise broken(self._path, f"entry {entry.seq} signs another history than the one before it")
            self._check_key_rules(entry)
            self.advance(entry)
            yield entry

    def advance(self, entry: LedgerEntry) -> None:
        """Take ``entry``, known to hold, as the end of the ledger."""
        self.head, self.utc = entry.head, entry.utc
        self.tree.advance(leaf_hash(entry.canonical))
        if entry.tally is not None:
            self.tally_root = bytes.fromhex(entry.tally)
        if entry.event in KEY_EVENTS:
            self._admit_key(entry)

    def _check_key_rules(self, entry: LedgerEntry) -> None:
        if (fault := self.keys.fault(entry.event, entry.data)) is not None:
            raise broken(self._path, f"entry {entry.seq}: {fault}")

    def _admit_key(self, entry: LedgerEntry) -> None:
        try:
            self.keys.admit(entry.seq, entry.event, entry.data)
        except BadInput as error:
            raise broken(self._path, f"entry {entry.seq} holds no usable certificate") from error

    def _verify(self, row: StoredRow, entry: LedgerEntry, before: Head) -> None:
        if (entry.seq - 1, entry.prev) != before:
            raise broken(self._path, f"entry {entry.seq} does not follow entry {before.seq}")
        self.check_envelope(row.envelope, entry, self._may_sign(entry))

    def _may_sign(self, entry: LedgerEntry) -> dict[str, Certificate]:
        if entry.seq > 1:
            return self.keys.may_sign()
        try:  # the first entry vouches for itself
            certificate = self.keys.certificate_in(entry.data)
        except BadInput as error:
            raise broken(self._path, "entry 1 holds no usable certificate") from error
        return {key_id(certificate): certificate}

    def check_envelope(self, envelope: bytes, entry: LedgerEntry, trusted: dict[str, Certificate]) -> None:
        """Raise ``VerificationFailed`` (``ledger.broken``) unless ``envelope`` is ``entry``, signed by its actor."""
        try:
            verified = verify_envelope(parse_canonical(envelope), payload_type=PAYLOAD_TYPE, trusted=trusted)
        except ForensicError as error:
            raise broken(self._path, f"the signature of entry {entry.seq} does not hold ({error.message})") from error
        signers = [key_id(certificate) for certificate in verified.certificates]
        if verified.payload != entry.canonical or signers != [entry.actor["key_id"]]:
            raise broken(self._path, f"the signature of entry {entry.seq} is about something else")
