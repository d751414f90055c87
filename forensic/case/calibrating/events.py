"""Entries of the ledger about a laboratory's own calibrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forensic.ledger.store import Ledger

REGISTERED, COMPLETED = "calibration.registered", "calibration.completed"
REFUSED, FAILED, CANCELLED = "calibration.refused", "calibration.failed", "calibration.cancelled"


def course(ledger: Ledger) -> dict[str, str]:
    """How each calibration of this ledger ended, by its id; those without an end are left out."""
    return {
        str(entry.data.get("calibration")): event.rpartition(".")[2]
        for event in (COMPLETED, REFUSED, FAILED, CANCELLED)
        for entry in ledger.entries(event=event)
    }
