"""Whether a pair is one: how a recorded frame lies against its reference, and how far off it may lie.

Needs only what was registered: nothing is registered here (:mod:`forensic.risk.calibration.aligning`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from forensic.hashes import canonical_json

#: Recorded pixels by which the reference may lie off, in the middle and anywhere. What is off counts as an error, so
#: that a wide tolerance costs LOW; a narrow one would refuse coarsely coded recordings, whose place is uncertain.
TOLERANCE, FURTHEST = 0.5, 1.0
#: Correlation of the recorded luma with what a camera would have made of the reference.
LEAST_CORRELATION = 0.5
_ROUNDED = 1e-3  # what rounding to four digits can make of a distance, and more
#: As a registration states them.
LIMITS = {"middle": TOLERANCE, "furthest": FURTHEST, "least_correlation": LEAST_CORRELATION}


@dataclass(frozen=True)
class Alignment:
    """How the recorded frame lies against the reference seen through the forward model.

    ``across``, ``down``: displacement of the middle, ``furthest``: the largest of middle and corners, recorded pixels;
    None where the two cannot be registered. ``correlation``: of their luma at rest. ``gain``, ``offset`` (grey levels):
    recorded = gain x reference + offset, least squares; not corrected, so that a difference in tone counts as an error.
    """

    across: float | None
    down: float | None
    furthest: float | None
    correlation: float
    gain: float
    offset: float

    @property
    def fault(self) -> str | None:
        """Why the two are no pair, in words; None where they are."""
        if self.correlation < LEAST_CORRELATION:
            return (
                f"frame and reference do not show the same: correlation {self.correlation:.2f}, at least "
                f"{LEAST_CORRELATION:g} is asked for"
            )
        if self.across is None or self.down is None or self.furthest is None:
            return "frame and reference cannot be registered"
        middle = math.hypot(self.across, self.down)
        if middle > TOLERANCE or self.furthest > FURTHEST:
            return (
                f"the frame lies {middle:.2f} recorded pixels off the reference in the middle and up to "
                f"{self.furthest:.2f} elsewhere, {TOLERANCE:g} and {FURTHEST:g} are allowed: a misaligned pair "
                "calibrates nothing"
            )
        return None

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Alignment:
        """What :meth:`to_record` gave. Raises ``ValueError`` and ``TypeError`` for anything else."""
        found = cls(**record)
        always = (found.correlation, found.gain, found.offset)
        moved = tuple(one for one in (found.across, found.down, found.furthest) if one is not None)
        if any(type(one) not in (float, int) for one in (*always, *moved)) or abs(found.correlation) > 1:
            raise ValueError("the alignment of a pair is none")
        if len(moved) == 3 and moved[2] < math.hypot(*moved[:2]) - _ROUNDED:
            raise ValueError("the middle of a pair lies farther off than its furthest place")
        return found


def faults(plan: Mapping[str, Any]) -> Iterator[str]:
    """Where ``plan`` (``registration.json``) states other limits than this program's, or lists a pair beyond them.

    Raises ``KeyError``, ``TypeError`` and ``ValueError`` for what is no registration.
    """
    if canonical_json(plan["alignment"]) != canonical_json(LIMITS):
        yield "the limits of alignment are not those of this program"
    for place, recording in enumerate(plan["recordings"], start=1):
        for pair in recording["pairs"]:
            fault = Alignment.from_record(pair["alignment"]).fault
            if fault is not None:
                yield f"recording {place} is no pair: {fault}"
