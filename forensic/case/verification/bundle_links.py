"""That no entry is left out of a ledger extract: each names the one before about the same exhibit or case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from forensic.ledger.entry import LedgerEntry, Thread
from forensic.ledger.order import CREATED

ISSUED = "bundle.issued"
KEY_ENTRIES, RELATED_ENTRIES = "key_entries", "related_entries"


def is_key_event(event: str) -> bool:
    """Whether entries of this kind are in every extract: they say whose signatures count."""
    return event == CREATED or event.startswith(("identity.", "authority.", "log."))


def scope_of(issued: LedgerEntry) -> tuple[str, str | None]:
    """What a bundle is about, by its entry: the field whose links are followed, and the field's value."""
    return ("case", issued.case) if issued.exhibit is None else ("exhibit", issued.exhibit)


@dataclass(frozen=True, slots=True)
class _Row:
    seq: int
    case: str | None
    exhibit: str | None
    run: str | None
    thread: Thread | None
    about_keys: bool


@dataclass
class Links:
    """Collects what the entries of an extract say of their predecessors; whole once ``bundle.issued`` is there."""

    rows: list[_Row] = field(default_factory=list)

    def take(self, entry: LedgerEntry) -> None:
        """Add the next entry."""
        about_keys = is_key_event(entry.event)
        self.rows.append(_Row(entry.seq, entry.case, entry.exhibit, entry.run, entry.thread, about_keys))

    def faults(self, issued: LedgerEntry) -> Iterator[str]:
        """B10: every way in which something is missing, or is here and does not belong."""
        scope, value = scope_of(issued)
        if value is None:
            yield f"the entry {ISSUED} names neither case nor exhibit"
            return
        about = [row for row in self.rows if getattr(row, scope) == value]
        yield from _broken(about, scope)
        early = max((row.seq for row in about if row.thread is None), default=0)
        # Entries of the first form have no links: up to the last that matters, the whole ledger must be here.
        if [row.seq for row in self.rows if row.seq <= early] != list(range(1, early + 1)) and early:
            yield f"entries up to {early} are of the older form without links, and not all of them are here"
        belonging = {row.seq for row in about}
        key_entries = [row.seq for row in self.rows if row.about_keys]
        rest = [row.seq for row in self.rows if row.seq > early and row.seq not in belonging and not row.about_keys]
        if issued.data.get(KEY_ENTRIES) != key_entries:
            yield f"the entries about keys are not those that {ISSUED} tells of"
        related = issued.data.get(RELATED_ENTRIES)
        present = {row.seq for row in self.rows}
        named = set(related) if isinstance(related, list) and all(type(one) is int for one in related) else None
        if named is None or not named <= present or not named.issuperset(rest):
            yield f"the entries beyond this {scope} are not those that {ISSUED} tells of"


def _broken(about: list[_Row], scope: str) -> Iterator[str]:
    """Links that lead to an entry which is not here."""
    last, runs = 0, dict[str, int]()
    for row in about:
        if row.thread is not None and getattr(row.thread, scope) != last:
            yield f"entry {row.seq} follows entry {getattr(row.thread, scope)}, which is not here"
        elif row.thread is not None and row.run is not None and row.thread.run != runs.get(row.run, 0):
            yield f"entry {row.seq} follows entry {row.thread.run} of its run, which is not here"
        last = row.seq
        if row.run is not None:
            runs[row.run] = row.seq
