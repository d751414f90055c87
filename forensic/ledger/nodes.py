"""The stored Merkle tree: roots and proofs in O(log n), every node believed only under a known root."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import Connection

from forensic.hashes import MerkleTree, leaf_hash
from forensic.hashes.merkle import Node, consistency_path, fold, inclusion_path, node_hash, peaks
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.rows import broken

_KEPT = 1 << 16  # verified nodes kept in memory: 64 Ki x about 200 bytes
_AT_ONCE = 256  # SQLite allows 999 parameters in its oldest builds, two per node


class StoredTree:
    """The tree over the entries verified so far. ``tree`` is what is known; the table only fills it in.

    Entry ``seq`` is leaf ``seq - 1``; its data are the entry's canonical bytes.
    """

    def __init__(self, path: Path, tree: MerkleTree) -> None:
        self._path = path
        self.tree = tree
        self._known: dict[Node, bytes] = {}

    @classmethod
    def load(cls, connection: Connection, path: Path, size: int) -> StoredTree:
        """The tree of the first ``size`` entries as stored; the caller compares its root with a signed one."""
        places = peaks(0, size)
        found = read_nodes(connection, places)
        if len(found) != len(places):
            raise broken(path, f"the stored tree of the first {size} entries is not whole")
        return cls(path, MerkleTree(size, [found[place] for place in places]))

    def advance(self, leaf: bytes) -> None:
        """Add the next entry by its leaf hash."""
        self._forget_if_many()
        for place, peak in zip(peaks(0, self.tree.size), self.tree.roots, strict=True):
            self._remember(place, peak)  # peaks that this leaf swallows stay known
        self.tree.append_leaf(leaf)

    def root(self, connection: Connection, size: int) -> bytes:
        """Root of the first ``size`` entries (at most those verified)."""
        return fold(self._verified(connection, peaks(0, size)))

    def check_entries(self, connection: Connection, entries: Sequence[LedgerEntry]) -> None:
        """Raise ``VerificationFailed`` (``ledger.broken``) unless every entry is the one under the root."""
        leaves = {Node(0, entry.seq - 1): leaf_hash(entry.canonical) for entry in entries}
        for place, stored in zip(leaves, self._verified(connection, list(leaves)), strict=True):
            if stored != leaves[place]:
                raise broken(self._path, f"entry {place.place + 1} is not the one that was signed for")

    def inclusion_proof(self, connection: Connection, seq: int, size: int) -> list[bytes]:
        """Audit path (leaf to root) of entry ``seq`` in the tree of the first ``size`` entries."""
        return inclusion_path(lambda low, high: self._range(connection, low, high), seq - 1, size)

    def consistency_proof(self, connection: Connection, old: int, new: int) -> list[bytes]:
        """Proof that the first ``old`` entries are a prefix of the first ``new``."""
        return consistency_path(lambda low, high: self._range(connection, low, high), old, new)

    def _range(self, connection: Connection, low: int, high: int) -> bytes:
        return fold(self._verified(connection, peaks(low, high)))

    def _verified(self, connection: Connection, wanted: list[Node]) -> list[bytes]:
        """Hashes of perfect subtrees, each followed up to one that is known."""
        self._forget_if_many()
        for place, peak in zip(peaks(0, self.tree.size), self.tree.roots, strict=True):
            self._remember(place, peak)
        ways = {place: self._way_up(place) for place in wanted if place not in self._known}
        needed = {node for place, way in ways.items() for node in (place, *(sibling(step) for step in way))}
        stored = read_nodes(connection, sorted(needed))
        for way in ways.values():
            self._climb(way, stored)
        return [self._known[place] for place in wanted]

    def _way_up(self, place: Node) -> list[Node]:
        """``place`` and its ancestors below the first known one."""
        way = []
        while place not in self._known:
            way.append(place)
            place = parent(place)
        return way

    def _climb(self, way: list[Node], stored: dict[Node, bytes]) -> None:
        hashed = stored.get(way[0])
        seen: list[tuple[Node, bytes]] = []
        for step in way:
            if step in self._known:  # another way led here meanwhile
                break
            other = sibling(step)
            beside = stored.get(other)
            if hashed is None or beside is None:
                raise broken(self._path, f"the stored tree lacks a node at level {step.level} by index {step.place}")
            seen += [(step, hashed), (other, beside)]
            hashed = node_hash(beside, hashed) if step.place & 1 else node_hash(hashed, beside)
        top = parent(seen[-1][0]) if seen else way[0]
        if seen and self._known[top] != hashed:
            raise broken(self._path, f"the stored tree is not the one signed for, below level {top.level}")
        for node, value in seen:
            self._remember(node, value)

    def _remember(self, node: Node, value: bytes) -> None:
        self._known[node] = value

    def _forget_if_many(self) -> None:
        if len(self._known) > _KEPT:
            self._known.clear()


def sibling(node: Node) -> Node:
    """The other child of the node's parent."""
    return Node(node.level, node.place ^ 1)


def parent(node: Node) -> Node:
    """The node above."""
    return Node(node.level + 1, node.place >> 1)


def read_nodes(connection: Connection, places: list[Node]) -> dict[Node, bytes]:
    """The nodes that the table holds of those asked for. Nothing is checked."""
    found: dict[Node, bytes] = {}
    for start in range(0, len(places), _AT_ONCE):
        part = places[start : start + _AT_ONCE]
        # A join, because SQLite answers (level, idx) IN (VALUES ...) by reading the whole table.
        query = (
            f"WITH wanted(level, idx) AS (VALUES {','.join(['(?,?)'] * len(part))})"  # noqa: S608
            " SELECT nodes.level, nodes.idx, nodes.hash FROM wanted CROSS JOIN nodes"
            " ON nodes.level = wanted.level AND nodes.idx = wanted.idx"
        )
        rows = connection.exec_driver_sql(query, tuple(number for place in part for number in place))
        found.update((Node(level, index), bytes(hashed)) for level, index, hashed in rows)
    return found


def write_nodes(connection: Connection, completed: Iterable[tuple[Node, bytes]]) -> None:
    """Store perfect subtrees, in the order in which they were completed."""
    connection.exec_driver_sql(
        "INSERT INTO nodes (level, idx, hash) VALUES (?, ?, ?)",
        [(place.level, place.place, hashed) for place, hashed in completed],
    )
