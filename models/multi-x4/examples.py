"""What the refiner learns from: simulated recordings of the listed photographs, fused, with the truth beside them.

Photographs and degradations are those of ``models/light-x4``, but no camera sharpens: fusion knows no such camera, and
half-way between its truth and another's the refiner would serve neither. What differs between scales, the single-frame
network first, is in a ``Plan``; recordings are sampled by SCALE for all of them, and the truth is averaged. Of every
recording two neighbouring frames are fused, each with the four before and after it, so that training can see how
the error changes from one to the next. The blur that fusion takes for granted is its default in half of the recordings,
in the others that of the recording with an error such as measured ones have.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "light-x4"))  # last: it has a `train` of its own

import recordings  # of light-x4
from recordings import MARGIN, SCALE, TABLE_CRF, Sharpening, listed, luma, window

from forensic.fusion import aligned
from forensic.fusion.fuse import fuse
from forensic.fusion.options import DEFAULT_PSF, FusionOptions
from forensic.registry.architectures.refiner.network import PLANES, SHARPER
from forensic.registry.loading import LoadedModel
from forensic.simulation.degradation import Codec, Degradation, MovingObject, Sensor
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate

FRAMES, PAIR, REACH = 10, (4, 5), 4
FINE_CRF, FINE_SHAKE = (16, 26), (0.25, 0.5, 1.0)
SHARPENING = Sharpening(share=0.0)
WITH_OBJECTS = 0.25  # share of recordings in which one to three things move
TOLD = 0.7  # share of recordings whose quantisers are told, where they are known
MEASURED, ERROR, BLURS = 0.5, 0.25, (0.2, 0.9)  # share with measured blur, its error (of the logarithm), its limits
#: Arrays of an example: float16 unless said otherwise, first axis the pair; of a validation photograph its first.
LARGE = ("truth", *PLANES)
SMALL = ("low", "effective")


@dataclass(frozen=True)
class Plan:
    """What differs between models that are trained in this way; as it stands, multi-x4.

    ``scale``: SCALE or a divisor; the truth is the scene, averaged over the area of the result's pixels. ``single``:
    the single-frame model of that scale. ``scene``: most rows and columns of a true picture. ``general``, ``fine``:
    numbers of recordings, in order the first of every photograph, then the second, and so on; the second range is
    weakly coded and has camera shake: there is something to be fused. ``patch``: recorded pixels on a side, context
    included. The rate is constant up to step ``decay_from``, then falls to zero as a cosine. ``start``: a shipped model
    of scale SCALE whose refiner to start from, averaged as the truth is. ``held_out``: how many of the validation
    photographs are looked at.
    """

    scale: int = SCALE
    single: str = "single-x4"
    seed: int = 20261126
    scene: tuple[int, int] = (352, 352)
    general: range = range(60)
    fine: range = range(88, 148)
    patch: int = 68
    steps: int = 3_600
    decay_from: int = 1_600
    rate: float = 1e-3
    warming: int = 200
    log_every: int = 500
    held_out: int = 9
    start: str | None = None

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: warm-up, constant, cosine decay."""
        decayed = max(0.0, (step - self.decay_from) / (self.steps - self.decay_from))
        return self.rate * min(1.0, (step + 1) / self.warming) * (1 + math.cos(math.pi * decayed)) / 2


@dataclass(frozen=True)
class Example:
    """Two neighbouring frames of one recording: ``planes`` by name, of both or of the first; ``shift``: displacement of
    each, recorded px; ``quantiser``: of each, on H.264's scale, None where it is not told; ``blur``: taken for granted
    by fusion, recorded px; ``error``: of its logarithm."""

    planes: dict[str, np.ndarray]
    shift: np.ndarray
    quantiser: tuple[float | None, float | None]
    blur: float
    error: float


def moving(rng: np.random.Generator) -> tuple[MovingObject, ...]:
    """One to three things that cross the scene."""
    return tuple(
        MovingObject(
            centre_x=float(rng.uniform(0.1, 0.9)),
            centre_y=float(rng.uniform(0.1, 0.9)),
            width=float(rng.uniform(12, 50)),
            height=float(rng.uniform(10, 40)),
            velocity_x=float(rng.uniform(-3, 3)),
            velocity_y=float(rng.uniform(-1.5, 1.5)),
        )
        for _ in range(int(rng.integers(1, 4)))
    )


def drawn(rng: np.random.Generator, *, fine: bool) -> Degradation:
    """A degradation of the training distribution."""
    how = recordings.drawn(rng, SHARPENING)
    if rng.random() < WITH_OBJECTS:
        how = replace(how, motion=replace(how.motion, objects=moving(rng)))
    if not fine:
        return how
    crf, shake, strength = float(rng.uniform(*FINE_CRF)), float(rng.choice(FINE_SHAKE)), float(rng.uniform(0, 0.5))
    codec = Codec("none") if rng.random() < 1 / 3 else Codec("h264", crf=crf, gop=50, bframes=0)
    sensor = Sensor(gain=0.06 * strength, read_noise=2.5 * strength)
    return replace(how, codec=codec, sensor=sensor, motion=replace(how.motion, jitter=shake))


def blur_of(how: Degradation) -> float:
    """Standard deviation of the Gaussian nearest to the optics, recorded px."""
    optics = how.optics
    return optics.radius / 2 if optics.kind == "defocus" else math.sqrt(optics.sigma_x * optics.sigma_y)


def blur_taken(how: Degradation, rng: np.random.Generator) -> float:
    """The blur that fusion takes for granted, recorded px: its default, or that of the optics as it is measured."""
    if rng.random() >= MEASURED:
        return DEFAULT_PSF
    return float(np.clip(blur_of(how) * math.exp(ERROR * rng.standard_normal()), *BLURS))


def quantisers_of(recording: Recording) -> tuple[float | None, ...]:
    """Of every frame, on H.264's scale; None where no decoder tells it: without a codec, of H.265 and of MJPEG."""
    return recording.qp if recording.degradation.codec.name == "h264" else (None,) * len(recording.frames)


def made(
    recording: Recording, single: LoadedModel, blur: float, *, told: bool, places: Sequence[int] | None = None
) -> Example:
    """The example of one recording, at the scale of ``single``; whether fusion and refiner are told its quantisers.
    ``places``: of the pair, those whose planes are made; by default both."""
    scale = single.card.scale
    options = FusionOptions(scale=scale, psf_sigma=blur, second_sigma=SHARPER * blur, even_priors=True)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in (*LARGE, *SMALL)}
    known = quantisers_of(recording) if told else (None,) * len(recording.frames)
    for at in PAIR if places is None else places:
        span = slice(at - REACH, at + REACH + 1)
        frames = [np.ascontiguousarray(one, np.float32) for one in recording.frames[span]]
        quantisers = () if all(each is None for each in known) else known[span]
        fused = fuse(frames, REACH, replace(options, quantisers=quantisers))
        alone = [
            single.upscale_luma_tiled(one, 256, single.radius) if fused.weights[place].any() else None
            for place, one in enumerate(frames)
        ]
        mean, spread = aligned.averaged(alone, fused, REACH)
        truth = recordings.averaged(np.clip(np.rint(recording.truth[at]), 0, 255), scale)
        made_of = (alone[REACH], mean, fused.luma, fused.second, spread)
        planes = zip(columns, (truth, *made_of, frames[REACH], fused.effective), strict=True)
        for name, plane in planes:
            columns[name].append(np.asarray(plane).astype(np.float16))
    return Example(
        {name: np.stack(planes) for name, planes in columns.items()},
        np.float32(recording.shifts[list(PAIR)]),
        (known[PAIR[0]], known[PAIR[1]]),
        blur,
        math.log(blur / blur_of(recording.degradation)),
    )


def store(path: Path, example: Example) -> None:
    """Write an example so that a stop at any moment leaves a whole file or none."""
    known = np.array([np.nan if value is None else value for value in example.quantiser])
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as stream:
        taken = {"blur": example.blur, "error": example.error}
        np.savez(stream, shift=example.shift, quantiser=known, **taken, **example.planes)
    partial.replace(path)


def load(path: Path) -> Example:
    """An example written by :func:`store`."""
    with np.load(path) as file:
        first, second = (None if np.isnan(value) else float(value) for value in file["quantiser"])
        planes = {name: file[name] for name in (*LARGE, *SMALL)}
        return Example(planes, file["shift"], (first, second), float(file["blur"]), float(file["error"]))


def make_cache(photos: Path, folder: Path, single: LoadedModel, plan: Plan) -> None:
    """Make the training examples that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    photographs = listed("train")
    for number in (*plan.general, *plan.fine):
        clip, place = divmod(number, len(photographs))
        path = folder / f"{place:03d}-{clip:02d}.npz"
        if path.is_file():
            continue
        photograph = photographs[place]
        rng = np.random.default_rng([plan.seed, int(photograph.sha256[:8], 16), clip])
        scene = window(luma(photos, photograph), rng, plan.scene)
        how = drawn(rng, fine=number in plan.fine)
        recording = simulate(scene, how, FRAMES, int(rng.integers(2**31)), margin=MARGIN)
        store(path, made(recording, single, blur_taken(how, rng), told=bool(rng.random() < TOLD)))


def make_validation(photos: Path, folder: Path, single: LoadedModel, plan: Plan) -> None:
    """One recording of each of the validation photographs under the table's setting at every CRF; first of the pair."""
    for crf in TABLE_CRF:
        (folder / str(crf)).mkdir(parents=True, exist_ok=True)
        for number, photograph in enumerate(listed("validation")[: plan.held_out]):
            path = folder / str(crf) / f"{number:03d}.npz"
            if path.is_file():
                continue
            rng = np.random.default_rng([recordings.SEED, int(photograph.sha256[:8], 16)])
            scene = window(luma(photos, photograph), rng, plan.scene)
            how = draw(rng, "issue-table", crf=crf)
            recording = simulate(scene, how, FRAMES, number, margin=MARGIN)
            store(path, made(recording, single, DEFAULT_PSF, told=True, places=PAIR[:1]))


def loaded(folder: Path) -> Sequence[Example]:
    """All examples of a folder, in the order of their names."""
    return [load(path) for path in sorted(folder.glob("*.npz"))]
