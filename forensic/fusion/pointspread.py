"""Width of the optics' blur by cross-validation: with which one do the frames predict frames left out?

Every width of a small grid is tried on a crop from the middle: all frames but every third are fused with it
(total variation only), and the frames left out are predicted from the result. The width with the smallest
error of prediction wins (Stone 1974; for super-resolution Nguyen, Milanfar and Golub 2001).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensic.fusion.crops import Frame, Solve, cropped, unexplained
from forensic.fusion.options import DEFAULT_PSF

GRID = (0.2, 0.275, 0.35, 0.45, 0.575, 0.725, 0.9)  # input px
FEWEST = 4
_EVERY = 3


def likeliest_sigma(frames: Sequence[Frame], solve: Solve) -> tuple[float, tuple[float, ...]]:
    """(sigma, prediction errors over the grid); input px and grey levels. Without four frames (0.35, ()).

    ``solve(frames, sigma)`` fuses at twice the size.
    """
    cut = cropped(frames)
    if len(cut) < FEWEST:
        return DEFAULT_PSF, ()
    left_out = cut[_EVERY - 1 :: _EVERY]
    kept = [frame for number, frame in enumerate(cut) if number % _EVERY != _EVERY - 1]
    errors = []
    for sigma in GRID:
        picture = solve(kept, sigma)
        errors.append(float(np.mean([_error(picture, frame, sigma) for frame in left_out])))
    return GRID[int(np.argmin(errors))], tuple(round(error, 5) for error in errors)


def _error(picture: np.ndarray, frame: Frame, sigma: float) -> float:
    """Weighted mean absolute error of the prediction of ``frame``."""
    residual, weight = unexplained(picture, frame, sigma)
    total = float(np.sum(weight, dtype=np.float64))
    return float(np.sum(weight * np.abs(residual), dtype=np.float64)) / max(total, 1.0)
