"""The SQL schema, word for word: writer and auditor compare it with what the file holds."""

from __future__ import annotations

from collections.abc import Iterable

APPLICATION_ID = 0x46_4C_47_31  # "FLG1"
USER_VERSION = 1

STATEMENTS: dict[tuple[str, str], str] = {
    ("table", "entries"): """\
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY CHECK (seq >= 1),
  entry TEXT NOT NULL CHECK (typeof(entry) = 'text'),
  entry_hash TEXT NOT NULL CHECK (typeof(entry_hash) = 'text' AND length(entry_hash) = 64),
  envelope TEXT NOT NULL CHECK (typeof(envelope) = 'text')
)""",
    ("trigger", "entries_keep_rows"): """\
CREATE TRIGGER entries_keep_rows BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: DELETE refused'); END""",
    ("trigger", "entries_keep_values"): """\
CREATE TRIGGER entries_keep_values BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: UPDATE refused'); END""",
    ("trigger", "entries_only_next"): """\
CREATE TRIGGER entries_only_next BEFORE INSERT ON entries
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM entries)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: seq is not the next number'); END""",
}


def schema_faults(rows: Iterable[tuple[str, str, str | None]]) -> list[str]:
    """Compare ``(type, name, sql)`` rows of ``sqlite_master`` with the specification.

    Returns one sentence per difference. A missing trigger, a changed table and a stray view are
    all faults: each lets a row be altered, or lets a reader see what is not there.
    """
    found = {(kind, name): sql for kind, name, sql in rows}
    faults = [f"{kind} {name} is missing" for kind, name in STATEMENTS.keys() - found.keys()]
    faults += [f"{kind} {name} does not belong in a ledger" for kind, name in found.keys() - STATEMENTS.keys()]
    faults += [
        f"{kind} {name} is not defined as specified"
        for (kind, name), sql in STATEMENTS.items()
        if (kind, name) in found and found[kind, name] != sql
    ]
    return sorted(faults)
