"""The audit of the Merkle log: roots, threads, the tally, and what the file stores of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from forensic.hashes import MerkleTree, leaf_hash
from forensic.hashes.merkle import Node
from forensic.ledger.entry import LedgerEntry, Thread
from forensic.ledger.findings import Findings
from forensic.ledger.tally import Kind, Tally, names, tally_key


class LogExamination:
    """Builds tree and tally from the entries anew and holds everything against them.

    Memory grows with the number of different cases, exhibits and runs (about 0.5 kB each), not with
    the entries. A root covers everything before it, so after the first that is wrong all are: one
    finding says so.
    """

    def __init__(self, findings: Findings, cited_roots: Iterable[tuple[int, str]]) -> None:
        self._findings = findings
        self._tree = MerkleTree()
        self._tally = Tally({}, checked=False)
        self._roots_hold = self._tallies_hold = True
        self._stored: _StoredLog | None = None
        self._cited: dict[int, set[str]] = {}
        for size, root in cited_roots:
            self._cited.setdefault(size, set()).add(root)
        self._meet_cited()

    def root(self) -> str:
        """Root over the entries so far, 64 hexadecimal digits."""
        return self._tree.root().hex()

    def compare_with_stored(self, connection: sqlite3.Connection) -> None:
        """Hold what the file stores against every entry that is appended from now on."""
        self._stored = _StoredLog(connection)

    def examine(self, entry: LedgerEntry, seq: int) -> None:
        """Check what ``entry`` says about the entries before it; count it."""
        before: dict[Kind, int] = {}
        for kind, name in names(entry.event, entry.case, entry.exhibit, entry.run):
            before[kind] = self._tally.add(tally_key(kind, name), seq).last
            if self._stored is not None and not self._stored.mentions(kind, name, seq):
                self._findings.find("L16", seq, f"entry {seq} is missing from the index by {kind}")
        if entry.tree is None or entry.thread is None:
            return
        if self._roots_hold and entry.tree != (self._tree.size, self.root()):
            self._roots_hold = False
            self._findings.find("L13", seq, f"entry {seq} signs another history than that of the entries before it")
        thread = Thread(before.get("case"), before.get("exhibit"), before.get("run"))
        if entry.thread != thread:
            named, found = list(entry.thread), list(thread)
            self._findings.find(
                "L14", seq, f"entry {seq} names {named} as case, exhibit and run before it, not {found}"
            )
        if self._tallies_hold and entry.tally != self._tally.root.hex():
            self._tallies_hold = False
            self._findings.find("L15", seq, f"entry {seq} signs another tally than that of the entries up to it")

    def append(self, canonical: bytes) -> None:
        """Add an entry to the tree, whatever is wrong with it."""
        completed = self._tree.append_leaf(leaf_hash(canonical))
        if self._stored is not None:
            for node, hashed in completed:
                if not self._stored.next_is(node, hashed):
                    where = f"level {node.level}, index {node.place}"
                    self._findings.find("L16", None, f"the stored node at {where} is missing or wrong")
        self._meet_cited()

    def compare_rest(self) -> None:
        """After the last entry: report what the file stores beyond the entries."""
        if self._stored is not None:
            for reason in self._stored.rest(self._tally):
                self._findings.find("L16", None, reason)

    def conclude(self) -> None:
        """Report cited roots that were not met."""
        size = self._tree.size
        for cited, roots in sorted(self._cited.items()):
            for root in sorted(roots):
                where = f"the ledger has {size}" if cited > size else "that is not the root of this ledger"
                self._findings.find("L17", None, f"root {root} of {cited} entries is cited elsewhere, but {where}")

    def _meet_cited(self) -> None:
        roots = self._cited.get(self._tree.size)
        if roots is not None:
            roots.discard(self.root())


class _StoredLog:
    """The tables ``nodes``, ``mentions`` and ``tally``, read along with the entries: one cursor for each level."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._mentioned = 0
        self._levels: list[Iterator[tuple[int, bytes]] | None] = []

    def next_is(self, node: Node, hashed: bytes) -> bool:
        """Whether the next stored node of its level is this one. After the first that is not, a level is let be."""
        if node.level == len(self._levels):
            query = "SELECT idx, hash FROM nodes WHERE level = ? ORDER BY idx"
            self._levels.append(iter(self._connection.execute(query, (node.level,))))
        rows = self._levels[node.level]
        if rows is None or next(rows, None) == (node.place, hashed):
            return True
        self._levels[node.level] = None
        return False

    def mentions(self, kind: Kind, name: str, seq: int) -> bool:
        """Whether the index has this entry under this name."""
        self._mentioned += 1
        query = "SELECT 1 FROM mentions WHERE kind = ? AND name = ? AND seq = ?"
        return self._connection.execute(query, (kind, name, seq)).fetchone() is not None

    def rest(self, tally: Tally) -> Iterator[str]:
        """What is stored too much, and where the stored tally is not ``tally``."""
        for level, rows in enumerate(self._levels):
            if rows is not None and next(rows, None) is not None:
                yield f"there are stored nodes at level {level} beyond those of the entries"
        if self._connection.execute("SELECT 1 FROM nodes WHERE level >= ? LIMIT 1", (len(self._levels),)).fetchone():
            yield "there are stored nodes at levels beyond those of the entries"
        if self._connection.execute("SELECT count(*) FROM mentions").fetchone()[0] > self._mentioned:
            yield "the index names more than the entries do"
        missing = len(tally.contents)
        for path, content in self._connection.execute("SELECT path, content FROM tally"):
            if not isinstance(path, bytes) or tally.contents.get(path.decode("utf-8", "replace")) != content:
                yield "the stored tally is not that of the entries"
                return
            missing -= 1
        if missing:
            yield "the stored tally is not that of the entries"
