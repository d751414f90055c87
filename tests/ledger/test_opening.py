"""Who may open which ledger, and what is refused: strangers, other files, broken ends."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from forensic.errors import BadInput, ForensicError, UsageError, VerificationFailed
from forensic.ledger.audit import audit
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity
from tests.ledger.conftest import make_identity, refused, write_history
from tests.ledger.forging import tampering

# Identities ----------------------------------------------------------------------------------


def test_another_identity_may_write_only_after_being_introduced(
    path: Path, identity: Identity, stranger: Identity, tmp_path: Path
) -> None:
    third = make_identity(tmp_path / "third", "Bea")
    write_history(path, identity)
    with refused(UsageError, "ledger.unknown-identity"):
        Ledger.open(path, stranger)
    with Ledger.open(path, identity) as ledger:
        ledger.introduce(stranger.certificate_pem)
    with Ledger.open(path, stranger) as ledger:
        ledger.append("note.made", {})
        ledger.introduce(third.certificate_pem)
    with Ledger.open(path, third) as ledger, Ledger.open(path, identity) as other:
        ledger.append("note.made", {})
        other.append("note.made", {})
    result = audit(path)
    assert result.ok
    assert [facts["key_id"] for facts in result.signers] == [identity.key_id, stranger.key_id, third.key_id]


def test_introductions_are_made_by_introduce_alone(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        with refused(UsageError, "ledger.data"):
            ledger.append("identity.introduced", {"certificate": "x"})
        with refused(BadInput, "certificate.unreadable"):
            ledger.introduce("not a certificate")
    with refused(UsageError, "ledger.data"):
        Ledger.create(path.with_name("other.sqlite"), identity, {"certificate": "mine"})


# Opening -------------------------------------------------------------------------------------


def test_without_an_identity_nothing_can_be_written(path: Path, identity: Identity) -> None:
    write_history(path, identity)
    with Ledger.open(path) as ledger, refused(UsageError, "ledger.read-only"):
        ledger.append("note.made", {})


def test_a_ledger_is_created_once(path: Path, identity: Identity) -> None:
    Ledger.create(path, identity).close()
    with refused(UsageError, "ledger.exists"):
        Ledger.create(path, identity)
    assert audit(path).ok


def test_what_is_not_a_ledger_is_refused_and_left_untouched(path: Path, identity: Identity) -> None:
    def check(kind: type[ForensicError], code: str) -> None:
        before = path.read_bytes()
        for signer in (identity, None):
            with refused(kind, code):
                Ledger.open(path, signer)
        assert path.read_bytes() == before

    with refused(UsageError, "ledger.missing"):
        Ledger.open(path, identity)
    path.write_bytes(b"")
    with refused(UsageError, "ledger.missing"):
        Ledger.open(path)
    path.write_bytes(b"This is a video, not a database. " * 50)
    check(VerificationFailed, "ledger.corrupt")
    with refused(VerificationFailed, "ledger.corrupt"):
        Ledger.create(path, identity)
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE contacts (name)")
    check(VerificationFailed, "ledger.not-a-ledger")
    with refused(VerificationFailed, "ledger.not-a-ledger"):
        Ledger.create(path, identity)


def test_a_ledger_of_a_later_format_is_refused(path: Path, identity: Identity) -> None:
    write_history(path, identity)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=3")
    with refused(BadInput, "ledger.version"):
        Ledger.open(path, identity)
    assert audit(path).failed_checks() == ("L2",)


def test_a_path_with_odd_characters_works(tmp_path: Path, identity: Identity) -> None:
    folder = tmp_path / "case #5 100%? žluťoučký"
    folder.mkdir()
    write_history(folder / "ledger.sqlite", identity)
    assert audit(folder / "ledger.sqlite").ok
    with Ledger.open(folder / "ledger.sqlite") as ledger:
        assert ledger.head().seq == 8


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET entry = replace(entry, 'report', 'repork') WHERE seq = 8",
        "UPDATE entries SET entry = CAST(x'ff' AS TEXT) WHERE seq = 8",
        "UPDATE entries SET entry_hash = replace(entry_hash, substr(entry_hash, 1, 1), 'g') WHERE seq = 8",
        "UPDATE entries SET envelope = (SELECT envelope FROM entries WHERE seq = 7) WHERE seq = 8",
        "UPDATE entries SET envelope = '{}' WHERE seq = 8",
        "DELETE FROM entries WHERE seq = 7",
        "DELETE FROM entries WHERE seq = 1",
        "DELETE FROM entries",
        "UPDATE entries SET entry = '{}' WHERE seq = 1",
    ],
)
def test_a_ledger_with_a_broken_end_or_start_is_not_extended(victim: Path, identity: Identity, change: str) -> None:
    with tampering(victim) as connection:
        connection.execute(change)
    with refused(VerificationFailed, "ledger.broken"):
        Ledger.open(victim, identity)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET entry = replace(entry, 'report', 'repork') WHERE seq = 8",
        "DELETE FROM entries WHERE seq = 8",
        "INSERT INTO entries SELECT 9, entry, entry_hash, envelope FROM entries WHERE seq = 8",
    ],
)
def test_tampering_under_an_open_ledger_stops_it(victim: Path, identity: Identity, change: str) -> None:
    with Ledger.open(victim, identity) as ledger:
        with tampering(victim) as connection:
            connection.execute(change)
        with refused(VerificationFailed, "ledger.broken"):
            ledger.append("note.made", {})


def test_missing_triggers_stop_the_writer(victim: Path, identity: Identity) -> None:
    with closing(sqlite3.connect(victim)) as connection:
        connection.execute("DROP TRIGGER entries_keep_rows")
    with refused(VerificationFailed, "ledger.broken"):
        Ledger.open(victim, identity)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET entry = 'x' WHERE seq = 2",
        "UPDATE entries SET seq = 99 WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 8",
        "INSERT OR REPLACE INTO entries VALUES (2, 'x', '" + "0" * 64 + "', 'x')",
        "INSERT INTO entries VALUES (10, 'x', '" + "0" * 64 + "', 'x')",
        "INSERT INTO entries VALUES (9, x'00', '" + "0" * 64 + "', 'x')",
        "INSERT INTO entries VALUES (9, 'x', 'short', 'x')",
        "INSERT INTO entries VALUES (9, NULL, '" + "0" * 64 + "', 'x')",
    ],
)
def test_sqlite_itself_refuses_to_change_history(victim: Path, statement: str) -> None:
    with closing(sqlite3.connect(victim)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
