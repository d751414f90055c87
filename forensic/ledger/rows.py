"""The table as SQLAlchemy sees it, and one stored row as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, Select, Table, Text, cast, func, select
from sqlalchemy.sql import ColumnElement

from forensic.errors import BadInput, VerificationFailed
from forensic.ledger.entry import LedgerEntry, parse_entry

ENTRIES = Table(
    "entries",
    MetaData(),
    Column("seq", Integer, primary_key=True),
    Column("entry", Text),
    Column("entry_hash", Text),
    Column("envelope", Text),
)

# As blobs, because a damaged row need not hold valid UTF-8 and must still be reported, not trip us.
ROW = select(
    ENTRIES.c.seq,
    cast(ENTRIES.c.entry, LargeBinary),
    cast(ENTRIES.c.entry_hash, LargeBinary),
    cast(ENTRIES.c.envelope, LargeBinary),
)


class StoredRow(NamedTuple):
    """A row as it lies in the file, not yet believed."""

    seq: int
    entry: bytes
    entry_hash: bytes
    envelope: bytes


def rows(connection: Connection, query: Select[Any]) -> Iterator[StoredRow]:
    """Run a query built on ``ROW``."""
    for seq, *texts in connection.execute(query):
        yield StoredRow(seq, *(text or b"" for text in texts))


def field(name: str) -> ColumnElement[Any]:
    """SQL expression for a top-level field of the entry."""
    return func.json_extract(ENTRIES.c.entry, f"$.{name}")


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
