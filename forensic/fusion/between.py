"""Motion between two frames both ways, and what two frames say of the one between them.

DIS optical flow (Kroeger et al. 2016) on 8-bit luma, believed where it leads there and back. The frame between is not
asked how it moved where it is damaged: a place is followed from the frame before it to the one after it, and half way
lies where it was seen (Kokaram 1998, motion interpolation through missing data). What the camera did otherwise in the
frame between (a jolt) is one affine motion, fitted to the flow out of that frame with weights against what is damaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from forensic.fusion.interpolation import inside

BELIEVED = 1.0  # px: disagreement of both directions up to which a flow is believed
LEAST_SIDE = 32  # px: smaller pictures are taken to be at rest
_ROUNDS = 3  # of the search for the way through a pixel of the frame between
_FITS = 8  # rounds of robust weights
_GRID = 4  # px between the places to which the affine motion is fitted


@dataclass(frozen=True)
class Flow:
    """What is at (x, y) of one picture is at (x + ``dx``, y + ``dy``) of the other; float32 (rows, columns), px.

    ``believed``: boolean, where both directions agree and lead into the picture.
    """

    dx: np.ndarray
    dy: np.ndarray
    believed: np.ndarray


def grid(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(columns, rows), float32 (rows, columns), of a picture's pixel centres."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return x, y


def looked_up(plane: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Float32 ``plane`` at places, bilinear (to 1/32 px), the edge repeated: for fields and masks, not for pixels."""
    return np.asarray(cv2.remap(plane, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def flows(first: np.ndarray, second: np.ndarray) -> tuple[Flow, Flow]:
    """Flow from ``first`` to ``second`` and back. Pictures: float32 luma of one shape, grey levels."""
    shape = first.shape
    if min(shape) < LEAST_SIDE:
        still, everywhere = np.zeros(shape, np.float32), np.ones(shape, bool)
        return Flow(still, still, everywhere), Flow(still, still, everywhere)
    one, other = (np.clip(np.rint(picture), 0, 255).astype(np.uint8) for picture in (first, second))
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there = engine.calc(one, other, np.zeros((*shape, 2), np.float32))
    back = engine.calc(other, one, np.zeros((*shape, 2), np.float32))
    return _checked(there, back), _checked(back, there)


def _checked(there: np.ndarray, back: np.ndarray) -> Flow:
    x, y = grid((there.shape[0], there.shape[1]))
    dx, dy = (np.ascontiguousarray(there[..., axis]) for axis in (0, 1))
    columns, rows = x + dx, y + dy
    returned = cv2.remap(back, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    gap = np.hypot(dx + returned[..., 0], dy + returned[..., 1])
    return Flow(dx, dy, (gap <= BELIEVED) & inside(columns, rows, dx.shape))


def affine(dx: np.ndarray, dy: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The affine motion on which most of the ``usable`` places (boolean) of a flow agree, over the whole picture.

    Weighted least squares, weights falling with the residual. Without usable places: no motion.
    """
    x, y = grid((dx.shape[0], dx.shape[1]))
    step = (slice(_GRID // 2, None, _GRID),) * 2
    chosen = usable[step]
    if np.count_nonzero(chosen) < 12:
        return np.zeros_like(dx), np.zeros_like(dy)
    unit = np.float32(2.0 / max(dx.shape))
    terms = np.stack([np.ones(np.count_nonzero(chosen)), unit * x[step][chosen], unit * y[step][chosen]], axis=1)
    wanted = np.stack([dx[step][chosen], dy[step][chosen]], axis=1).astype(np.float64)
    solution = np.concatenate([np.median(wanted, axis=0, keepdims=True), np.zeros((2, 2))])
    for _ in range(_FITS):
        off = np.hypot(*(wanted - terms @ solution).T)
        spread = max(1.4826 * float(np.median(off)), 0.05)
        root = (1.0 / (1.0 + (off / (2.0 * spread)) ** 2))[:, None]  # square root of the weight
        solution = np.linalg.lstsq(terms * root, wanted * root, rcond=None)[0]
    found = [
        (solution[0, axis] + solution[1, axis] * unit * x + solution[2, axis] * unit * y).astype(np.float32)
        for axis in (0, 1)
    ]
    return found[0], found[1]


@dataclass(frozen=True)
class Between:
    """What the frames before and after show where each pixel of the frame between lies on its way.

    ``before``, ``after``: (columns, rows) of these places, float32. ``believed``: boolean, where the way is the same
    in both directions.
    """

    before: tuple[np.ndarray, np.ndarray]
    after: tuple[np.ndarray, np.ndarray]
    believed: np.ndarray


def between(before: np.ndarray, frame: np.ndarray, after: np.ndarray) -> Between:
    """Follow what moves from ``before`` to ``after`` through ``frame``; float32 luma of one shape."""
    x, y = grid((frame.shape[0], frame.shape[1]))
    ahead, _ = flows(before, after)
    to_before, _ = flows(frame, before)
    to_after, _ = flows(frame, after)
    jolt_x, jolt_y = affine(
        (to_before.dx + to_after.dx) / 2, (to_before.dy + to_after.dy) / 2, to_before.believed & to_after.believed
    )
    middle_x, middle_y = x + jolt_x, y + jolt_y
    half_x, half_y = np.zeros_like(x), np.zeros_like(y)
    for _ in range(_ROUNDS):
        columns, rows = middle_x - half_x, middle_y - half_y
        half_x = np.float32(0.5) * looked_up(ahead.dx, columns, rows)
        half_y = np.float32(0.5) * looked_up(ahead.dy, columns, rows)
    first, last = (middle_x - half_x, middle_y - half_y), (middle_x + half_x, middle_y + half_y)
    believed = looked_up(ahead.believed.astype(np.float32), *first) > np.float32(0.99)
    return Between(first, last, believed & inside(*first, frame.shape) & inside(*last, frame.shape))
