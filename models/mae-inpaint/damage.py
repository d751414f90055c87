"""Holes that mae-inpaint learns from: random patches, scratches, dust and blobs, uint8 masks of 0 and 1."""

from __future__ import annotations

import math

import cv2
import numpy as np

PATCH = 8
PATCH_SHARE = (0.1, 0.75)  # of the window, for random patches
# More damage than a tenth of the picture has: what is missing is what is learnt from.
LINES, SPECKS, BLOBS = (3, 13), (30, 120), (2, 6)
KINDS = ("patches", "scratches", "dust", "blobs")
SHARES = (0.1, 0.45, 0.3, 0.15)
SHIFT = 4  # fractional bits of cv2's coordinates


def mask(rng: np.random.Generator, side: int, kind: str | None = None) -> np.ndarray:
    """One window's holes, uint8 [side, side], 1 where a pixel is missing; some is missing and some is known."""
    while True:
        made = {"patches": _patches, "scratches": _scratches, "dust": _dust, "blobs": _blobs}[
            kind or str(rng.choice(KINDS, p=SHARES))
        ](rng, side)
        if 0 < int(made.sum()) <= 0.8 * side * side:
            return made


def _patches(rng: np.random.Generator, side: int) -> np.ndarray:
    count = side // PATCH
    hidden = rng.random((count, count)) < rng.uniform(*PATCH_SHARE)
    return np.kron(hidden, np.ones((PATCH, PATCH))).astype(np.uint8)


def _scratches(rng: np.random.Generator, side: int) -> np.ndarray:
    """Lines that bend a little, most of them nearly upright, 1 to 5 pixels wide."""
    made = np.zeros((side, side), np.uint8)
    for _ in range(int(rng.integers(*LINES))):
        turn = math.radians(rng.normal(90, 8) if rng.random() < 0.5 else rng.uniform(0, 180))
        along = np.array([math.cos(turn), math.sin(turn)])
        across = np.array([-along[1], along[0]])
        t = np.linspace(-1, 1, 9) * side * rng.uniform(0.15, 1.0)
        bend = rng.normal(0, 0.04 * side) * (t / side) ** 2 + np.cumsum(rng.normal(0, 0.3, t.size))
        points = rng.uniform(0, side, 2) + t[:, None] * along + bend[:, None] * across
        _line(made, points, int(rng.integers(1, 6)))
    return made


def _dust(rng: np.random.Generator, side: int) -> np.ndarray:
    """Specks of 1 to 6 pixels' radius, and now and then a hair."""
    made = np.zeros((side, side), np.uint8)
    for _ in range(int(rng.integers(*SPECKS))):
        _ellipse(made, rng.uniform(0, side, 2), rng.gamma(2.0, 1.0, 2).clip(0.5, 6), rng.uniform(0, 180))
    if rng.random() < 0.3:
        points = rng.uniform(0, side, 2) + np.cumsum(rng.normal(0, 2.5, (14, 2)), 0)
        _line(made, points, int(rng.integers(1, 3)))
    return made


def _blobs(rng: np.random.Generator, side: int) -> np.ndarray:
    """Two to five upright rectangles, ellipses or thick strokes."""
    made = np.zeros((side, side), np.uint8)
    for _ in range(int(rng.integers(*BLOBS))):
        centre, size = rng.uniform(0, side, 2), rng.uniform(3, 20, 2)
        form = int(rng.integers(3))
        if form == 0:
            (left, top), (right, bottom) = np.round(centre - size).astype(int), np.round(centre + size).astype(int)
            made[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 1
        elif form == 1:
            _ellipse(made, centre, size, rng.uniform(0, 180))
        else:
            _line(made, centre + np.cumsum(rng.normal(0, 8, (5, 2)), 0), int(rng.integers(5, 17)))
    return made


def _line(made: np.ndarray, points: np.ndarray, thickness: int) -> None:
    cv2.polylines(made, [np.round(points * 2**SHIFT).astype(np.int32)], False, 1, thickness, cv2.LINE_8, SHIFT)


def _ellipse(made: np.ndarray, centre: np.ndarray, axes: np.ndarray, turn: float) -> None:
    where, size = (np.round(each * 2**SHIFT).astype(int).tolist() for each in (centre, axes))
    cv2.ellipse(made, where, size, float(turn), 0, 360, 1, -1, cv2.LINE_8, SHIFT)
