"""What the ledger tells of validations: the same words for a record that is made and for who checks it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from forensic.ledger.entry import LedgerEntry

REGISTERED, COMPLETED = "validation.registered", "validation.completed"
REFUSED, FAILED, CANCELLED = "validation.refused", "validation.failed", "validation.cancelled"
MASTER_KEPT, MASTER_NOT_KEPT = "validation.master-kept", "validation.master-not-kept"
#: Events that say how a validation went; the others are about copies of its record.
COURSE = (REGISTERED, COMPLETED, REFUSED, FAILED, CANCELLED)


def told_of(entries: Iterable[LedgerEntry]) -> list[dict[str, Any]]:
    """JSON-able: every validation that ``entries`` tell of and how it ended, in the order of their first entries.

    ``entries``: of any events, in any order; a validation without an end is one that was killed, or goes on.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in sorted((one for one in entries if one.event in COURSE), key=lambda one: one.seq):
        identifier = str(entry.data.get("validation"))
        about = found.setdefault(
            identifier,
            {"validation": identifier, "seq": entry.seq, "utc": entry.utc, "suite_sha256": None,
             "end": "registered, not completed", "verdict": None, "reason": None},
        )  # fmt: skip
        about["suite_sha256"] = entry.data.get("suite_sha256") or about["suite_sha256"]
        if entry.event != REGISTERED:
            end = entry.event.rpartition(".")[2]
            about |= {"end": end, "verdict": entry.data.get("verdict"), "reason": entry.data.get("reason")}
    return list(found.values())
