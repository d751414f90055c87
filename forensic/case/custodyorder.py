"""Which act of custody may follow which (docs/custody.md, section 2). Writer and verifier apply the same rules."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import ACQUIRED, STARTED

RECEIVED = "custody.received"
ACCESSED = "custody.accessed"
EXPORTED = "custody.exported"
TRANSFERRED = "custody.transferred"
ACKNOWLEDGED = "custody.acknowledged"
RETURNED = "custody.returned"
DESTRUCTION_STARTED = "custody.destruction-started"
DESTROYED = "custody.destroyed"
FAILED = "custody.failed"

_OF_THE_COPY = frozenset({EXPORTED, TRANSFERRED, DESTRUCTION_STARTED, DESTROYED})
_NOT_AFTER_DESTRUCTION = _OF_THE_COPY | {ACCESSED}
_BEGINNINGS = {"run.finished": STARTED, "reproduction.finished": "reproduction.started"}


@dataclass
class Standing:
    """How it stands with one exhibit. Numbers are those of ledger entries; 0 means that it has not happened."""

    case: str | None = None
    received: int = 0
    acquired: int = 0
    destruction_started: int = 0
    destroyed: int = 0
    returned: int = 0
    sha256: str | None = None
    transfers: dict[str, LedgerEntry] = field(default_factory=dict)
    acknowledged: dict[str, LedgerEntry] = field(default_factory=dict)

    @property
    def in_words(self) -> str:
        """The state in a word or two."""
        if self.destroyed:
            return "copy destroyed"
        if self.destruction_started:
            return "destruction begun"
        if self.returned > self.received and not self.acquired:
            return "returned"
        return "acquired" if self.acquired else "received" if self.received else "unknown"


@dataclass
class CustodyOrder:
    """The standing of every exhibit so far, and when runs and reproductions began."""

    exhibits: dict[str, Standing] = field(default_factory=dict)
    _begun: dict[tuple[str, str | None], int] = field(default_factory=dict)

    def of(self, exhibit: str) -> Standing:
        """The exhibit's standing; an empty one if nothing has happened."""
        return self.exhibits.get(exhibit, Standing())

    def fault(self, event: str, case: str | None, exhibit: str | None, run: str | None, data: Any) -> str | None:
        """Why this act may not stand here, or None if it may."""
        if event in _BEGINNINGS and exhibit is not None:
            standing = self.of(exhibit)
            begun = self._begun.get((_BEGINNINGS[event], run), 0)
            late = standing.destroyed and begun > standing.destroyed
            return f"a run that began after the destruction of exhibit {exhibit!r} has finished" if late else None
        if event == ACQUIRED and exhibit is not None and self.of(exhibit).case not in (None, case):
            return f"exhibit {exhibit!r} was received in case {self.of(exhibit).case!r}"
        if not event.startswith("custody.") or event == FAILED:
            return None
        if event == ACKNOWLEDGED and data.get("role") == "recipient":
            return None  # a transfer by somebody else: none of this ledger's exhibits need be concerned
        if exhibit is None or case is None:
            return f"{event} names no exhibit or no case"
        return self._fault(event, case, exhibit, data)

    def _fault(self, event: str, case: str, exhibit: str, data: Any) -> str | None:
        standing = self.of(exhibit)
        if standing.case not in (None, case):
            return f"exhibit {exhibit!r} belongs to case {standing.case!r}, not to {case!r}"
        if standing.destroyed and event in _NOT_AFTER_DESTRUCTION:
            return f"the copy of exhibit {exhibit!r} was destroyed (entry {standing.destroyed})"
        if event in _OF_THE_COPY and not standing.acquired:
            return f"exhibit {exhibit!r} was never acquired"
        if event != RECEIVED and not (standing.acquired or standing.received):
            return f"exhibit {exhibit!r} was neither received nor acquired"
        if event in (ACCESSED, RETURNED) and not standing.acquired and standing.returned > standing.received:
            return f"exhibit {exhibit!r} was returned (entry {standing.returned}) and never acquired"
        if event == DESTROYED and not standing.destruction_started:
            return f"the destruction of exhibit {exhibit!r} was never begun"
        if event in (TRANSFERRED, ACKNOWLEDGED) and not isinstance(data.get("transfer"), str):
            return f"{event} names no transfer"
        if event == ACKNOWLEDGED and data.get("transfer") not in standing.transfers:
            return f"exhibit {exhibit!r} was not transferred before in the transfer that is acknowledged"
        if event == TRANSFERRED and data.get("transfer") in standing.transfers:
            return "the same transfer is recorded twice"
        return None

    def admit(self, entry: LedgerEntry) -> None:
        """Take the entry as having happened, whether or not it should have."""
        if entry.event in _BEGINNINGS.values():
            self._begun[entry.event, entry.run] = entry.seq
        if entry.exhibit is None or not (entry.event == ACQUIRED or entry.event.startswith("custody.")):
            return
        if entry.event == ACKNOWLEDGED and entry.data.get("role") == "recipient":
            return
        standing = self.exhibits.setdefault(entry.exhibit, Standing())
        if entry.event == ACQUIRED:
            standing.acquired, standing.sha256 = entry.seq, entry.data.get("sha256")
        match entry.event:
            case "custody.received":
                standing.received = entry.seq
            case "custody.returned":
                standing.returned = entry.seq
            case "custody.destruction-started":
                standing.destruction_started = entry.seq
            case "custody.destroyed":
                standing.destroyed = entry.seq
            case "custody.transferred":
                standing.transfers.setdefault(str(entry.data.get("transfer")), entry)
            case "custody.acknowledged":
                before = standing.acknowledged.get(str(entry.data.get("transfer")))
                # What the recipient signed is not undone by what the sender says of a paper.
                if before is None or before.data.get("on_paper") is not None or entry.data.get("on_paper") is None:
                    standing.acknowledged[str(entry.data.get("transfer"))] = entry
        if entry.event in (ACQUIRED, RECEIVED) and standing.case is None:
            standing.case = entry.case


def stated_too_late(entry: LedgerEntry) -> bool:
    """Whether an act is said to have happened after it was recorded; not told where the clock was set back."""
    stated = entry.data.get("stated_utc")
    if not entry.event.startswith("custody.") or stated is None or entry.time["clock_regression"]:
        return False
    try:
        return dt.datetime.fromisoformat(str(stated)) > dt.datetime.fromisoformat(entry.utc)
    except (ValueError, TypeError):
        return True
