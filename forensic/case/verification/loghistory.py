"""What an audited ledger says about its own log: keys, checkpoints, cosignatures, and the root at every size.

Every entry signs the root over the entries before it, and the audit has computed each of them; only the root over
the whole ledger, and those of a ledger's oldest part, from before it was a log, are computed here if asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from forensic.case.lognames import COSIGNED, ISSUED, KEY_INTRODUCED, LOG, WITNESS
from forensic.errors import ForensicError
from forensic.hashes import MerkleTree
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import CREATED
from forensic.ledger.reading import audited_entries
from forensic.signing.note import VerifierKey, parse_vkey


@dataclass
class LogHistory:
    """Read once, entry by entry: 32 bytes are kept for each entry, and the few entries about the log itself."""

    origin: str = ""
    keys: list[tuple[int, VerifierKey]] = field(default_factory=list)
    """The log's keys, each with the number of the entry that introduced it."""
    own_witnesses: set[VerifierKey] = field(default_factory=set)
    """Keys with which this workspace cosigns the logs of others."""
    issued: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    """By size: root and SHA-256 of the note, as the entries say."""
    cosigners: dict[str, VerifierKey] = field(default_factory=dict)
    """Witnesses whose cosignatures the ledger says it received."""
    cosigned: set[tuple[int, str]] = field(default_factory=set)
    """Size and signature line of each cosignature received."""
    faults: list[str] = field(default_factory=list)
    entries: int = 0
    _path: Path = field(default_factory=Path)
    _unsigned: int = 0  # entries before the first that signs a root
    _roots: bytearray = field(default_factory=bytearray)  # signed ones, of sizes _unsigned, _unsigned + 1, …
    _others: dict[int, bytes] | None = None

    @classmethod
    def read(cls, ledger: Path) -> LogHistory:
        """Read a ledger that the audit has found sound. Raises as ``audited_entries`` does."""
        history = cls(_path=ledger)
        for entry in audited_entries(ledger):
            history.entries = entry.seq
            if entry.tree is None:
                history._unsigned = entry.seq
            else:
                history._roots += bytes.fromhex(entry.tree.root)
            try:
                history._take(entry)
            except ForensicError as error:
                history.faults.append(f"entry {entry.seq}: {error.message}")
        return history

    def _take(self, entry: LedgerEntry) -> None:
        data = entry.data
        if entry.event == CREATED:
            self.origin = LOG.name(str(data.get("workspace")))
        elif entry.event == KEY_INTRODUCED:
            key = parse_vkey(str(data.get("vkey")))
            if data.get("purpose") == LOG.word:
                self.keys.append((entry.seq, key))
            elif data.get("purpose") == WITNESS.word:
                self.own_witnesses.add(key)
        elif entry.event == ISSUED:
            size = data.get("size")
            if not isinstance(size, int) or not 0 < size < entry.seq:
                self.faults.append(f"entry {entry.seq} does not say which checkpoint was issued")
                return
            self.issued.setdefault(size, []).append((str(data.get("root")), str(data.get("sha256"))))
        elif entry.event == COSIGNED:
            key = parse_vkey(str(data.get("witness")))
            self.cosigners[str(key)] = key
            if isinstance(size := data.get("size"), int):
                self.cosigned.add((size, str(data.get("signature"))))

    def root(self, size: int) -> bytes | None:
        """Root over the first ``size`` entries; None if there are not so many."""
        if not 0 < size <= self.entries:
            return None
        if size in self._signed():
            at = 32 * (size - self._unsigned)
            return bytes(self._roots[at : at + 32])
        if self._others is None:
            self._others = self._computed()
        return self._others[size]

    def _signed(self) -> range:
        """The sizes whose roots entries sign."""
        return range(self._unsigned, self._unsigned + len(self._roots) // 32)

    def _computed(self) -> dict[int, bytes]:
        tree, found, signed = MerkleTree(), {}, self._signed()
        for entry in audited_entries(self._path):
            tree.append(entry.canonical)
            if entry.seq not in signed:
                found[entry.seq] = tree.root()
        return found

    def keys_at(self, size: int) -> list[VerifierKey]:
        """The log's key in force at ``size``; none if there was none yet."""
        return keys_in_force(self.keys, size)


def keys_in_force(keys: list[tuple[int, VerifierKey]], size: int) -> list[VerifierKey]:
    """Of the log's ``keys``, each with the number of the entry that introduced it, the last among the first ``size``
    entries: a key that was replaced signs no checkpoint that contains its successor's entry."""
    return [key for seq, key in keys if seq <= size][-1:]
