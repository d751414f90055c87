"""Reading a ledger so that no entry is other than signed for, and none is missing from an answer.

Every entry is held against the Merkle tree; every answer of an index must have as many entries as
the tally has counted. A ledger of the older form has neither: its entries are only held against
their hashes, and the audit is what follows its chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

from sqlalchemy import Connection

from forensic.errors import InternalError
from forensic.ledger.entry import GENESIS, Head, LedgerEntry
from forensic.ledger.order import ACQUIRED, RUN_FAMILY, STARTED, TERMINAL, EventOrder
from forensic.ledger.rows import ENTRIES, MENTIONS, ROW, StoredRow, broken, mentioning, parse_row, rows
from forensic.ledger.tail import Tail
from forensic.ledger.tally import Kind

_PAGE = 256
_ACQUISITION = """
SELECT named.seq FROM mentions AS named CROSS JOIN mentions AS acquired
WHERE named.kind = 'exhibit' AND named.name = ? AND acquired.kind = 'event' AND acquired.name = ?
  AND acquired.seq = named.seq ORDER BY named.seq LIMIT 1"""
View = Callable[[], AbstractContextManager[Connection]]
"""Opens a read transaction in which the tail has caught up with the file."""


class History:
    """The entries of one open ledger. ``tail`` is None for a ledger of the older form that is only read."""

    def __init__(self, path: Path, view: View, tail: Tail | None) -> None:
        self._path = path
        self._view = view
        self._tail = tail

    def head(self) -> Head:
        """The last entry as the file has it now."""
        with self._view() as connection:
            if self._tail is not None:
                return self._tail.head
            row = next(rows(connection, ROW.order_by(ENTRIES.c.seq.desc()).limit(1)), None)
        return GENESIS if row is None else parse_row(self._path, row).head

    def entries(self, wanted: dict[Kind, str]) -> Iterator[LedgerEntry]:
        """Entries present now that carry all of ``wanted``, in order, in pages: no transaction stays open."""
        kind: Kind | None = None
        with self._view() as connection:
            end = self._end(connection)
            expected = end
            if self._tail is not None and wanted:  # by the identifier that fewest entries carry
                counted = [(self._tail.count(connection, key, name).entries, key) for key, name in wanted.items()]
                expected, kind = min(counted)
        last = seen = 0
        while seen < expected and last < end:
            with self._view() as connection:
                page = self._page(connection, kind, wanted, last, end)
            if self._tail is not None and len(page) != min(_PAGE, expected - seen):
                raise broken(self._path, f"{expected - seen - len(page)} entries are missing from the index")
            if not page:
                return
            yield from (entry for entry in page if _carries(entry, wanted))
            last, seen = page[-1].seq, seen + len(page)

    def _page(
        self, connection: Connection, kind: Kind | None, wanted: dict[Kind, str], after: int, end: int
    ) -> list[LedgerEntry]:
        """The next entries by the index of ``kind`` (all: None), verified (without a tail: against their hashes)."""
        query, seq = (ROW, ENTRIES.c.seq) if kind is None else (mentioning(kind, wanted[kind]), MENTIONS.c.seq)
        query = query.where(seq > after, seq <= end).order_by(seq).limit(_PAGE)
        page = [parse_row(self._path, row) for row in rows(connection, query)]
        if self._tail is not None:
            numbers = [after, *(entry.seq for entry in page)]
            gap = 1 if kind is None else end
            if any(not 0 < later - earlier <= gap for earlier, later in pairwise(numbers)):
                raise broken(self._path, f"entries after {after} are missing or come twice")
            self._tail.tree.check_entries(connection, page)
            if kind is not None and not all(_carries(entry, {kind: wanted[kind]}) for entry in page):
                raise broken(self._path, f"the index by {kind} names entries of another {kind}")
        return page

    def row(self, connection: Connection, seq: int) -> tuple[LedgerEntry, StoredRow]:
        """One entry with its row. Raises ``IndexError`` if there is no such entry."""
        if not 1 <= seq <= self._end(connection):
            raise IndexError(f"entry {seq} of {self._end(connection)}")
        found = next(rows(connection, ROW.where(ENTRIES.c.seq == seq)), None)
        if found is None:
            raise broken(self._path, f"entry {seq} is missing")
        entry = parse_row(self._path, found)
        if self._tail is not None:
            self._tail.tree.check_entries(connection, [entry])
        return entry, found

    def thread(self, kind: Kind, name: str) -> Iterator[LedgerEntry]:
        """Entries with this case, exhibit or run, newest first, from each to the one that it names before it."""
        if self._tail is None:
            yield from reversed(list(self.entries({kind: name})))
            return
        with self._view() as connection:
            total, seq = self._tail.count(connection, kind, name)
        seen = 0
        while seq:
            with self._view() as connection:
                page, seq = self._back(connection, kind, name, seq)
            yield from page
            seen += len(page)
        if seen != total:
            raise broken(self._path, f"the thread of {kind} {name!r} has {seen} entries, not {total}")

    def _back(self, connection: Connection, kind: Kind, name: str, seq: int) -> tuple[list[LedgerEntry], int]:
        """Some entries of a thread from ``seq`` back, and the number of the next (0: that was the first)."""
        page: list[LedgerEntry] = []
        while seq and len(page) < _PAGE:
            entry = self.row(connection, seq)[0]
            if not _carries(entry, {kind: name}):
                raise broken(self._path, f"entry {seq} does not belong to the thread of {kind} {name!r}")
            page.append(entry)
            seq = self._before(connection, kind, name, entry)
        return page, seq

    def _before(self, connection: Connection, kind: Kind, name: str, entry: LedgerEntry) -> int:
        if entry.thread is not None:
            return int(getattr(entry.thread, kind) or 0)
        query = mentioning(kind, name).where(MENTIONS.c.seq < entry.seq).order_by(MENTIONS.c.seq.desc()).limit(1)
        older = next(rows(connection, query), None)  # of the older form: what the index hides, the count shows
        return 0 if older is None else older.seq

    # What the order of events depends on -----------------------------------------------------

    def order_around(self, connection: Connection, event: str, exhibit: str | None, run: str | None) -> EventOrder:
        """As much of the order so far as decides whether ``event`` may come next."""
        order = EventOrder()
        if exhibit is not None and event in (ACQUIRED, STARTED):
            _admit(order, self._acquisition(connection, exhibit))
        if run is not None and event.startswith(RUN_FAMILY):
            last = self._last_of_run(connection, run)
            if last is not None:
                order.admit(last.seq, STARTED, last.case, last.exhibit, run)
                _admit(order, last)
        return order

    def _acquisition(self, connection: Connection, exhibit: str) -> LedgerEntry | None:
        """The entry by which ``exhibit`` was acquired; None only if the whole thread has none."""
        if self._tail is None:
            raise InternalError("ledger.read-only", "A ledger that is only read has no order to keep.")
        hints = connection.exec_driver_sql(_ACQUISITION, (exhibit, ACQUIRED)).scalars().all()
        for seq in hints:
            entry = self.row(connection, seq)[0]
            if _carries(entry, {"exhibit": exhibit, "event": ACQUIRED}):
                return entry
        count = self._tail.count(connection, "exhibit", exhibit)
        last = seen = 0
        while seen < count.entries:
            page = self._page(connection, "exhibit", {"exhibit": exhibit}, last, self._tail.head.seq)
            if len(page) != min(_PAGE, count.entries - seen):
                raise broken(self._path, f"entries of exhibit {exhibit!r} are missing from the index")
            acquired = next((entry for entry in page if entry.event == ACQUIRED), None)
            if acquired is not None:
                return acquired
            last, seen = page[-1].seq, seen + len(page)
        return None

    def _last_of_run(self, connection: Connection, run: str) -> LedgerEntry | None:
        """The last ``run.…`` entry of ``run``."""
        if self._tail is None:
            raise InternalError("ledger.read-only", "A ledger that is only read has no order to keep.")
        total, seq = self._tail.count(connection, "run", run)
        seen = 0
        while seq:
            page, seq = self._back(connection, "run", run, seq)
            for entry in page:
                if entry.event.startswith(RUN_FAMILY):
                    return entry
            seen += len(page)
        if seen != total:
            raise broken(self._path, f"the thread of run {run!r} has {seen} entries, not {total}")
        return None

    def unfinished_runs(self) -> list[LedgerEntry]:
        """The ``run.started`` entries of runs that have no terminal event, oldest first."""
        ended = {entry.run for event in sorted(TERMINAL) for entry in self.entries({"event": event})}
        return [entry for entry in self.entries({"event": STARTED}) if entry.run not in ended]

    def _end(self, connection: Connection) -> int:
        if self._tail is not None:
            return self._tail.head.seq
        return int(connection.exec_driver_sql("SELECT coalesce(max(seq), 0) FROM entries").scalar_one())


def _admit(order: EventOrder, entry: LedgerEntry | None) -> None:
    if entry is not None:
        order.admit(entry.seq, entry.event, entry.case, entry.exhibit, entry.run)


def _carries(entry: LedgerEntry, wanted: dict[Kind, str]) -> bool:
    return all(getattr(entry, kind) == name for kind, name in wanted.items())
