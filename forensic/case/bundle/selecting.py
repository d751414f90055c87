"""Which entries of the ledger go into a bundle: all about the exhibit or case, about its bytes, and about keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from forensic.case.attest import history_of
from forensic.case.calibrating.events import COMPLETED
from forensic.case.exhibits import exhibit_of
from forensic.case.identities import EVENTS
from forensic.case.lognames import KEY_INTRODUCED
from forensic.case.verification.bundle_links import KEY_ENTRIES, RELATED_ENTRIES
from forensic.case.verification.custody import FINISHED
from forensic.case.workspace import Workspace
from forensic.errors import UsageError
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import ACQUIRED, STARTED

_KEY_EVENTS = (*EVENTS, KEY_INTRODUCED)


@dataclass(frozen=True)
class Scope:
    """What is disclosed: one finished run with the history of its exhibit, or a case."""

    case: str
    exhibit: str | None = None
    run: str | None = None

    def ids(self) -> dict[str, str]:
        """As a ledger entry about it names it."""
        named = {"case": self.case, "exhibit": self.exhibit, "run": self.run}
        return {key: value for key, value in named.items() if value is not None}

    def thread(self, workspace: Workspace) -> list[LedgerEntry]:
        """All entries about it, oldest first."""
        if self.exhibit is not None:
            return list(workspace.ledger.entries(exhibit=self.exhibit))
        return list(workspace.ledger.entries(case=self.case))


def scope_for(workspace: Workspace, target: str) -> Scope:
    """The finished run, or the case, that ``target`` names. Raises ``UsageError`` (``bundle.unknown``,
    ``run.not-finished``, ``bundle.ambiguous``)."""
    finished = next(iter(workspace.ledger.entries(event=FINISHED, run=target)), None)
    case = next(iter(workspace.ledger.entries(case=target)), None)
    if finished is not None and case is not None:
        raise UsageError(
            "bundle.ambiguous", f"{target!r} is a run and a case.", "Disclose the run's exhibit by its case."
        )
    if finished is not None:
        return Scope(str(finished.case), finished.exhibit, target)
    if case is not None:
        return Scope(target)
    if next(iter(workspace.ledger.entries(run=target)), None) is not None:
        raise UsageError("run.not-finished", f"Run {target} did not finish.", "Disclose its case: it is listed there.")
    raise UsageError("bundle.unknown", f"{target!r} is neither a run nor a case here.", "See: forensic log")


@dataclass(frozen=True)
class Selection:
    """Numbers of the entries that go into an extract."""

    key_entries: tuple[int, ...]
    related_entries: tuple[int, ...]
    thread: tuple[int, ...]
    validations: tuple[dict[str, Any], ...] | None
    """What ``bundle.issued`` lists of the validations that go along; None if none were asked for."""
    early: int
    """All entries up to this one go along: the older form has no links, so only all of them together are complete."""

    def record(self) -> dict[str, Any]:
        """What ``bundle.issued`` says of it."""
        listed = {} if self.validations is None else {"validations": list(self.validations)}
        return {KEY_ENTRIES: list(self.key_entries), RELATED_ENTRIES: list(self.related_entries), **listed}

    def numbers(self, issued: int) -> list[int]:
        """All of them, the one that issues the bundle included."""
        early = range(1, self.early + 1)
        return sorted({*self.key_entries, *self.related_entries, *self.thread, *early, issued})


def select(workspace: Workspace, scope: Scope, until: int, *, validations: bool = False) -> Selection:
    """The entries up to number ``until`` that a bundle about ``scope`` needs.

    ``validations``: all that were completed here go along, whatever the verdict: none is chosen. Raises ``UsageError``
    (``bundle.no-validation``) where there is none.
    """
    ledger = workspace.ledger
    keys = [entry.seq for event in _KEY_EVENTS for entry in ledger.entries(event=event) if entry.seq <= until]
    thread = [entry for entry in scope.thread(workspace) if entry.seq <= until]
    early = max((entry.seq for entry in thread if entry.thread is None), default=0)
    own = {entry.seq for entry in thread}
    related: set[int] = set()
    for entry in thread:
        if entry.event == ACQUIRED:
            history = history_of(workspace, exhibit_of(workspace, entry), until)
            related.update(seq for seq in history.entries if seq > early and seq not in own)
    related.update(seq for seq in _calibrations(workspace, thread, until) if seq > early)
    listed = None
    if validations:
        listed = tuple(_validations(workspace, until))
        related.update(one[key] for one in listed for key in ("registered", "completed"))
    return Selection(tuple(sorted(keys)), tuple(sorted(related)), tuple(sorted(own)), listed, early)


def _calibrations(workspace: Workspace, thread: list[LedgerEntry], until: int) -> Iterator[int]:
    """Entries about the laboratory's own calibrations that runs of ``thread`` began with: registration, completion."""
    cited = {entry.data.get("calibration") for entry in thread if entry.event == STARTED} - {None}
    for entry in workspace.ledger.entries(event=COMPLETED) if cited else ():
        if entry.seq <= until and entry.data.get("calibration_sha256") in cited:
            yield from (int(entry.data["registered"]), entry.seq)


def _validations(workspace: Workspace, until: int) -> Iterator[dict[str, Any]]:
    found = False
    for entry in workspace.ledger.entries(event="validation.completed"):
        if entry.seq <= until:
            found = True
            yield {
                "id": entry.data["validation"],
                "registered": entry.data["registered"],
                "completed": entry.seq,
                "manifest_sha256": entry.data["manifest_sha256"],
            }
    if not found:
        raise UsageError(
            "bundle.no-validation",
            "No validation was completed in this workspace.",
            "Leave --with-validations out, or make one first: forensic validate",
        )
