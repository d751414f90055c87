"""From a mapped frame whose truth is known to the counts that a calibration rests on, and to a row of its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from forensic.errors import InternalError, UsageError
from forensic.frames.frame import CodedFrame, WorkingFrame
from forensic.risk.assessment import RiskAssessment, assess
from forensic.risk.calibration.domain import MEASURES
from forensic.risk.calibration.fitting import Recording
from forensic.risk.calibration.losses import THRESHOLDS, TOLERANCES, Count, counts, truth_edges
from forensic.risk.dihedral import Dispersion
from forensic.risk.head import Head
from forensic.risk.tiles import Level, Thresholds, tile_percentile

#: With these only what is barred for another reason (clipped, no recording) is HIGH.
NEVER = Thresholds(medium=1e9, high=1e9)
#: Columns of a table for one recording; the counts at all thresholds stand in one cell, strict to lax.
FIELDS = (
    *MEASURES, "pixels", "low", "edge_low",
    *(f"{what}_{tolerance}" for tolerance in TOLERANCES for what in ("wrong", "largest", "edge_wrong")),
)  # fmt: skip


@dataclass(frozen=True)
class Mapped:
    """A mapped frame and its truth. ``tile_risk`` (float32) and ``barred`` (boolean, never LOW) per tile; ``error``,
    |output - truth| (float32), and ``edges`` of the truth (boolean) per output pixel."""

    assessment: RiskAssessment
    tile_risk: np.ndarray
    barred: np.ndarray
    error: np.ndarray
    edges: np.ndarray

    def counts(self) -> list[Count]:
        """At every candidate threshold."""
        return list(counts(self.tile_risk, self.barred, self.error, self.edges))

    def measures(self) -> dict[str, float | None]:
        """Of the domain, for the envelope."""
        if self.assessment.measures is None:
            raise InternalError("risk.not-measured", "A frame that was not assessed has no measures.")
        return dict(self.assessment.measures)

    def cells(self) -> dict[str, str]:
        """A row of the table (:data:`FIELDS`)."""
        return row_of(self.counts(), self.measures())


def mapped(
    frame: WorkingFrame, output: CodedFrame, spread: Dispersion, truth: np.ndarray, head: Head | None = None
) -> Mapped:
    """Map ``output``, made of ``frame``, as a run does, and hold it against ``truth``.

    ``spread``: of the process that made it (with ``bootstrap`` where there is a ``head``); ``truth``: float32 luma of
    the output's size, in grey levels of the output's own range. ``head`` None: the score ``sum/1``. Raises
    ``UsageError`` (``calibration.pair``) for a truth of another size or an output that cannot be assessed.
    """
    found = assess(frame, output, dispersion=spread, thresholds=NEVER, head=head)
    luma = output.to_working().luma
    if found.risk is None or truth.shape != luma.shape:
        why = found.reason or f"the reference is {truth.shape[1]}x{truth.shape[0]}"
        raise UsageError("calibration.pair", f"An output of {luma.shape[1]}x{luma.shape[0]} has no counts: {why}.")
    scale = luma.shape[0] // frame.geometry.height
    barred = found.levels == Level.HIGH
    return Mapped(found, tile_percentile(found.risk), barred, np.abs(luma - truth), truth_edges(truth, scale))


def row_of(found: Sequence[Count], measures: Mapping[str, float | None]) -> dict[str, str]:
    """Counts and measures of one recording as cells of a table."""
    cells: dict[str, object] = {
        "pixels": found[0].pixels,
        "low": " ".join(str(count.low) for count in found),
        "edge_low": " ".join(str(count.edge_low) for count in found),
    }
    for place, tolerance in enumerate(TOLERANCES):
        for what in ("wrong", "largest", "edge_wrong"):
            cells[f"{what}_{tolerance}"] = " ".join(str(getattr(count, what)[place]) for count in found)
    told = {name: "" if measures[name] is None else measures[name] for name in MEASURES}
    return {name: str(value) for name, value in (told | cells).items()}


def recording_of(row: Mapping[str, str]) -> Recording:
    """A row of the table as :func:`forensic.risk.calibration.fitting.fit` takes it.

    Raises ``ValueError`` where a cell does not hold what it should.
    """

    def by_threshold(name: str) -> dict[float, int]:
        return dict(zip(THRESHOLDS, map(int, row[name].split()), strict=True))

    return Recording(
        pixels=int(row["pixels"]),
        low=by_threshold("low"),
        edge_low=by_threshold("edge_low"),
        wrong={one: by_threshold(f"wrong_{one}") for one in TOLERANCES},
        edge_wrong={one: by_threshold(f"edge_wrong_{one}") for one in TOLERANCES},
        largest={one: by_threshold(f"largest_{one}") for one in TOLERANCES},
        measures={name: float(row[name]) if row[name] else None for name in MEASURES},
    )
