"""The form of every answer: a value with an interval of stated meaning, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

COVERAGE = 0.9
"""Share of simulated recordings whose true value lies in the stated interval (docs/estimation.md)."""


@dataclass(frozen=True)
class Estimate:
    """A number. ``low`` and ``high`` bound the :data:`COVERAGE` interval, ``samples`` counts what it rests on.

    ``bound`` is ``upper`` or ``lower`` where the value only bounds the truth from that side.
    ``calibrated`` is False where the interval was not measured against simulated truth.
    """

    value: float
    low: float
    high: float
    unit: str
    method: str
    samples: int
    bound: str | None = None
    calibrated: bool = True

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "determined": True,
            "value": round(float(self.value), 6),
            "low": round(float(self.low), 6),
            "high": round(float(self.high), 6),
            "coverage": COVERAGE if self.calibrated else None,
            "interval": "calibrated on simulated recordings" if self.calibrated else "uncalibrated",
            "unit": self.unit,
            "method": self.method,
            "samples": self.samples,
            "bound": self.bound,
        }


@dataclass(frozen=True)
class NotDetermined:
    """No answer, and why."""

    reason: str

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {"determined": False, "reason": self.reason}


Answer = Estimate | NotDetermined


def exact(value: float, unit: str, method: str, samples: int) -> Estimate:
    """A number that was read, not estimated: the interval has no width."""
    return Estimate(value, value, value, unit, method, samples)


def value_of(answer: Answer | None) -> float | None:
    """The number, or None."""
    return answer.value if isinstance(answer, Estimate) else None
