"""Where the camera and the objects are at a time: homographies between high-resolution pictures.

A homography maps pixel coordinates (x, y) of the reference picture, (0, 0) being the middle of the first
pixel, to those of the picture at time t (in frames; whole for frames, halves for second fields).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forensic.simulation.degradation import Motion, MovingObject
from forensic.simulation.randomness import Purpose, generator


@dataclass(frozen=True)
class Pose:
    """Displacement of the picture's middle (high-resolution px), turn (degrees) and logarithm of the zoom."""

    x: float
    y: float
    turn: float
    log_zoom: float

    @property
    def is_shift(self) -> bool:
        """Whether nothing but a displacement is left."""
        return self.turn == 0.0 and self.log_zoom == 0.0

    def homography(self, width: int, height: int) -> np.ndarray:
        """Float64 (3, 3) for a picture of that size; turn and zoom are about its middle."""
        return _about(((width - 1) / 2, (height - 1) / 2), self.x, self.y, self.turn, self.log_zoom)


class Trajectory:
    """The camera's pose at every time; at frame ``reference`` it is exactly at rest."""

    def __init__(self, motion: Motion, factor: int, frames: int, reference: int, seed: int) -> None:
        self._motion, self._factor, self._reference = motion, factor, reference
        # One more than there are frames: the last second field lies between two.
        draws = np.array([generator(seed, Purpose.JITTER, frame).standard_normal(3) for frame in range(frames + 1)])
        self._draws = draws - draws[reference]

    def pose(self, time: float) -> Pose:
        """Pose at ``time`` in frames; jitter between frames is interpolated linearly."""
        before = int(np.floor(time))
        share = time - before
        after = min(before + 1, len(self._draws) - 1)
        jitter = (1 - share) * self._draws[before] + share * self._draws[after]
        motion, elapsed = self._motion, time - self._reference
        return Pose(
            x=self._factor * float(motion.pan_x * elapsed + motion.jitter * jitter[0]),
            y=self._factor * float(motion.pan_y * elapsed + motion.jitter * jitter[1]),
            turn=float(motion.turn * elapsed + motion.jitter_turn * jitter[2]),
            log_zoom=float(np.log1p(motion.zoom) * elapsed),
        )

    def placement(
        self, thing: MovingObject, time: float, width: int, height: int, sprite: tuple[int, int]
    ) -> np.ndarray:
        """Homography from the pixels of an object's picture of ``sprite`` (rows, columns) to the picture at ``time``.

        ``width``, ``height``: of the high-resolution picture. The camera's motion is on top of the object's.
        """
        elapsed = time - self._reference
        rows, columns = sprite
        middle = np.array([[1.0, 0.0, -(columns - 1) / 2], [0.0, 1.0, -(rows - 1) / 2], [0.0, 0.0, 1.0]])
        x = thing.centre_x * width - 0.5 + self._factor * thing.velocity_x * elapsed
        y = thing.centre_y * height - 0.5 + self._factor * thing.velocity_y * elapsed
        own = _about((0.0, 0.0), x, y, thing.turn * elapsed, float(np.log1p(thing.zoom)) * elapsed)
        return np.asarray(self.pose(time).homography(width, height) @ own @ middle)


def _about(middle: tuple[float, float], x: float, y: float, turn: float, log_zoom: float) -> np.ndarray:
    angle, zoom = np.deg2rad(turn), np.exp(log_zoom)
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.array([[cosine, sine], [-sine, cosine]])  # counter-clockwise on the screen
    centre = np.array(middle)
    result = np.eye(3)
    result[:2, :2] = linear
    result[:2, 2] = centre - linear @ centre + (x, y)
    return result


def on_low_resolution(homography: np.ndarray, factor: int) -> np.ndarray:
    """The same motion between pictures whose pixels are ``factor`` x ``factor`` of those: float64 (3, 3)."""
    offset = (factor - 1) / 2
    up = np.array([[factor, 0.0, offset], [0.0, factor, offset], [0.0, 0.0, 1.0]])
    return np.asarray(np.linalg.inv(up) @ homography @ up)
