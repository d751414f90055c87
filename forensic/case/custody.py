"""Acts of custody by people: who had an exhibit, from whom, to whom, when and why; refusals included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from forensic.case.custodyorder import ACCESSED, FAILED, RECEIVED, RETURNED, CustodyOrder, Standing
from forensic.case.ending import record_end, why_ended
from forensic.case.exhibits import Exhibit, check_untouched, checked_id, find_exhibit
from forensic.case.locking import exclusive
from forensic.case.workspace import Workspace, utc_now, utc_text
from forensic.errors import Interrupted, UsageError
from forensic.ledger.entry import LedgerEntry

_LOCK = ".custody-lock"
_WHEN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True)
class Party:
    """A person, an organisation, or both, as named by whoever recorded the act."""

    person: str | None = None
    organisation: str | None = None

    def to_record(self) -> dict[str, str | None] | None:
        """JSON-able; None if nobody was named."""
        named = self.person or self.organisation
        return {"person": self.person, "organisation": self.organisation} if named else None


@dataclass(frozen=True)
class Circumstances:
    """What people say about an act. ``when`` is ISO 8601 with its zone, None for "as it is recorded"."""

    when: str | None = None
    reason: str | None = None
    source: Party = field(default_factory=Party)
    target: Party = field(default_factory=Party)
    by: Party = field(default_factory=Party)
    seal: str | None = None
    location: str | None = None
    note: str | None = None

    def to_record(self) -> dict[str, Any]:
        """JSON-able, as asked: nothing is checked here."""
        return {
            "stated": self.when,
            "reason": self.reason,
            "from": self.source.to_record(),
            "to": self.target.to_record(),
            "by": self.by.to_record(),
            "seal": self.seal,
            "location": self.location,
            "note": self.note,
        }


def stated_utc(when: str | None) -> str | None:
    """``when`` in UTC, or None. Raises ``UsageError`` (``custody.time``) without a zone, and for the future."""
    if when is None:
        return None
    try:
        moment = datetime.fromisoformat(when) if _WHEN.fullmatch(when) else None
        shown = None if moment is None else utc_text(moment)
    except (ValueError, OverflowError):
        moment = shown = None
    if moment is None or shown is None:
        raise UsageError(
            "custody.time",
            f"{when!r} is not a time with its zone.",
            "Write it as 2026-03-01T14:05:00+01:00, or with Z for UTC.",
        )
    if moment > utc_now():
        raise UsageError("custody.time", f"{when} lies in the future.", "State when it happened, or leave it out.")
    return shown


@dataclass
class Act:
    """An act under way. What is learnt of it is noted here, so that a failure tells it too."""

    workspace: Workspace
    event: str
    asked: dict[str, Any]
    exhibit: str | None = None
    case: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    _tried: tuple[int, dict[str, Any]] | None = None  # size of the ledger before, data

    def enter(self, data: dict[str, Any]) -> LedgerEntry:
        """Write the act into the ledger; at this moment it must be possible still."""
        with custody_lock(self.workspace):
            self.require_possible(data)
            self._tried = self.workspace.ledger.size, data
            return self.workspace.ledger.append(self.event, data, case=self.case, exhibit=self.exhibit)

    def recorded(self) -> LedgerEntry | None:
        """The act's entry, if it is in the ledger, whatever interrupted or failed while it was written."""
        if self._tried is None:
            return None
        before, data = self._tried
        return self.workspace.ledger.landed(self.event, data, after=before)

    def require_possible(self, data: dict[str, Any]) -> None:
        """Raise ``UsageError`` (``custody.order``) if the exhibit's history does not allow the act."""
        order = order_of(self.workspace, self.exhibit)
        fault = order.fault(self.event, self.case, self.exhibit, None, data)
        if fault is not None:
            raise UsageError("custody.order", f"This cannot be recorded: {fault}.", "See: forensic custody list")


@contextmanager
def on_record(workspace: Workspace, event: str, asked: dict[str, Any]) -> Iterator[Act]:
    """Carry out an act; whatever stops it is recorded as ``custody.failed`` with what was asked.

    Where the act itself was on record by then, the entry names it: it stands.
    """
    act = Act(workspace, event, asked)
    try:
        yield act
    except BaseException as error:
        code, reason = why_ended(error)
        entry = act.recorded()
        stands = {} if entry is None else {"recorded_seq": entry.seq}
        data = {"act": event, "asked": asked, "code": code, "reason": reason, **act.facts, **stands}
        record_end(workspace.ledger, FAILED, data, error, case=act.case, exhibit=act.exhibit)
        if isinstance(error, KeyboardInterrupt):
            standing = "" if entry is None else f" The act was on record before, as entry {entry.seq}, and stands."
            raise Interrupted("custody.cancelled", f"Interrupted; that is on the record.{standing}") from None
        raise


@contextmanager
def custody_lock(workspace: Workspace) -> Iterator[None]:
    """One act of custody at a time in a workspace, between looking whether it is possible and recording it.

    Raises ``StorageFailed`` (``custody.locked``).
    """
    with exclusive(workspace.layout.root / _LOCK, "custody.locked"):
        yield


def order_of(workspace: Workspace, exhibit_id: str | None) -> CustodyOrder:
    """The custody of one exhibit as it stands now."""
    order = CustodyOrder()
    for entry in workspace.ledger.entries(exhibit=exhibit_id) if exhibit_id is not None else ():
        order.admit(entry)
    return order


def name_exhibit(act: Act, exhibit_id: str, case: str | None = None) -> Exhibit | None:
    """Settle which exhibit and case the act is about; returns the exhibit if it was acquired.

    ``case`` may be left out where the ledger knows it. Raises ``UsageError`` (``id.invalid``,
    ``custody.case-needed``).
    """
    act.exhibit = checked_id(exhibit_id, "exhibit")
    stated = None if case is None else checked_id(case, "case")
    exhibit = find_exhibit(act.workspace, act.exhibit)
    known = order_of(act.workspace, act.exhibit).of(act.exhibit).case
    act.case = stated or known
    if act.case is None and act.event == RECEIVED:
        raise UsageError("custody.case-needed", f"{act.exhibit!r} is new: its case must be named.", "Add --case ID.")
    return exhibit


def settle(act: Act, circumstances: Circumstances, *, reason_needed: bool = True) -> dict[str, Any]:
    """The checked circumstances as they are recorded. Raises ``UsageError`` (``custody.reason``, ``custody.time``)."""
    record = circumstances.to_record()
    record["stated_utc"] = stated_utc(circumstances.when)
    if reason_needed and not (circumstances.reason or "").strip():
        raise UsageError("custody.reason", "This act needs a reason.", "Add --reason TEXT.")
    return record


def require_acquired(act: Act, exhibit: Exhibit | None) -> Exhibit:
    """The exhibit, for an act that needs its working copy. Raises ``UsageError`` (``exhibit.unknown``)."""
    if exhibit is None:
        raise UsageError(
            "exhibit.unknown", f"{act.exhibit!r} was not acquired in this workspace.", "See: forensic custody list"
        )
    return exhibit


def receive(workspace: Workspace, exhibit_id: str, case: str | None, circumstances: Circumstances) -> LedgerEntry:
    """Record that an exhibit came in: before it is acquired, later again, or never acquired at all.

    Raises ``UsageError`` (``custody.party`` without anybody it came from, ``custody.order``, ``custody.time``).
    """
    with on_record(workspace, RECEIVED, _asked(exhibit_id, circumstances, case=case)) as act:
        name_exhibit(act, exhibit_id, case)
        record = settle(act, circumstances, reason_needed=False)
        if record["from"] is None:
            raise UsageError("custody.party", "It must be said from whom the exhibit came.", "Add --from PERSON.")
        return act.enter(record)


def access(workspace: Workspace, exhibit_id: str, circumstances: Circumstances) -> LedgerEntry:
    """Record that somebody had access to an exhibit. The working copy, if there is one, is hashed."""
    with on_record(workspace, ACCESSED, _asked(exhibit_id, circumstances)) as act:
        exhibit = name_exhibit(act, exhibit_id)
        record = settle(act, circumstances)
        act.require_possible(record)
        if exhibit is not None:
            check_untouched(workspace, exhibit)
        return act.enter({**record, "copy": "none" if exhibit is None else "unchanged"})


def hand_back(workspace: Workspace, exhibit_id: str, circumstances: Circumstances) -> LedgerEntry:
    """Record that an exhibit was returned. It says nothing about the working copy, which stays."""
    with on_record(workspace, RETURNED, _asked(exhibit_id, circumstances)) as act:
        name_exhibit(act, exhibit_id)
        record = settle(act, circumstances)
        if record["to"] is None:
            raise UsageError("custody.party", "It must be said to whom the exhibit went.", "Add --to PERSON.")
        return act.enter(record)


def standings(workspace: Workspace) -> dict[str, Standing]:
    """How it stands with every exhibit that was received or acquired, by its id."""
    order = CustodyOrder()
    for event in ("exhibit.acquired", *(f"custody.{act}" for act in _LISTED)):
        for entry in workspace.ledger.entries(event=event):
            order.admit(entry)
    return dict(sorted(order.exhibits.items()))


_LISTED = ("received", "returned", "transferred", "acknowledged", "destruction-started", "destroyed")


def _asked(exhibit_id: str, circumstances: Circumstances, **more: Any) -> dict[str, Any]:
    return {"exhibit": exhibit_id, **more, **circumstances.to_record()}
