"""The camera as a linear operator: A_k = sampling ∘ blur ∘ warp of frame k, with its exact adjoint.

A low-resolution pixel is the mean of ``scale`` x ``scale`` high-resolution pixels of a picture that a
Gaussian (lens, optical low-pass) has blurred. Pixel i lies at ``scale * i + (scale - 1) / 2`` of the
high-resolution grid: the half-pixel-centre convention of the risk map's forward model and of the
resize stage. A frame whose camera stood elsewhere samples the same picture at other places, so the
warp moves the *centres* of the footprints and never resamples pixels: the sub-pixel phase that
carries the information is kept exactly. Footprints are separable; their fractional part is moved
by a three-lobed Lanczos kernel, which is exact to 1e-3 for what a lens passes.

High-resolution pictures live on a canvas that is ``margin`` low-resolution pixels larger on every
side, so that footprints that hang over the border have something to see; it is cut off at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_NEGLIGIBLE = 4e-4  # of the largest weight: taps at the ends of a footprint below this are left out
_LOBES = 3


@dataclass(frozen=True)
class Canvas:
    """High-resolution grid of a window of ``height`` x ``width`` low-resolution pixels.

    Low-resolution pixel (i, j) covers rows ``scale * (i + margin)`` to ``scale * (i + margin + 1)``.
    """

    height: int
    width: int
    scale: int
    margin: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of a high-resolution picture, margins included."""
        return self.scale * (self.height + 2 * self.margin), self.scale * (self.width + 2 * self.margin)

    @property
    def small_shape(self) -> tuple[int, int]:
        """(rows, columns) of a low-resolution picture."""
        return self.height, self.width

    def cut(self, x: np.ndarray) -> np.ndarray:
        """The part of ``x`` that shows the window, without margins."""
        edge = self.scale * self.margin
        return x[edge : x.shape[0] - edge, edge : x.shape[1] - edge]


@lru_cache(maxsize=32)
def profile(scale: int, sigma: float) -> tuple[np.ndarray, float]:
    """One-dimensional footprint (block mean after Gaussian of ``sigma`` high-resolution px) and where its
    first tap lies relative to the footprint's centre, in high-resolution px; float64, sum one."""
    box = np.full(scale, 1.0 / scale)
    if sigma < 0.05:
        return box, -(scale - 1) / 2.0
    reach = int(np.ceil(4.0 * sigma))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(box, bell / bell.sum()), -(scale - 1) / 2.0 - reach


def footprint(scale: int, sigma: float, centre: float) -> tuple[np.ndarray, int]:
    """Weights (float32, sum one) of a footprint centred at high-resolution position ``centre``, and the
    position of the first of them."""
    weights, first = profile(scale, sigma)
    start = centre + first
    whole = int(np.floor(start + 1e-9))
    fraction = start - whole
    if fraction > 1e-6:
        taps = np.arange(1 - _LOBES, _LOBES + 1)
        kernel = np.sinc(taps - fraction) * np.sinc((taps - fraction) / _LOBES)
        weights = np.convolve(weights, kernel / kernel.sum())
        whole += 1 - _LOBES
    used = np.flatnonzero(np.abs(weights) > _NEGLIGIBLE * np.abs(weights).max())
    weights = weights[used[0] : used[-1] + 1]
    return (weights / weights.sum()).astype(np.float32), whole + int(used[0])


class _Axis:
    """One axis of a shifted sampling: which outputs have their whole footprint on the canvas, and its taps."""

    def __init__(self, count: int, length: int, scale: int, margin: int, sigma: float, origin: float) -> None:
        self.weights, first = footprint(scale, sigma, scale * (margin + origin) + (scale - 1) / 2.0)
        self.scale = scale
        taps = self.weights.size
        # Output i uses samples first + scale * i … + taps - 1.
        self.low = max(0, -(first // scale))
        self.high = max(self.low, min(count, (length - taps - first) // scale + 1))
        self.start = first + scale * self.low

    def slices(self) -> list[tuple[np.float32, slice]]:
        """Weight and strided slice of the high-resolution axis for every tap."""
        span = self.scale * (self.high - self.low - 1) + 1
        return [
            (weight, slice(self.start + tap, self.start + tap + span, self.scale))
            for tap, weight in enumerate(self.weights)
        ]


class ShiftedSampling:
    """A_k of a frame that is shifted as a whole: its pixel (i, j) lies at column ``x + j``, row ``y + i`` of the
    canvas's window, in low-resolution px. ``shape``: of the frame, by default the window's. ``sigma``: Gaussian
    blur in high-resolution px.

    ``covered`` is the (rows, columns) slice of the frame's pixels whose whole footprint lies on the canvas;
    others are given as zero and are not used.
    """

    def __init__(
        self, canvas: Canvas, sigma: float, x: float = 0.0, y: float = 0.0, shape: tuple[int, int] | None = None
    ) -> None:
        self.canvas = canvas
        self.shape = shape or canvas.small_shape
        height, width = canvas.shape
        self._rows = _Axis(self.shape[0], height, canvas.scale, canvas.margin, sigma, y)
        self._columns = _Axis(self.shape[1], width, canvas.scale, canvas.margin, sigma, x)
        self.covered = (slice(self._rows.low, self._rows.high), slice(self._columns.low, self._columns.high))

    @property
    def _empty(self) -> bool:
        return self._rows.high <= self._rows.low or self._columns.high <= self._columns.low

    def apply(self, x: np.ndarray) -> np.ndarray:
        """A_k x: float32 on the canvas to float32 of the frame's shape."""
        y = np.zeros(self.shape, np.float32)
        if not self._empty:
            y[self.covered] = _gather_columns(_gather_rows(x, self._rows), self._columns)
        return y

    def adjoint(self, y: np.ndarray) -> np.ndarray:
        """A_kᵀ y: float32 of the frame's shape to float32 on the canvas; <A x, y> = <x, Aᵀ y>."""
        x = np.zeros(self.canvas.shape, np.float32)
        if self._empty:
            return x
        part = y[self.covered]
        wide = np.zeros((part.shape[0], x.shape[1]), np.float32)
        buffer = np.empty_like(part)
        for weight, place in self._columns.slices():
            np.multiply(part, weight, out=buffer)
            wide[:, place] += buffer
        buffer = np.empty_like(wide)
        for weight, place in self._rows.slices():
            np.multiply(wide, weight, out=buffer)
            x[place] += buffer
        return x


def _gather_rows(x: np.ndarray, axis: _Axis) -> np.ndarray:
    total = np.zeros((axis.high - axis.low, x.shape[1]), np.float32)
    buffer = np.empty_like(total)
    for weight, place in axis.slices():
        np.multiply(x[place], weight, out=buffer)
        total += buffer
    return total


def _gather_columns(x: np.ndarray, axis: _Axis) -> np.ndarray:
    total = np.zeros((x.shape[0], axis.high - axis.low), np.float32)
    buffer = np.empty_like(total)
    for weight, place in axis.slices():
        np.multiply(x[:, place], weight, out=buffer)
        total += buffer
    return total
