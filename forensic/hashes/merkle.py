"""Merkle tree hashing, inclusion and consistency proofs as in RFC 9162, section 2.1 (SHA-256)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of a tree without leaves."""

_BYTES = 32  # a proof with hashes of other lengths could place the border between two of them elsewhere

Range = Callable[[int, int], bytes]
"""``MTH(D[low:high])`` for ``low < high``, as section 2.1.1 defines it."""


class Node(NamedTuple):
    """A perfect subtree over ``1 << level`` leaves, the first of which is ``place << level``. Level 0: a leaf."""

    level: int
    place: int


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf: SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def peaks(low: int, high: int) -> list[Node]:
    """The perfect subtrees whose roots make up ``MTH(D[low:high])``, left to right, largest first.

    ``low`` must be a multiple of the largest power of two not above ``high - low``, as it is for
    every range that the recursion of section 2.1.1 comes to.
    """
    found = []
    while low < high:
        level = (high - low).bit_length() - 1
        found.append(Node(level, low >> level))
        low += 1 << level
    return found


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root over the roots of ``peaks``; ``EMPTY_ROOT`` for none."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


class MerkleTree:
    """Streaming tree: append leaves one at a time, keep O(log n) state, ask for the root."""

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        """An empty tree, or one to go on from: ``size`` leaves and the roots of ``peaks(0, size)``."""
        if size.bit_count() != len(roots):
            raise ValueError(f"{size} leaves have {size.bit_count()} peaks, not {len(roots)}")
        self._size = size
        self._stack = list(roots)  # roots of the perfect subtrees, largest first

    @property
    def size(self) -> int:
        """Number of leaves so far."""
        return self._size

    @property
    def roots(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, in the order of ``peaks(0, size)``."""
        return tuple(self._stack)

    def append(self, data: bytes) -> None:
        """Add one leaf holding ``data``."""
        self.append_leaf(leaf_hash(data))

    def append_leaf(self, leaf: bytes) -> list[tuple[Node, bytes]]:
        """Add one leaf by its hash; return the perfect subtrees that it completes, itself first."""
        node, hashed = Node(0, self._size), leaf
        completed = [(node, hashed)]
        size = self._size
        while size & 1:
            node, hashed = Node(node.level + 1, node.place >> 1), node_hash(self._stack.pop(), hashed)
            completed.append((node, hashed))
            size >>= 1
        self._stack.append(hashed)
        self._size += 1
        return completed

    def root(self) -> bytes:
        """Root over the leaves so far (32 bytes; SHA-256 of nothing for an empty tree)."""
        return fold(self._stack)


def merkle_root(leaves: Iterable[bytes]) -> bytes:
    """Root over the leaf *data* in ``leaves``."""
    tree = MerkleTree()
    for data in leaves:
        tree.append(data)
    return tree.root()


def _over(leaf_hashes: Sequence[bytes]) -> Range:
    def subtree(low: int, high: int) -> bytes:
        level = list(leaf_hashes[low:high])
        while len(level) > 1:
            paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            if len(level) & 1:
                paired.append(level[-1])
            level = paired
        return level[0]

    return subtree


def _split(low: int, high: int) -> int:
    """Where the recursion divides ``[low, high)``: after the largest power of two *smaller* than its size."""
    return low + (1 << ((high - low - 1).bit_length() - 1))


def inclusion_path(subtree: Range, index: int, size: int) -> list[bytes]:
    """Audit path for leaf ``index`` of ``size`` (section 2.1.3.1), leaf to root. Raises ``IndexError``."""
    if not 0 <= index < size:
        raise IndexError(f"leaf {index} of {size}")
    low, high, path = 0, size, []
    while high - low > 1:
        split = _split(low, high)
        if index < split:
            path.append(subtree(split, high))
            high = split
        else:
            path.append(subtree(low, split))
            low = split
    return path[::-1]


def consistency_path(subtree: Range, old: int, new: int) -> list[bytes]:
    """Proof that the tree of ``old`` leaves is a prefix of that of ``new`` (section 2.1.4.1).

    Empty for ``old == 0`` (every tree extends the empty one) and ``old == new``. Raises ``IndexError``
    unless ``0 <= old <= new``.
    """
    if not 0 <= old <= new:
        raise IndexError(f"{old} leaves are no prefix of {new}")
    if old in (0, new):
        return []
    low, high, whole, path = 0, new, True, []
    while old != high:
        split = _split(low, high)
        if old <= split:
            path.append(subtree(split, high))
            high = split
        else:
            path.append(subtree(low, split))
            low, whole = split, False
    if not whole:
        path.append(subtree(low, high))
    return path[::-1]


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """``inclusion_path`` among ``leaf_hashes``. Raises ``IndexError`` if there is no such leaf."""
    return inclusion_path(_over(leaf_hashes), index, len(leaf_hashes))


def consistency_proof(leaf_hashes: Sequence[bytes], old: int, new: int | None = None) -> list[bytes]:
    """``consistency_path`` between the first ``old`` and the first ``new`` (default: all) of ``leaf_hashes``."""
    size = len(leaf_hashes) if new is None else new
    if size > len(leaf_hashes):
        raise IndexError(f"{size} of {len(leaf_hashes)} leaves")
    return consistency_path(_over(leaf_hashes), old, size)


def verify_inclusion(data: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Check the audit path of the leaf holding ``data`` by the algorithm of section 2.1.3.2."""
    return verify_leaf_inclusion(leaf_hash(data), index, size, path, root)


def verify_leaf_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """``verify_inclusion`` where only the leaf's hash is at hand."""
    if not 0 <= index < size or any(len(hashed) != _BYTES for hashed in (leaf, *path)):
        return False
    fn, sn = index, size - 1
    node = leaf
    for sibling in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            node = node_hash(sibling, node)
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            node = node_hash(node, sibling)
        fn >>= 1
        sn >>= 1
    return sn == 0 and node == root


def verify_consistency(old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Check a consistency proof by the algorithm of section 2.1.4.2.

    Beyond the section, which leaves them to the caller: trees of one size are consistent if their
    roots are equal, and every tree extends the empty one, whose root must then be ``EMPTY_ROOT``;
    both with an empty proof.
    """
    if not 0 <= old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root and (new_size > 0 or new_root == EMPTY_ROOT)
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT and len(new_root) == _BYTES
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    if not proof or any(len(hashed) != _BYTES for hashed in path):
        return False
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(sibling, fr), node_hash(sibling, sr)
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            sr = node_hash(sr, sibling)
        fn >>= 1
        sn >>= 1
    return sn == 0 and fr == old_root and sr == new_root
