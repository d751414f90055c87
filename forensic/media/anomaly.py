"""What was wrong with a file, located by frame and presentation time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

LISTED_PER_KIND = 10_000
KINDS = frozenset(
    {
        "damaged", "decode-error", "after-damage", "missing", "gap", "duplicate", "pts-missing", "pts-not-increasing",
        "pts-unusable", "geometry-change", "colour-change", "colour-matrix", "interlaced-frames", "truncated",
        "packets-skipped", "not-presented", "read-error", "container-warning", "decoder-warning", "extra-picture",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Anomaly:
    """One finding. ``frame`` is the frame's index (None where no frame came out), ``pts`` in ticks.

    The kinds are :data:`KINDS`; docs/media.md says what they mean.
    """

    kind: str
    frame: int | None
    pts: int | None
    detail: str

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {"kind": self.kind, "frame": self.frame, "pts": self.pts, "detail": self.detail}


class AnomalyLog:
    """Findings in the order in which they were made.

    Every finding is counted; the first 10 000 of a kind are kept one by one, so that a hostile file
    cannot exhaust memory. Frames beyond that still carry their flag in the frame manifest.
    """

    def __init__(self) -> None:
        self.listed: list[Anomaly] = []
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, frame: int | None, pts: int | None, detail: str) -> None:
        """Record a finding."""
        self.counts[kind] += 1
        if self.counts[kind] <= LISTED_PER_KIND:
            self.listed.append(Anomaly(kind, frame, pts, detail))
