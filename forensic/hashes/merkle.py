"""Merkle tree hashing and inclusion proofs as in RFC 9162, section 2.1 (SHA-256)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

_EMPTY = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf: SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """Streaming tree: append leaves one at a time, keep O(log n) state, ask for the root."""

    def __init__(self) -> None:
        self._size = 0
        self._stack: list[bytes] = []  # roots of the perfect subtrees, largest first

    @property
    def size(self) -> int:
        """Number of leaves so far."""
        return self._size

    def append(self, data: bytes) -> None:
        """Add one leaf holding ``data``."""
        node = leaf_hash(data)
        size = self._size
        while size & 1:
            node = _node_hash(self._stack.pop(), node)
            size >>= 1
        self._stack.append(node)
        self._size += 1

    def root(self) -> bytes:
        """Root over the leaves so far (32 bytes; SHA-256 of nothing for an empty tree)."""
        if not self._stack:
            return _EMPTY
        node = self._stack[-1]
        for left in reversed(self._stack[:-1]):
            node = _node_hash(left, node)
        return node


def merkle_root(leaves: Iterable[bytes]) -> bytes:
    """Root over the leaf *data* in ``leaves``."""
    tree = MerkleTree()
    for data in leaves:
        tree.append(data)
    return tree.root()


def _subtree(hashes: Sequence[bytes]) -> bytes:
    level = list(hashes)
    while len(level) > 1:
        paired = [_node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) & 1:
            paired.append(level[-1])
        level = paired
    return level[0]


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Audit path for leaf ``index`` among ``leaf_hashes`` (section 2.1.3.1), leaf to root.

    Raises ``IndexError`` if there is no such leaf.
    """
    if not 0 <= index < len(leaf_hashes):
        raise IndexError(f"leaf {index} of {len(leaf_hashes)}")
    low, high, path = 0, len(leaf_hashes), []
    while high - low > 1:
        split = 1 << ((high - low - 1).bit_length() - 1)
        if index - low < split:
            path.append(_subtree(leaf_hashes[low + split : high]))
            high = low + split
        else:
            path.append(_subtree(leaf_hashes[low : low + split]))
            low += split
    return path[::-1]


def verify_inclusion(data: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Check an audit path by the algorithm of section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    fn, sn = index, size - 1
    node = leaf_hash(data)
    for sibling in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            node = _node_hash(sibling, node)
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            node = _node_hash(node, sibling)
        fn >>= 1
        sn >>= 1
    return sn == 0 and node == root
