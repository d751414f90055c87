"""A run that was interrupted has parts: what was foretold at its beginning, and what the earlier parts cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from forensic.case.cost import Cost
from forensic.case.estimating import GONE_ON_WITH, Estimate
from forensic.case.journal import PROGRESS
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import INTERRUPTED

_ADDED = ("wall_s", "processor_s")


def foretold(entries: Iterable[LedgerEntry]) -> Estimate:
    """What was told before the first frame, by the newest of the run's ``entries`` that states it.

    The first ``run.progress`` of every part states it, and ``run.interrupted`` where the process could still speak.
    :data:`GONE_ON_WITH` where none does, or does so in another form.
    """
    stated = [entry.data["estimate"] for entry in entries if entry.event in (PROGRESS, INTERRUPTED) and
              "estimate" in entry.data]  # fmt: skip
    return _read(stated[-1]) if stated else GONE_ON_WITH


def _read(record: Any) -> Estimate:
    if not isinstance(record, Mapping) or not isinstance(record.get("source"), str):
        return GONE_ON_WITH
    wall, processor = record.get("wall_s"), record.get("processor_s")
    if not isinstance(wall, int | float) or not isinstance(processor, int | float):
        return Estimate(str(record["source"]))
    memory, energy = record.get("peak_memory_bytes"), record.get("energy_wh")
    cost = Cost(
        float(wall), float(processor), memory if isinstance(memory, int) else None,
        float(energy) if isinstance(energy, int | float) else None,
    )  # fmt: skip
    return Estimate(str(record["source"]), cost)


def earlier(entries: Iterable[LedgerEntry]) -> dict[str, Any] | None:
    """Sum of what the parts before the last one cost, JSON-able; None for a run that was never interrupted.

    ``untold``: parts of which nobody could say it (killed, power cut); ``energy_wh`` is null unless every part told it.
    """
    ends = [entry.data.get("cost") for entry in entries if entry.event == INTERRUPTED]
    if not ends:
        return None
    told = [cost for cost in ends if isinstance(cost, Mapping)]
    memory = [cost["peak_memory_bytes"] for cost in told if isinstance(cost.get("peak_memory_bytes"), int)]
    energy = [cost.get("energy_wh") for cost in ends if isinstance(cost, Mapping)]
    known = [float(value) for value in energy if isinstance(value, int | float)]
    sums = {name: sum(float(cost[name]) for cost in told if isinstance(cost.get(name), int | float)) for name in _ADDED}
    return {
        "parts": len(ends),
        "untold": len(ends) - len(told),
        **{name: round(value, 3) for name, value in sums.items()},
        "peak_memory_bytes": max(memory, default=None),
        "energy_wh": round(sum(known), 4) if known and len(known) == len(ends) else None,
    }
