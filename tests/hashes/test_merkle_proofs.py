"""Inclusion and consistency proofs against published vectors and properties (RFC 9162, sections 2.1.3 and 2.1.4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.hashes import (
    EMPTY_ROOT,
    MerkleTree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    verify_consistency,
    verify_inclusion,
)
from forensic.hashes.merkle import fold, peaks, verify_leaf_inclusion

VECTORS = json.loads(Path(__file__).with_name("merkle_vectors.json").read_text("utf-8"))
"""Proofs good and bad of transparency-dev/merkle, which witnesses and logs are built on."""

# The eight leaves, roots, audit paths and consistency proofs that Certificate Transparency
# implementations have been tested with since the first.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
    (6, 7): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def raw(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_published_ones(size: int) -> None:
    assert merkle_root(LEAVES[:size]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_audit_paths_are_the_published_ones(index: int, size: int) -> None:
    path = inclusion_proof(HASHES[:size], index)
    assert [hashed.hex() for hashed in path] == INCLUSION[index, size]
    assert verify_inclusion(LEAVES[index], index, size, path, bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency_proofs_are_the_published_ones(old: int, new: int) -> None:
    proof = consistency_proof(HASHES, old, new)
    assert [hashed.hex() for hashed in proof] == CONSISTENCY[old, new]
    assert verify_consistency(old, new, proof, bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1]))


@pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=lambda vector: vector["name"])
def test_inclusion_is_judged_as_published(vector: dict[str, Any]) -> None:
    leaf, root, path = bytes.fromhex(vector["leaf_hash"]), bytes.fromhex(vector["root"]), raw(vector["proof"])
    assert verify_leaf_inclusion(leaf, vector["index"], vector["size"], path, root) == vector["valid"]


@pytest.mark.parametrize("vector", VECTORS["consistency"], ids=lambda vector: vector["name"])
def test_consistency_is_judged_as_published(vector: dict[str, Any]) -> None:
    roots = bytes.fromhex(vector["old_root"]), bytes.fromhex(vector["new_root"])
    judged = verify_consistency(vector["old_size"], vector["new_size"], raw(vector["proof"]), *roots)
    assert judged == vector["valid"]


def test_every_tree_extends_the_empty_one_whose_root_is_given() -> None:
    root = merkle_root(LEAVES)
    assert verify_consistency(0, 8, [], EMPTY_ROOT, root)
    assert not verify_consistency(0, 8, [], root, root)
    assert not verify_consistency(0, 8, [EMPTY_ROOT], EMPTY_ROOT, root)
    assert verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    assert not verify_consistency(0, 0, [], root, root)


trees = st.lists(st.binary(max_size=4), min_size=1, max_size=70)


@given(trees, st.data())
def test_every_prefix_is_proved_and_nothing_else(leaves: list[bytes], data: st.DataObject) -> None:
    new = data.draw(st.integers(1, len(leaves)))
    old = data.draw(st.integers(1, new))
    hashes = [leaf_hash(leaf) for leaf in leaves]
    proof = consistency_proof(hashes, old, new)
    old_root, new_root = merkle_root(leaves[:old]), merkle_root(leaves[:new])
    assert verify_consistency(old, new, proof, old_root, new_root)
    assert not verify_consistency(old, new, [*proof, new_root], old_root, new_root)
    assert not verify_consistency(new + 1, new, proof, old_root, new_root)
    assert not verify_consistency(-1, new, proof, old_root, new_root)
    # History rewritten before the old size: no proof that an honest or a dishonest log makes will do.
    changed = data.draw(st.integers(0, old - 1))
    other = [*leaves[:changed], leaves[changed] + b"x", *leaves[changed + 1 :]]
    forged = consistency_proof([leaf_hash(leaf) for leaf in other], old, new)
    for attempt in (proof, forged):
        assert not verify_consistency(old, new, attempt, old_root, merkle_root(other[:new]))
    if proof:
        assert not verify_consistency(old, new, proof[:-1], old_root, new_root)
        at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        flipped = bytearray(proof[at])
        flipped[bit // 8] ^= 1 << bit % 8
        assert not verify_consistency(old, new, [*proof[:at], bytes(flipped), *proof[at + 1 :]], old_root, new_root)


@given(st.integers(0, 40), st.integers(0, 40), st.lists(st.binary(min_size=32, max_size=32), max_size=8))
def test_arbitrary_proofs_are_judged_without_raising(old: int, new: int, proof: list[bytes]) -> None:
    assert not verify_consistency(old, new, proof, bytes(32), bytes(32)) or (old == new > 0 and not proof)
    assert not verify_inclusion(b"x", old, new, proof, bytes(32))


def test_hashes_of_another_length_prove_nothing() -> None:
    """Or else the border between two hashes could be moved."""
    left, right = HASHES[0], HASHES[1]
    root = merkle_root(LEAVES[:2])
    assert verify_leaf_inclusion(left, 0, 2, [right], root)
    assert not verify_leaf_inclusion(left + right[:1], 0, 2, [right[1:]], root)
    assert not verify_leaf_inclusion(left[:31], 0, 2, [left[31:] + right], root)


@given(st.integers(0, 300))
def test_a_tree_goes_on_from_its_peaks(size: int) -> None:
    tree, completed = MerkleTree(), {}
    for number in range(size):
        completed.update(tree.append_leaf(leaf_hash(b"%d" % number)))
    assert [completed[peak] for peak in peaks(0, size)] == list(tree.roots)
    assert fold(tree.roots) == tree.root()
    assert len(completed) == 2 * size - size.bit_count()
    again = MerkleTree(size, tree.roots)
    again.append(b"next")
    tree.append(b"next")
    assert again.root() == tree.root()


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(IndexError):
        consistency_proof(HASHES, 5, 4)
    with pytest.raises(IndexError):
        consistency_proof(HASHES, 5, 9)
    with pytest.raises(IndexError):
        inclusion_proof(HASHES, 8)
    with pytest.raises(ValueError, match="peaks"):
        MerkleTree(3, [bytes(32)])
