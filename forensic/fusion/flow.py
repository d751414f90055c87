"""Dense motion on top of the global one, believed only where it leads there and back.

DIS optical flow (Kroeger et al. 2016) both ways between the frame and the reference, as far as the global
motion has brought them together; a pixel is trusted where the two cancel (forward-backward check), which
fails at occlusions.
"""

from __future__ import annotations

import cv2
import numpy as np

from forensic.fusion.interpolation import sampled
from forensic.fusion.motion import Motion, grid_through

_FULL, _NONE = 0.25, 0.75  # px: disagreement of both directions up to which a pixel is trusted fully, not at all
_LEAST_SIDE = 32


def dense(reference: np.ndarray, frame: np.ndarray, start: Motion) -> Motion:
    """``start`` refined by a dense field. Pictures: float32 luma of the same shape.

    Pictures with a side below 32 px keep ``start``.
    """
    shape = reference.shape
    if min(shape) < _LEAST_SIDE:
        return start
    columns, rows = start.places_in_reference(shape)
    aligned = sampled(reference, columns, rows)  # the reference, seen from the frame
    first, second = _eight_bit(frame), _eight_bit(aligned)
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setFinestScale(0)
    there = engine.calc(first, second, np.zeros((*shape, 2), np.float32))
    back = engine.calc(second, first, np.zeros((*shape, 2), np.float32))
    x, y = grid_through(np.eye(3), shape)
    landed_x, landed_y = x + there[..., 0], y + there[..., 1]
    gap = np.hypot(
        there[..., 0] + sampled(np.ascontiguousarray(back[..., 0]), landed_x, landed_y),
        there[..., 1] + sampled(np.ascontiguousarray(back[..., 1]), landed_x, landed_y),
    )
    trust = np.clip((np.float32(_NONE) - gap) / np.float32(_NONE - _FULL), 0.0, 1.0).astype(np.float32)
    places = np.stack([sampled(columns, landed_x, landed_y), sampled(rows, landed_x, landed_y)])
    return Motion(start.matrix, places, trust)


def _eight_bit(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
