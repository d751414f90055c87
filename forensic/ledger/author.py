"""Composing and storing the next entry: what one identity writes in one session."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from forensic.errors import BadInput, InternalError
from forensic.hashes import MerkleTree, canonical_json, leaf_hash
from forensic.ledger.counting import load_tally, write_mentions, write_tally
from forensic.ledger.entry import (
    CLOCK_SOURCE,
    MAX_ENTRY_BYTES,
    PAYLOAD_TYPE,
    VERSION,
    LedgerEntry,
    format_utc,
    parse_entry,
)
from forensic.ledger.nodes import write_nodes
from forensic.ledger.tail import Tail
from forensic.ledger.tally import BrokenTally, names, tally_key
from forensic.signing.dsse import sign_envelope
from forensic.signing.identity import Identity

_LONGEST_DELTA_NS = (1 << 53) - 1  # the largest integer of canonical JSON: 104 days


class Author:
    """An identity at work: it signs the entries of one session, timed by one clock."""

    def __init__(self, identity: Identity, clock: Callable[[], dt.datetime]) -> None:
        self.identity = identity
        self._clock = clock
        self._session = str(uuid.uuid4())
        self._monotonic: int | None = None
        self._pending_monotonic: int | None = None

    def write(
        self,
        connection: Connection,
        tail: Tail,
        event: str,
        data: Mapping[str, Any],
        case: str | None,
        exhibit: str | None,
        run: str | None,
    ) -> LedgerEntry:
        """Sign the entry that comes after ``tail`` and store it, with what tree, index and tally gain by it.

        All within the caller's transaction; the tail moves when that is committed (``Tail.advance``, ``settle``).
        Raises ``InternalError`` (``ledger.entry``, ``ledger.entry-too-large``, ``canonical.unserialisable``),
        ``VerificationFailed`` (``ledger.broken``).
        """
        seq, tree = tail.head.seq + 1, tail.tree.tree
        counted = {kind: (name, tally_key(kind, name)) for kind, name in _counted(event, case, exhibit, run)}
        tally = load_tally(connection, [key for _, key in counted.values()], tail.tally_root)
        try:
            before = {kind: tally.add(key, seq).last for kind, (_, key) in counted.items()}
        except BrokenTally as error:
            raise tail.broken_tally(error) from error
        canonical = canonical_json(
            {
                "v": VERSION,
                "seq": seq,
                "prev": tail.head.hash,
                "time": self._time(tail.utc),
                "actor": {"subject": self._subject(tail), "key_id": self.identity.key_id},
                "event": event,
                "case": case,
                "exhibit": exhibit,
                "run": run,
                "data": dict(data),
                "tree": {"size": tree.size, "root": tree.root().hex()},
                "thread": {kind: before.get(kind) for kind in ("case", "exhibit", "run")},
                "tally": tally.root.hex(),
            }
        )
        if len(canonical) > MAX_ENTRY_BYTES:
            raise InternalError("ledger.entry-too-large", f"A ledger entry of {len(canonical)} bytes is too large.")
        try:
            entry = parse_entry(canonical)  # what cannot be read back is never written
        except BadInput as error:
            raise InternalError(error.code, error.message) from error
        envelope = canonical_json(sign_envelope(PAYLOAD_TYPE, canonical, self.identity, include_certificate=False))
        row = (seq, canonical.decode(), entry.hash, envelope.decode())
        connection.exec_driver_sql("INSERT INTO entries (seq, entry, entry_hash, envelope) VALUES (?, ?, ?, ?)", row)
        write_nodes(connection, MerkleTree(tree.size, tree.roots).append_leaf(leaf_hash(canonical)))
        write_mentions(connection, [(kind, name, seq) for kind, (name, _) in counted.items()])
        write_tally(connection, tally)
        return entry

    def settle(self) -> None:
        """The entry written last is in the ledger: time the next one from it."""
        self._monotonic = self._pending_monotonic

    def wrote(self, entry: LedgerEntry) -> bool:
        """Whether ``entry`` is of this session."""
        return bool(entry.time["session"] == self._session)

    def _time(self, previous_utc: str) -> dict[str, Any]:
        utc, now = format_utc(self._clock()), time.monotonic_ns()
        elapsed = None if self._monotonic is None else now - self._monotonic
        self._pending_monotonic = now
        return {
            "utc": utc,
            "source": CLOCK_SOURCE,
            "monotonic_ns_since_previous": None if elapsed is None or elapsed > _LONGEST_DELTA_NS else elapsed,
            "session": self._session,
            "clock_regression": utc < previous_utc,
        }

    def _subject(self, tail: Tail) -> str:
        # Another process may have introduced a newer certificate for this very key: its name is the one that holds.
        known = tail.keys.signers.get(self.identity.key_id)
        return self.identity.subject if known is None else known.subject


def _counted(event: str, case: str | None, exhibit: str | None, run: str | None) -> list[tuple[Any, str]]:
    """What the entry counts for. Raises ``InternalError`` (``ledger.entry``) for a name that has no UTF-8."""
    counted = list(names(event, case, exhibit, run))
    try:
        for _, name in counted:
            name.encode()
    except UnicodeEncodeError as error:
        raise InternalError("ledger.entry", f"A name in a ledger entry is not valid text: {error}.") from error
    return counted
