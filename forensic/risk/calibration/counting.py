"""From a mapped frame whose truth is known to the counts that a calibration rests on, and to a row of its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forensic.errors import InternalError, UsageError
from forensic.frames.frame import CodedFrame, WorkingFrame
from forensic.fusion.options import SplitHalves
from forensic.risk.assessment import RiskAssessment, assess
from forensic.risk.calibration.breakdown import Content, brightness_of, content_of, kinds_of
from forensic.risk.calibration.criteria import THRESHOLDS, Count
from forensic.risk.calibration.losses import counts, low_pixels, truth_edges
from forensic.risk.calibration.table import row_of
from forensic.risk.dihedral import Dispersion
from forensic.risk.head import Head
from forensic.risk.tiles import Level, Thresholds, tile_percentile

#: With these only what is barred for another reason (clipped, no recording) is HIGH.
NEVER = Thresholds(medium=1e9, high=1e9)


@dataclass(frozen=True)
class Mapped:
    """A mapped frame and its truth. ``tile_risk`` (float32) and ``barred`` (boolean, never LOW) per tile; ``error``,
    |output - truth| (float32), ``edges`` of the truth (boolean) and its ``kinds`` of area (uint8, ``breakdown``) per
    output pixel; ``brightness`` of the recording."""

    assessment: RiskAssessment
    tile_risk: np.ndarray
    barred: np.ndarray
    error: np.ndarray
    edges: np.ndarray
    kinds: np.ndarray
    brightness: float

    def counts(self) -> list[Count]:
        """At every candidate threshold."""
        return list(counts(self.tile_risk, self.barred, self.error, self.edges))

    def content(self, thresholds: Sequence[float] = THRESHOLDS) -> Content:
        """What the frame was like, with the counts by kind of area at ``thresholds``."""
        low = {one: low_pixels(self.tile_risk, self.barred, self.error.shape, one) for one in thresholds}
        return content_of(self.brightness, self.kinds, low, self.error)

    def measures(self) -> dict[str, float | None]:
        """Of the domain, for the envelope."""
        if self.assessment.measures is None:
            raise InternalError("risk.not-measured", "A frame that was not assessed has no measures.")
        return dict(self.assessment.measures)

    def cells(self) -> dict[str, str]:
        """A row of the table (:data:`forensic.risk.calibration.table.FIELDS`)."""
        return row_of(self.counts(), self.measures())


def mapped(
    frame: WorkingFrame,
    output: CodedFrame,
    spread: Dispersion | None,
    truth: np.ndarray,
    head: Head | None = None,
    halves: SplitHalves | None = None,
) -> Mapped:
    """Map ``output``, made of ``frame``, as a run does, and hold it against ``truth``.

    ``spread``: of the process that made it, which the score of a ``head`` does without; ``truth``: float32 luma of
    the output's size, in grey levels of the output's own range. ``head`` None: the score ``sum/1``;
    ``halves``: of an output of several frames. Raises
    ``UsageError`` (``calibration.pair``) for a truth of another size or an output that cannot be assessed.
    """
    found = assess(frame, output, dispersion=spread, thresholds=NEVER, head=head, halves=halves)
    luma = output.to_working().luma
    if found.risk is None or truth.shape != luma.shape:
        why = found.reason or f"the reference is {truth.shape[1]}x{truth.shape[0]}"
        raise UsageError("calibration.pair", f"An output of {luma.shape[1]}x{luma.shape[0]} has no counts: {why}.")
    scale = luma.shape[0] // frame.geometry.height
    barred = found.levels == Level.HIGH
    return Mapped(
        found, tile_percentile(found.risk), barred, np.abs(luma - truth), truth_edges(truth, scale),
        kinds_of(truth, scale), brightness_of(frame),
    )  # fmt: skip
