"""What fusion needs to know of noise and codec when nobody tells it: from the pictures alone, roughly."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from forensic.fusion.crops import Frame, Solve, cropped, unexplained
from forensic.fusion.transforms import SIDE, block_cosine

LEAST_NOISE = 0.8  # grey levels: rounding to whole levels and what the model of the camera leaves out
MOST_NOISE = 25.0
FEWEST = 4  # frames
_FITTED = 1.13  # the picture fits some of the noise: measured on 10 simulated scenes of known noise
_SIDE = 7  # px
_CALM = 0.05  # quantile of the neighbourhoods that noise is measured in
_CALM_RESPONSE = 0.709  # that quantile for white noise of deviation one, measured
_FINEST = 10  # u + v of the 8x8 coefficients that a codec drops first
_CODED = 0.33  # share of them below one grey level from which pictures are taken as coded; docs/fusion.md
ASSUMED_QUANTISER = 28.0  # QP on H.264's scale taken for coded pictures that come without one


def noise_of(frames: Sequence[np.ndarray]) -> float:
    """Median over ``frames`` (float32 luma) of the noise's standard deviation, grey levels, 0.8 to 25.

    Root mean square response to Immerkaer's mask (1996) in 7x7 neighbourhoods, of which the calmest twentieth
    counts. Fine texture everywhere is taken for noise: half as much again was measured in such scenes.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / np.float32(6.0)
    found = []
    for frame in frames:
        response = cv2.filter2D(frame, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT)
        power = cv2.boxFilter(response * response, cv2.CV_32F, (_SIDE, _SIDE), borderType=cv2.BORDER_REFLECT)
        # The filter's running sums may come out just below zero where the picture is flat.
        found.append(float(np.sqrt(max(np.quantile(power, _CALM), 0.0))) / _CALM_RESPONSE)
    return float(np.clip(np.median(found), LEAST_NOISE, MOST_NOISE))


def noise_between(frames: Sequence[Frame], solve: Solve, sigma: float) -> float | None:
    """Standard deviation (grey levels) of what differs between frames, or None with fewer than four of them.

    Robust spread of the residuals of a picture fused from all of them, ``solve(frames, sigma)``, which unlike
    :func:`noise_of` texture does not raise. What a codec did to all frames alike is not in it.
    """
    cut = cropped(frames)
    if len(cut) < FEWEST:
        return None
    picture = solve(cut, sigma)
    left = [residual[weight > 0.5] for residual, weight in (unexplained(picture, each, sigma) for each in cut)]
    spread = 1.4826 * float(np.median(np.abs(np.concatenate(left)))) if any(part.size for part in left) else 0.0
    return float(np.clip(spread * _FITTED, LEAST_NOISE, MOST_NOISE))


def looks_coded(frames: Sequence[np.ndarray]) -> bool:
    """Whether the finest transform coefficients are missing, as after H.264 from about CRF 20 on."""
    shares = []
    reach = np.add.outer(np.arange(SIDE), np.arange(SIDE)) >= _FINEST
    for frame in frames:
        height, width = (side // SIDE * SIDE for side in frame.shape)
        if height == 0 or width == 0:
            continue
        blocks = block_cosine(frame)[:height, :width].reshape(height // SIDE, SIDE, width // SIDE, SIDE)
        shares.append(float(np.mean(np.abs(blocks.transpose(0, 2, 1, 3)[:, :, reach]) < 1.0)))
    return bool(shares) and float(np.median(shares)) > _CODED


def step_of(quantiser: float) -> float:
    """Quantisation step of H.264 and HEVC at QP ``quantiser``: grey levels of an orthonormal transform."""
    return 0.625 * 2.0 ** (quantiser / 6.0)
