"""The table as SQLAlchemy sees it, and one stored row as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    cast,
    select,
)

from forensic.errors import BadInput, VerificationFailed
from forensic.ledger.entry import LedgerEntry, parse_entry
from forensic.ledger.tally import Kind

ENTRIES = Table(
    "entries",
    MetaData(),
    Column("seq", Integer, primary_key=True),
    Column("entry", Text),
    Column("entry_hash", Text),
    Column("envelope", Text),
)
MENTIONS = Table(
    "mentions", ENTRIES.metadata, Column("kind", Text), Column("name", Text), Column("seq", Integer, primary_key=True)
)
"""The index: every entry under its event, and under its case, exhibit and run. Never believed by itself."""

# As blobs, because a damaged row need not hold valid UTF-8 and must still be reported, not trip us.
ROW = select(
    ENTRIES.c.seq,
    cast(ENTRIES.c.entry, LargeBinary),
    cast(ENTRIES.c.entry_hash, LargeBinary),
    cast(ENTRIES.c.envelope, LargeBinary),
)
_FROM = """
SELECT seq, CAST(entry AS BLOB), CAST(entry_hash AS BLOB), CAST(envelope AS BLOB)
FROM entries WHERE seq >= ? ORDER BY seq"""


class StoredRow(NamedTuple):
    """A row as it lies in the file, not yet believed."""

    seq: int
    entry: bytes
    entry_hash: bytes
    envelope: bytes


def rows(connection: Connection, query: Select[Any]) -> Iterator[StoredRow]:
    """Run a query built on ``ROW``."""
    for seq, *values in connection.execute(query):
        yield StoredRow(seq, *(value or b"" for value in values))


def rows_from(connection: Connection, seq: int) -> Iterator[StoredRow]:
    """The rows from number ``seq`` on, in order. In plain SQL: it is run before every read and every append."""
    for number, *values in connection.exec_driver_sql(_FROM, (seq,)):
        yield StoredRow(number, *(value or b"" for value in values))


def mentioning(kind: Kind, name: str) -> Select[Any]:
    """``ROW`` for the entries that the index names; conditions and order go on ``MENTIONS.c.seq``."""
    joined = ROW.join_from(MENTIONS, ENTRIES, ENTRIES.c.seq == MENTIONS.c.seq)
    return joined.where(MENTIONS.c.kind == kind, MENTIONS.c.name == name)


def parse_row(path: Path, row: StoredRow) -> LedgerEntry:
    """Read the row's entry and check it against the row's number and hash.

    Raises ``VerificationFailed`` (``ledger.broken``).
    """
    try:
        entry = parse_entry(row.entry)
    except BadInput as error:
        raise broken(path, f"entry {row.seq} is not readable ({error.message})") from error
    if entry.seq != row.seq or entry.hash.encode() != row.entry_hash:
        raise broken(path, f"entry {row.seq} does not match its number and hash")
    return entry


def broken(path: Path, reason: str) -> VerificationFailed:
    """The error for a ledger that does not hold."""
    return VerificationFailed(
        "ledger.broken",
        f"The ledger {path} does not hold: {reason}.",
        "Nothing is appended to it. Keep it as it is, run `forensic verify` on it and restore a copy.",
    )
