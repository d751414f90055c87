"""What an attacker can do who has the file, SQLite and the format's specification; with a key, also sign."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from forensic.hashes import MerkleTree, canonical_json, leaf_hash, sha256_bytes
from forensic.ledger.entry import PAYLOAD_TYPE
from forensic.ledger.schema import CHAIN, MERKLE_LOG, SCHEMAS
from forensic.ledger.tally import Tally, names, tally_key
from forensic.signing.dsse import sign_envelope
from forensic.signing.identity import Identity

Entry = dict[str, Any]


@contextmanager
def tampering(path: Path, *, derived: bool = True) -> Iterator[sqlite3.Connection]:
    """Drop the triggers, change rows, put the triggers back; with ``derived`` make tree, index and tally fit."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        triggers = {name: sql for (kind, name), sql in SCHEMAS[version].items() if kind == "trigger"}
        for name in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        if derived and version == MERKLE_LOG:
            derive(connection)
        for sql in triggers.values():
            connection.execute(sql)


def derive(connection: sqlite3.Connection) -> None:
    """Compute the stored tree, index and tally anew from the entries as they are (triggers must be gone)."""
    connection.execute("BEGIN")
    for statement in ("DELETE FROM nodes", "DELETE FROM mentions", "DELETE FROM tally"):
        connection.execute(statement)
    tree, tally = MerkleTree(), Tally({}, checked=False)
    for seq, text in connection.execute("SELECT seq, CAST(entry AS BLOB) FROM entries ORDER BY seq").fetchall():
        completed = tree.append_leaf(leaf_hash(text))
        connection.executemany("INSERT INTO nodes VALUES (?, ?, ?)", ((*node, hashed) for node, hashed in completed))
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            entry = json.loads(text)
            for kind, name in names(entry["event"], entry["case"], entry["exhibit"], entry["run"]):
                tally.add(tally_key(kind, name), seq)
                connection.execute("INSERT INTO mentions VALUES (?, ?, ?)", (kind, name, seq))
    connection.executemany("INSERT INTO tally VALUES (?, ?)", tally.contents.items())
    connection.execute("COMMIT")


def entry_of(connection: sqlite3.Connection, seq: int) -> Entry:
    return json.loads(connection.execute("SELECT entry FROM entries WHERE seq = ?", (seq,)).fetchone()[0])


def entries_of(connection: sqlite3.Connection) -> list[Entry]:
    return [json.loads(text) for (text,) in connection.execute("SELECT entry FROM entries ORDER BY seq")]


def put(connection: sqlite3.Connection, seq: int, entry: Entry, signer: Identity | None = None) -> None:
    """Replace (or add) a row consistently: canonical text, matching hash, and a fresh envelope if ``signer``."""
    canonical = canonical_json(entry)
    if signer is None:
        envelope = connection.execute("SELECT envelope FROM entries WHERE seq = ?", (seq,)).fetchone()[0]
    else:
        envelope = canonical_json(sign_envelope(PAYLOAD_TYPE, canonical, signer, include_certificate=False)).decode()
    row = (seq, canonical.decode(), sha256_bytes(canonical), envelope)
    connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", row)


def link(entries: Iterable[Entry]) -> list[Entry]:
    """Number and link entries in the order given: what somebody signs who writes a history as he likes it."""
    prev, tree, tally, linked = "0" * 64, MerkleTree(), Tally({}, checked=False), []
    for seq, told in enumerate(entries, 1):
        entry = {**told, "seq": seq, "prev": prev}
        counted = names(entry["event"], entry["case"], entry["exhibit"], entry["run"])
        before = {kind: tally.add(tally_key(kind, name), seq).last for kind, name in counted}
        if entry["v"] != CHAIN:
            entry["tree"] = {"size": seq - 1, "root": tree.root().hex()}
            entry["thread"] = {kind: before.get(kind) for kind in ("case", "exhibit", "run")}
            entry["tally"] = tally.root.hex()
        canonical = canonical_json(entry)
        tree.append(canonical)
        prev = sha256_bytes(canonical)
        linked.append(entry)
    return linked


def rewrite(connection: sqlite3.Connection, entries: Iterable[Entry], signer: Identity, start: int = 1) -> None:
    """Make ``entries`` the whole ledger, properly linked; those from ``start`` on are signed anew by ``signer``."""
    linked = link(entries)
    connection.execute("DELETE FROM entries WHERE seq > ?", (len(linked),))
    for entry in linked[start - 1 :]:
        put(connection, entry["seq"], entry, signer)


def rechain(connection: sqlite3.Connection, start: int, signer: Identity) -> None:
    """Make everything from ``start`` on fit what is before it again, signed by ``signer``."""
    rewrite(connection, entries_of(connection), signer, start)


def write_chain(path: Path, told: Iterable[Entry], signer: Identity) -> None:
    """Write a ledger of format version 1 from the specification: ``told`` are events with their data."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA application_id={0x464C4731}")
        connection.execute(f"PRAGMA user_version={CHAIN}")
        for sql in SCHEMAS[CHAIN].values():
            connection.execute(sql)
        form = {
            "v": CHAIN,
            "time": {
                "utc": "2026-03-01T12:00:00.000000Z",
                "source": "system clock; synchronisation not verified",
                "monotonic_ns_since_previous": None,
                "session": "00000000-0000-4000-8000-000000000000",
                "clock_regression": False,
            },
            "actor": {"subject": signer.subject, "key_id": signer.key_id},
            "case": None,
            "exhibit": None,
            "run": None,
            "data": {},
        }
        for entry in link({**form, **one} for one in told):
            put(connection, entry["seq"], entry, signer)
