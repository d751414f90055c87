"""A ledger of the older form, followed from its first entry to its last: done once, before it is migrated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, func

from forensic.hashes import sha256_bytes
from forensic.ledger.entry import GENESIS, Head
from forensic.ledger.keys import KEY_EVENTS
from forensic.ledger.rows import ENTRIES, ROW, StoredRow, broken, rows

# In canonical JSON the keys of an entry are sorted: "prev" comes after "exhibit" and "event", "run" follows.
_PREVIOUS = re.compile(
    rb',"prev":"([0-9a-f]{64})","run":(?:null|"(?:[^"\\]|\\.)*"),"seq":\d+,"time":\{[^{}]*\},"v":1\}$'
)


def follow_chain(connection: Connection, path: Path) -> Head:
    """Follow every link from the first entry to the last; none may be missing or other than hashed.

    With the last entry's signature verified, all entries are then authentic. Returns the head.
    Raises ``VerificationFailed`` (``ledger.broken``).
    """
    before = GENESIS
    for row in rows(connection, ROW.order_by(ENTRIES.c.seq)):
        digest = sha256_bytes(row.entry)
        link = _PREVIOUS.search(row.entry)
        if row.seq != before.seq + 1 or link is None or link[1] != before.hash.encode():
            raise broken(path, f"entry {row.seq} does not follow entry {before.seq}")
        if row.entry_hash != digest.encode():
            raise broken(path, f"entry {row.seq} does not match its hash")
        before = Head(row.seq, digest)
    return before


def key_rows(connection: Connection) -> Iterator[StoredRow]:
    """The entries about keys, in order: found by reading all."""
    event = func.json_extract(ENTRIES.c.entry, "$.event")
    return rows(connection, ROW.where(event.in_(KEY_EVENTS)).order_by(ENTRIES.c.seq))
