"""Strata by the H.264 quantiser, as a laboratory asks for them: which of them a recording belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from forensic.hashes import canonical_json


@dataclass(frozen=True)
class Stratum:
    """Frames, or regions, whose mean H.264 quantiser lies in (``above``, ``up_to``]; both None: any, or none."""

    name: str
    above: float | None = None
    up_to: float | None = None

    def holds(self, quantiser: float | None) -> bool:
        """Whether a frame with that quantiser belongs here."""
        if self.above is None or self.up_to is None:
            return True
        return quantiser is not None and self.above < quantiser <= self.up_to

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        return {"name": self.name, "above": self.above, "up_to": self.up_to}


def strata_of(limits: Sequence[float]) -> tuple[Stratum, ...]:
    """One stratum for all, or those between 0 and the rising ``limits``."""
    if not limits:
        return (Stratum("all recordings"),)
    pairs = zip((0.0, *limits), limits, strict=False)
    return tuple(Stratum(f"quantiser {_told(low)} to {_told(high)}", low, high) for low, high in pairs)


def _told(limit: float) -> str:
    """In full, so that no two strata have one name."""
    return repr(float(limit)).removesuffix(".0")


def faults(plan: Mapping[str, Any]) -> Iterator[str]:
    """Where the strata of ``plan`` (``registration.json``) are none that :func:`strata_of` makes, or a pair lies in
    another one than that of its quantiser.

    Raises ``KeyError`` and ``TypeError`` for what is no registration.
    """
    told = plan["strata"]
    limits = [] if len(told) == 1 and told[0]["up_to"] is None else [one["up_to"] for one in told]
    numbers = all(type(one) in (float, int) for one in limits)
    rising = numbers and all(first < second for first, second in pairwise((0.0, *limits)))
    strata = strata_of(limits) if rising else ()
    named = {one.name: one for one in strata}
    if len(named) != len(told) or canonical_json([one.to_record() for one in strata]) != canonical_json(told):
        yield "the strata are none that this program makes"
        return
    for place, recording in enumerate(plan["recordings"], start=1):
        for pair in recording["pairs"]:
            if pair["stratum"] not in named or not named[pair["stratum"]].holds(pair["quantiser"]):
                yield f"a pair of recording {place} has not the quantiser of its stratum"
