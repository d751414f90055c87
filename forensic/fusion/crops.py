"""A small crop from the middle of a window, at twice the size: what the optics and the noise are judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from forensic.fusion.motion import Motion
from forensic.fusion.sampling import Canvas, ShiftedSampling
from forensic.fusion.scattered import ScatteredSampling

SCALE = 2
CROP = 96  # px
EDGE = 4  # px at the crop's border that are not judged


@dataclass(frozen=True)
class Frame:
    """A frame that takes part: its place in the window and distance from the reference in frames; luma in the
    reference's light, motion, weight on its own grid, quantisation step."""

    place: int
    distance: int
    y: np.ndarray
    motion: Motion
    weight: np.ndarray
    step: float


Solve = Callable[[Sequence[Frame], float], np.ndarray]


def cropped(frames: Sequence[Frame]) -> list[Frame]:
    """The middle 96x96 px of ``frames``, nearest to the reference first."""
    usable = sorted(frames, key=lambda f: (f.distance, f.place))
    if not usable:
        return []
    origin = _corner(usable[0].y)
    return [_cropped(frame, origin) for frame in usable]


def _corner(picture: np.ndarray) -> np.ndarray:
    top, left = (max(0, (side - CROP) // 2) for side in picture.shape)
    return np.array([[1.0, 0.0, left], [0.0, 1.0, top], [0.0, 0.0, 1.0]])


def _cropped(frame: Frame, origin: np.ndarray) -> Frame:
    """The middle of ``frame`` with its motion from the reference's middle, which begins at ``origin``."""
    own = _corner(frame.y)
    left, top = int(own[0, 2]), int(own[1, 2])
    box = (slice(top, top + CROP), slice(left, left + CROP))
    places, trust = frame.motion.places, frame.motion.trust
    if places is not None:
        places = places[:, box[0], box[1]] - origin[:2, 2].astype(np.float32)[:, None, None]
        trust = None if trust is None else trust[box]
    motion = Motion(np.linalg.inv(own) @ frame.motion.matrix @ origin, places, trust)
    return replace(
        frame, y=np.ascontiguousarray(frame.y[box]), weight=np.ascontiguousarray(frame.weight[box]), motion=motion
    )


def unexplained(picture: np.ndarray, frame: Frame, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """(``frame`` less what ``picture`` predicts of it, weight of each pixel); ``sigma``: optics in input px."""
    shape = (frame.y.shape[0], frame.y.shape[1])
    canvas = Canvas(picture.shape[0] // SCALE, picture.shape[1] // SCALE, SCALE, 0)
    shift = frame.motion.as_shift(shape)
    covered = np.zeros(shape, bool)
    if shift is not None:
        placed = ShiftedSampling(canvas, sigma * SCALE, -shift[0], -shift[1], shape)
        covered[placed.covered] = True
        expected = placed.apply(picture)
    else:
        places = frame.motion.places_in_reference(shape)
        scattered = ScatteredSampling(canvas, sigma * SCALE, *places, frame.motion.magnification(shape))
        covered |= scattered.covered
        expected = scattered.apply(picture)
    weight = frame.weight * covered
    weight[:EDGE] = weight[-EDGE:] = 0.0
    weight[:, :EDGE] = weight[:, -EDGE:] = 0.0
    return frame.y - expected, weight
