"""What the network learns from: simulated recordings of the listed photographs, kept as a patch cache.

A recording is made by ``forensic.simulation``: a window of a photograph is the scene; it is moved,
blurred, sampled, made noisy, encoded as a short video by a real encoder, and decoded. So pictures of
all types of an inter-coded stream are learnt, each with the scene as it was at that moment.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from forensic.simulation.degradation import Codec, Degradation, Motion, Optics, Recorder, Sampling, Sensor
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate

LIST = Path(__file__).with_name("photographs.csv")
SEED = 20261123
SCALE = 4
WINDOW = (640, 960)  # most rows and columns of a true picture
MARGIN = 32  # more of the scene on every side, so that the camera's motion uncovers real scene
SHORT_SIDES = (560, 1400)  # a photograph is reduced to a short side drawn between these
CLIPS = 32  # recordings of every training photograph
FRAMES = 9  # pictures of a recording
KEPT = ((0, 1), (1, 5), (5, 9))  # one picture is kept of each of these ranges; the first is an intra picture

#: Profile of the issue's table; CRF None is no codec.
TABLE_CRF: tuple[int | None, ...] = (None, 20, 28, 35)


@dataclass(frozen=True)
class Photograph:
    """One row of the list: ``split`` is train, validation or excluded (then ``remark`` says why)."""

    split: str
    file: str
    sha256: str
    licence: str
    author: str
    source: str
    remark: str


def listed(split: str) -> list[Photograph]:
    """Photographs of one split, in the order of the list."""
    with LIST.open(encoding="utf-8", newline="") as stream:
        rows = [Photograph(**row) for row in csv.DictReader(stream)]
    return [row for row in rows if row.split == split]


def luma(folder: Path, photograph: Photograph) -> np.ndarray:
    """The photograph's luma, uint8 [H, W]. Raises ``ValueError`` if the file is not the one listed."""
    data = (folder / photograph.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != photograph.sha256:
        raise ValueError(f"{photograph.file} is not the listed photograph (SHA-256 differs)")
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)


def window(plane: np.ndarray, rng: np.random.Generator, most: tuple[int, int] = WINDOW) -> np.ndarray:
    """A scene, float32 [rows, columns]: the plane, reduced by area to a drawn size, cut to ``most`` and margins."""
    factor = min(1.0, float(rng.uniform(*SHORT_SIDES)) / min(plane.shape))  # reduction hides a file's own artefacts
    size = (round(plane.shape[1] * factor), round(plane.shape[0] * factor))
    reduced = plane if factor == 1.0 else cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    grid = 4 * SCALE  # 4:2:0 on a grid that folds twice
    rows, columns = (
        min(have - 2 * MARGIN, want) // grid * grid + 2 * MARGIN for have, want in zip(reduced.shape, most, strict=True)
    )
    top, left = int(rng.integers(reduced.shape[0] - rows + 1)), int(rng.integers(reduced.shape[1] - columns + 1))
    return reduced[top : top + rows, left : left + columns].astype(np.float32)


def averaged(truth: np.ndarray, scale: int) -> np.ndarray:
    """A true picture [SCALE*H, SCALE*W] as an ideal sensor of ``scale*H`` x ``scale*W`` sees it: means over areas."""
    step = SCALE // scale
    if step == 1:
        return truth
    rows, columns = truth.shape
    return truth.reshape(rows // step, step, columns // step, step).mean(axis=(1, 3), dtype=np.float32)


@dataclass(frozen=True)
class Sharpening:
    """By the camera: in what share of recordings, and up to what strength."""

    share: float = 0.25
    most: float = 1.2


OF_LIGHT = Sharpening()


def drawn(rng: np.random.Generator, sharpening: Sharpening = OF_LIGHT) -> Degradation:
    """A degradation of the training distribution; uniform draws where nothing else is said."""
    sigma = float(rng.uniform(0.2, 0.7))
    stretch = float(rng.uniform(0.7, 1.4)) if rng.random() < 0.25 else 1.0
    optics = Optics("gaussian", sigma_x=sigma, sigma_y=sigma * stretch, angle=float(rng.uniform(-90, 90)))
    if rng.random() < 0.1:
        optics = Optics("defocus", radius=float(rng.uniform(0.3, 1.2)))
    # Shot and read noise rise together, as gain does at night; one recording in six has none.
    strength = max(0.0, float(rng.uniform(-0.2, 1.0)))
    recorder = Recorder()
    if rng.random() < sharpening.share:
        recorder = Recorder(
            sharpen=float(rng.uniform(0.2, sharpening.most)), sharpen_sigma=float(rng.uniform(0.7, 1.5))
        )
    jitter = float(rng.choice([0.0, 0.25, 0.5, 1.0]))
    pan = (float(rng.uniform(-1.5, 1.5)), float(rng.uniform(-0.5, 0.5))) if rng.random() < 0.25 else (0.0, 0.0)
    return Degradation(
        optics=optics,
        sampling=Sampling(SCALE),
        sensor=Sensor(gain=0.06 * strength, read_noise=2.5 * strength),
        recorder=recorder,
        codec=_drawn_codec(rng),
        motion=Motion(jitter=jitter, pan_x=pan[0], pan_y=pan[1]),
    )


def _drawn_codec(rng: np.random.Generator) -> Codec:
    name = str(rng.choice(["none", "h264", "h265", "mjpeg"], p=[0.16, 0.7, 0.08, 0.06]))
    crf, quality = float(rng.uniform(18, 40)), int(rng.integers(2, 17))
    gop, bframes = int(rng.choice([12, 50])), int(rng.choice([0, 0, 1, 2]))
    preset = str(rng.choice(["veryfast", "medium"]))
    if name == "none":
        return Codec("none")
    if name == "mjpeg":
        return Codec("mjpeg", quality=quality)
    return Codec(name, crf=crf, gop=gop, bframes=bframes, preset=preset)


def training_recordings(photos: Path, sharpening: Sharpening) -> Iterator[tuple[str, Recording, np.random.Generator]]:
    """Name, recording and the generator that goes on, for every clip of every training photograph."""
    for number, photograph in enumerate(listed("train")):
        plane = luma(photos, photograph)
        for clip in range(CLIPS):
            rng = np.random.default_rng([SEED, int(photograph.sha256[:8], 16), clip])
            scene = window(plane, rng)
            recording = simulate(scene, drawn(rng, sharpening), FRAMES, int(rng.integers(2**31)), margin=MARGIN)
            yield f"{number:03d}-{clip:02d}", recording, rng


def store(folder: Path, name: str, recording: Recording, kept: list[int]) -> None:
    """Write the kept pictures: ``NAME-low.npy`` uint8 [n, H, W] and ``NAME-truth.npy`` uint8 [n, 4H, 4W]."""
    for what, pictures in (("low", recording.frames), ("truth", recording.truth)):
        stack = np.stack([np.clip(np.rint(pictures[index]), 0, 255).astype(np.uint8) for index in kept])
        np.save(folder / f"{name}-{what}.npy", stack)


def make_cache(photos: Path, folder: Path, sharpening: Sharpening) -> None:
    """Make the cache unless it is whole already (then ``COMPLETE`` lies in it)."""
    if (folder / "COMPLETE").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, recording, rng in training_recordings(photos, sharpening):
        store(folder, name, recording, [int(rng.integers(*bounds)) for bounds in KEPT])
    (folder / "COMPLETE").touch()


def load_cache(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of memory-mapped low-resolution and true pictures, in the order of their names."""
    names = sorted(path.name.removesuffix("-low.npy") for path in folder.glob("*-low.npy"))
    return [
        (np.load(folder / f"{name}-low.npy", mmap_mode="r"), np.load(folder / f"{name}-truth.npy", mmap_mode="r"))
        for name in names
    ]


def make_validation(photos: Path, folder: Path) -> None:
    """One recording of every validation photograph under the table's setting at every CRF, middle picture kept."""
    if (folder / "COMPLETE").is_file():
        return
    for crf in TABLE_CRF:
        (folder / str(crf)).mkdir(parents=True, exist_ok=True)
        for number, photograph in enumerate(listed("validation")):
            rng = np.random.default_rng([SEED, int(photograph.sha256[:8], 16)])
            scene = window(luma(photos, photograph), rng)
            how = draw(rng, "issue-table", crf=crf)
            recording = simulate(scene, how, FRAMES, number, margin=MARGIN)
            store(folder / str(crf), f"{number:03d}", recording, [recording.reference])
    (folder / "COMPLETE").touch()
