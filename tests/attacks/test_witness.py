"""Attacks on anchored history. The insider has every key of the laboratory, the ledger and all its files."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from forensic.case.logkeys import signer_for
from forensic.case.lognames import WITNESS
from forensic.case.verification.checks import Verdict
from forensic.errors import ForensicError
from forensic.signing.checkpoint import (
    Checkpoint,
    SignedCheckpoint,
    WitnessRequest,
    parse_signed_checkpoint,
    parse_witness_request,
    sign_checkpoint,
)
from forensic.signing.note import NoteSigner, SignatureType, parse_signature_lines, parse_vkey
from tests.laboratories import Laboratory


@pytest.fixture
def lab(tmp_path: Path) -> Laboratory:
    return Laboratory.found(tmp_path / "lab").work("the frame shows nothing")


@pytest.fixture
def witness(tmp_path: Path) -> Laboratory:
    return Laboratory.found(tmp_path / "witness")


def refused(code: str):  # type: ignore[no-untyped-def]
    return pytest.raises(ForensicError, match=rf"^\[{code}\]")


def test_log_shows_two_histories_to_two_witnesses(lab: Laboratory, witness: Laboratory, tmp_path: Path) -> None:
    second = Laboratory.found(tmp_path / "second witness")
    key = lab.log_key()
    fork = lab.fork(tmp_path / "fork")
    lab.work("run 1 failed").witnessed_by(witness)
    fork.work("run 1 never happened").witnessed_by(second)
    shown, hidden = lab.checkpoint().note, fork.checkpoint().note
    # Each history alone is sound, and each witness honest. Brought together they contradict.
    trust = {"witnesses": (witness.witness_key(), second.witness_key()), "log_keys": (key,)}
    assert lab.failed(**trust) == fork.failed(**trust) == set()
    assert lab.failed(checkpoints=(hidden,)) == {"N6"}
    assert fork.failed(checkpoints=(shown,)) == {"N6"}
    with refused("witness.split-view"):
        witness.cosign(fork.request(old=0))
    # The signed contradiction stays with the witness, as proof against the log.
    proof = witness.entries("witness.refused")[-1].data
    kept = parse_signed_checkpoint(proof["note"].encode())
    seen = parse_signed_checkpoint(witness.entries("witness.cosigned")[-1].data["note"].encode())
    assert kept.checkpoint.size == seen.checkpoint.size
    assert kept.checkpoint.root != seen.checkpoint.root
    for note in (kept, seen):
        assert str(note.require_log([parse_vkey(key)])) == key


def test_witness_is_asked_to_cosign_a_rewritten_log(lab: Laboratory, witness: Laboratory, tmp_path: Path) -> None:
    key = lab.log_key()
    fork = lab.fork(tmp_path / "fork")
    lab.work("run 1 failed", "run 2 finished").witnessed_by(witness)
    size = lab.checkpoint().size
    fork.work(*(["run 2 finished"] * 9))
    for old in (size, 0):
        with pytest.raises(ForensicError) as caught:
            witness.cosign(fork.request(old=old), key)
        assert caught.value.code == ("witness.inconsistent" if old else "witness.conflict")
    assert [entry.data["size"] for entry in witness.entries("witness.cosigned")] == [size]
    assert len(witness.entries("witness.refused")) == 2
    lab.work("run 3 finished").witnessed_by(witness)  # the true history goes on


def test_checkpoint_signed_with_another_key(lab: Laboratory, witness: Laboratory, tmp_path: Path) -> None:
    issued = lab.checkpoint()
    origin = parse_signed_checkpoint(issued.note).checkpoint.origin
    thief = NoteSigner(origin, SignatureType.ED25519, ed25519.Ed25519PrivateKey.generate())
    for root in (issued.root, bytes(32)):
        forged = sign_checkpoint(Checkpoint(origin, issued.size, root), thief)
        copy = lab.fork(tmp_path / root.hex()[:8])
        (copy.root / "anchors" / f"{issued.size:010d}" / "checkpoint").write_bytes(forged.to_bytes())
        assert copy.failed() >= {"N2", "N4"}
        signed = SignedCheckpoint(Checkpoint(origin, issued.size, root), forged)
        with refused("checkpoint.unsigned"):
            witness.cosign(WitnessRequest(0, (), signed).to_bytes(), lab.log_key())
        assert lab.failed(checkpoints=(forged.to_bytes(),)) == {"N6"}
    # A key that the ledger introduces later does not sign what came before it.
    assert lab.failed(log_keys=(str(thief.verifier),)) == {"N7"}


def test_cosignature_of_an_untrusted_witness_raises_nothing(
    lab: Laboratory, witness: Laboratory, tmp_path: Path
) -> None:
    lab.witnessed_by(witness)
    friend = Laboratory.found(tmp_path / "somebody else").witness_key()
    for trust in ({}, {"witnesses": (friend,)}):
        verification = lab.verify(**trust)
        assert Verdict.WITNESSED not in verification.reached
        assert verification.verdict is Verdict.SIGNED
        assert any(witness.witness_key() in line for line in verification.not_checked)
    assert Verdict.WITNESSED in lab.verify(witnesses=(witness.witness_key(),)).reached


def test_a_laboratory_witnesses_itself(lab: Laboratory, tmp_path: Path) -> None:
    """The log's own witness key, used outside the command, is no witness even for who names it."""
    own = lab.witness_key()
    with refused("witness.own-log"):
        lab.cosign(lab.request(), lab.log_key())
    with lab.open() as workspace:
        signer = signer_for(workspace, WITNESS)
    lab.take(signer.cosign(parse_signed_checkpoint(lab.checkpoint().note).note.text, 1_800_000_000).line.encode(), own)
    verification = lab.verify(witnesses=(own,))
    assert verification.verdict is Verdict.SIGNED
    assert Verdict.WITNESSED not in verification.reached


def test_old_checkpoint_is_replayed_to_the_witness(lab: Laboratory, witness: Laboratory) -> None:
    old_request, key = lab.request(), lab.log_key()
    witness.cosign(old_request, key)
    size = parse_witness_request(old_request).signed.checkpoint.size
    lab.work("more", "and more")
    witness.cosign(lab.request(old=size), key)
    latest = lab.checkpoint().size
    for _ in range(2):
        with refused("witness.conflict") as caught:
            witness.cosign(old_request, key)
        assert f"--old {latest}" in str(caught.value)
    assert witness.entries("witness.cosigned")[-1].data["size"] == latest
    witness.cosign(lab.request(old=latest), key)  # asking again about the newest is no replay


def test_insider_with_every_key_rewrites_after_witnessing(lab: Laboratory, witness: Laboratory, tmp_path: Path) -> None:
    before = lab.fork(tmp_path / "before")
    lab.log_key()
    keyed = lab.fork(tmp_path / "keyed")
    lab.work("run 1 failed", "run 2 finished").witnessed_by(witness)
    vkey, kept = witness.witness_key(), lab.checkpoint()
    assert lab.failed(witnesses=(vkey,), checkpoints=(kept.note,)) == set()
    for copy in (before, keyed):
        # He rewrites the history with the true keys and issues a new, valid checkpoint for it …
        copy.work("run 2 finished", "nothing else", "nothing at all", "nothing")
        copy.checkpoint()
        assert copy.failed() == set()  # … which nothing in the workspace can give away
        assert Verdict.WITNESSED not in copy.verify(witnesses=(vkey,)).reached
        assert copy.failed(checkpoints=(kept.note,)) == {"N6"}
        # The page on paper suffices.
        page = f"{parse_signed_checkpoint(kept.note).checkpoint.origin}\n{kept.size}\n{kept.root.hex()}\n"
        assert copy.failed(checkpoints=(page.encode(),)) == {"N6"}
        assert lab.failed(checkpoints=(page.encode(),)) == set()
        # Carrying the old anchor along, with its cosignature, gives it away too.
        shutil.copytree(kept.folder.root, copy.root / "anchors" / kept.folder.root.name, dirs_exist_ok=True)
        assert copy.failed(witnesses=(vkey,)) & {"N2", "N3"}
        with refused("log.inconsistent"):
            copy.checkpoint()


def test_insider_cuts_the_end_off_before_a_kept_checkpoint(lab: Laboratory, tmp_path: Path) -> None:
    lab.log_key()
    fork = lab.fork(tmp_path / "fork")
    kept = lab.work("run 1 failed", "run 2 failed").checkpoint().note
    assert fork.failed() == set()
    verification = fork.verify(checkpoints=(kept,))
    assert [check.number for check in verification.checks if not check.passed] == ["N6"]
    assert any("has only" in check.detail for check in verification.checks if check.number == "N6")


def test_another_ledger_is_put_in_the_place_of_an_anchored_one(lab: Laboratory, tmp_path: Path) -> None:
    """Everything new: workspace id, keys, history. The verifier's checkpoint does not fit any more."""
    kept, key = lab.checkpoint().note, lab.log_key()
    other = Laboratory.found(tmp_path / "other").work("the frame shows everything")
    other.checkpoint()
    assert other.failed() == set()
    assert other.failed(checkpoints=(kept,)) == {"N6"}
    assert other.failed(log_keys=(key,)) == {"N7"}


def test_cosignature_is_changed_or_added_by_hand(lab: Laboratory, witness: Laboratory, tmp_path: Path) -> None:
    lab.witnessed_by(witness)
    stranger = NoteSigner("witness.example/w", SignatureType.COSIGNATURE, ed25519.Ed25519PrivateKey.generate())
    note = (lab.checkpoint().folder.cosigned).read_bytes()
    text = parse_signed_checkpoint(note).note.text
    line = parse_signature_lines(note.split(b"\n\n")[1])[1]
    later = type(line)(line.name, line.key_id, bytes([0, 0, 0, 0, 0xFF]) + line.signature[5:])
    for bent in (
        note.replace(line.line.encode(), later.line.encode()),  # another time
        note + stranger.cosign(text, 1_800_000_000).line.encode(),  # a line that the ledger never received
        note.replace(b"\n\n", b"\nextension\n\n"),
        note[:-1],
        b"",
    ):
        copy = lab.fork(tmp_path / "copy")
        next((copy.root / "anchors").iterdir()).joinpath("cosigned").write_bytes(bent)
        verification = copy.verify(witnesses=(witness.witness_key(),))
        assert "N5" in {check.number for check in verification.checks if not check.passed}
        assert Verdict.WITNESSED not in verification.reached
        shutil.rmtree(copy.root)


def test_two_histories_race_for_the_witness(lab: Laboratory, witness: Laboratory, tmp_path: Path) -> None:
    """Requests at the same moment: what is cosigned is one history, whatever the order."""
    key = lab.log_key()
    forks = [lab.fork(tmp_path / f"fork {number}").work(f"history {number}") for number in range(6)]
    requests = [fork.request(old=0) for fork in forks]
    witness.witness_key()

    def ask(request: bytes) -> str:
        try:
            witness.cosign(request, key)
        except ForensicError as error:
            return error.code
        return "cosigned"

    with ThreadPoolExecutor(6) as pool:
        outcomes = sorted(pool.map(ask, requests))
    assert outcomes == ["cosigned"] + ["witness.split-view"] * 5
    assert len(witness.entries("witness.cosigned")) == 1
    assert len(witness.entries("witness.refused")) == 5
