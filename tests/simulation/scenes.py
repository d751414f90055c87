"""Clean scenes whose every property is known."""

from __future__ import annotations

import numpy as np


def smooth_scene(height: int, width: int, seed: int = 0, finest: float = 10.0) -> np.ndarray:
    """Random waves no shorter than ``finest`` pixels: float32, 40..215. Not periodic in the picture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    total = np.zeros((height, width))
    for _ in range(60):
        wavelength, direction, phase = finest * rng.uniform(1, 5), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        total += np.sin(2 * np.pi * (x * np.cos(direction) + y * np.sin(direction)) / wavelength + phase)
    total /= np.abs(total).max()
    return (127.5 + 87.0 * total).astype(np.float32)


def coloured_scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Three such pictures as RGB: float32 (height, width, 3)."""
    return np.stack([smooth_scene(height, width, seed + channel, 16.0) for channel in range(3)], axis=-1)


def spot(height: int, width: int, x: float, y: float, sigma: float = 3.0) -> np.ndarray:
    """A Gaussian spot of height 200 at (x, y) on black: float64."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    return 200.0 * np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / sigma**2)


def centroid(picture: np.ndarray) -> tuple[float, float]:
    """(x, y) of the centre of mass of what is brighter than a tenth of the maximum."""
    weights = np.clip(picture.astype(np.float64) - 0.1 * float(picture.max()), 0, None)
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    return float((weights * columns).sum() / weights.sum()), float((weights * rows).sum() / weights.sum())


def measured_shift(moved: np.ndarray, still: np.ndarray) -> tuple[float, float]:
    """(x, y) by which ``moved`` is displaced against ``still``, by the peak of their cross-correlation.

    Windowed correlation first, to the whole pixel; then Newton's method on the squared difference with
    ``still`` moved by a phase ramp. None of the simulator's code is in it.
    """
    height, width = still.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    a = np.fft.fft2((still - still.mean()) * window)
    b = np.fft.fft2((moved - moved.mean()) * window)
    correlation = np.fft.ifft2(b * np.conj(a)).real
    row, column = np.unravel_index(int(correlation.argmax()), correlation.shape)
    x = float(column if column <= width // 2 else column - width)
    y = float(row if row <= height // 2 else row - height)
    margin = 12
    inner = (slice(margin, -margin), slice(margin, -margin))
    spectrum = np.fft.fft2(np.pad(still, 32, mode="reflect"))
    py, px = np.fft.fftfreq(spectrum.shape[0])[:, None], np.fft.fftfreq(spectrum.shape[1])[None, :]
    for _ in range(20):
        ramp = spectrum * np.exp(-2j * np.pi * (px * x + py * y))
        guess, along_x, along_y = (
            np.fft.ifft2(each).real[32:-32, 32:-32][inner]
            for each in (ramp, ramp * 2j * np.pi * px, ramp * 2j * np.pi * py)
        )
        jacobian = np.stack([-along_x.ravel(), -along_y.ravel()], axis=1)
        step = np.linalg.lstsq(jacobian, (moved[inner] - guess).ravel(), rcond=None)[0]
        x, y = x + float(step[0]), y + float(step[1])
    return x, y
