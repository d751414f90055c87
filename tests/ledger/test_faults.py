"""Every write of an append fails, or fails after it took effect: the ledger holds and goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forensic.errors import StorageFailed
from forensic.ledger import storage
from forensic.ledger.audit import audit
from forensic.ledger.schema import MERKLE_LOG
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity
from tests.ledger.conftest import refused
from tests.ledger.forging import write_chain
from tests.ledger.test_migration import told

WRITES = ("INSERT", "CREATE", "PRAGMA user_version=", "PRAGMA application_id=", "COMMIT")


class Faults:
    """Makes the chosen write raise what SQLite raises when the system refuses to write; counts all writes."""

    def __init__(self) -> None:
        self.arm(0, persisted=False)

    def arm(self, at: int, *, persisted: bool) -> None:
        """Let write number ``at`` (1: the first from now) fail; ``persisted``: after it took effect."""
        self.at, self.persisted, self.seen, self.struck = at, persisted, [], ""

    def around(self, statement: str, work: Any) -> Any:
        if not statement.lstrip().upper().startswith(tuple(word.upper() for word in WRITES)):
            return work()
        self.seen.append(statement.split("(")[0])
        if len(self.seen) != self.at:
            return work()
        self.struck = statement
        if self.persisted:
            work()
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    injected = Faults()

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *values: Any) -> Any:
            return injected.around(sql, lambda: super(Cursor, self).execute(sql, *values))

        def executemany(self, sql: str, *values: Any) -> Any:
            return injected.around(sql, lambda: super(Cursor, self).executemany(sql, *values))

    class Connection(sqlite3.Connection):
        def cursor(self, *_: Any) -> Any:
            return super().cursor(Cursor)

        def commit(self) -> None:
            injected.around("COMMIT", super().commit)

    class Module:
        """The module ``sqlite3`` with another ``connect``."""

        def __getattr__(self, name: str) -> Any:
            return getattr(sqlite3, name)

        def connect(self, *places: Any, **options: Any) -> sqlite3.Connection:
            return sqlite3.connect(*places, **options, factory=Connection)

    monkeypatch.setattr(storage, "sqlite3", Module())
    yield injected


def _survives(path: Path, ledger: Ledger, faults: Faults, number: int, acknowledged: int, persisted: bool) -> int:
    """Append once with the fault; then look at the file, and append again. Returns the entries acknowledged."""
    faults.arm(number, persisted=persisted)
    with refused(StorageFailed, "ledger.storage"):
        ledger.append("run.started", {"n": number}, case="C", exhibit="E", run=f"R{number}{persisted}")
    committed = persisted and faults.struck == "COMMIT"
    faults.arm(0, persisted=False)
    result = audit(path)
    assert result.ok, (number, persisted, result.findings)
    assert result.entries == acknowledged + committed
    entry = ledger.append("note.made", {"after": number}, case="C")
    assert entry.seq == acknowledged + committed + 1
    assert entry.thread is not None
    assert audit(path).ok
    return entry.seq


@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed but persisted"])
def test_every_write_of_an_append_may_fail(path: Path, identity: Identity, faults: Faults, persisted: bool) -> None:
    with Ledger.create(path, identity) as ledger:
        acknowledged = ledger.append("exhibit.acquired", {}, case="C", exhibit="E").seq
        faults.arm(0, persisted=False)
        acknowledged = ledger.append("note.made", {}, case="C").seq
        writes = list(faults.seen)
        assert [statement.split()[-1] for statement in writes] == ["entries", "nodes", "mentions", "tally", "COMMIT"]
        for number in range(1, len(writes) + 1):
            acknowledged = _survives(path, ledger, faults, number, acknowledged, persisted)
        elapsed = [entry.time["monotonic_ns_since_previous"] for entry in ledger.entries()]
        assert all(delta is not None and delta > 0 for delta in elapsed[1:])  # of the same session, none lost
    with Ledger.open(path, identity) as again:
        again.append("note.made", {})
    assert audit(path).ok


@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed but persisted"])
def test_every_write_of_a_creation_may_fail(
    tmp_path: Path, identity: Identity, faults: Faults, persisted: bool
) -> None:
    number = 0
    while True:
        number += 1
        path = tmp_path / f"{number}.sqlite"
        faults.arm(number, persisted=persisted)
        try:
            Ledger.create(path, identity).close()
            break
        except StorageFailed as error:
            assert error.code == "ledger.storage"
        created = persisted and faults.struck == "COMMIT"
        faults.arm(0, persisted=False)
        if not created:
            Ledger.create(path, identity).close()
        assert audit(path).ok, number
    assert number > 15  # one statement for each table and trigger at least
    assert audit(path).ok


@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed but persisted"])
def test_every_write_of_a_migration_may_fail(
    tmp_path: Path, identity: Identity, faults: Faults, persisted: bool
) -> None:
    number = 0
    while True:
        number += 1
        path = tmp_path / f"{number}.sqlite"
        write_chain(path, told(identity), identity)
        faults.arm(number, persisted=persisted)
        try:
            Ledger.open(path, identity).close()
            break
        except StorageFailed as error:
            assert error.code == "ledger.storage"
        migrated = persisted and faults.struck == "COMMIT" and any("INSERT" in write for write in faults.seen)
        faults.arm(0, persisted=False)
        result = audit(path)
        assert (result.ok, result.entries) == (True, 6 if migrated else 5), (number, result.findings)
        with Ledger.open(path, identity) as ledger:
            assert ledger.size == 6
            assert ledger.append("note.made", {}).version == MERKLE_LOG
        assert audit(path).ok, number
    assert number > 15
    assert audit(path).ok
