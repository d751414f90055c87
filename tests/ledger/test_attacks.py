"""The audit against somebody who has the file and SQLite, and knows the format."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from forensic.hashes import canonical_json, sha256_bytes
from forensic.ledger.audit import CHECKS, audit
from forensic.ledger.entry import PAYLOAD_TYPE, Head
from forensic.ledger.schema import APPLICATION_ID, STATEMENTS
from forensic.ledger.store import Ledger
from forensic.signing.dsse import sign_envelope
from forensic.signing.identity import Identity
from tests.ledger.conftest import write_history
from tests.ledger.forging import entries_of, entry_of, put, rechain, rewrite, tampering


def failed(path: Path, *heads: tuple[int, str]) -> tuple[str, ...]:
    result = audit(path, cited_heads=heads)
    assert result.ok == (result.findings_total == 0)
    assert [finding.number for finding in result.findings] == list(range(1, len(result.findings) + 1))
    json.dumps(result.to_json())
    return result.failed_checks()


def test_an_untouched_ledger_passes_and_the_audit_leaves_no_trace(victim: Path, pristine: tuple[bytes, Head]) -> None:
    before = victim.stat()
    result = audit(victim, pristine[1])
    assert (result.ok, result.entries, result.head) == (True, 8, pristine[1])
    assert [path.name for path in victim.parent.iterdir()] == [victim.name]
    assert victim.read_bytes() == pristine[0]
    assert victim.stat().st_mtime_ns == before.st_mtime_ns


def test_flipped_byte_in_a_row_is_found(victim: Path) -> None:
    with tampering(victim) as connection:
        connection.execute("UPDATE entries SET entry = replace(entry, ':120}', ':121}') WHERE seq = 6")
    result = audit(victim)
    found = {(finding.check, finding.seq) for finding in result.findings}
    assert found == {("L6", 6), ("L7", 7), ("L8", 6), ("L13", 7)}


def test_a_changed_row_with_its_hash_made_to_match_is_found(victim: Path) -> None:
    with tampering(victim) as connection:
        entry = entry_of(connection, 6)
        entry["data"]["frames"] = 121
        put(connection, 6, entry)
    assert failed(victim) == ("L7", "L8", "L13")


def test_deleted_row_is_found(victim: Path) -> None:
    with tampering(victim) as connection:
        connection.execute("DELETE FROM entries WHERE seq = 3")
    assert failed(victim) == ("L3", "L7", "L13", "L14", "L15")


def test_deleted_row_with_the_rest_renumbered_is_found(victim: Path) -> None:
    with tampering(victim) as connection:
        connection.execute("DELETE FROM entries WHERE seq = 3")
        for seq in range(4, 9):
            connection.execute("UPDATE entries SET seq = ? WHERE seq = ?", (seq - 1, seq))
    assert failed(victim) == ("L5", "L7", "L13", "L14", "L15")


def test_reordered_rows_are_found(victim: Path) -> None:
    with tampering(victim) as connection:
        connection.execute("UPDATE entries SET seq = 99 WHERE seq = 4")
        connection.execute("UPDATE entries SET seq = 4 WHERE seq = 5")
        connection.execute("UPDATE entries SET seq = 5 WHERE seq = 99")
    assert {"L5", "L7", "L11"} <= set(failed(victim))


def test_truncated_tail_is_found_when_a_report_cites_the_head(victim: Path, pristine: tuple[bytes, Head]) -> None:
    with tampering(victim) as connection:
        connection.execute("DELETE FROM entries WHERE seq = 8")
    result = audit(victim, pristine[1])
    assert result.failed_checks() == ("L12",)
    assert "the ledger ends at 7" in result.findings[0].reason


def test_truncated_tail_alone_cannot_be_found_which_the_document_says(victim: Path) -> None:
    with tampering(victim) as connection:
        connection.execute("DELETE FROM entries WHERE seq = 8")
    assert audit(victim).ok
    document = (Path(__file__).parents[2] / "docs" / "formats" / "ledger.md").read_text("utf-8")
    assert "cut off the end" in document


def test_a_head_cited_with_another_hash_is_found(victim: Path, pristine: tuple[bytes, Head]) -> None:
    assert failed(victim, pristine[1]) == ()
    assert failed(victim, pristine[1], (8, "0" * 64)) == ("L12",)
    assert failed(victim, (5, pristine[1].hash)) == ("L12",)
    assert failed(victim, (0, "0" * 64)) == ("L12",)


def test_an_emptied_ledger_is_found(victim: Path) -> None:
    with tampering(victim) as connection:
        connection.execute("DELETE FROM entries")
    assert failed(victim) == ("L3",)


def test_inserted_row_is_found(victim: Path, stranger: Identity) -> None:
    with tampering(victim) as connection:
        history = entries_of(connection)
        rewrite(connection, [*history, history[-1]], stranger, start=9)
    assert failed(victim) == ("L9",)


def test_row_resigned_with_another_key_is_found(victim: Path, stranger: Identity) -> None:
    with tampering(victim) as connection:
        entry = entry_of(connection, 6)
        entry["data"]["frames"] = 1
        entry["actor"] = {"subject": stranger.subject, "key_id": stranger.key_id}
        put(connection, 6, entry, stranger)
    assert failed(victim) == ("L7", "L9", "L13")


def test_a_row_resigned_under_the_old_key_id_is_found(victim: Path, identity: Identity, stranger: Identity) -> None:
    with tampering(victim) as connection:
        entry = entry_of(connection, 8)
        entry["data"]["sha256"] = "1" * 64
        put(connection, 8, entry, stranger)
        text = connection.execute("SELECT envelope FROM entries WHERE seq = 8").fetchone()[0]
        forged = text.replace(stranger.key_id, identity.key_id)
        connection.execute("UPDATE entries SET envelope = ? WHERE seq = 8", (forged,))
    assert failed(victim) == ("L9",)


def test_a_stranger_who_introduces_himself_is_found(victim: Path, stranger: Identity) -> None:
    with tampering(victim) as connection:
        history = entries_of(connection)
        himself = {**history[-1], "actor": {"subject": stranger.subject, "key_id": stranger.key_id}}
        certificate = {"certificate": stranger.certificate_pem, "key_id": stranger.key_id}
        introduced = {**himself, "event": "identity.introduced", "data": certificate}
        rewrite(connection, [*history, introduced, {**himself, "event": "note.made"}], stranger, start=9)
    result = audit(victim)
    assert [(finding.check, finding.seq) for finding in result.findings] == [("L9", 9), ("L9", 10)]


def test_a_certificate_enclosed_in_an_envelope_introduces_nobody(victim: Path, stranger: Identity) -> None:
    with tampering(victim) as connection:
        entry = entry_of(connection, 8)
        canonical = canonical_json(entry)
        envelope = canonical_json(sign_envelope(PAYLOAD_TYPE, canonical, stranger)).decode()
        connection.execute("UPDATE entries SET envelope = ? WHERE seq = 8", (envelope,))
    assert failed(victim) == ("L9",)


def test_a_colleague_cannot_be_named_as_the_actor(path: Path, identity: Identity, stranger: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        ledger.introduce(stranger.certificate_pem)
        ledger.append("note.made", {})
    with tampering(path) as connection:
        entry = entry_of(connection, 3)
        entry["actor"] = {"subject": identity.subject, "key_id": identity.key_id}
        put(connection, 3, entry, stranger)
    assert failed(path) == ("L9",)
    with tampering(path) as connection:
        entry = entry_of(connection, 3)
        entry["actor"] = {"subject": "CN=Somebody Else", "key_id": stranger.key_id}
        put(connection, 3, entry, stranger)
    assert failed(path) == ("L9",)


def test_a_ledger_rewritten_with_a_new_key_is_found_by_a_cited_head_or_its_signers(
    victim: Path, identity: Identity, stranger: Identity, pristine: tuple[bytes, Head]
) -> None:
    with tampering(victim) as connection:
        for seq in range(1, 9):
            entry = entry_of(connection, seq)
            entry["actor"] = {"subject": stranger.subject, "key_id": stranger.key_id}
            if seq == 1:
                entry["data"].update(certificate=stranger.certificate_pem, identity=stranger.facts())
            put(connection, seq, entry, stranger)
        rechain(connection, 1, stranger)
    alone = audit(victim)
    assert alone.ok  # a complete forgery is a ledger, of somebody else
    assert [facts["key_id"] for facts in alone.signers] == [stranger.key_id] != [identity.key_id]
    assert failed(victim, pristine[1]) == ("L12",)


def test_a_forger_who_holds_the_key_is_found_by_a_cited_head(
    victim: Path, identity: Identity, pristine: tuple[bytes, Head]
) -> None:
    with tampering(victim) as connection:
        entry = entry_of(connection, 6)
        entry["data"]["frames"] = 1
        put(connection, 6, entry, identity)
        rechain(connection, 7, identity)
    assert audit(victim).ok
    assert failed(victim, pristine[1]) == ("L12",)


def test_impossible_histories_are_found_even_when_properly_signed(victim: Path, identity: Identity) -> None:
    with tampering(victim) as connection:
        for seq, event in ((4, "note.made"), (6, "run.started"), (7, "workspace.created")):
            entry = entry_of(connection, seq)
            entry["event"] = event
            put(connection, seq, entry, identity)
        rechain(connection, 2, identity)
    result = audit(victim)
    assert [(finding.check, finding.seq) for finding in result.findings] == [("L11", 5), ("L11", 7)]


def test_a_clock_flag_that_lies_is_found(victim: Path, identity: Identity) -> None:
    with tampering(victim) as connection:
        hidden, invented = entry_of(connection, 4), entry_of(connection, 8)
        hidden["time"]["utc"] = "2001-01-01T00:00:00.000000Z"
        invented["time"]["clock_regression"] = True
        put(connection, 4, hidden, identity)
        put(connection, 8, invented, identity)
        rechain(connection, 2, identity)
    result = audit(victim)
    assert [(finding.check, finding.seq) for finding in result.findings] == [("L10", 4), ("L10", 8)]


@pytest.mark.parametrize("trigger", [name for kind, name in STATEMENTS if kind == "trigger"])
def test_dropped_trigger_is_found(victim: Path, trigger: str) -> None:
    with closing(sqlite3.connect(victim)) as connection:
        connection.execute(f"DROP TRIGGER {trigger}")
    result = audit(victim)
    assert [finding.reason for finding in result.findings] == [f"trigger {trigger} is missing"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER extra AFTER INSERT ON entries BEGIN SELECT 1; END",
        "CREATE TABLE notes (x)",
        "CREATE VIEW latest AS SELECT * FROM entries",
        "CREATE INDEX by_hash ON entries (entry_hash)",
        "ALTER TABLE entries ADD COLUMN comment TEXT",
        "PRAGMA application_id=0",
        "PRAGMA user_version=7",
    ],
)
def test_anything_added_to_the_schema_is_found(victim: Path, statement: str) -> None:
    with closing(sqlite3.connect(victim)) as connection:
        connection.execute(statement)
    assert failed(victim) == ("L2",)


def test_a_weakened_trigger_is_found(victim: Path) -> None:
    with closing(sqlite3.connect(victim)) as connection:
        sql = STATEMENTS["trigger", "entries_keep_rows"]
        connection.execute("DROP TRIGGER entries_keep_rows")
        connection.execute(sql.replace("BEGIN SELECT", "WHEN OLD.seq > 8 BEGIN SELECT"))
    assert failed(victim) == ("L2",)


def test_a_view_that_computes_endless_entries_is_not_walked(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("PRAGMA user_version=1")
        connection.execute(
            "CREATE VIEW entries AS WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n)"
            " SELECT seq, 'x' AS entry, 'x' AS entry_hash, 'x' AS envelope FROM n"
        )
    result = audit(path)
    assert result.failed_checks() == ("L2",)
    assert result.entries == 0


def test_a_row_that_would_fill_memory_is_found_without_loading_it(victim: Path) -> None:
    with tampering(victim) as connection:
        connection.execute("UPDATE entries SET entry = printf('%.*c', 40000000, 'x') WHERE seq = 5")
        connection.execute("UPDATE entries SET envelope = printf('%.*c', 9000000, 'x') WHERE seq = 3")
    result = audit(victim)
    assert ("L4", 3) in {(finding.check, finding.seq) for finding in result.findings}
    assert any(finding.check == "L1" and "too big" in finding.reason for finding in result.findings)


def test_values_of_another_type_are_found(victim: Path) -> None:
    with tampering(victim) as connection:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute("UPDATE entries SET entry = CAST(entry AS BLOB) WHERE seq = 2")
        connection.execute("UPDATE entries SET envelope = x'ff00' WHERE seq = 3")
    result = audit(victim)
    assert {("L4", 2), ("L4", 3), ("L8", 3)} <= {(finding.check, finding.seq) for finding in result.findings}


@pytest.mark.parametrize("text", ["", "{}", "[" * 100_000, '{"a":1,"a":1}', "NaN", '{"v":1}', "9" * 5000])
def test_an_entry_of_another_shape_is_found(victim: Path, text: str) -> None:
    with tampering(victim) as connection:
        row = (text, sha256_bytes(text.encode()))
        connection.execute("UPDATE entries SET entry = ?, entry_hash = ? WHERE seq = 8", row)
    assert failed(victim) == ("L5",)


def test_findings_are_counted_beyond_those_listed(victim: Path) -> None:
    with tampering(victim) as connection:
        row = connection.execute("SELECT entry, entry_hash, envelope FROM entries WHERE seq = 8").fetchone()
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", [(seq, *row) for seq in range(9, 1109)])
    result = audit(victim)
    assert len(result.findings) == 1000
    # Each of the 1100 has the wrong number, predecessor and thread; the tree and the tally are wrong once.
    assert result.findings_total == 3302


# Independence ----------------------------------------------------------------------------------


def test_every_check_of_the_document_is_one_of_the_audit() -> None:
    document = (Path(__file__).parents[2] / "docs" / "formats" / "ledger.md").read_text("utf-8")
    for check, title in CHECKS.items():
        assert f"| {check} | {title} |" in document
    for sql in STATEMENTS.values():
        assert f"{sql};" in document


def test_the_audit_needs_neither_the_writer_nor_anything_heavy() -> None:
    code = (
        "import sys, forensic.ledger.audit;"
        "print([m for m in ('sqlalchemy', 'forensic.ledger.store', 'torch', 'cv2', 'av', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "[]"


def test_a_copy_of_a_live_ledger_with_its_log_is_audited_whole(path: Path, identity: Identity, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    with Ledger.create(path, identity) as ledger:
        head = ledger.append("note.made", {}).head
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", copy / f"ledger.sqlite{suffix}")
        assert audit(path, head).ok  # beside the writer
    assert audit(copy / "ledger.sqlite", head).ok
    assert write_history(copy / "other.sqlite", identity).seq == 8
