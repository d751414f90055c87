"""Presentation times: used as stored, made up only by a written rule, and read for gaps afterwards.

Rules (docs/media.md states them for the record):

1. A stored timestamp that is later than the previous frame's is used as it is.
2. A missing one is replaced by the decoding timestamp if that is later than the previous frame's,
   else by the previous time plus the nominal interval.
3. One that is not later than the previous frame's (a clock that jumped back) is shifted by the offset
   that puts the frame one nominal interval after its predecessor; the offset stays in force until a
   stored timestamp fits again.

Times made by 2 and 3 are flagged. The nominal interval is the reciprocal of the rate that the
stream states or FFmpeg infers from its first packets, else 1/25 s.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from forensic.media.anomaly import AnomalyLog

_ASSUMED_RATE = Fraction(25)
_LIMIT = (1 << 53) - 1
_CONSTANT_SHARE = Fraction(9, 10)


class Timeline:
    """Gives every frame its presentation time in ticks of ``time_base`` seconds."""

    def __init__(self, time_base: Fraction, rate: Fraction | None, stored: bool, log: AnomalyLog) -> None:
        self.time_base = time_base
        self.rate = rate or _ASSUMED_RATE
        self.rate_assumed = not rate
        self._stored = stored
        self._log = log
        self._interval = max(1, round(1 / (self.rate * time_base)))
        self._offset: int | None = None
        self._times = array("q")

    def announce(self, is_image: bool) -> None:
        """Put it on the record, once, if the whole file lacks timestamps."""
        if is_image:
            self._log.add("pts-missing", 0, 0, "A picture has no presentation time; 0 stands in.")
        elif not self._stored:
            origin = "an assumption" if self.rate_assumed else "the stream's, or FFmpeg's default of 25 if it has none"
            self._log.add(
                "pts-missing", None, None,
                f"The format stores no timestamps; frames are timed at {self.rate} per second ({origin}).",
            )  # fmt: skip

    @property
    def rule(self) -> str:
        """How missing times are made, in one line for the record."""
        origin = "assumed" if self.rate_assumed else "stated or inferred"
        return f"nominal interval {self._interval} ticks of {self.time_base} s (rate {self.rate}/s, {origin})"

    def place(self, index: int, pts: int | None, dts: int | None) -> tuple[int, bool]:
        """Time of frame ``index`` and whether it was made up."""
        time, made_up = self._place(index, pts, dts)
        self._times.append(time)
        return time, made_up

    def _place(self, index: int, pts: int | None, dts: int | None) -> tuple[int, bool]:
        if not self._stored:
            return round(index / (self.rate * self.time_base)), True
        previous = self._times[-1] if self._times else None
        if pts is not None and abs(pts) > _LIMIT:
            self._log.add("pts-unusable", index, None, f"The stored timestamp {pts} is beyond ±2^53 and was not used.")
            pts = None
        if dts is not None and abs(dts) > _LIMIT:
            dts = None
        if pts is None:
            if dts is not None and (previous is None or dts > previous):
                self._log.add("pts-missing", index, dts, "No timestamp stored; the decoding timestamp stands in.")
                return dts, True
            time = 0 if previous is None else previous + self._interval
            self._log.add("pts-missing", index, time, "No timestamp stored; previous time plus nominal interval.")
            return time, True
        if previous is None or pts > previous:
            self._offset = None
            return pts, False
        if self._offset is None or pts + self._offset <= previous:
            self._offset = previous + self._interval - pts
        time = pts + self._offset
        self._log.add(
            "pts-not-increasing", index, time,
            f"Stored timestamp {pts} is not later than the previous frame's {previous}; {self._offset} ticks added.",
        )  # fmt: skip
        return time, True

    def finish(self) -> Cadence:
        """Look at all intervals once every frame has been placed; gaps go to the log."""
        cadence = Cadence.of(self._times, self.time_base)
        if cadence.nominal is None:
            return cadence
        if cadence.constant:
            threshold = Fraction(3, 2) * cadence.nominal
        else:
            threshold = max(4 * Fraction(cadence.median), Fraction(1) / self.time_base)
        for index in range(1, len(self._times)):
            gap = self._times[index] - self._times[index - 1]
            if gap <= threshold:
                continue
            seconds = float(gap * self.time_base)
            if cadence.constant:
                lost = round(Fraction(gap, cadence.nominal)) - 1
                detail = f"{lost} frame(s) missing before this one: {seconds:.6g} s after the previous frame."
                self._log.add("missing", index, self._times[index], detail)
            else:
                detail = f"{seconds:.6g} s after the previous frame; at a varying rate no count of lost frames follows."
                self._log.add("gap", index, self._times[index], detail)
        return cadence


@dataclass(frozen=True)
class Cadence:
    """Summary of the intervals between frames, in ticks.

    ``constant``: at least 9 in 10 intervals equal the commonest one to within one tick (rounding of
    the container's clock) and every other interval is within a tick of a multiple of it. ``vfr`` is its
    opposite; with fewer than two frames neither is claimed (``nominal`` None).
    """

    nominal: int | None
    median: int
    shortest: int
    longest: int
    distinct: int
    constant: bool

    @classmethod
    def of(cls, times: array[int], time_base: Fraction) -> Cadence:
        """Summarise presentation ``times`` (ticks, increasing)."""
        counts: Counter[int] = Counter()
        for index in range(1, len(times)):
            counts[times[index] - times[index - 1]] += 1
        if not counts:
            return cls(None, 0, 0, 0, 0, True)
        total = len(times) - 1
        nominal = min(counts, key=lambda gap: (-counts[gap], gap))
        regular = sum(counts[gap] for gap in (nominal - 1, nominal, nominal + 1))
        constant = regular >= _CONSTANT_SHARE * total and all(_near_multiple(gap, nominal) for gap in counts)
        middle, seen = 0, 0
        for gap in sorted(counts):
            seen += counts[gap]
            middle = gap
            if 2 * seen >= total:
                break
        return cls(nominal, middle, min(counts), max(counts), len(counts), constant)

    def to_record(self, time_base: Fraction) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "unit": f"ticks of {time_base.numerator}/{time_base.denominator} s",
            "nominal": self.nominal,
            "median": self.median,
            "shortest": self.shortest,
            "longest": self.longest,
            "distinct": self.distinct,
            "vfr": not self.constant,
            "rule": "constant rate: 9 in 10 intervals within one tick of the commonest, the others near its multiples",
        }


def _near_multiple(gap: int, nominal: int) -> bool:
    multiple = max(1, round(Fraction(gap, nominal)))
    return abs(gap - multiple * nominal) <= multiple  # one tick of rounding per interval
