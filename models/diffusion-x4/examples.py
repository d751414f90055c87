"""What diffusion-x4 learns from: simulated colour recordings, what the fidelity model makes of them, and the scenes.

The scenes are light-x4's photographs in colour. Cameras, codecs and motion are those of its ``recordings.py``, with two
differences: H.264 and H.265 run at CRF 18 to 32, and one recording in five is clean (little blur, no noise, no codec).
A recording is encoded and decoded as 4:2:0 by a real encoder, and brought to R'G'B' as the stage does it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "light-x4"))

import recordings
from recordings import SCALE, Photograph

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.registry.architectures.residual_shift.network import ResidualShift
from forensic.simulation.degradation import Codec, Degradation, Motion, Optics, Sensor
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate
from forensic.stages.rgb import rgb_of

SEED = 20261211
CLIPS = 16  # recordings of every training photograph
SIZE = (96, 128)  # rows and columns of a recording
MARGIN = 32  # more of the scene on every side, so that the camera's motion uncovers real scene
FRAMES, KEPT = 4, (0, 3)  # an intra frame and one that was predicted
SATURATION = (0.6, 1.4)  # of the scene, relative to the photograph
CRF = (18.0, 32.0)
CLEAN = 0.2  # share of recordings
TABLE_CRF: tuple[int | None, ...] = (None, 28)  # of the validation pictures


@dataclass(frozen=True)
class Example:
    """uint8 [3, ...], R'G'B': the recording, what the steps start from, and the scene, both SCALE times larger."""

    low: np.ndarray
    base: np.ndarray
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
    rows, columns = (SCALE * side + 2 * MARGIN for side in SIZE)
    least = max(rows / picture.shape[0], columns / picture.shape[1])
    factor = min(1.0, max(least, float(rng.uniform(*recordings.SHORT_SIDES)) / min(picture.shape[:2])))
    size = (max(columns, round(picture.shape[1] * factor)), max(rows, round(picture.shape[0] * factor)))
    reduced = picture if factor == 1.0 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    top, left = int(rng.integers(reduced.shape[0] - rows + 1)), int(rng.integers(reduced.shape[1] - columns + 1))
    scene = reduced[top : top + rows, left : left + columns].astype(np.float32)
    grey = cv2.transform(scene, np.full((1, 3), 1 / 3, np.float32))[..., None]
    saturated = grey + np.float32(rng.uniform(*SATURATION)) * (scene - grey)
    return np.clip(saturated, 0, 255)


def drawn(rng: np.random.Generator) -> Degradation:
    """A degradation of the training distribution."""
    how = recordings.drawn(rng)
    crf, clean, sigma = float(rng.uniform(*CRF)), bool(rng.random() < CLEAN), float(rng.uniform(0.1, 0.45))
    if clean:
        return replace(
            how,
            optics=Optics("gaussian", sigma_x=sigma, sigma_y=sigma),
            sensor=Sensor(gain=0.0, read_noise=0.0),
            codec=Codec("none"),
            motion=Motion(),
        )
    return replace(how, codec=replace(how.codec, crf=crf)) if how.codec.name in ("h264", "h265") else how


def recorded_rgb(recording: Recording, frame: int) -> np.ndarray:
    """A recorded frame, float32 [3, H, W], R'G'B' of 0 to 1, as the stage sees it."""
    assert recording.chroma is not None
    planes = (recording.frames[frame], *recording.chroma[frame])
    colour = ColourSpec(
        matrix=6, full_range=True, chroma_location="center" if recording.degradation.codec.name == "mjpeg" else "left"
    )
    geometry = Geometry(planes[0].shape[1], planes[0].shape[0], LAYOUTS["yuv420p"])
    copied = tuple(np.array(plane, np.float32) for plane in planes)
    return rgb_of(WorkingFrame(copied, geometry, colour, FrameTiming(0, 0, recording.time_base), StageClass.FIDELITY))


def true_rgb(recording: Recording, frame: int) -> np.ndarray:
    """The scene of a frame, float32 [3, SCALE*H, SCALE*W], R'G'B' of 0 to 1."""
    assert recording.truth_chroma is not None
    luma = recording.truth[frame]
    blue, red = (plane - np.float32(128) for plane in recording.truth_chroma[frame])
    green = luma - np.float32(0.344136) * blue - np.float32(0.714136) * red
    return np.stack([luma + np.float32(1.402) * red, green, luma + np.float32(1.772) * blue]) / np.float32(255)


def eight_bits(picture: np.ndarray) -> np.ndarray:
    """0 to 1 as uint8, nearest."""
    return np.clip(np.rint(255 * picture), 0, 255).astype(np.uint8)


def enlarged(network: ResidualShift, low: np.ndarray) -> np.ndarray:
    """What the steps start from, uint8 [3, SCALE*H, SCALE*W], of uint8 [3, H, W]."""
    picture = torch.from_numpy(np.pad(low.astype(np.float32) / np.float32(255), _around(network), mode="edge"))
    with torch.inference_mode():
        return eight_bits(network(picture[None])[0].numpy())


def _around(network: ResidualShift) -> list[tuple[int, int]]:
    return [(0, 0), (network.context, network.context), (network.context, network.context)]


def example(recording: Recording, frame: int, network: ResidualShift) -> Example:
    """What is kept of a frame."""
    low = eight_bits(np.clip(recorded_rgb(recording, frame), 0, 1))
    return Example(low, enlarged(network, low), eight_bits(true_rgb(recording, frame)))


def clips() -> Iterator[tuple[Photograph, int]]:
    """Photograph and number of every clip: the first of every photograph, then the second, and so on."""
    listed = recordings.listed("train")
    return ((each, clip) for clip in range(CLIPS) for each in listed)


def _files(folder: Path, count: int, mode: str) -> dict[str, np.ndarray]:
    """The three arrays of ``count`` examples, memory-mapped."""
    found: dict[str, np.ndarray] = {}
    for name, factor in (("low", 1), ("base", SCALE), ("truth", SCALE)):
        shape = (count, 3, factor * SIZE[0], factor * SIZE[1])
        path = folder / f"{name}.npy"
        found[name] = (
            np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
            if mode == "w+" else np.load(path, mmap_mode="r")
        )  # fmt: skip
    return found


def make(photos: Path, folder: Path, network: ResidualShift) -> None:
    """Make the training examples, unless they are whole already (then ``COMPLETE`` lies there)."""
    _make(folder, len(KEPT) * CLIPS * len(recordings.listed("train")), _training(photos), network, KEPT)


def make_validation(photos: Path, folder: Path, network: ResidualShift) -> None:
    """One recording of every validation photograph under the table's setting at every CRF, middle frame kept."""
    count = len(TABLE_CRF) * len(recordings.listed("validation"))
    _make(folder, count, _validation(photos), network, None)


def _make(
    folder: Path, count: int, made: Iterator[Recording], network: ResidualShift, kept: tuple[int, ...] | None
) -> None:
    if (folder / "COMPLETE").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    planes, place = _files(folder, count, "w+"), 0
    for recording in made:
        for frame in kept or (recording.reference,):
            one = example(recording, frame, network)
            for name, plane in planes.items():
                plane[place] = getattr(one, name)
            place += 1
        if place % 100 < 2:
            print("example", place, "of", count, flush=True)
    (folder / "COMPLETE").touch()


def _training(photos: Path) -> Iterator[Recording]:
    for listed, clip in clips():
        rng = np.random.default_rng([SEED, int(listed.sha256[:8], 16), clip])
        scene = window(photograph(photos, listed), rng)
        yield simulate(scene, drawn(rng), FRAMES, int(rng.integers(2**31)), margin=MARGIN)


def _validation(photos: Path) -> Iterator[Recording]:
    for crf in TABLE_CRF:
        for number, listed in enumerate(recordings.listed("validation")):
            rng = np.random.default_rng([SEED, int(listed.sha256[:8], 16)])
            scene = window(photograph(photos, listed), rng)
            yield simulate(scene, draw(rng, "issue-table", crf=crf), FRAMES, number, margin=MARGIN)


def load(folder: Path) -> dict[str, np.ndarray]:
    """The arrays ``low``, ``base``, ``truth`` of a folder, [count, 3, ...], memory-mapped."""
    return _files(folder, 0, "r")
