"""The sensor: area sampling, photon and read noise, fixed pattern, colour filter array."""

from __future__ import annotations

import cv2
import numpy as np

from forensic.simulation.degradation import Sensor

# Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color images"
# (ICASSP 2004), figure 2, in eighths.
_GREEN = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]], np.float32
) / 8  # fmt: skip
_ALONG_ROW = np.array(
    [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]], np.float32
) / 8  # fmt: skip
_ALONG_COLUMN = np.ascontiguousarray(_ALONG_ROW.T)
_DIAGONAL = np.array(
    [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]], np.float32
) / 8  # fmt: skip


def area_mean(picture: np.ndarray, factor: int) -> np.ndarray:
    """Mean over blocks of ``factor`` x ``factor``: pixel i of the result covers samples factor*i and on."""
    if factor == 1:
        return picture
    size = (picture.shape[1] // factor, picture.shape[0] // factor)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def mosaic(picture: np.ndarray) -> np.ndarray:
    """One colour per photosite of float32 RGB (rows, columns, 3), even sides: RGGB, (rows, columns)."""
    result = picture[..., 1].copy()
    result[0::2, 0::2] = picture[0::2, 0::2, 0]
    result[1::2, 1::2] = picture[1::2, 1::2, 2]
    return result


def demosaic(raw: np.ndarray) -> np.ndarray:
    """RGB (rows, columns, 3) float32 from an RGGB mosaic by gradient-corrected linear interpolation."""
    # BORDER_REFLECT_101 keeps the colour of every second sample, so the pattern goes on beyond the border.
    green, row, column, diagonal = (
        cv2.filter2D(raw, cv2.CV_32F, weights, borderType=cv2.BORDER_REFLECT_101)
        for weights in (_GREEN, _ALONG_ROW, _ALONG_COLUMN, _DIAGONAL)
    )
    result = np.empty((*raw.shape, 3), np.float32)
    even, odd = slice(0, None, 2), slice(1, None, 2)
    red, emerald, blue = result[..., 0], result[..., 1], result[..., 2]
    emerald[...] = raw
    emerald[even, even], emerald[odd, odd] = green[even, even], green[odd, odd]
    red[even, even], blue[odd, odd] = raw[even, even], raw[odd, odd]
    red[odd, odd], blue[even, even] = diagonal[odd, odd], diagonal[even, even]
    red[even, odd], red[odd, even] = row[even, odd], column[odd, even]
    blue[even, odd], blue[odd, even] = column[even, odd], row[odd, even]
    return result


def fixed_pattern(sensor: Sensor, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """Offset of every photosite in grey levels, the same in all frames; float32, or None without one."""
    if not (sensor.fixed_pattern or sensor.column_pattern):
        return None
    pattern = np.float32(sensor.fixed_pattern) * rng.standard_normal(shape, dtype=np.float32)
    columns = np.float32(sensor.column_pattern) * rng.standard_normal(shape[1], dtype=np.float32)
    return pattern + (columns[:, None] if len(shape) == 3 else columns)


def noisy(levels: np.ndarray, sensor: Sensor, pattern: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Read-out of float32 ``levels``: Poisson photon noise, Gaussian read noise, fixed pattern. Not clipped."""
    result = levels
    if sensor.gain > 0:
        gain = np.float32(sensor.gain)
        result = rng.poisson(np.maximum(levels, 0) / gain).astype(np.float32) * gain
    if sensor.read_noise > 0:
        result = result + np.float32(sensor.read_noise) * rng.standard_normal(levels.shape, dtype=np.float32)
    return result if pattern is None else result + pattern
