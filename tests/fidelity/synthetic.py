"""Scenes that need no data: dead leaves, whose edges and scales resemble those of photographs."""

from __future__ import annotations

import cv2
import numpy as np


def dead_leaves(height: int, width: int, seed: int) -> np.ndarray:
    """Occluding discs with radii by a cubic power law, float32 [height, width] in 0..255, antialiased.

    A. B. Lee, D. Mumford, J. Huang, Occlusion Models for Natural Images: A Statistical Study of a
    Scale-Invariant Dead Leaves Model, International Journal of Computer Vision 41 (2001), 35-59. A weak
    texture of its own is laid over every disc.
    """
    rng = np.random.default_rng([0xDEAD, seed])
    oversample = 2
    rows, columns = height * oversample, width * oversample
    picture = np.full((rows, columns), 110.0, np.float32)
    smallest, largest = 3.0 * oversample, min(rows, columns) / 3.0
    texture = cv2.GaussianBlur(rng.standard_normal((rows, columns)).astype(np.float32), (0, 0), 1.5)
    texture *= 4.0 / float(texture.std())
    for _ in range(400):
        # inverse of the distribution with density r**-3 between both limits
        share = rng.uniform()
        radius = (smallest**-2 - share * (smallest**-2 - largest**-2)) ** -0.5
        centre = int(rng.integers(0, columns)), int(rng.integers(0, rows))
        cv2.circle(picture, centre, round(radius), float(rng.uniform(20, 235)), -1)
    picture += texture
    return np.clip(picture.reshape(height, oversample, width, oversample).mean(axis=(1, 3)), 0, 255)
