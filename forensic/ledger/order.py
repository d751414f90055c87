"""Which event may follow which. Writer and auditor apply the same rules (docs/formats/ledger.md, section 4).

A run goes: started → (interrupted → resumed)* → finished | failed | cancelled, or refused before
it starts. Every other ``run.…`` event belongs inside a started run. An exhibit id is acquired once, whatever
the case. Events of other families are free.
"""

from __future__ import annotations

from enum import Enum

CREATED = "workspace.created"
INTRODUCED = "identity.introduced"
MIGRATED = "ledger.migrated"
ACQUIRED = "exhibit.acquired"
STARTED = "run.started"
INTERRUPTED = "run.interrupted"
RESUMED = "run.resumed"
REFUSED = "run.refused"
TERMINAL = frozenset({"run.finished", "run.failed", "run.cancelled", REFUSED})
RUN_FAMILY = "run."


class _State(Enum):
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    CLOSED = "closed"


class EventOrder:
    """The state of every run and the exhibits acquired so far: memory grows with their number, not with entries."""

    def __init__(self) -> None:
        self._runs: dict[str, _State] = {}
        self._started: dict[str, int] = {}  # seq of run.started, for runs not closed
        self._exhibits: dict[str, str | None] = {}  # exhibit to its case

    @staticmethod
    def governs(event: str) -> bool:
        """Whether any rule is about ``event``."""
        return event in (CREATED, ACQUIRED) or event.startswith(RUN_FAMILY)

    def fault(self, seq: int, event: str, case: str | None, exhibit: str | None, run: str | None) -> str | None:
        """Why this event may not stand here, or None if it may."""
        if (event == CREATED) != (seq == 1):
            return f"{CREATED} must be the first entry and only the first"
        if event == ACQUIRED and exhibit is None:
            return f"{ACQUIRED} names no exhibit"
        if event == ACQUIRED and exhibit in self._exhibits:
            return f"exhibit {exhibit!r} is acquired a second time"
        if not event.startswith(RUN_FAMILY):
            return None
        if run is None:
            return f"{event} names no run"
        if event == STARTED and exhibit is not None and (exhibit, case) not in self._exhibits.items():
            return f"{STARTED} on exhibit {exhibit!r}, which was never acquired in this case"
        return self._run_fault(event, run)

    def _run_fault(self, event: str, run: str) -> str | None:
        state = self._runs.get(run)
        if event in (STARTED, REFUSED) and state is None:
            return None
        if event == STARTED:
            return f"run {run!r} is started a second time"
        if state is None:
            return f"{event} for run {run!r}, which was never started"
        if state is _State.CLOSED:
            return f"{event} for run {run!r}, which had already ended"
        if event == REFUSED:
            return f"{event} for run {run!r}, which had already started"
        if state is _State.INTERRUPTED and event != RESUMED and event not in TERMINAL:
            return f"{event} for run {run!r}, which was interrupted and not resumed"
        return None

    def admit(self, seq: int, event: str, case: str | None, exhibit: str | None, run: str | None) -> None:
        """Take the event as having happened, whether or not it should have."""
        if event == ACQUIRED and exhibit is not None:
            self._exhibits.setdefault(exhibit, case)
        if run is None or not event.startswith(RUN_FAMILY):
            return
        if event in TERMINAL:
            self._runs[run] = _State.CLOSED
            self._started.pop(run, None)
        elif event == INTERRUPTED and self._runs.get(run) is not _State.CLOSED:
            self._runs[run] = _State.INTERRUPTED
        elif event in (STARTED, RESUMED) and self._runs.get(run) is not _State.CLOSED:
            self._runs[run] = _State.RUNNING
            self._started.setdefault(run, seq)

    def unfinished(self) -> dict[str, int]:
        """Runs that started and have no terminal event, with the number of the entry that started them."""
        return dict(self._started)
