"""Orthonormal eight-point cosine and power-of-two Haar transforms along an axis, by sums of whole arrays.

No BLAS: its order of summation may depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

SIDE = 8
_HALF = np.float32(0.5)
_ROOT = np.float32(np.sqrt(0.5))
_C = [np.float32(0.5 * np.cos(k * np.pi / 16)) for k in range(8)]
_DC = np.float32(0.5 * np.sqrt(0.5))


def cosine(x: np.ndarray) -> np.ndarray:
    """DCT-II along axis 0 (length 8), orthonormal, float32."""
    s0, s1, s2, s3 = x[0] + x[7], x[1] + x[6], x[2] + x[5], x[3] + x[4]
    d0, d1, d2, d3 = x[0] - x[7], x[1] - x[6], x[2] - x[5], x[3] - x[4]
    e0, e1, e2, e3 = s0 + s3, s1 + s2, s1 - s2, s0 - s3
    out = np.empty_like(x)
    out[0] = (e0 + e1) * _DC
    out[4] = (e0 - e1) * _DC
    out[2] = e3 * _C[2] + e2 * _C[6]
    out[6] = e3 * _C[6] - e2 * _C[2]
    out[1] = d0 * _C[1] + d1 * _C[3] + d2 * _C[5] + d3 * _C[7]
    out[3] = d0 * _C[3] - d1 * _C[7] - d2 * _C[1] - d3 * _C[5]
    out[5] = d0 * _C[5] - d1 * _C[1] + d2 * _C[7] + d3 * _C[3]
    out[7] = d0 * _C[7] - d1 * _C[5] + d2 * _C[3] - d3 * _C[1]
    return out


def inverse_cosine(x: np.ndarray) -> np.ndarray:
    """Inverse of :func:`cosine`."""
    a0, a4 = x[0] * _DC, x[4] * _DC
    p0, p1 = a0 + a4, a0 - a4
    q0, q1 = x[2] * _C[2] + x[6] * _C[6], x[2] * _C[6] - x[6] * _C[2]
    e0, e3, e1, e2 = p0 + q0, p0 - q0, p1 + q1, p1 - q1
    o0 = x[1] * _C[1] + x[3] * _C[3] + x[5] * _C[5] + x[7] * _C[7]
    o1 = x[1] * _C[3] - x[3] * _C[7] - x[5] * _C[1] - x[7] * _C[5]
    o2 = x[1] * _C[5] - x[3] * _C[1] + x[5] * _C[7] + x[7] * _C[3]
    o3 = x[1] * _C[7] - x[3] * _C[5] + x[5] * _C[3] - x[7] * _C[1]
    out = np.empty_like(x)
    out[0], out[7] = e0 + o0, e0 - o0
    out[1], out[6] = e1 + o1, e1 - o1
    out[2], out[5] = e2 + o2, e2 - o2
    out[3], out[4] = e3 + o3, e3 - o3
    return out


def cosine_2d(patches: np.ndarray) -> np.ndarray:
    """DCT-II of 8x8 patches in axes 0 and 1."""
    return cosine(cosine(patches).swapaxes(0, 1)).swapaxes(0, 1)


def inverse_cosine_2d(coefficients: np.ndarray) -> np.ndarray:
    """Inverse of :func:`cosine_2d`."""
    return inverse_cosine(inverse_cosine(coefficients).swapaxes(0, 1)).swapaxes(0, 1)


def haar(x: np.ndarray) -> np.ndarray:
    """Orthonormal Haar transform along axis 0, whose length is a power of two."""
    out = x.copy()
    count = x.shape[0]
    while count > 1:
        even, odd = out[0:count:2].copy(), out[1:count:2].copy()
        out[: count // 2] = (even + odd) * _ROOT
        out[count // 2 : count] = (even - odd) * _ROOT
        count //= 2
    return out


def inverse_haar(x: np.ndarray) -> np.ndarray:
    """Inverse of :func:`haar`."""
    out = x.copy()
    count = 2
    while count <= x.shape[0]:
        low, high = out[: count // 2].copy(), out[count // 2 : count].copy()
        out[0:count:2] = (low + high) * _ROOT
        out[1:count:2] = (low - high) * _ROOT
        count *= 2
    return out


def block_cosine(picture: np.ndarray, *, inverse: bool = False) -> np.ndarray:
    """DCT of the 8x8 blocks of a picture from its top left corner; pixels beyond the last whole block are kept."""
    height, width = (side // SIDE * SIDE for side in picture.shape)
    transform = inverse_cosine_2d if inverse else cosine_2d
    blocks = picture[:height, :width].reshape(height // SIDE, SIDE, width // SIDE, SIDE)
    blocks = transform(np.ascontiguousarray(blocks.transpose(1, 3, 0, 2)))
    out = picture.copy()
    out[:height, :width] = blocks.transpose(2, 0, 3, 1).reshape(height, width)
    return out
