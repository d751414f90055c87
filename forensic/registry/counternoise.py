"""Normal noise of which every sample follows from a seed, a frame, a step and a place alone.

Philox 4x64-10 (J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3",
SC 2011) is a function of a key and a counter. The key is the seed, the counter the place: the noise of a part of a
picture is that part of the whole picture's noise, whoever draws it and in what order.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np

_DOMAIN = 0x666F72656E736963  # second word of the key: other uses of the same seed draw other numbers
_BITS = 16
_PER_BLOCK = 16  # samples of a block: four words of 64 bits


@cache
def _quantiles() -> np.ndarray:
    """Quantiles of the standard normal distribution at the middles of 2^16 equal shares, float32; at most 4.3."""
    count = 1 << _BITS
    normal = NormalDist()
    half = np.array([normal.inv_cdf((number + 0.5) / count) for number in range(count // 2, count)], np.float32)
    return np.concatenate([-half[::-1], half])


def normal_noise(
    seed: int, frame: int, step: int, shape: tuple[int, int, int], first: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """Standard normal noise, float32 [C, H, W] = ``shape``, for the places from row and column ``first`` on.

    ``seed``, ``frame``, ``step``: 0 to 2^64 - 1. Sample (c, y, x) is that of the whole picture at (c, y + first row,
    x + first column), for the same C. 16 bits of Philox choose a quantile: integers up to a table, so equal everywhere.
    """
    channels, height, width = shape
    blocks = -(-channels // _PER_BLOCK)
    table = _quantiles()
    out = np.empty((height, width, channels), np.float32)
    for row in range(height):
        counter = np.array([blocks * first[1], row + first[0], step, frame], np.uint64)
        words = np.random.Philox(counter=counter, key=np.array([seed, _DOMAIN], np.uint64)).random_raw(
            4 * blocks * width
        )
        numbers = words.astype("<u8", copy=False).view("<u2").reshape(width, blocks * _PER_BLOCK)
        np.take(table, numbers[:, :channels], out=out[row], mode="clip")
    return np.ascontiguousarray(out.transpose(2, 0, 1))
