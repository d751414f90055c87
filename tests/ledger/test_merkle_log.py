"""The ledger as a Merkle log: roots, proofs and threads, beside writers, at every size."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from forensic.errors import UsageError
from forensic.hashes import EMPTY_ROOT, leaf_hash, merkle_root, verify_consistency, verify_inclusion
from forensic.hashes.merkle import inclusion_proof
from forensic.ledger.audit import audit
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity
from tests.ledger.conftest import write_history


def test_roots_and_proofs_hold_at_every_size(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        for number in range(20):
            ledger.append("note.made", {"n": number})
        leaves = [entry.canonical for entry in ledger.entries()]
        roots = [merkle_root(leaves[:size]) for size in range(len(leaves) + 1)]
        for entry in ledger.entries():
            assert entry.tree == (entry.seq - 1, roots[entry.seq - 1].hex())
    with Ledger.open(path) as ledger:  # from what is stored, not from memory
        assert ledger.size == 21
        assert ledger.root() == roots[21]
        assert ledger.root(0) == EMPTY_ROOT
        for size in range(1, 22):
            assert ledger.root(size) == roots[size]
            for seq in range(1, size + 1):
                proof = ledger.inclusion_proof(seq, size)
                assert proof == inclusion_proof([leaf_hash(leaf) for leaf in leaves[:size]], seq - 1)
                assert verify_inclusion(leaves[seq - 1], seq - 1, size, proof, roots[size])
            for old in range(size + 1):
                proof = ledger.consistency_proof(old, size)
                assert verify_consistency(old, size, proof, roots[old], roots[size])
    assert audit(path).root == roots[21].hex()
    assert audit(path, cited_roots=[(size, root.hex()) for size, root in enumerate(roots)]).ok


def test_proofs_beyond_the_ledger_are_refused(path: Path, identity: Identity) -> None:
    write_history(path, identity)
    with Ledger.open(path) as ledger:
        for ask in (
            lambda: ledger.root(9),
            lambda: ledger.root(-1),
            lambda: ledger.inclusion_proof(9),
            lambda: ledger.inclusion_proof(0),
            lambda: ledger.inclusion_proof(5, 4),
            lambda: ledger.consistency_proof(5, 4),
            lambda: ledger.consistency_proof(5, 9),
            lambda: ledger.entry(9),
            lambda: ledger.entry(0),
            lambda: ledger.envelope(9),
        ):
            with pytest.raises(IndexError):
                ask()


def test_a_reader_sees_what_a_writer_appends_meanwhile(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as writer, Ledger.open(path) as reader, Ledger.open(path, identity) as other:
        for number in range(12):
            (writer if number % 3 else other).append("note.made", {"n": number}, run=None, case=f"C{number % 2}")
            assert reader.size == number + 2
            assert reader.root() == writer.root()
            assert verify_inclusion(
                reader.entry(number + 2).canonical,
                number + 1,
                reader.size,
                reader.inclusion_proof(number + 2),
                reader.root(),
            )
            assert [entry.data["n"] for entry in reader.thread(case="C0")] == list(range(0, number + 1, 2))[::-1]
    assert audit(path).ok


def test_threads_name_the_entry_before_in_case_exhibit_and_run(path: Path, identity: Identity) -> None:
    write_history(path, identity)
    with Ledger.open(path) as ledger:
        entries = list(ledger.entries())
        assert [tuple(entry.thread or ()) for entry in entries] == [
            (None, None, None),
            (0, 0, None),
            (2, 2, 0),
            (3, 3, 3),
            (4, 4, 4),
            (5, 5, 5),
            (6, 6, 0),
            (7, 7, 6),
        ]
        assert [entry.seq for entry in ledger.thread(case="C1")] == [8, 7, 6, 5, 4, 3, 2]
        assert [entry.seq for entry in ledger.thread(run="R1")] == [8, 6, 5, 4, 3]
        assert list(ledger.thread(run="absent")) == []
        with pytest.raises(ValueError, match="expected 1"):
            ledger.thread(run="R1", case="C1")


def test_long_threads_and_filters_are_complete(path: Path, identity: Identity) -> None:
    rng = random.Random(3)
    told = [(f"C{rng.randrange(2)}", f"R{rng.randrange(300)}") for _ in range(600)]
    with Ledger.create(path, identity) as ledger:
        for case, run in told:
            ledger.append("note.made", {}, case=case, run=run)
    with Ledger.open(path, identity) as ledger:
        for kind, name in (("case", "C0"), ("case", "C1"), ("run", "R7"), ("run", told[-1][1])):
            place = 0 if kind == "case" else 1
            seqs = [seq for seq, one in enumerate(told, 2) if one[place] == name]
            assert [entry.seq for entry in ledger.entries(**{kind: name})] == seqs
            assert [entry.seq for entry in ledger.thread(**{kind: name})] == seqs[::-1]
        both = [seq for seq, (case, run) in enumerate(told, 2) if (case, run) == told[0]]
        assert [entry.seq for entry in ledger.entries(case=told[0][0], run=told[0][1])] == both
    assert audit(path).ok


def test_a_log_needs_the_newer_form(path: Path, identity: Identity) -> None:
    from tests.ledger.conftest import refused
    from tests.ledger.forging import write_chain

    write_chain(path, [{"event": "workspace.created", "data": {"certificate": identity.certificate_pem}}], identity)
    with Ledger.open(path) as ledger:
        for ask in (ledger.root, lambda: ledger.inclusion_proof(1), lambda: ledger.consistency_proof(1)):
            with refused(UsageError, "ledger.version"):
                ask()
