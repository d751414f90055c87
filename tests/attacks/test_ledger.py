"""Attacks on the ledger. The insider holds the database and a signing key; the outsider the database alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forensic.errors import VerificationFailed
from forensic.hashes import verify_consistency
from forensic.ledger.audit import audit
from forensic.ledger.keys import RETIRED, REVOKED
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity
from tests.ledger.conftest import make_identity, refused
from tests.ledger.forging import entries_of, entry_of, put, rechain, rewrite, tampering


@pytest.fixture(scope="module")
def insider(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("insider") / "identity", "Ivan Insider")


@pytest.fixture(scope="module")
def colleague(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("colleague") / "identity", "Cleo Colleague")


@pytest.fixture
def path(tmp_path: Path, insider: Identity, colleague: Identity) -> Path:
    """Nine entries: an exhibit, a run that failed (5 to 6), one that succeeded (7 to 8), a note."""
    path = tmp_path / "ledger.sqlite"
    ids = {"case": "C1", "exhibit": "E1"}
    with Ledger.create(path, insider) as ledger:
        ledger.introduce(colleague.certificate_pem, role="examiner")
        ledger.append("acquisition.started", {}, **ids)
        ledger.append("exhibit.acquired", {"sha256": "0" * 64}, **ids)
        ledger.append("run.started", {}, run="R1", **ids)
        ledger.append("run.failed", {"reason": "the plate could not be read"}, run="R1", **ids)
        ledger.append("run.started", {}, run="R2", **ids)
        ledger.append("run.finished", {"frames": 120}, run="R2", **ids)
        ledger.append("note.made", {})
    assert audit(path).ok
    return path


def kept(path: Path, size: int | None = None) -> tuple[int, str]:
    """A checkpoint in other hands: size and root."""
    with Ledger.open(path) as ledger:
        return (ledger.size if size is None else size, ledger.root(size).hex())


def failed(path: Path, *checkpoints: tuple[int, str]) -> tuple[str, ...]:
    return audit(path, cited_roots=checkpoints).failed_checks()


def refuses_work(path: Path, identity: Identity) -> None:
    with refused(VerificationFailed, "ledger.broken"), Ledger.open(path, identity) as ledger:
        list(ledger.entries())


def test_insider_rewrites_history_before_a_kept_checkpoint(path: Path, insider: Identity) -> None:
    checkpoints = [kept(path, 6), kept(path)]
    with Ledger.open(path, insider) as ledger:
        old_root = ledger.root(9)
        ledger.append("note.made", {"after": "the checkpoint"})
    with tampering(path) as connection:  # everything signed anew, every root and thread right
        history = entries_of(connection)
        history[5].update(event="run.cancelled", data={"reason": "not needed"})
        rewrite(connection, history, insider)
    assert audit(path).ok  # by itself it is a ledger like any other: that is what checkpoints are for
    assert failed(path, *checkpoints) == ("L17",)
    with Ledger.open(path) as ledger:  # and no proof leads from the kept root to the new one
        proof = ledger.consistency_proof(9, 10)
        assert not verify_consistency(9, 10, proof, old_root, ledger.root())


def test_insider_reorders_entries(path: Path, insider: Identity) -> None:
    checkpoint = kept(path)
    with tampering(path) as connection:
        history = entries_of(connection)
        times = [entry["time"] for entry in history]
        history = [*history[:4], *history[6:8], *history[4:6], *history[8:]]
        rewrite(connection, [{**entry, "time": time} for entry, time in zip(history, times, strict=True)], insider)
    assert failed(path, checkpoint) == ("L17",)
    with tampering(path) as connection:  # without signing anew: the rows exchanged
        for seq, other in ((6, 99), (5, 6), (99, 5)):
            connection.execute("UPDATE entries SET seq = ? WHERE seq = ?", (other, seq))
    assert {"L5", "L7", "L13"} <= set(failed(path))
    refuses_work(path, insider)


def test_insider_hides_a_failed_run_from_the_thread(path: Path, insider: Identity) -> None:
    """He signs pointers past the failed run, so that an extract of the exhibit's thread does not show it."""
    with tampering(path) as connection:
        history = entries_of(connection)
        rewrite(connection, history, insider)
        entry = entry_of(connection, 7)
        entry["thread"].update(exhibit=4, case=4)
        put(connection, 7, entry, insider)
        for seq in (8, 9):  # chain and tree made to fit; rechain would set the thread right
            entry = relinked(connection, seq)
            put(connection, seq, entry, insider)
    result = audit(path)
    assert [(finding.check, finding.seq) for finding in result.findings] == [("L14", 7)]
    with Ledger.open(path, insider) as ledger, refused(VerificationFailed, "ledger.broken"):
        list(ledger.thread(exhibit="E1"))  # fewer than the tally counted
    with Ledger.open(path, insider) as ledger:
        assert "run.failed" in [entry.event for entry in ledger.entries(exhibit="E1")]


def relinked(connection: Any, seq: int) -> dict[str, Any]:
    from forensic.hashes import canonical_json, merkle_root, sha256_bytes

    before = [canonical_json(entry) for entry in entries_of(connection)[: seq - 1]]
    tree = {"size": seq - 1, "root": merkle_root(before).hex()}
    return {**entry_of(connection, seq), "prev": sha256_bytes(before[-1]), "tree": tree}


def test_insider_hides_a_failed_run_from_thread_and_tally(path: Path, insider: Identity) -> None:
    """He leaves the run's entries in the file, unnamed by any thread and uncounted by the tally that he signs."""
    from forensic.hashes import canonical_json
    from forensic.ledger.tally import Tally, names, tally_key

    with tampering(path) as connection:
        tally = Tally({})
        for entry in entries_of(connection):
            if entry["run"] != "R1":
                for kind, name in names(entry["event"], entry["case"], entry["exhibit"], entry["run"]):
                    tally.add(tally_key(kind, name), entry["seq"])
            if entry["seq"] >= 7:
                entry = relinked(connection, entry["seq"])
                entry["tally"] = tally.root.hex()
                if entry["seq"] == 7:
                    entry["thread"].update(exhibit=4, case=4)
                put(connection, entry["seq"], entry, insider)
        assert canonical_json(entry_of(connection, 5))
    found = {finding.check for finding in audit(path).findings}
    assert {"L14", "L15"} <= found


def test_entries_cut_off_the_end_are_missed_by_a_kept_checkpoint(path: Path, insider: Identity) -> None:
    checkpoint = kept(path)
    with tampering(path) as connection:
        connection.execute("DELETE FROM entries WHERE seq > 6")
    assert failed(path) == ()  # a shorter ledger is a ledger
    result = audit(path, cited_roots=[checkpoint])
    assert result.failed_checks() == ("L17",)
    assert "the ledger has 6" in result.findings[0].reason
    with Ledger.open(path, insider) as ledger:  # filled up again with other entries
        for _ in range(3):
            ledger.append("note.made", {})
    assert failed(path, checkpoint) == ("L17",)


@pytest.mark.parametrize("event", [RETIRED])
def test_a_retired_key_signs_again(path: Path, insider: Identity, colleague: Identity, event: str) -> None:
    _closed_key_signs_again(path, insider, colleague, event, {})


@pytest.mark.parametrize("since", [None, "2026-01-01T00:00:00Z"])
def test_a_revoked_key_signs_again(path: Path, insider: Identity, colleague: Identity, since: str | None) -> None:
    _closed_key_signs_again(path, insider, colleague, REVOKED, {"since_utc": since})


def _closed_key_signs_again(
    path: Path, insider: Identity, colleague: Identity, event: str, more: dict[str, Any]
) -> None:
    with Ledger.open(path, insider) as ledger:
        ledger.append(event, {"key_id": colleague.key_id, "reason": "stolen", **more})
    with tampering(path) as connection:  # the holder of the closed key writes by himself, all links right
        history = entries_of(connection)
        forged = {**history[-1], "event": "note.made", "data": {}}
        forged["actor"] = {"subject": colleague.subject, "key_id": colleague.key_id}
        rewrite(connection, [*history, forged], colleague, start=11)
    result = audit(path)
    assert [(finding.check, finding.seq) for finding in result.findings] == [("L9", 11)]
    for identity in (insider, colleague):
        refuses_work(path, identity)


def test_a_closed_key_is_introduced_again_by_itself(path: Path, insider: Identity, colleague: Identity) -> None:
    with Ledger.open(path, insider) as ledger:
        ledger.append(REVOKED, {"key_id": colleague.key_id, "reason": "stolen", "since_utc": None})
    with tampering(path) as connection:
        history = entries_of(connection)
        actor = {"subject": colleague.subject, "key_id": colleague.key_id}
        back = {**history[-1], "actor": actor, "event": "identity.introduced"}
        back["data"] = {"certificate": colleague.certificate_pem, "key_id": colleague.key_id}
        rewrite(connection, [*history, back, {**back, "event": "note.made", "data": {}}], colleague, start=11)
    found = {(finding.check, finding.seq) for finding in audit(path).findings}
    assert {("L9", 11), ("L11", 11), ("L9", 12)} <= found
    refuses_work(path, insider)


def test_a_second_chain_is_forked_from_the_middle(path: Path, insider: Identity) -> None:
    """Two histories that share a beginning: each is sound alone, none is consistent with the other's checkpoint."""
    fork = path.with_name("fork.sqlite")
    fork.write_bytes(path.read_bytes())
    with tampering(fork) as connection:
        connection.execute("DELETE FROM entries WHERE seq > 4")
    roots = {}
    for branch, note in ((path, "shown to the court"), (fork, "shown to the defence")):
        with Ledger.open(branch, insider) as ledger:
            while ledger.size < 12:
                ledger.append("note.made", {"note": note})
            roots[branch] = (ledger.root(4), ledger.root(), ledger.consistency_proof(4), ledger.consistency_proof(9))
        assert audit(branch).ok
    (common, one, to_one, one_from_nine), (same, two, to_two, two_from_nine) = roots[path], roots[fork]
    assert common == same
    assert verify_consistency(4, 12, to_one, common, one)
    assert verify_consistency(4, 12, to_two, common, two)
    assert one != two
    with Ledger.open(path) as ledger:
        nine = ledger.root(9)
    assert verify_consistency(9, 12, one_from_nine, nine, one)
    assert not verify_consistency(9, 12, two_from_nine, nine, two)
    assert failed(fork, kept(path)) == failed(path, kept(fork)) == ("L17",)


@pytest.mark.parametrize(("level", "index"), [(0, 4), (1, 2), (2, 1), (3, 0)])
def test_stored_tree_nodes_are_changed(path: Path, insider: Identity, level: int, index: int) -> None:
    with tampering(path, derived=False) as connection:
        connection.execute("UPDATE nodes SET hash = zeroblob(32) WHERE level = ? AND idx = ?", (level, index))
    assert failed(path) == ("L16",)
    if level >= 2:  # beside the way to the first entries, which hold the keys: noticed on opening
        refuses_work(path, insider)
        return
    beside = 5 if level == 0 else 7  # an entry whose way to the root needs the node
    with Ledger.open(path, insider) as ledger:
        for read in (lambda: ledger.entry(beside), lambda: ledger.inclusion_proof(beside + 1)):
            with refused(VerificationFailed, "ledger.broken"):
                read()
        assert verify_consistency(8, 9, ledger.consistency_proof(8), ledger.root(8), ledger.root())


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM nodes WHERE level = 0 AND idx = 4",
        "INSERT INTO nodes VALUES (0, 9, zeroblob(32))",
        "INSERT INTO nodes VALUES (9, 0, zeroblob(32))",
        "DELETE FROM mentions WHERE seq = 6",
        "INSERT INTO mentions VALUES ('run', 'R1', 8)",
        "DELETE FROM tally WHERE path = ''",
        "INSERT INTO tally VALUES ('nowhere', zeroblob(48))",
        "UPDATE tally SET content = zeroblob(512) WHERE length(content) = 512",
    ],
)
def test_stored_tree_index_or_tally_is_changed(path: Path, statement: str) -> None:
    with tampering(path, derived=False) as connection:
        connection.execute(statement)
    assert failed(path) == ("L16",)


def test_outsider_rechains_with_a_key_of_his_own(path: Path, colleague: Identity, tmp_path: Path) -> None:
    outsider = make_identity(tmp_path / "outsider", "Ivan Insider")
    with tampering(path) as connection:
        rechain(connection, 5, outsider)
    assert set(failed(path)) == {"L9"}
    refuses_work(path, colleague)
