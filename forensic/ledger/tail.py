"""The verified end of the chain: what a writer must know before it may append the next entry."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import Connection, select

from forensic.errors import BadInput, ForensicError, UsageError
from forensic.hashes import parse_canonical, sha256_bytes
from forensic.ledger.entry import GENESIS, PAYLOAD_TYPE, Head, LedgerEntry
from forensic.ledger.order import ACQUIRED, CREATED, INTRODUCED, RUN_FAMILY, EventOrder
from forensic.ledger.rows import ENTRIES, ROW, StoredRow, broken, field, parse_row, rows
from forensic.signing.certificate import Certificate, key_id, read_certificate
from forensic.signing.dsse import verify_envelope
from forensic.signing.identity import Identity

# In canonical JSON the keys of an entry are sorted: "prev" comes after "exhibit" and "event", "run" follows.
_PREVIOUS = re.compile(
    rb',"prev":"([0-9a-f]{64})","run":(?:null|"(?:[^"\\]|\\.)*"),"seq":\d+,"time":\{[^{}]*\},"v":\d+\}$'
)


class Tail:
    """The last entry that was verified, the keys that may sign, and the state of the runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._certificates: dict[str, Certificate] = {}
        self._order: EventOrder | None = None  # loaded when first needed
        self.head = GENESIS
        self.utc = ""  # of the last entry; sorts before every time

    def load(self, connection: Connection, identity: Identity) -> None:
        """Verify the first and the last entry, the chain between them, and that ``identity`` may sign here.

        The last entry's signature covers its predecessor's hash, and so on to the first: whatever is
        read from this ledger afterwards is authentic. Reads the whole file once, without parsing it.
        Raises ``VerificationFailed`` (``ledger.broken``), ``UsageError`` (``ledger.unknown-identity``).
        """
        first = next(rows(connection, ROW.where(ENTRIES.c.seq == 1)), None)
        if first is None:
            raise broken(self._path, "entry 1 is missing")
        self._certificates = self._introduced(parse_row(self._path, first))
        entry = self._verify(first, GENESIS)
        last, *before = rows(connection, ROW.order_by(ENTRIES.c.seq.desc()).limit(2))
        if before:
            signer = parse_row(self._path, last).actor["key_id"]
            if not {signer, identity.key_id} <= self._certificates.keys():
                self._load_introductions(connection)
            entry = self._verify(last, Head(before[0].seq, sha256_bytes(before[0].entry)))
        self._walk(connection)
        if identity.key_id not in self._certificates:
            raise UsageError(
                "ledger.unknown-identity",
                f"The identity {identity.subject} was never introduced in {self._path}.",
                "Use the workspace's own identity, or let it introduce this one.",
            )
        self.advance(entry)

    def _walk(self, connection: Connection) -> None:
        """Follow every link from the first entry to the last; none may be missing or other than signed for."""
        before = GENESIS
        for row in rows(connection, ROW.order_by(ENTRIES.c.seq)):
            digest = sha256_bytes(row.entry)
            link = _PREVIOUS.search(row.entry)
            if row.seq != before.seq + 1 or link is None or link[1] != before.hash.encode():
                raise broken(self._path, f"entry {row.seq} does not follow entry {before.seq}")
            if row.entry_hash != digest.encode():
                raise broken(self._path, f"entry {row.seq} does not match its hash")
            before = Head(row.seq, digest)

    def _load_introductions(self, connection: Connection) -> None:
        for row in rows(connection, ROW.where(field("event") == INTRODUCED).order_by(ENTRIES.c.seq)):
            entry = parse_row(self._path, row)
            self._verify(row, Head(entry.seq - 1, entry.prev))  # hash and signature; its link is the audit's
            self._certificates.update(self._introduced(entry))

    def catch_up(self, connection: Connection) -> list[LedgerEntry]:
        """Verify and return what others appended since; refuse a ledger that does not hold any more."""
        fresh = rows(connection, ROW.where(ENTRIES.c.seq >= self.head.seq).order_by(ENTRIES.c.seq))
        known = next(fresh, None)
        if known is None:
            raise broken(self._path, f"entry {self.head.seq} and all after it are gone")
        digest = self.head.hash
        if (known.seq, sha256_bytes(known.entry), known.entry_hash) != (self.head.seq, digest, digest.encode()):
            raise broken(self._path, f"entry {self.head.seq} is gone or changed since it was read")
        entries = []
        for row in fresh:
            entries.append(self._verify(row, self.head))
            self.advance(entries[-1])
        return entries

    def advance(self, entry: LedgerEntry) -> None:
        """Take ``entry``, known to hold, as the end of the chain."""
        self.head, self.utc = entry.head, entry.utc
        if entry.event in (CREATED, INTRODUCED):
            self._certificates.update(self._introduced(entry))
        if self._order is not None:
            self._order.admit(entry.seq, entry.event, entry.case, entry.exhibit, entry.run)

    def order(self, connection: Connection) -> EventOrder:
        """The state of runs and exhibits at this end of the chain."""
        if self._order is None:
            self._order = read_order(connection)
        return self._order

    def _verify(self, row: StoredRow, before: Head) -> LedgerEntry:
        entry = parse_row(self._path, row)
        if (entry.seq - 1, entry.prev) != before:
            raise broken(self._path, f"entry {entry.seq} does not follow entry {before.seq}")
        try:
            envelope = parse_canonical(row.envelope)
            verified = verify_envelope(envelope, payload_type=PAYLOAD_TYPE, trusted=self._certificates)
        except ForensicError as error:
            raise broken(self._path, f"the signature of entry {entry.seq} does not hold ({error.message})") from error
        signers = [key_id(certificate) for certificate in verified.certificates]
        if verified.payload != entry.canonical or signers != [entry.actor["key_id"]]:
            raise broken(self._path, f"the signature of entry {entry.seq} is about something else")
        return entry

    def _introduced(self, entry: LedgerEntry) -> dict[str, Certificate]:
        pem = entry.data.get("certificate")
        try:
            certificate = read_certificate(pem if isinstance(pem, str) else "")
        except BadInput as error:
            raise broken(self._path, f"entry {entry.seq} holds no usable certificate") from error
        return {key_id(certificate): certificate}


def read_order(connection: Connection) -> EventOrder:
    """Run every entry that the order rules are about through a fresh ``EventOrder``."""
    order = EventOrder()
    event = field("event")
    query = (
        select(ENTRIES.c.seq, event, field("case"), field("exhibit"), field("run"))
        .where((event == ACQUIRED) | event.startswith(RUN_FAMILY))
        .order_by(ENTRIES.c.seq)
    )
    for seq, name, case, exhibit, run in connection.execute(query):
        order.admit(seq, name, case, exhibit, run)
    return order
