"""The interruptions of a run, as its ledger entries tell them. Light: ``forensic verify`` needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import INTERRUPTED, RESUMED


def interruptions(entries: Iterable[LedgerEntry]) -> list[dict[str, Any]]:
    """Every interruption among a run's ``entries``, in order, JSON-able, with the entry that resumed the run.

    ``utc`` is when it was recorded: after a kill that is when it was found. ``found`` says what there was.
    """
    found: list[dict[str, Any]] = []
    for entry in entries:
        if entry.event == INTERRUPTED:
            found.append(
                {
                    "seq": entry.seq,
                    "utc": entry.utc,
                    "code": entry.data.get("code"),
                    "reason": entry.data.get("reason"),
                    "found": entry.data.get("found"),
                    "resumed_seq": None,
                    "resumed_utc": None,
                }
            )
        elif entry.event == RESUMED and found:
            found[-1] |= {"resumed_seq": entry.seq, "resumed_utc": entry.utc}
    return found
