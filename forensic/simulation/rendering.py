"""What the lens sees at a time: the scene moved, with objects in front of it, on the high-resolution grid.

Pure displacements are exact to the phase: a separable windowed sinc (Lanczos, six lobes) whose taps are
computed for the very displacement. Turns, zooms and objects go through OpenCV's Lanczos-4 warp, which
rounds sample positions to 1/32 of a high-resolution pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from forensic.errors import UsageError
from forensic.simulation.degradation import Motion
from forensic.simulation.randomness import Purpose, generator
from forensic.simulation.trajectory import Pose, Trajectory

_LOBES = 6
_BORDER = cv2.BORDER_REFLECT  # half-sample symmetric, as in the forward model


@dataclass(frozen=True)
class View:
    """One rendering: the picture float32 (rows, columns[, 3]) and how much of each pixel is an object (or None)."""

    picture: np.ndarray
    cover: np.ndarray | None


class Renderer:
    """Renders ``scene`` (float32, (rows, columns[, 3])) less ``margin`` pixels on every side, at any time."""

    def __init__(
        self,
        scene: np.ndarray,
        motion: Motion,
        trajectory: Trajectory,
        factor: int,
        margin: int,
        sprites: Sequence[np.ndarray],
        seed: int,
    ) -> None:
        self._scene, self._motion, self._trajectory, self._margin = scene, motion, trajectory, margin
        self.height, self.width = scene.shape[0] - 2 * margin, scene.shape[1] - 2 * margin
        self.sprites = tuple(
            self._sprite(number, factor, sprites, generator(seed, Purpose.OBJECT, number))
            for number in range(len(motion.objects))
        )

    def _sprite(self, number: int, factor: int, sprites: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        thing = self._motion.objects[number]
        rows, columns = max(2, round(thing.height * factor)), max(2, round(thing.width * factor))
        top, left = rng.random(2)
        if thing.sprite >= 0:
            if thing.sprite >= len(sprites):
                raise UsageError("simulation.sprite", f"Object {number} asks for sprite {thing.sprite}, not given.")
            source = sprites[thing.sprite]
            if source.ndim != self._scene.ndim:
                raise UsageError("simulation.sprite", "Scene and sprites must both be grey or both be colour.")
            smaller = source.shape[0] > rows or source.shape[1] > columns
            way = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
            return np.asarray(cv2.resize(source.astype(np.float32), (columns, rows), interpolation=way))
        rows, columns = min(rows, self._scene.shape[0]), min(columns, self._scene.shape[1])
        row, column = int(top * (self._scene.shape[0] - rows + 1)), int(left * (self._scene.shape[1] - columns + 1))
        # Mirrored, so that it does not melt into the scene that it was cut from.
        return np.ascontiguousarray(self._scene[row : row + rows, column : column + columns][:, ::-1])

    def view(self, time: float) -> View:
        """The scene at ``time`` (frames)."""
        pose = self._trajectory.pose(time)
        picture = self._shifted(pose) if pose.is_shift else self._warped(pose)
        if not self._motion.objects:
            return View(picture, None)
        cover = np.zeros((self.height, self.width), np.float32)
        size = (self.width, self.height)
        for thing, sprite in zip(self._motion.objects, self.sprites, strict=True):
            place = self._trajectory.placement(thing, time, self.width, self.height, sprite.shape[:2])
            patch = cv2.warpPerspective(sprite, place, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
            alpha = cv2.warpPerspective(np.ones(sprite.shape[:2], np.float32), place, size, flags=cv2.INTER_LINEAR)
            share = alpha[..., None] if picture.ndim == 3 else alpha
            picture = share * patch + (1 - share) * picture
            cover = np.maximum(cover, alpha)
        return View(picture, cover)

    def _shifted(self, pose: Pose) -> np.ndarray:
        # Output sample i lies at scene position i + margin - displacement.
        column, across = _split(self._margin - pose.x)
        row, down = _split(self._margin - pose.y)
        if across is None and down is None:
            return _window(self._scene, row, column, self.height, self.width)
        reach = _LOBES
        cut = _window(self._scene, row - reach, column - reach, self.height + 2 * reach, self.width + 2 * reach)
        one = np.ones(1, np.float32)
        moved = cv2.sepFilter2D(cut, cv2.CV_32F, one if across is None else across, one if down is None else down)
        return np.ascontiguousarray(moved[reach : reach + self.height, reach : reach + self.width])

    def _warped(self, pose: Pose) -> np.ndarray:
        to_scene = np.eye(3)
        to_scene[:2, 2] = self._margin
        source = to_scene @ np.linalg.inv(pose.homography(self.width, self.height))
        return np.asarray(
            cv2.warpPerspective(
                self._scene, source, (self.width, self.height),
                flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP, borderMode=_BORDER,
            )
        )  # fmt: skip


def _split(position: float) -> tuple[int, np.ndarray | None]:
    """Whole part of a position and the correlation kernel (odd, centred) of the rest, None where there is none."""
    whole = int(np.floor(position))
    rest = position - whole
    if rest == 0.0:
        return whole, None
    taps = np.arange(-_LOBES, _LOBES + 1) - rest
    weights = np.where(np.abs(taps) < _LOBES, np.sinc(taps) * np.sinc(taps / _LOBES), 0.0)
    return whole, (weights / weights.sum()).astype(np.float32)


def _window(picture: np.ndarray, row: int, column: int, height: int, width: int) -> np.ndarray:
    """Part of ``picture`` that may reach beyond it: there it is mirrored."""
    above, left = max(0, -row), max(0, -column)
    below, right = max(0, row + height - picture.shape[0]), max(0, column + width - picture.shape[1])
    if above or left or below or right:
        picture = cv2.copyMakeBorder(picture, above, below, left, right, _BORDER)
    row, column = row + above, column + left
    return np.ascontiguousarray(picture[row : row + height, column : column + width])


def blurred_by_turning(picture: np.ndarray, arc: float) -> np.ndarray:
    """Mean of ``picture`` over a turn by ``arc`` degrees about its middle, half before and half after.

    As many steps as the corner moves pixels, at most 64, each standing for its share of the arc.
    """
    height, width = picture.shape[:2]
    steps = int(np.clip(np.ceil(np.deg2rad(arc) * np.hypot(height, width) / 2), 2, 64))
    total = np.zeros_like(picture)
    for turn in arc * ((np.arange(steps) + 0.5) / steps - 0.5):
        place = Pose(0.0, 0.0, float(turn), 0.0).homography(width, height)[:2]
        total += cv2.warpAffine(picture, place, (width, height), flags=cv2.INTER_LINEAR, borderMode=_BORDER)
    return total / np.float32(steps)
