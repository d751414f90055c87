"""Recordings with known truth for the tests and the measurement of the estimators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from forensic.estimation.sampling import Observation
from forensic.media.quantisers import FrameCoding, parse_jpeg_tables
from forensic.simulation.degradation import Codec, Degradation, Motion, Optics, Recorder, Sampling, Sensor
from forensic.simulation.simulator import Recording, simulate

SCALES = {"h264": "h264", "mpeg4": "mpeg"}
SHARP = Optics("gaussian", sigma_x=0.35, sigma_y=0.35)


def drawn_scene(seed: int, rows: int = 320, columns: int = 480) -> np.ndarray:
    """A scene without a file: polygons with sharp edges over a shading and a texture that falls off as pictures do."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(2 * rows)[:, None], np.fft.rfftfreq(2 * columns)[None, :])
    frequency[0, 0] = 1.0
    phases = np.exp(2j * np.pi * rng.random(frequency.shape))
    texture = np.fft.irfft2(phases / frequency**1.6, s=(2 * rows, 2 * columns))
    scene = 110.0 + 14.0 * (texture - texture.mean()) / texture.std()
    fine = 8  # polygons are drawn at 1/256 pixel
    for _ in range(40):
        centre = rng.uniform((0, 0), (2 * columns, 2 * rows))
        corners = centre + rng.uniform(-120, 120, (int(rng.integers(3, 6)), 2))
        hull = cv2.convexHull((corners * (1 << fine)).astype(np.int32))
        mask = np.zeros(scene.shape, np.uint8)
        cv2.fillConvexPoly(mask, hull, 255, cv2.LINE_8, fine)
        share = mask.astype(np.float64) / 255.0
        scene = scene * (1 - share) + share * (rng.uniform(25, 225) + 0.4 * (scene - 110.0))
    small = cv2.resize(scene, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.clip(small, 8, 247).astype(np.float32)


def photographs(folder: Path, most: int, rows: int = 320, columns: int = 480, first: int = 0) -> list[np.ndarray]:
    """Luma of up to ``most`` photographs of ``folder``, evenly chosen, larger ones reduced, cut to one size."""
    files = sorted(folder.rglob("*.jpg"))[first:]
    found = []
    for path in files[:: max(1, len(files) // most)]:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            continue
        if picture.shape[0] > picture.shape[1]:
            picture = np.ascontiguousarray(picture.T)
        share = max(2.0 * rows / picture.shape[0], 2.0 * columns / picture.shape[1])
        if share < 1.0:
            picture = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
        if top >= 0 and left >= 0:
            found.append(picture[top : top + rows, left : left + columns].astype(np.float32))
    return found[:most]


def record(scene: np.ndarray, seed: int = 1, frames: int = 6, factor: int = 2, **parts: Any) -> Recording:
    """Simulate; parts of the degradation by name (``optics``, ``sensor``, ``recorder``, ``codec``, ``motion``)."""
    margin = int(parts.pop("margin", 0))
    degradation = Degradation(
        optics=parts.pop("optics", SHARP),
        sampling=Sampling(factor),
        sensor=parts.pop("sensor", Sensor(gain=0.0, read_noise=1.0)),
        recorder=parts.pop("recorder", Recorder()),
        codec=parts.pop("codec", Codec()),
        motion=parts.pop("motion", Motion(jitter=0.5)),
    )
    assert not parts, parts
    return simulate(scene, degradation, frames, seed, margin=margin)


def observed(recording: Recording, *, told: bool = True) -> list[Observation]:
    """The frames; with what the bitstream says of the quantiser if ``told``."""
    name = recording.degradation.codec.name
    found = []
    for number, luma in enumerate(recording.frames):
        coding = None
        if told and name != "none":
            kind = recording.frame_types[number]
            quantiser = recording.qp[number]
            if name == "mjpeg":
                coding = FrameCoding("I", "jpeg", tables=parse_jpeg_tables(recording.stream))
            elif quantiser is not None and name in SCALES:
                coding = FrameCoding(kind, SCALES[name], ((round(quantiser), luma.size),))
            else:
                coding = FrameCoding(kind, why_not="not exported")
        found.append(Observation(number, luma.astype(np.uint8), 8, coding))
    return found
