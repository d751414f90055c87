"""The file changed by somebody without the key: nothing that was not signed for is read or built upon.

Opening looks at the end of the ledger only. What is changed further up is noticed when it is read,
by whatever query, and when an answer lacks an entry; the audit finds all of it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from forensic.errors import VerificationFailed
from forensic.hashes import canonical_json
from forensic.ledger.audit import audit
from forensic.ledger.store import Ledger
from forensic.ledger.tally import tally_key
from forensic.signing.identity import Identity
from tests.ledger.conftest import refused
from tests.ledger.forging import tampering

CHANGES: list[dict[str, Any] | None] = [
    {"data": {"note": "Seized, sealed"}},
    {"event": "note.made"},
    {"run": "R-other"},
    {"prev": "1" * 64},
    None,
]


@pytest.fixture
def history(path: Path, identity: Identity) -> Path:
    with Ledger.create(path, identity) as ledger:
        for number in range(6):
            ids = {"case": "C", "exhibit": f"E{number % 2}", "run": f'R-"{number}"'}
            ledger.append("note.taken", {"note": f'a "quoted" \\ {{brace}} {number}'}, **ids)
    return path


def _rewrite(path: Path, seq: int, change: dict[str, Any] | None, *, derived: bool) -> None:
    with tampering(path, derived=derived) as connection:
        if change is None:
            connection.execute("DELETE FROM entries WHERE seq=?", (seq,))
            return
        (text,) = connection.execute("SELECT entry FROM entries WHERE seq=?", (seq,)).fetchone()
        entry = canonical_json({**json.loads(text), **change})
        connection.execute(
            "UPDATE entries SET entry=?, entry_hash=? WHERE seq=?",
            (entry.decode(), hashlib.sha256(entry).hexdigest(), seq),
        )


@pytest.mark.parametrize("change", CHANGES)
def test_a_rewritten_or_removed_row_is_not_read(
    history: Path, identity: Identity, change: dict[str, Any] | None
) -> None:
    _rewrite(history, 4, change, derived=False)
    with Ledger.open(history, identity) as ledger:
        for read in (
            lambda: list(ledger.entries()),
            lambda: list(ledger.entries("note.taken")),
            lambda: list(ledger.entries(case="C")),
            lambda: list(ledger.entries(exhibit="E0")),
            lambda: list(ledger.entries("note.taken", run='R-"2"')),
            lambda: next(ledger.entries(case="C")),
            lambda: list(ledger.thread(case="C")),
            lambda: list(ledger.thread(exhibit="E0")),
            lambda: ledger.entry(4),
            lambda: ledger.envelope(4),
        ):
            with refused(VerificationFailed, "ledger.broken"):
                read()
        assert [entry.seq for entry in ledger.entries(exhibit="E1")] == [3, 5, 7]  # elsewhere nothing is wrong
    assert not audit(history).ok


@pytest.mark.parametrize("change", CHANGES)
def test_a_rewritten_row_with_everything_derived_made_to_fit_stops_all_work(
    history: Path, identity: Identity, change: dict[str, Any] | None
) -> None:
    _rewrite(history, 4, change, derived=True)
    for signer in (identity, None):
        with refused(VerificationFailed, "ledger.broken"):
            Ledger.open(history, signer)


@pytest.mark.parametrize("table", ["mentions", "tally", "nodes"])
def test_what_is_derived_cannot_hide_an_entry(history: Path, identity: Identity, table: str) -> None:
    with tampering(history, derived=False) as connection:
        if table == "mentions":
            connection.execute("DELETE FROM mentions WHERE seq = 4")
        elif table == "nodes":
            connection.execute("UPDATE nodes SET hash = zeroblob(32) WHERE level = 0 AND idx = 3")
        else:
            connection.execute("DELETE FROM mentions WHERE seq = 4")
            digits = tally_key("exhibit", "E0").hex()
            leaves = connection.execute("SELECT path, content FROM tally WHERE length(content) = 48").fetchall()
            ((path, content),) = [(path, content) for path, content in leaves if digits.startswith(path)]
            count = int.from_bytes(content[32:40], "big")
            lower = content[:32] + (count - 1).to_bytes(8, "big") + content[40:]
            connection.execute("UPDATE tally SET content = ? WHERE path = ?", (lower, path))
    with Ledger.open(history, identity) as ledger, refused(VerificationFailed, "ledger.broken"):
        list(ledger.entries(exhibit="E0"))
    assert audit(history).failed_checks() == ("L16",)


def test_an_index_that_names_foreign_entries_is_noticed(history: Path, identity: Identity) -> None:
    with tampering(history, derived=False) as connection:
        connection.execute("UPDATE mentions SET seq = 3 WHERE kind = 'exhibit' AND seq = 4")
        connection.execute("INSERT INTO mentions VALUES ('exhibit', 'E9', 3)")
    with Ledger.open(history, identity) as ledger:
        with refused(VerificationFailed, "ledger.broken"):
            list(ledger.entries(exhibit="E0"))
        assert list(ledger.entries(exhibit="E9")) == []  # the tally, which is signed, knows of none
    assert audit(history).failed_checks() == ("L16",)


def test_an_exhibit_is_not_acquired_twice_because_the_index_was_emptied(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        ledger.append("exhibit.acquired", {}, case="C", exhibit="E")
        ledger.append("run.started", {}, case="C", exhibit="E", run="R")
    with tampering(path, derived=False) as connection:
        connection.execute("DELETE FROM mentions WHERE kind <> 'event' OR name = 'exhibit.acquired'")
    with Ledger.open(path, identity) as ledger:
        for event, exhibit, run in (("exhibit.acquired", "E", None), ("run.started", "E", "R2")):
            with refused(VerificationFailed, "ledger.broken"):
                ledger.append(event, {}, case="C", exhibit=exhibit, run=run)
        with refused(VerificationFailed, "ledger.broken"):
            ledger.unfinished_runs() and list(ledger.entries(run="R"))
        assert ledger.append("run.finished", {}, run="R").thread.run == 3  # the tally leads to the last of a run


def test_a_run_is_not_started_twice_because_the_tally_was_emptied(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        ledger.append("run.started", {}, run="R")
    with tampering(path, derived=False) as connection:
        connection.execute("DELETE FROM tally")
        connection.execute("DELETE FROM mentions")
    with refused(VerificationFailed, "ledger.broken"):
        Ledger.open(path, identity)


def test_tampering_with_the_tally_under_an_open_ledger_stops_it(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        ledger.append("run.started", {}, run="R")
        with tampering(path, derived=False) as connection:
            connection.execute("UPDATE tally SET content = zeroblob(512) WHERE path = ''")
        with refused(VerificationFailed, "ledger.broken"):
            ledger.append("note.made", {})
