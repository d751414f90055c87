"""Pictures made of single frames, laid onto the reference's grid by the motion that fusion found, and averaged.

What is made of each frame alone is already enlarged, so that moving it by a fraction of a small pixel keeps its
detail; moving the frames themselves would not (docs/fusion.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from forensic.errors import InternalError
from forensic.fusion.interpolation import sampled, shifted
from forensic.fusion.motion import Motion, grid_through
from forensic.fusion.options import Fused


def enlarged_motion(motion: Motion, scale: int) -> np.ndarray:
    """Float64 (3, 3): the global motion between pictures of ``scale`` times the size (pixel areas nest)."""
    half = (scale - 1) / 2.0
    grow = np.array([[scale, 0.0, half], [0.0, scale, half], [0.0, 0.0, 1.0]])
    return np.asarray(grow @ motion.matrix @ np.linalg.inv(grow))


def moved(picture: np.ndarray, motion: Motion, shape: tuple[int, int], scale: int) -> np.ndarray:
    """``picture`` of a frame, float32 (scale·rows, scale·columns), as the reference of ``shape`` sees it; bicubic."""
    shift = motion.as_shift(shape)
    if shift is not None:
        return shifted(picture, scale * shift[0], scale * shift[1])
    matrix = enlarged_motion(motion, scale)
    return sampled(picture, *grid_through(matrix, (scale * shape[0], scale * shape[1])))


def averaged(pictures: Sequence[np.ndarray | None], fused: Fused, at: int) -> tuple[np.ndarray, np.ndarray]:
    """(mean, spread) of ``pictures``, float32 of the size of ``fused.luma``, on the grid of frame ``at``.

    ``pictures``: one of each frame of the fused window, in grey levels, as large as ``fused.luma``; None for frames
    that fusion rejected. Each counts with the weight that its frame had in fusion at that place, in the reference's
    light. ``spread``: the weighted standard deviation over the frames. Raises ``InternalError``
    (``fusion.reference``) without the reference's picture.
    """
    shape = (fused.weights.shape[1], fused.weights.shape[2])
    scale = fused.luma.shape[0] // shape[0]
    own = pictures[at]
    if own is None:
        raise InternalError("fusion.reference", "Frames are averaged about the reference, which was not given.")
    # Sums of differences to the reference's own picture: small numbers lose no digits.
    total = np.ones_like(own)
    first, second = np.zeros_like(own), np.zeros_like(own)
    for place, picture in enumerate(pictures):
        report = fused.frames[place]
        if place == at or picture is None or report.motion is None:
            continue
        lit = np.float32(report.gain) * picture + np.float32(report.offset)
        off = moved(lit, report.motion, shape, scale) - own
        weight = cv2.resize(fused.weights[place], (own.shape[1], own.shape[0]), interpolation=cv2.INTER_LINEAR)
        total += weight
        first += weight * off
        second += weight * off * off
    mean = first / total
    variance = np.maximum(second / total - mean * mean, np.float32(0.0))
    return own + mean, np.sqrt(variance)
