"""A recording of a scene in a stratum, and what the map says of the model's enlargement beside the truth."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, Coding, FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.risk.assessment import RiskAssessment, assess
from forensic.risk.calibration import domain, losses
from forensic.risk.dihedral import dispersion
from forensic.risk.tiles import Level, Thresholds, tile_percentile
from forensic.simulation.degradation import Codec, Optics
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate
from forensic.stages.pipeline import Pipeline
from tests.calibration.scenes import MARGIN

SEED = 20261122
FRAMES = 9
DRAWS = 12
SPLITS = ("train", "tune", "calibrate", "test")
NEVER = Thresholds(medium=1e9, high=1e9)  # then only what is barred for another reason is HIGH


@dataclass(frozen=True)
class Stratum:
    """Recordings whose mapped frame has a mean H.264 quantiser in (``above``, ``up_to``]; CRF drawn from ``crf``."""

    name: str
    above: float
    up_to: float
    crf: tuple[float, float]


STRATA = (
    Stratum("quantiser up to 28", 0.0, 28.0, (14.0, 25.0)),
    Stratum("quantiser 28 to 34", 28.0, 34.0, (22.0, 32.0)),
    Stratum("quantiser 34 to 44", 34.0, 44.0, (28.0, 40.0)),
)


def recorded(scene: np.ndarray, number: int, stratum: Stratum, split: str) -> Recording | None:
    """``scene`` (the ``number``-th of the list), drawn until its middle frame lies in ``stratum``; None if none did.

    Lens blur is Gaussian of 0.2 to 0.7 recorded pixels, the rest as in the profile ``issue-table``.
    """
    rng = np.random.default_rng([SEED, SPLITS.index(split), number, STRATA.index(stratum)])
    for attempt in range(DRAWS):
        sigma, crf = float(rng.uniform(0.2, 0.7)), float(rng.uniform(*stratum.crf))
        how = draw(
            rng, "issue-table", optics=Optics("gaussian", sigma_x=sigma, sigma_y=sigma),
            codec=Codec("h264", crf=round(crf, 2), gop=50, preset="medium"),
        )  # fmt: skip
        made = simulate(scene, how, FRAMES, SEED + 1000 * number + attempt, margin=MARGIN)
        quantiser = made.qp[made.reference]
        if quantiser is not None and stratum.above < quantiser <= stratum.up_to:
            return made
    return None


def source(recording: Recording) -> WorkingFrame:
    """The middle frame as the program reads it: gray, full range, with what is known of its coding."""
    number = recording.reference
    plane = np.clip(np.rint(recording.frames[number]), 0, 255).astype(np.uint8)
    geometry = Geometry(plane.shape[1], plane.shape[0], LAYOUTS["gray"])
    coding = Coding(recording.frame_types[number], "h264", recording.qp[number])
    timing = FrameTiming(number, number, Fraction(1, 25))
    frame = CodedFrame((plane,), geometry, ColourSpec(full_range=True), timing, StageClass.PRESENTATION, coding)
    return frame.to_working()


@dataclass(frozen=True)
class Mapped:
    """A mapped frame and its truth; ``tile_risk`` and ``barred`` per tile, ``error`` per output pixel."""

    frame: WorkingFrame
    output: CodedFrame
    assessment: RiskAssessment
    tile_risk: np.ndarray
    barred: np.ndarray
    error: np.ndarray
    edges: np.ndarray

    def counts(self) -> list[losses.Count]:
        """At every threshold."""
        return list(losses.counts(self.tile_risk, self.barred, self.error, self.edges))

    def measures(self) -> dict[str, float | None]:
        """For the envelope."""
        conflict = self.assessment.conflict
        assert conflict is not None
        noise = float(self.assessment.summary()["noise_sigma"])
        return domain.measured(self.frame.luma, conflict, noise, self.frame.coding)


def mapped(recording: Recording, pipeline: Pipeline) -> Mapped:
    """Enlarge the middle frame with ``pipeline`` and map it, as a run does."""
    frame = source(recording)
    made = pipeline.process_window([frame], 0)
    output = made.quantise()
    spread = dispersion(pipeline.process_window, [frame], 0)
    assessment = assess(frame, output, dispersion=spread, thresholds=NEVER)
    assert assessment.risk is not None
    truth = recording.truth[recording.reference]
    error = np.abs(output.to_working().luma - truth)
    scale = output.geometry.width // frame.geometry.width
    return Mapped(
        frame, output, assessment, tile_percentile(assessment.risk), assessment.levels == Level.HIGH, error,
        losses.truth_edges(truth, scale),
    )  # fmt: skip
