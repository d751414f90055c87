"""Digests, canonical JSON and Merkle trees against published vectors and properties."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import BadInput, InternalError
from forensic.hashes import (
    MerkleTree,
    canonical_json,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    parse_canonical,
    sha256_file,
    verify_inclusion,
)

# The eight leaves and their roots that Certificate Transparency implementations test with.
_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize(("size", "root"), _ROOTS.items())
def test_merkle_root_is_the_published_one(size: int, root: str) -> None:
    assert merkle_root(_LEAVES[:size]).hex() == root


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70), st.data())
def test_every_leaf_is_proved_and_nothing_else(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root = merkle_root(leaves)
    path = inclusion_proof([leaf_hash(leaf) for leaf in leaves], index)
    assert verify_inclusion(leaves[index], index, len(leaves), path, root)
    assert not verify_inclusion(leaves[index] + b"x", index, len(leaves), path, root)
    assert not verify_inclusion(leaves[index], index, len(leaves), [*path, root], root)
    assert not verify_inclusion(leaves[index], len(leaves), len(leaves), path, root)
    if path:
        assert not verify_inclusion(leaves[index], index, len(leaves), path[:-1], root)
        other = data.draw(st.integers(0, len(leaves) - 1))
        if leaves[other] != leaves[index]:
            assert not verify_inclusion(leaves[other], index, len(leaves), path, root)


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_streaming_tree_agrees_with_the_recursive_definition(leaves: list[bytes]) -> None:
    def defined(part: list[bytes]) -> bytes:
        if not part:
            return hashlib.sha256(b"").digest()
        if len(part) == 1:
            return hashlib.sha256(b"\x00" + part[0]).digest()
        split = 1
        while split * 2 < len(part):
            split *= 2
        return hashlib.sha256(b"\x01" + defined(part[:split]) + defined(part[split:])).digest()

    tree = MerkleTree()
    for leaf in leaves:
        tree.append(leaf)
    assert tree.root() == defined(leaves)


def test_leaf_cannot_pass_for_a_node() -> None:
    """Second preimage: the concatenation of two leaf hashes as a leaf has another hash than their node."""
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert merkle_root([left + right]) != merkle_root([b"a", b"b"])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text() | st.floats(-1e15, 1e15),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@given(_JSON)
def test_canonical_json_reads_back_to_itself(value: object) -> None:
    try:
        data = canonical_json(value)
    except InternalError:
        assert "\\ud" in ascii(value)  # lone surrogates have no UTF-8
        return
    assert canonical_json(parse_canonical(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        b'{"b":1,"a":2}',
        b'{"a":1, "b":2}',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b"[1,]",
        b"\xff",
        b"",
        b'"\\u0061"',
        b"[" * 9999,
    ],
)
def test_json_that_is_not_canonical_is_refused(text: bytes) -> None:
    with pytest.raises(BadInput):
        parse_canonical(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {1: "a"}, b"bytes", object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(InternalError):
        canonical_json(value)


def test_file_hash_is_sha256sums(tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "data"
    path.write_bytes(bytes(range(256)) * 5000)
    said = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    seen: list[int] = []
    assert sha256_file(path, seen.append) == said
    assert sum(seen) == path.stat().st_size


_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats()
    | st.text(max_size=4)
    | st.text('az\x7f"\\/\n\x1f', max_size=4)
    | st.binary(max_size=1),
    lambda children: (
        st.lists(children, max_size=3)
        | st.tuples(children)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9) | st.none() | st.booleans(), children, max_size=3)
    ),
    max_leaves=8,
)


@given(_ANY)
def test_the_quick_way_to_canonical_json_is_that_of_the_reference_implementation(value: object) -> None:
    """Both ways, writing and reading, agree with the package that follows RFC 8785 to the letter."""
    import rfc8785

    try:
        expected = rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises(InternalError):
            canonical_json(value)
        return
    assert canonical_json(value) == expected
    assert rfc8785.dumps(parse_canonical(expected)) == expected


@given(st.text(' {}[]:,"\\u0019azE.-+eé', max_size=12))
def test_no_other_text_passes_for_canonical(text: str) -> None:
    import rfc8785

    try:
        value = parse_canonical(text.encode())
    except BadInput:
        return
    assert rfc8785.dumps(value).decode() == text
