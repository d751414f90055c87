"""Small recordings with known motion: a drawn scene, seen by the simulator's camera."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from forensic.simulation.degradation import Codec, Degradation, Motion, MovingObject, Optics, Sampling, Sensor
from forensic.simulation.recorder import Recorder
from forensic.simulation.simulator import Recording, simulate

MARGIN = 16


def drawn(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with edges of all directions, lettering and texture, float32, 30..220."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    picture = np.rint(90 + 50 * x / width + 20 * y / height).astype(np.uint8)
    for _ in range(height * width // 700):
        level = float(generator.uniform(30, 220))
        centre = (int(generator.uniform(0, width)), int(generator.uniform(0, height)))
        axes = (int(generator.uniform(3, 4 + 0.11 * width)), int(generator.uniform(3, 4 + 0.11 * height)))
        angle = float(generator.uniform(0, 180))
        if generator.random() < 0.5:
            cv2.ellipse(picture, centre, axes, angle, 0, 360, level, -1, cv2.LINE_AA)
        else:
            box = cv2.boxPoints((centre, axes, angle))
            cv2.fillPoly(picture, [np.rint(box).astype(np.int32)], level, cv2.LINE_AA)
    for row in range(20, height, 45):
        cv2.putText(picture, "KN 4827 XR", (int(generator.uniform(0, 40)), row), 0, 0.6, 35.0, 2, cv2.LINE_AA)
    return cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.5)


def recording(
    scene: np.ndarray,
    *,
    frames: int = 7,
    factor: int = 4,
    noise: float = 1.0,
    seed: int = 3,
    crf: float | None = None,
    **motion: float,
) -> Recording:
    """``scene`` through Gaussian optics of 0.35 px, area sampling and noise; ``motion`` as in ``Motion``."""
    degradation = Degradation(
        optics=Optics("gaussian", sigma_x=0.35, sigma_y=0.35),
        sampling=Sampling(factor),
        sensor=Sensor(gain=0.0, read_noise=noise),
        recorder=Recorder(),
        codec=Codec("none") if crf is None else Codec("h264", crf=crf, gop=50, bframes=0),
        motion=Motion(**({"jitter": 0.6} | motion)),
        profile="tests",
    )
    return simulate(scene, degradation, frames, seed, margin=MARGIN)


def with_object(scene: np.ndarray, thing: MovingObject, sprite: np.ndarray, *, frames: int, seed: int = 3) -> Recording:
    """``scene`` at x4 with ``sprite`` moving in front of it."""
    plain = recording(scene, frames=frames, seed=seed).degradation
    moving = replace(plain, motion=replace(plain.motion, objects=(thing,)))
    return simulate(scene, moving, frames, seed, margin=MARGIN, sprites=[sprite])


def luma(made: Recording) -> list[np.ndarray]:
    """Frames as float32 arrays that own their memory."""
    return [np.array(frame, np.float32) for frame in made.frames]


def bicubic(picture: np.ndarray, factor: int) -> np.ndarray:
    """The plain enlargement that fusion is compared with."""
    size = (picture.shape[1] * factor, picture.shape[0] * factor)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC))


def psnr(made: np.ndarray, truth: np.ndarray, edge: int = 8) -> float:
    """dB over all but ``edge`` px at the border."""
    error = np.clip(made, 0, 255).astype(np.float64) - truth
    return float(10 * np.log10(255.0**2 / np.mean(error[edge:-edge, edge:-edge] ** 2)))
