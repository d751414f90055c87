"""The SQL schema of both format versions, word for word: writer and auditor compare it with what the file holds."""

from __future__ import annotations

from collections.abc import Iterable

APPLICATION_ID = 0x46_4C_47_31  # "FLG1"
CHAIN = 1
"""``user_version`` of a ledger that is a hash chain only (release 0.1.0)."""
MERKLE_LOG = 2
"""``user_version`` of a ledger that is a Merkle log besides."""
USER_VERSION = MERKLE_LOG

_CHAIN_STATEMENTS: dict[tuple[str, str], str] = {
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

ADDED_BY_MERKLE_LOG: dict[tuple[str, str], str] = {
    ("table", "nodes"): """\
CREATE TABLE nodes (
  level INTEGER NOT NULL CHECK (typeof(level) = 'integer' AND level >= 0),
  idx INTEGER NOT NULL CHECK (typeof(idx) = 'integer' AND idx >= 0),
  hash BLOB NOT NULL CHECK (typeof(hash) = 'blob' AND length(hash) = 32),
  PRIMARY KEY (level, idx)
) WITHOUT ROWID""",
    ("trigger", "nodes_keep_rows"): """\
CREATE TRIGGER nodes_keep_rows BEFORE DELETE ON nodes
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: DELETE refused'); END""",
    ("trigger", "nodes_keep_values"): """\
CREATE TRIGGER nodes_keep_values BEFORE UPDATE ON nodes
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: UPDATE refused'); END""",
    ("trigger", "nodes_only_next"): """\
CREATE TRIGGER nodes_only_next BEFORE INSERT ON nodes
WHEN NEW.idx IS NOT (SELECT coalesce(max(idx), -1) + 1 FROM nodes WHERE level = NEW.level)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: idx is not the next number'); END""",
    ("table", "mentions"): """\
CREATE TABLE mentions (
  kind TEXT NOT NULL CHECK (kind IN ('event', 'case', 'exhibit', 'run')),
  name TEXT NOT NULL CHECK (typeof(name) = 'text'),
  seq INTEGER NOT NULL CHECK (typeof(seq) = 'integer'),
  PRIMARY KEY (kind, name, seq)
) WITHOUT ROWID""",
    ("trigger", "mentions_keep_rows"): """\
CREATE TRIGGER mentions_keep_rows BEFORE DELETE ON mentions
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: DELETE refused'); END""",
    ("trigger", "mentions_keep_values"): """\
CREATE TRIGGER mentions_keep_values BEFORE UPDATE ON mentions
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: UPDATE refused'); END""",
    ("table", "tally"): """\
CREATE TABLE tally (
  path TEXT NOT NULL PRIMARY KEY CHECK (typeof(path) = 'text'),
  content BLOB NOT NULL CHECK (typeof(content) = 'blob' AND length(content) IN (48, 512))
) WITHOUT ROWID""",
    ("trigger", "tally_keep_rows"): """\
CREATE TRIGGER tally_keep_rows BEFORE DELETE ON tally
BEGIN SELECT RAISE(ABORT, 'the tally only grows: DELETE refused'); END""",
    ("table", "alembic_version"): """\
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY) WITHOUT ROWID""",
}

SCHEMAS: dict[int, dict[tuple[str, str], str]] = {
    CHAIN: _CHAIN_STATEMENTS,
    MERKLE_LOG: _CHAIN_STATEMENTS | ADDED_BY_MERKLE_LOG,
}
"""Format version to its statements, in an order in which they can be executed."""
STATEMENTS = SCHEMAS[USER_VERSION]


def schema_faults(version: int, rows: Iterable[tuple[str, str, str | None]]) -> list[str]:
    """Compare ``(type, name, sql)`` rows of ``sqlite_master`` with the specification of ``version``.

    Returns one sentence per difference. A missing trigger, a changed table and a stray view are
    all faults: each lets a row be altered, or lets a reader see what is not there.
    """
    specified = SCHEMAS[version]
    found = {(kind, name): sql for kind, name, sql in rows}
    faults = [f"{kind} {name} is missing" for kind, name in specified.keys() - found.keys()]
    faults += [f"{kind} {name} does not belong in a ledger" for kind, name in found.keys() - specified.keys()]
    faults += [
        f"{kind} {name} is not defined as specified"
        for (kind, name), sql in specified.items()
        if (kind, name) in found and found[kind, name] != sql
    ]
    return sorted(faults)
