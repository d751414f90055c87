"""Self-similarity prior: what repeats in the picture is kept, what stands alone in a group is shrunk.

Blocks of 8x8 pixels that look alike are stacked, transformed (DCT in the plane, Haar along the stack),
small coefficients are set to zero, and the blocks go back where they came from (Dabov, Foi, Katkovnik
and Egiazarian 2007, first stage of BM3D). Nothing is learned: the picture is its own dictionary.
"""

from __future__ import annotations

import cv2
import numpy as np

from forensic.fusion.transforms import SIDE, cosine_2d, haar, inverse_cosine_2d, inverse_haar

MEMBERS = 8  # blocks in a group
_STRIDE = 2  # px between places looked at: the picture is smooth at the scale of one pixel
_STEP = 3  # px between reference blocks
_BATCH = 4096  # reference blocks worked on at once: bounds memory
_THRESHOLD = np.float32(2.7)  # times the standard deviation, Dabov et al. 2007
_TAPER = np.outer(np.kaiser(SIDE, 2.0), np.kaiser(SIDE, 2.0)).astype(np.float32)


def _starts(length: int) -> np.ndarray:
    starts = np.arange(0, length - SIDE + 1, _STEP)
    return starts if starts[-1] == length - SIDE else np.append(starts, length - SIDE)


def _offsets(radius: int) -> list[tuple[int, int]]:
    reach = radius // _STRIDE * _STRIDE
    steps = range(-reach, reach + 1, _STRIDE)
    return sorted(((dy, dx) for dy in steps for dx in steps), key=lambda o: (o[0] ** 2 + o[1] ** 2, o))


def similar_blocks(picture: np.ndarray, radius: int) -> np.ndarray:
    """Top left corners (flat indices, int64, (MEMBERS, groups)) of the blocks most like each reference block.

    ``picture``: float32, sides at least 16 + 8. The first of each group is the reference block itself; others
    lie at most ``radius`` px away.
    """
    height, width = picture.shape
    rows, columns = _starts(height), _starts(width)
    offsets = _offsets(radius)
    edge = max(abs(dy) for dy, _ in offsets)
    padded = cv2.copyMakeBorder(picture, edge, edge, edge, edge, cv2.BORDER_REFLECT)
    shifts = np.array([dy * width + dx for dy, dx in offsets], np.int64)
    found = np.empty((MEMBERS, rows.size, columns.size), np.int64)
    lines = max(1, _BATCH // columns.size)
    for first in range(0, rows.size, lines):
        part = rows[first : first + lines]
        top, bottom = int(part[0]), int(part[-1]) + SIDE
        here = picture[top:bottom]
        distance = np.empty((len(offsets), part.size, columns.size), np.float32)
        for number, (dy, dx) in enumerate(offsets):
            there = padded[top + edge + dy : bottom + edge + dy, edge + dx : edge + dx + width]
            difference = here - there
            sums = cv2.boxFilter(
                difference * difference, cv2.CV_32F, (SIDE, SIDE), anchor=(0, 0), normalize=False,
                borderType=cv2.BORDER_REFLECT,
            )  # fmt: skip
            distance[number] = sums[part - top][:, columns]
            outside_y, outside_x = (part + dy < 0) | (part + dy > height - SIDE), None
            distance[number][outside_y] = np.inf
            outside_x = (columns + dx < 0) | (columns + dx > width - SIDE)
            distance[number][:, outside_x] = np.inf
        distance[0] = -1.0
        flat = distance.reshape(len(offsets), -1)
        nearest = np.argpartition(flat, MEMBERS - 1, axis=0)[:MEMBERS]
        order = np.argsort(np.take_along_axis(flat, nearest, 0), axis=0, kind="stable")
        nearest = np.take_along_axis(nearest, order, 0).reshape(MEMBERS, part.size, columns.size)
        base = part[:, None] * width + columns[None, :]
        found[:, first : first + lines] = base[None] + shifts[nearest]
    return found.reshape(MEMBERS, -1)


def shrunk(picture: np.ndarray, groups: np.ndarray, sigma: float) -> np.ndarray:
    """``picture`` less what is not shared within ``groups`` and below 2.7 ``sigma`` (grey levels); float32."""
    height, width = picture.shape
    flat = np.ascontiguousarray(picture).ravel()
    total, weights = np.zeros(flat.size), np.zeros(flat.size)
    limit = _THRESHOLD * np.float32(sigma)
    for first in range(0, groups.shape[1], _BATCH):
        places = groups[:, first : first + _BATCH]
        stack = np.empty((SIDE, SIDE, *places.shape), np.float32)
        for row in range(SIDE):
            for column in range(SIDE):
                np.take(flat, places + (row * width + column), out=stack[row, column])
        coefficients = haar(np.ascontiguousarray(np.moveaxis(cosine_2d(stack), 2, 0)))
        kept = np.abs(coefficients) > limit
        kept[0, 0, 0] = True
        coefficients *= kept
        weight = np.float32(1.0) / np.count_nonzero(kept, axis=(0, 1, 2)).astype(np.float32)
        stack = inverse_cosine_2d(np.moveaxis(inverse_haar(coefficients), 0, 2))
        low, high = int(places.min()), int(places.max()) + (SIDE - 1) * (width + 1) + 1
        for row in range(SIDE):
            for column in range(SIDE):
                there = (places + (row * width + column - low)).ravel()
                own = weight * _TAPER[row, column]
                total[low:high] += np.bincount(there, (stack[row, column] * own).ravel(), high - low)
                weights[low:high] += np.bincount(there, np.broadcast_to(own, places.shape).ravel(), high - low)
    return (total / weights).astype(np.float32).reshape(height, width)
