"""Damage planted on real frames, so that its place and what it hides are known; and how a repair is judged.

Damage is put on decoded luma and, where colour is asked for, makes it neutral. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

Kind = Literal["blotches", "scratches", "occlusion", "standing"]
SUCCESS_DB = 30.0
"""A damaged region counts as repaired from this PSNR (luma, peak 255; RMS error of 8 levels) to the undamaged frame."""
SMALLEST_REGION = 16  # px: smaller regions are not counted one by one


@dataclass(frozen=True)
class Damaged:
    """``frames``: uint8 luma as damaged; ``masks``: boolean, the pixels that were changed."""

    frames: list[np.ndarray]
    masks: list[np.ndarray]


def plant(frames: Sequence[np.ndarray], kind: Kind, share: float, seed: int) -> Damaged:
    """Damage about ``share`` of every one of ``frames`` (uint8 luma of one shape).

    ``blotches``: irregular spots of 4 to 40 px, bright or dark, elsewhere in every frame. ``scratches``: upright lines
    1 to 4 px wide through the whole picture, lighter or darker by 25 to 80 levels, that wander from frame to frame.
    ``occlusion``: one or a few things of 30 to 120 px that cross the picture at 5 to 20 px a frame. ``standing``: the
    same rectangles at the same place in every frame (inserted text, dirt on the lens).
    """
    generator = np.random.default_rng(seed)
    shape = frames[0].shape
    if kind == "scratches":
        layers = _scratches(len(frames), shape, share, generator)
    elif kind == "blotches":
        layers = [_blotches(shape, share, generator) for _ in frames]
    elif kind == "occlusion":
        layers = _occlusions(len(frames), shape, share, generator)
    else:
        layers = [_rectangles(shape, share, generator)] * len(frames)
    damaged, masks = [], []
    for frame, (alpha, add, level) in zip(frames, layers, strict=True):
        made = frame + add
        made = (1.0 - alpha) * made + alpha * level
        coded = np.clip(np.rint(made), 0, 255).astype(np.uint8)
        damaged.append(coded)
        masks.append((alpha > 0) | (add != 0))
    return Damaged(damaged, masks)


Layer = tuple[np.ndarray, np.ndarray, np.ndarray]  # opacity, levels added, level painted


def _empty(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)


def _blotches(shape: tuple[int, int], share: float, generator: np.random.Generator) -> Layer:
    alpha, add, level = _empty(shape)
    while np.mean(alpha > 0) < share:
        side = int(np.exp(generator.uniform(np.log(4), np.log(40))))
        box = 2 * side + 1
        noise = cv2.GaussianBlur(generator.normal(size=(box, box)).astype(np.float32), (0, 0), max(side / 4, 1))
        y, x = np.mgrid[-side : side + 1, -side : side + 1] / (side * 0.75)
        spot = (1.0 - np.hypot(x, y) + noise / max(float(noise.std()), 1e-6) * 0.25 > 0).astype(np.float32)
        soft = np.where(spot > 0, np.maximum(cv2.GaussianBlur(spot, (0, 0), 0.7), 0.2), 0.0)
        value = generator.uniform(5, 45) if generator.random() < 0.5 else generator.uniform(205, 250)
        grain = value + generator.normal(0, 6, soft.shape)
        _put(alpha, level, soft, grain, generator)
    return alpha, add, level


def _put(
    alpha: np.ndarray, level: np.ndarray, soft: np.ndarray, value: np.ndarray, generator: np.random.Generator
) -> None:
    rows, columns = soft.shape
    top = int(generator.integers(-(rows // 2), alpha.shape[0] - rows // 2))
    left = int(generator.integers(-(columns // 2), alpha.shape[1] - columns // 2))
    _lay(alpha, level, soft, value, top, left)


def _lay(alpha: np.ndarray, level: np.ndarray, soft: np.ndarray, value: np.ndarray, top: int, left: int) -> None:
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + soft.shape[0], alpha.shape[0]), min(left + soft.shape[1], alpha.shape[1])
    if y0 >= y1 or x0 >= x1:
        return
    part = soft[y0 - top : y1 - top, x0 - left : x1 - left]
    here = part > 0
    alpha[y0:y1, x0:x1][here] = np.maximum(alpha[y0:y1, x0:x1], part)[here]
    level[y0:y1, x0:x1][here] = value[y0 - top : y1 - top, x0 - left : x1 - left][here]


def _scratches(count: int, shape: tuple[int, int], share: float, generator: np.random.Generator) -> list[Layer]:
    lines, wide = [], 0
    while wide < share * shape[1]:
        width = int(generator.integers(1, 5))
        strength = generator.uniform(25, 80) * generator.choice([-1, 1])
        lines.append((generator.uniform(0, shape[1]), width, strength, generator.uniform(2.0, 6.0)))
        wide += width
    layers = []
    places = [line[0] for line in lines]
    for _ in range(count):
        alpha, add, level = _empty(shape)
        for number, (_, width, strength, wander) in enumerate(lines):
            places[number] += generator.normal(0, wander)
            slant = np.linspace(0, generator.uniform(-2, 2), shape[0])
            texture = strength * (1 + 0.2 * cv2.GaussianBlur(generator.normal(size=(shape[0], 1)), (0, 0), 3))[:, 0]
            columns = np.rint(places[number] + slant).astype(int)
            for offset in range(width):
                inside = (columns + offset >= 0) & (columns + offset < shape[1])
                add[np.flatnonzero(inside), (columns + offset)[inside]] = texture[inside]
        layers.append((alpha, add, level))
    return layers


def _occlusions(count: int, shape: tuple[int, int], share: float, generator: np.random.Generator) -> list[Layer]:
    things, area = [], 0.0
    while area < share * shape[0] * shape[1]:
        height, width = (int(side) for side in generator.integers(30, 121, 2))
        angle, speed = generator.uniform(0, 2 * np.pi), generator.uniform(5, 20)
        place = generator.uniform(0, 1, 2) * (shape[0] - height, shape[1] - width)
        value = generator.uniform(20, 235) + generator.normal(0, 8, (height, width))
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        things.append((place, speed * np.array([np.sin(angle), np.cos(angle)]), (np.hypot(x, y) <= 1) * 1.0, value))
        area += height * width * np.pi / 4
    layers = []
    for number in range(count):
        alpha, add, level = _empty(shape)
        for place, step, soft, value in things:
            top, left = np.rint(place + (number - count // 2) * step).astype(int)
            _lay(alpha, level, soft, value, int(top), int(left))
        layers.append((alpha, add, level))
    return layers


def _rectangles(shape: tuple[int, int], share: float, generator: np.random.Generator) -> Layer:
    alpha, add, level = _empty(shape)
    while np.mean(alpha > 0) < share:
        height, width = int(generator.integers(8, 25)), int(generator.integers(20, 101))
        value = generator.uniform(5, 250) + generator.normal(0, 3, (height, width))
        _put(alpha, level, np.ones((height, width)), value, generator)
    return alpha, add, level


@dataclass(frozen=True)
class Repair:
    """How a repair of one frame compares with the truth, within the damage.

    ``psnr``: of all damaged pixels together. ``regions`` and ``succeeded``: connected damaged regions of at least 16
    px, and those of them with a PSNR of at least 30 dB. Pixels that were left as they are count as they are.
    """

    psnr: float
    squared_error: float
    pixels: int
    regions: int
    succeeded: int


def judge(truth: np.ndarray, repaired: np.ndarray, mask: np.ndarray) -> Repair:
    """Compare luma ``repaired`` with ``truth`` (any number type) within ``mask``."""
    square = (repaired.astype(np.float64) - truth.astype(np.float64)) ** 2
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    sums = np.bincount(labels.ravel(), weights=square.ravel(), minlength=count)
    areas = stats[:, cv2.CC_STAT_AREA]
    counted = areas >= SMALLEST_REGION
    counted[0] = False
    limit = 255.0**2 / 10 ** (SUCCESS_DB / 10)
    good = counted & (sums / np.maximum(areas, 1) <= limit)
    total, pixels = float(square[mask].sum()), int(np.count_nonzero(mask))
    return Repair(psnr(total, pixels), total, pixels, int(counted.sum()), int(good.sum()))


def psnr(squared_error: float, pixels: int) -> float:
    """Peak signal-to-noise ratio, dB, of a sum of squared errors over so many pixels; peak 255."""
    return float(10 * np.log10(255.0**2 * max(pixels, 1) / max(squared_error, 1e-9)))
