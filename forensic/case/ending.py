"""How an attempt ended that did not succeed, in the words of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from forensic.errors import ForensicError, StorageFailed

if TYPE_CHECKING:
    from forensic.ledger.store import Ledger

INTERRUPT = "user.interrupt"


class Terminated(KeyboardInterrupt):
    """SIGTERM: the system ends the process, as when it shuts down. Nobody has decided against the run."""


def why_ended(error: BaseException) -> tuple[str, str]:
    """Stable code and plain reason for whatever ended an attempt, defects of our own included."""
    if isinstance(error, ForensicError):
        code, reason = error.code, error.message
    elif isinstance(error, Terminated):
        code, reason = "system.terminated", "Ended by the system (SIGTERM), as when it shuts down."
    elif isinstance(error, KeyboardInterrupt):
        code, reason = INTERRUPT, "Interrupted by the user (Ctrl-C)."
    elif isinstance(error, OSError):
        code, reason = "storage.failed", str(error)
    else:
        code, reason = "internal.unexpected", f"{type(error).__name__}: {error}"
    # A file name in a message may hold bytes that are no text; canonical JSON takes text only.
    return code, reason.encode("utf-8", "backslashreplace").decode("utf-8")


def can_go_on(error: BaseException) -> bool:
    """Whether the run that ``error`` stopped may be resumed: the disk failed it (full, read-only, defective), the
    system ended it, or the machine came out with other pixels than before. Nothing is wrong with what was asked.
    """
    if isinstance(error, ForensicError):
        return isinstance(error, StorageFailed) or error.code in ("storage.read-only", "resume.differs")
    return isinstance(error, OSError | Terminated)


def record_end(ledger: Ledger, event: str, data: Mapping[str, Any], error: BaseException, **ids: str | None) -> bool:
    """Record that ``error`` ended an attempt. Where the disk takes no entry, False, and ``error`` is told so.

    The chain is valid all the same and says less ("started", or nothing). What is shown stays the cause.
    """
    try:
        ledger.append(event, data, **ids)
    except StorageFailed as failure:
        error.add_note(f"This could not be put on the record ({event}): {failure.message}")
        return False
    return True
