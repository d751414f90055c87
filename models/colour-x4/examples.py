"""What the colour models learn from: simulated colour recordings, enlarged as the program enlarges them.

The scenes are light-x4's photographs in colour, its ``recordings.py`` says how they are degraded; here colour filter
arrays and changes of saturation come in addition. A recording is encoded and decoded as 4:2:0 by a real encoder. Of
each, some frames are kept, at every scale: luma as a shipped model restores it, chroma as the stages interpolate it,
and the chroma of the scene, halved as the recorder halves it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "light-x4"))

import recordings
from recordings import MARGIN, SCALE, Photograph

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import Geometry
from forensic.frames.layout import LAYOUTS
from forensic.registry.cards import load_card
from forensic.registry.loading import LoadedModel, load_model
from forensic.simulation.degradation import Degradation
from forensic.simulation.draw import draw
from forensic.simulation.recorder import halved_chroma
from forensic.simulation.sensor import area_mean
from forensic.simulation.simulator import Recording, simulate
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import resample, scaled_axes

SEED = 20261203
SCALES = (4, 2, 1)
CLIPS = 10  # recordings of every training photograph
WINDOW = (448, 640)  # most rows and columns of a true picture
FRAMES = 6
KEPT = ((0, 2), (2, 6))  # one frame is kept of each of these ranges
BAYER = 0.3  # share of recordings with a colour filter array
SATURATION = (0.6, 1.5)  # of the scene, relative to the photograph
CENTRED = "center"  # where MJPEG has chroma; others have it at the left
NEUTRAL = np.float32(128.0)


@dataclass(frozen=True)
class Example:
    """One frame at one scale: luma uint8 [2sH, 2sW]; interpolated and true chroma less 128, float16 [2, sH, sW]."""

    luma: np.ndarray
    given: np.ndarray
    truth: np.ndarray


def photograph(folder: Path, listed: Photograph) -> np.ndarray:
    """The photograph, uint8 RGB [H, W, 3]. Raises ``ValueError`` if the file is not the one listed."""
    data = (folder / listed.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != listed.sha256:
        raise ValueError(f"{listed.file} is not the listed photograph (SHA-256 differs)")
    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1])


def window(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A scene, float32 RGB: the photograph turned, reduced by area to a drawn size, cut, its saturation changed."""
    picture = np.rot90(picture, int(rng.integers(4)))
    picture = np.ascontiguousarray(picture[:, ::-1] if rng.integers(2) else picture)
    factor = min(1.0, float(rng.uniform(*recordings.SHORT_SIDES)) / min(picture.shape[:2]))
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    reduced = picture if factor == 1.0 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    grid = 4 * SCALE  # 4:2:0 on a grid that folds twice
    rows, columns = (
        min(have - 2 * MARGIN, want) // grid * grid + 2 * MARGIN
        for have, want in zip(reduced.shape[:2], WINDOW, strict=True)
    )
    top, left = int(rng.integers(reduced.shape[0] - rows + 1)), int(rng.integers(reduced.shape[1] - columns + 1))
    scene = reduced[top : top + rows, left : left + columns].astype(np.float32)
    grey = cv2.transform(scene, np.full((1, 3), 1 / 3, np.float32))[..., None]
    saturated = grey + np.float32(rng.uniform(*SATURATION)) * (scene - grey)
    return np.clip(saturated, 0, 255)


def drawn(rng: np.random.Generator) -> Degradation:
    """A degradation as for light-x4, with a colour filter array in a share of the recordings."""
    how = recordings.drawn(rng)
    return replace(how, sampling=replace(how.sampling, bayer=bool(rng.random() < BAYER)))


def interpolated(chroma: tuple[np.ndarray, ...], scale: int, centred: bool, kernel: str = "lanczos") -> np.ndarray:
    """Chroma planes float32 [H, W] of a 4:2:0 picture as the stages enlarge them: [2, scale*H, scale*W]."""
    rows, columns = chroma[0].shape
    geometry = [Geometry(2 * s * columns, 2 * s * rows, LAYOUTS["yuv420p"]) for s in (1, scale)]
    (down, across) = scaled_axes(*geometry, ColourSpec(chroma_location=CENTRED if centred else "left"))[1]
    return np.stack([resample(plane, down, across, KERNELS[kernel]) for plane in chroma])


def true_chroma(recording: Recording, frame: int, scale: int) -> np.ndarray:
    """Chroma of the scene on the grid of a result of ``scale``: means over its pixels, then halved; [2, sH, sW]."""
    assert recording.truth_chroma is not None
    centred = recording.degradation.codec.name == "mjpeg"
    planes = (area_mean(plane, recording.factor // scale) for plane in recording.truth_chroma[frame])
    return np.stack([halved_chroma(plane, False, centred) for plane in planes])


def example(recording: Recording, frame: int, enlarging: LoadedModel) -> Example:
    """What is kept of a frame at the scale of ``enlarging``, whose luma it shows."""
    assert recording.chroma is not None
    scale, centred = enlarging.scale, recording.degradation.codec.name == "mjpeg"
    luma = np.clip(np.rint(enlarging.upscale_luma(recording.frames[frame])), 0, 255).astype(np.uint8)
    given = interpolated(recording.chroma[frame], scale, centred) - NEUTRAL
    truth = true_chroma(recording, frame, scale) - NEUTRAL
    return Example(luma, given.astype(np.float16), truth.astype(np.float16))


def store(path: Path, examples: list[Example]) -> None:
    """Write frames of one clip at one scale, so that a stop at any moment leaves a whole file or none."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.savez(
            stream,
            **{name: np.stack([getattr(each, name) for each in examples]) for name in ("luma", "given", "truth")},
        )
    partial.replace(path)


def load(folder: Path) -> list[Example]:
    """All examples of a folder, in the order of their names."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as planes:
            luma, given, truth = (planes[name] for name in ("luma", "given", "truth"))
        found += [Example(*parts) for parts in zip(luma, given, truth, strict=True)]
    return found


def clips() -> Iterator[tuple[str, Photograph, int]]:
    """Name, photograph and number of every clip: the first of every photograph, then the second, and so on."""
    listed = recordings.listed("train")
    for clip in range(CLIPS):
        for number, each in enumerate(listed):
            yield f"{clip:02d}-{number:03d}", each, clip


def make(photos: Path, folder: Path) -> None:
    """Make the training examples at all scales that are not there yet: ``FOLDER/SCALE/NAME.npz``."""
    kinds = [(kind, scale) for kind in ("light", "single") for scale in SCALES]
    models = {(kind, scale): load_model(load_card(f"{kind}-x{scale}")) for kind, scale in kinds}
    for scale in SCALES:
        (folder / str(scale)).mkdir(parents=True, exist_ok=True)
    for name, listed, clip in clips():
        paths = {scale: folder / str(scale) / f"{name}.npz" for scale in SCALES}
        if all(path.is_file() for path in paths.values()):
            continue
        rng = np.random.default_rng([SEED, int(listed.sha256[:8], 16), clip])
        scene = window(photograph(photos, listed), rng)
        recording = simulate(scene, drawn(rng), FRAMES, int(rng.integers(2**31)), margin=MARGIN)
        kept = [int(rng.integers(*bounds)) for bounds in KEPT]
        by = [str(rng.choice(["light", "single"])) for _ in kept]
        for scale, path in paths.items():
            store(path, [example(recording, f, models[kind, scale]) for f, kind in zip(kept, by, strict=True)])


def make_validation(photos: Path, folder: Path, scale: int) -> None:
    """One recording of every validation photograph under the table's setting at every CRF, middle frame kept."""
    model = load_model(load_card(f"light-x{scale}"))
    for crf in recordings.TABLE_CRF:
        place = folder / str(crf) / str(scale)
        place.mkdir(parents=True, exist_ok=True)
        for number, listed in enumerate(recordings.listed("validation")):
            path = place / f"{number:03d}.npz"
            if path.is_file():
                continue
            rng = np.random.default_rng([SEED, int(listed.sha256[:8], 16)])
            scene = window(photograph(photos, listed), rng)
            recording = simulate(scene, draw(rng, "issue-table", crf=crf), FRAMES, number, margin=MARGIN)
            store(path, [example(recording, recording.reference, model)])
