"""A recording of a scene in a stratum, and what the map says of the model's enlargement beside the truth."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, Coding, FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.risk.calibration import counting
from forensic.risk.calibration.counting import Mapped
from forensic.risk.dihedral import Dispersion, dispersion
from forensic.risk.head import Head
from forensic.simulation.degradation import Codec, Optics, Recorder
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate
from forensic.stages.pipeline import Pipeline
from tests.calibration.scenes import MARGIN

SEED = 20261122
FRAMES = 9
FACTOR = 4
DRAWS = 12
SPLITS = ("train", "tune", "calibrate", "test")
#: Recorded columns and rows of a lying picture; a standing one has them the other way round.
COLUMNS, ROWS = (80, 88, 96, 104, 112), (56, 64, 72)
LIMITED = (16.0, 235.0)  # black and white of a recorder that keeps to the limited range


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


def recorded(scene: np.ndarray, number: int, stratum: Stratum, split: str, repeat: int = 0) -> Recording | None:
    """``scene`` (the ``number``-th of the list), drawn until its middle frame lies in ``stratum``; None if none did.

    Lens blur is Gaussian of 0.2 to 0.7 recorded pixels; the size and whether the range is full or limited are drawn;
    the rest is as in the profile ``issue-table``. ``repeat``: another recording of the same scene (train only).
    """
    rng = np.random.default_rng([SEED, SPLITS.index(split), number, STRATA.index(stratum), repeat])
    scene = _middle(scene, int(rng.choice(COLUMNS)), int(rng.choice(ROWS)))
    recorder = Recorder() if rng.random() < 0.5 else Recorder(black=LIMITED[0], white=LIMITED[1])
    for attempt in range(DRAWS):
        sigma, crf = float(rng.uniform(0.2, 0.7)), float(rng.uniform(*stratum.crf))
        how = draw(
            rng, "issue-table", recorder=recorder, optics=Optics("gaussian", sigma_x=sigma, sigma_y=sigma),
            codec=Codec("h264", crf=round(crf, 2), gop=50, preset="medium"),
        )  # fmt: skip
        made = simulate(scene, how, FRAMES, SEED + 1000 * number + 100 * repeat + attempt, margin=MARGIN)
        quantiser = made.qp[made.reference]
        if quantiser is not None and stratum.above < quantiser <= stratum.up_to:
            return made
    return None


def _middle(scene: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """The middle of ``scene`` that gives that many recorded pixels (turned for a standing one), with its margin; the
    whole of a smaller one."""
    across, down = (columns, rows) if scene.shape[1] >= scene.shape[0] else (rows, columns)
    height, width = FACTOR * down + 2 * MARGIN, FACTOR * across + 2 * MARGIN
    if height > scene.shape[0] or width > scene.shape[1]:
        return scene
    top, left = (scene.shape[0] - height) // 2, (scene.shape[1] - width) // 2
    return scene[top : top + height, left : left + width]


def source(recording: Recording) -> WorkingFrame:
    """The middle frame as the program reads it: gray, full range, with what is known of its coding."""
    number = recording.reference
    plane = np.clip(np.rint(recording.frames[number]), 0, 255).astype(np.uint8)
    geometry = Geometry(plane.shape[1], plane.shape[0], LAYOUTS["gray"])
    coded = None if recording.encoded is None else recording.encoded.codings[number]
    coding = None if coded is None else Coding(coded.picture_type, coded.scale, coded.mean, coded.why_not)
    timing = FrameTiming(number, number, Fraction(1, 25))
    full = recording.degradation.recorder.white == 255.0
    frame = CodedFrame((plane,), geometry, ColourSpec(full_range=full), timing, StageClass.PRESENTATION, coding)
    return frame.to_working()


@dataclass(frozen=True)
class Enlarged:
    """A recording's middle frame, its enlargement, and how that varies."""

    frame: WorkingFrame
    output: CodedFrame
    spread: Dispersion
    truth: np.ndarray


def enlarged(recording: Recording, pipeline: Pipeline) -> Enlarged:
    """Enlarge the middle frame with ``pipeline``, with the bootstrap, as a run does for a mapped frame."""
    frame = source(recording)
    output = pipeline.process_window([frame], 0).quantise()
    spread = dispersion(pipeline.process_window, [frame], 0, bootstrap=True)
    return Enlarged(frame, output, spread, recording.truth[recording.reference])


def mapped(recording: Recording, pipeline: Pipeline, head: Head | None = None) -> Mapped:
    """Enlarge and map the middle frame, beside its truth."""
    made = enlarged(recording, pipeline)
    return counting.mapped(made.frame, made.output, made.spread, made.truth, head)
