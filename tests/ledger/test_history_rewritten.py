"""A row rewritten by somebody without the key, hashes and triggers put right again: nothing is built on it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from forensic.errors import VerificationFailed
from forensic.hashes import canonical_json
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity


def _rewrite(path: Path, seq: int, change: dict[str, object] | None) -> None:
    with sqlite3.connect(path) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type='trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        if change is None:
            connection.execute("DELETE FROM entries WHERE seq=?", (seq,))
        else:
            (text,) = connection.execute("SELECT entry FROM entries WHERE seq=?", (seq,)).fetchone()
            entry = canonical_json({**json.loads(text), **change})
            connection.execute(
                "UPDATE entries SET entry=?, entry_hash=? WHERE seq=?",
                (entry.decode(), hashlib.sha256(entry).hexdigest(), seq),
            )
        for _, sql in triggers:
            connection.execute(sql)


@pytest.mark.parametrize(
    "change",
    [{"data": {"note": "Seized, sealed"}}, {"event": "note.made"}, {"run": "R-other"}, {"prev": "1" * 64}, None],
)
def test_a_rewritten_or_removed_row_stops_all_further_work(
    tmp_path: Path, identity: Identity, change: dict[str, object] | None
) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, identity) as ledger:
        for number in range(5):
            ledger.append("note.taken", {"note": f'a "quoted" \\ {{brace}} {number}'}, run=f'R-"{number}"')
    Ledger.open(path, identity).close()
    _rewrite(path, 3, change)
    with pytest.raises(VerificationFailed):
        Ledger.open(path, identity)
