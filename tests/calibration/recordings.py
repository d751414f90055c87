"""A recording that holds a scene, a region of it in a stratum, and what the map says of its enlargement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.fusion.options import SplitHalves
from forensic.risk.calibration import counting
from forensic.risk.calibration.counting import Mapped
from forensic.risk.head import Head
from forensic.simulation.degradation import Codec, Degradation, MovingObject, Optics, Recorder, Sensor
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate
from forensic.stages.catalogue import build
from forensic.stages.combining import split_halves
from forensic.stages.pipeline import Pipeline
from tests.calibration.scenes import MARGIN

SEED = 20261123
FRAMES = 9
DRAWS = 12
SPLITS = ("train", "tune", "calibrate", "test")
#: Columns and rows of the whole frame, in scene pixels.
SIZES = ((704, 576), (960, 704), (1280, 960))
#: Columns and rows, recorded, of the region of a lying scene, in steps of two; a standing one has them turned.
COLUMNS, ROWS = (48, 112), (40, 72)
BORDER = 8  # scene pixels between the region and the scene's end
GAIN, READ_NOISE = (0.0, 0.04), (0.5, 2.0)  # variance per grey level; grey levels
SHAKE = 0.5  # recorded pixels, of half of the cameras; the others stand still
LIMITED = (16.0, 235.0)  # black and white of a recorder that keeps to the limited range
_MIDDLE = FRAMES // 2


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


@dataclass(frozen=True)
class Region:
    """A recording, the part of it that shows the scene (left, top, columns and rows in recorded pixels), and where in
    the scene that part begins (x, y, in its pixels; the camera's shake left out)."""

    recording: Recording
    box: tuple[int, int, int, int]
    corner: tuple[int, int]

    @property
    def sha256(self) -> str:
        """Of the whole recording."""
        return self.recording.sha256

    @property
    def degradation(self) -> Degradation:
        """How it was recorded."""
        return self.recording.degradation

    @property
    def frame(self) -> WorkingFrame:
        """The region of the middle frame, as a run's crop makes it: gray, with what is known of its coding."""
        return self.window(0)[0]

    def window(self, radius: int) -> list[WorkingFrame]:
        """The region of the middle frame and of ``radius`` frames, at most four, on either side."""
        x, y, width, height = self.box
        crop = build("crop", {"x": x, "y": y, "width": width, "height": height})
        places = range(_MIDDLE - radius, _MIDDLE + radius + 1)
        return [crop.process([source(self.recording, place)], 0) for place in places]

    @property
    def truth(self) -> np.ndarray:
        """What the region is to look like, enlarged: float32, grey levels of the recorder's range."""
        x, y, width, height = (self.recording.factor * value for value in self.box)
        return self.recording.truth[_MIDDLE][y : y + height, x : x + width]

    @property
    def cover(self) -> np.ndarray:
        """Where a moving thing is in the middle frame: boolean, of the size of :attr:`truth`."""
        assert self.recording.covers is not None
        x, y, width, height = (self.recording.factor * value for value in self.box)
        return np.asarray(self.recording.covers[_MIDDLE][y : y + height, x : x + width] > 0.5)

    @property
    def quantiser(self) -> float | None:
        """Mean H.264 quantiser of the region."""
        coding = self.frame.coding
        return None if coding is None else coding.here


def recorded(
    scenes: Sequence[np.ndarray],
    number: int,
    stratum: Stratum,
    split: str,
    factor: int,
    *,
    repeat: int = 0,
    centred: bool = False,
) -> Region | None:
    """``scenes[number]`` recorded among others, drawn until its region lies in ``stratum``; None if it never did.

    The scene lies whole in a larger frame that is filled with the next ones of ``scenes``; size and place of frame and
    region are drawn, so that codec blocks begin anywhere in it. Lens blur is Gaussian of 0.2 to 0.7 recorded pixels;
    noise, whether the range is full or limited and whether the camera shakes are drawn; the rest is as in the profile
    ``issue-table``, with ``factor`` scene pixels to a recorded one. ``repeat``: another recording of the same scene
    (train and tune only). ``centred``: the region lies in the scene's middle.
    """
    rng = np.random.default_rng([SEED, SPLITS.index(split), number, STRATA.index(stratum), repeat])
    for attempt in range(DRAWS):
        sigma, crf = float(rng.uniform(0.2, 0.7)), float(rng.uniform(*stratum.crf))
        limited = rng.random() < 0.5
        recorder = Recorder(black=LIMITED[0], white=LIMITED[1]) if limited else Recorder()
        sensor = Sensor(gain=float(rng.uniform(*GAIN)), read_noise=float(rng.uniform(*READ_NOISE)))
        how = draw(
            rng, "issue-table", recorder=recorder, optics=Optics("gaussian", sigma_x=sigma, sigma_y=sigma),
            codec=Codec("h264", crf=round(crf, 2), gop=50, preset="medium"), sensor=sensor,
            jitter=SHAKE if rng.random() < 0.5 else 0.0, factor=factor,
        )  # fmt: skip
        made = region(rng, scenes, number, how, SEED + 1000 * number + 100 * repeat + attempt, centred=centred)
        quantiser = made.quantiser
        if quantiser is not None and stratum.above < quantiser <= stratum.up_to:
            return made
    return None


def region(
    rng: np.random.Generator,
    scenes: Sequence[np.ndarray],
    number: int,
    how: Degradation,
    seed: int,
    *,
    centred: bool = False,
    thing: MovingObject | None = None,
) -> Region:
    """Record ``scenes[number]`` among others as ``how`` says, and choose the region. ``thing``: moves through the
    region's middle, which it reaches in the middle frame, and shows a part of the next scene."""
    scene, factor = scenes[number], how.sampling.factor
    whole = SIZES[int(rng.integers(len(SIZES)))]
    canvas = _filled(scenes, number, whole[1] + 2 * MARGIN, whole[0] + 2 * MARGIN)
    start = [int(rng.integers(0, space - side + 1)) for space, side in zip(canvas.shape, scene.shape, strict=True)]
    canvas[start[0] : start[0] + scene.shape[0], start[1] : start[1] + scene.shape[1]] = scene
    sizes = [2 * int(rng.integers(low // 2, high // 2 + 1)) for low, high in (COLUMNS, ROWS)]
    if scene.shape[1] < scene.shape[0]:
        sizes.reverse()
    places = []
    for axis, size in zip((1, 0), sizes, strict=True):
        first = max(start[axis] + BORDER - MARGIN, 0)  # of what may be chosen, in scene pixels of the frame
        last = min(start[axis] + scene.shape[axis] - BORDER - MARGIN, whole[1 - axis])
        least, most = -(-first // (2 * factor)), (last // factor - size) // 2
        places.append(2 * ((least + most) // 2 if centred else int(rng.integers(least, most + 1))))
    corner = (factor * places[0] + MARGIN - start[1], factor * places[1] + MARGIN - start[0])
    sprites = []
    if thing is not None:
        middle = [factor * (place + size / 2) / side for place, size, side in zip(places, sizes, whole, strict=True)]
        thing = replace(thing, centre_x=middle[0], centre_y=middle[1], sprite=0)
        how = replace(how, motion=replace(how.motion, objects=(thing,)))
        sprites = [_middle(scenes[(number + 1) % len(scenes)], factor, thing)]
    made = simulate(canvas, how, FRAMES, seed, margin=MARGIN, sprites=sprites)
    return Region(made, (places[0], places[1], sizes[0], sizes[1]), corner)


def _middle(scene: np.ndarray, factor: int, thing: MovingObject) -> np.ndarray:
    """As much of the scene's middle as ``thing`` is large."""
    rows, columns = round(factor * thing.height), round(factor * thing.width)
    top, left = (scene.shape[0] - rows) // 2, (scene.shape[1] - columns) // 2
    return scene[top : top + rows, left : left + columns]


def _filled(scenes: Sequence[np.ndarray], number: int, height: int, width: int) -> np.ndarray:
    """A picture of the scenes after ``scenes[number]``, all lying, side by side."""
    count = 0
    strips: list[np.ndarray] = []
    while sum(strip.shape[0] for strip in strips) < height:
        row: list[np.ndarray] = []
        while sum(part.shape[1] for part in row) < width:
            count += 1
            other = scenes[(number + count) % len(scenes)]
            row.append(other if other.shape[1] >= other.shape[0] else np.rot90(other))
        strips.append(np.concatenate(row, axis=1)[:, :width])
    return np.concatenate(strips)[:height]


def source(recording: Recording, place: int = _MIDDLE) -> WorkingFrame:
    """A frame, the middle one if no other is named, as the program reads it: gray, with what is known of its coding."""
    plane = np.clip(np.rint(recording.frames[place]), 0, 255).astype(np.uint8)
    geometry = Geometry(plane.shape[1], plane.shape[0], LAYOUTS["gray"])
    coding = None if recording.encoded is None else recording.encoded.codings[place].summary(plane.size, ())
    timing = FrameTiming(place, place, Fraction(1, 25))
    full = recording.degradation.recorder.white == 255.0
    frame = CodedFrame((plane,), geometry, ColourSpec(full_range=full), timing, StageClass.PRESENTATION, coding)
    return frame.to_working()


@dataclass(frozen=True)
class Enlarged:
    """A region of a recording's middle frame, its enlargement, the truth, and what its frames taken apart show where
    it was made of several."""

    frame: WorkingFrame
    output: CodedFrame
    truth: np.ndarray
    halves: SplitHalves | None


def enlarged(made: Region, pipeline: Pipeline) -> Enlarged:
    """Enlarge the region with ``pipeline``, as a run does."""
    radius = pipeline.radius
    window = made.window(radius)
    output = pipeline.process_window(window, radius).quantise()
    return Enlarged(window[radius], output, made.truth, split_halves(pipeline, window, radius))


def mapped(made: Region, pipeline: Pipeline, head: Head) -> Mapped:
    """Enlarge and map the region, beside its truth."""
    done = enlarged(made, pipeline)
    return counting.mapped(done.frame, done.output, None, done.truth, head, done.halves)
