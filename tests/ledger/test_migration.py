"""Ledgers of format version 1: read and audited as they are, migrated once they are worked on."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from forensic.errors import StorageFailed, VerificationFailed
from forensic.hashes import canonical_json, leaf_hash, merkle_root, verify_inclusion
from forensic.ledger.audit import audit
from forensic.ledger.schema import CHAIN, MERKLE_LOG, STATEMENTS
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity
from tests.ledger.conftest import refused
from tests.ledger.forging import entries_of, entry_of, put, rechain, rewrite, tampering, write_chain


def told(identity: Identity, *others: Identity) -> list[dict[str, Any]]:
    """A history in the older form: two runs, a colleague introduced."""
    ids = {"case": "C1", "exhibit": "E1"}
    return [
        {"event": "workspace.created", "data": {"certificate": identity.certificate_pem}},
        *(
            {"event": "identity.introduced", "data": {"certificate": one.certificate_pem, "key_id": one.key_id}}
            for one in others
        ),
        {"event": "exhibit.acquired", **ids, "data": {"note": "防犯カメラ"}},
        {"event": "run.started", **ids, "run": "R1"},
        {"event": "run.failed", **ids, "run": "R1"},
        {"event": "run.started", **ids, "run": "R2"},
    ]


@pytest.fixture
def chain(path: Path, identity: Identity) -> Path:
    write_chain(path, told(identity), identity)
    return path


def test_reading_and_auditing_leave_the_older_form_as_it_is(chain: Path) -> None:
    before = chain.read_bytes()
    result = audit(chain)
    assert result.ok, result.findings
    assert result.entries == 5
    with Ledger.open(chain) as ledger:
        assert ledger.size == 5
        assert [entry.seq for entry in ledger.entries()] == [1, 2, 3, 4, 5]
        assert [entry.seq for entry in ledger.entries("run.started", exhibit="E1")] == [3, 5]
        assert [entry.seq for entry in ledger.thread(run="R1")] == [4, 3]
        assert [entry.run for entry in ledger.unfinished_runs()] == ["R2"]
        assert (ledger.entry(2).thread, ledger.entry(2).version) == (None, CHAIN)
        assert ledger.envelope(2)
    assert chain.read_bytes() == before
    root = merkle_root(entry.canonical for entry in Ledger.open(chain).entries())
    assert audit(chain, cited_roots=[(5, root.hex())]).ok  # a root can be computed of any ledger


def test_working_on_the_older_form_migrates_it_with_an_entry_that_says_so(chain: Path, identity: Identity) -> None:
    with closing(sqlite3.connect(chain)) as connection:
        before = connection.execute("SELECT * FROM entries").fetchall()
    with Ledger.open(chain, identity) as ledger:
        migrated = ledger.entry(6)
        assert (migrated.event, migrated.data) == ("ledger.migrated", {"from": 1, "to": 2})
        ledger.append("run.finished", {}, case="C1", exhibit="E1", run="R2")
        entries = list(ledger.entries())
        assert migrated.tree == (5, merkle_root(entry.canonical for entry in entries[:5]).hex())
        assert entries[-1].thread == (5, 5, 5)  # across the border between the forms
        assert [entry.seq for entry in ledger.thread(exhibit="E1")] == [7, 5, 4, 3, 2]
        assert [entry.seq for entry in ledger.thread(run="R1")] == [4, 3]
        assert [entry.seq for entry in ledger.entries(case="C1")] == [2, 3, 4, 5, 7]
        for seq in range(1, 8):
            proof = ledger.inclusion_proof(seq)
            assert verify_inclusion(entries[seq - 1].canonical, seq - 1, 7, proof, ledger.root())
    result = audit(chain)
    assert result.ok, result.findings
    with closing(sqlite3.connect(chain)) as connection:
        assert connection.execute("SELECT * FROM entries LIMIT 5").fetchall() == before  # word for word
        assert connection.execute("PRAGMA user_version").fetchone() == (MERKLE_LOG,)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("2",)]
        master = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    assert {(kind, name): sql for kind, name, sql in master} == STATEMENTS
    with Ledger.open(chain, identity) as again:
        assert again.size == 7  # migrated once


def test_the_colleagues_of_an_older_ledger_may_migrate_it(path: Path, identity: Identity, stranger: Identity) -> None:
    write_chain(path, told(identity, stranger), identity)
    with Ledger.open(path, stranger) as ledger:
        assert ledger.entry(7).actor["key_id"] == stranger.key_id
    assert audit(path).ok


@pytest.mark.parametrize("seq", [1, 2, 3, 5])
@pytest.mark.parametrize("change", [{"data": {"note": "another"}}, {"event": "note.made"}, None])
def test_an_older_ledger_that_was_changed_is_not_migrated(
    chain: Path, identity: Identity, seq: int, change: dict[str, Any] | None
) -> None:
    with tampering(chain) as connection:
        if change is None and seq < 5:
            connection.execute("DELETE FROM entries WHERE seq = ?", (seq,))
        elif change is None:
            connection.execute("UPDATE entries SET envelope = '{}' WHERE seq = ?", (seq,))
        else:
            put(connection, seq, {**entry_of(connection, seq), **change})
    before = chain.read_bytes()
    with refused(VerificationFailed, "ledger.broken"):
        Ledger.open(chain, identity)
    with closing(sqlite3.connect(chain)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (CHAIN,)
    assert len(chain.read_bytes()) == len(before)


def test_a_migration_that_is_cut_off_leaves_the_older_form(
    chain: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensic.ledger import author

    def refuse(*_: object, **__: object) -> None:
        raise StorageFailed("ledger.storage", "The key token was pulled out.")

    with monkeypatch.context() as patched:
        patched.setattr(author, "sign_envelope", refuse)
        with refused(StorageFailed, "ledger.storage"):
            Ledger.open(chain, identity)
    result = audit(chain)
    assert (result.ok, result.entries) == (True, 5)
    with closing(sqlite3.connect(chain)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (CHAIN,)
    with Ledger.open(chain, identity) as ledger:
        assert ledger.size == 6
    assert audit(chain).ok


def test_two_who_open_an_older_ledger_at_once_migrate_it_once(chain: Path, identity: Identity) -> None:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_open_and_append, args=(chain, identity)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    result = audit(chain)
    assert result.ok, result.findings
    assert result.entries == 5 + 1 + 4


def _open_and_append(path: Path, identity: Identity) -> None:
    with Ledger.open(path, identity) as ledger:
        ledger.append("note.made", {})


# Forms mixed by somebody who has the key ---------------------------------------------------------


def test_an_entry_of_the_older_form_after_the_newer_is_found(chain: Path, identity: Identity) -> None:
    Ledger.open(chain, identity).close()
    with tampering(chain) as connection:
        history = entries_of(connection)
        old = {key: value for key, value in history[-1].items() if key not in ("tree", "thread", "tally")}
        rewrite(connection, [*history, {**old, "v": 1, "event": "note.made"}], identity, start=7)
    result = audit(chain)
    assert [(finding.check, finding.seq) for finding in result.findings] == [("L5", 7)]
    with refused(VerificationFailed, "ledger.broken"):
        Ledger.open(chain, identity)


def test_a_border_between_the_forms_without_its_entry_is_found(chain: Path, identity: Identity) -> None:
    Ledger.open(chain, identity).close()
    with tampering(chain) as connection:
        history = entries_of(connection)
        history[5]["event"] = "note.made"
        rewrite(connection, history, identity, start=6)
    result = audit(chain)
    assert [(finding.check, finding.seq) for finding in result.findings] == [("L11", 6)]
    with tampering(chain) as connection:
        history[5].update(event="ledger.migrated", data={"from": 1, "to": 3})
        rewrite(connection, history, identity, start=6)
    assert audit(chain).failed_checks() == ("L11",)


def test_a_migration_that_never_was_is_found(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        ledger.append("note.made", {})
    with tampering(path) as connection:
        put(connection, 2, {**entry_of(connection, 2), "event": "ledger.migrated"}, identity)
        rechain(connection, 2, identity)
    assert audit(path).failed_checks() == ("L11",)


def test_newer_entries_in_an_older_file_and_an_unsigned_migration_are_found(chain: Path, identity: Identity) -> None:
    Ledger.open(chain, identity).close()
    with tampering(chain) as connection:
        rewrite(connection, entries_of(connection)[:5], identity)  # cut back to before the entry that migrated it
    assert audit(chain).failed_checks() == ("L13",)
    with refused(VerificationFailed, "ledger.broken"):
        Ledger.open(chain, identity)


# Cost --------------------------------------------------------------------------------------------


def test_alembic_is_loaded_for_a_migration_only(chain: Path, identity: Identity, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from forensic.ledger.store import Ledger; "
        "from forensic.ledger.audit import audit; audit(Path(sys.argv[1])); Ledger.open(Path(sys.argv[1])).close(); "
        "print([m for m in ('alembic', 'mako') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(chain)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "[]"


def test_leaves_of_the_tree_are_the_entries_as_they_stand(chain: Path, identity: Identity) -> None:
    """What docs/formats/ledger.md promises to somebody who computes the root by himself."""
    Ledger.open(chain, identity).close()
    with closing(sqlite3.connect(chain)) as connection:
        texts = [text.encode() for (text,) in connection.execute("SELECT entry FROM entries ORDER BY seq")]
        stored = connection.execute("SELECT hash FROM nodes WHERE level = 0 ORDER BY idx").fetchall()
        assert all(canonical_json(entry) == text for entry, text in zip(entries_of(connection), texts, strict=True))
    assert [hashed for (hashed,) in stored] == [leaf_hash(text) for text in texts]
