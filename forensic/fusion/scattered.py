"""The camera operator for a frame whose pixels lie anywhere: rotated, zoomed, seen in perspective, flowing.

As :class:`forensic.fusion.sampling.ShiftedSampling`, with a footprint for every single pixel: its centre
comes from the motion, its size from the frame's mean magnification. Footprints stay upright squares, which
for turns up to 10 degrees errs less than the choice of the optics does. Centres are rounded to 1/64 of a
high-resolution pixel.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from forensic.fusion.sampling import Canvas, footprint

_PHASES = 64


@lru_cache(maxsize=16)
def _table(scale: int, sigma: float) -> tuple[np.ndarray, int]:
    """Weights (phases, taps) of footprints centred at 0, 1/64 … 63/64, and where their first tap lies."""
    made = [footprint(scale, sigma, phase / _PHASES) for phase in range(_PHASES)]
    first = min(place for _, place in made)
    last = max(place + weights.size for weights, place in made)
    table = np.zeros((_PHASES, last - first), np.float32)
    for phase, (weights, place) in enumerate(made):
        table[phase, place - first : place - first + weights.size] = weights
    table.flags.writeable = False
    return table, first


_FINE = 32
_SAME_SIZE = 0.02  # magnification: footprints of frames that are larger or smaller by less are left as they are


@lru_cache(maxsize=64)
def _wide_table(width: float, sigma: float) -> tuple[np.ndarray, int]:
    """As :func:`_table` for a footprint that is ``width`` high-resolution px wide, by integration over pixels."""
    reach = int(np.ceil(width / 2 + 3.5 * sigma)) + 1
    position = (np.arange((2 * reach + 2) * _FINE) + 0.5) / _FINE - reach - 0.5
    bell_reach = int(np.ceil(3.5 * sigma * _FINE))
    bell = np.exp(-0.5 * (np.arange(-bell_reach, bell_reach + 1) / max(sigma * _FINE, 1e-6)) ** 2)
    rows = []
    for phase in range(_PHASES):
        box = np.clip((width / 2 - np.abs(position - phase / _PHASES)) * _FINE + 0.5, 0.0, 1.0)
        profile = np.convolve(box, bell / bell.sum(), mode="same") if sigma > 0.05 else box
        weights = profile.reshape(-1, _FINE).sum(axis=1)
        rows.append(weights / weights.sum())
    table = np.array(rows, np.float32)
    table.flags.writeable = False
    return table, -reach


class ScatteredSampling:
    """A_k of a frame whose pixel (i, j) lies at (``columns[i, j]``, ``rows[i, j]``) of the canvas's window.

    ``columns``, ``rows``: float32 of the frame's shape, low-resolution px. ``sigma``: Gaussian
    blur in high-resolution px of a frame of the reference's size; ``magnification`` times larger a frame has
    footprints that much smaller. ``covered``: boolean, whole footprint on the canvas.
    """

    def __init__(
        self, canvas: Canvas, sigma: float, columns: np.ndarray, rows: np.ndarray, magnification: float = 1.0
    ) -> None:
        self.canvas = canvas
        if abs(magnification - 1.0) <= _SAME_SIZE:
            table, first = _table(canvas.scale, round(sigma, 6))
        else:
            table, first = _wide_table(round(canvas.scale / magnification, 3), round(sigma / magnification, 3))
        height, width = canvas.shape
        taps = table.shape[1]
        starts, weights, fits = [], [], np.ones(columns.shape, bool)
        for places, length in ((rows, height), (columns, width)):
            centre = canvas.scale * (places.astype(np.float64) + canvas.margin) + (canvas.scale - 1) / 2.0
            steps = np.rint(centre * _PHASES).astype(np.int64)
            whole, phase = steps // _PHASES, steps % _PHASES
            start = whole + first
            fits &= (start >= 0) & (start + taps <= length)
            starts.append(start)
            weights.append(table[phase])
        self.covered = fits
        self._base = np.ascontiguousarray((starts[0] * width + starts[1])[fits])
        self._down = np.ascontiguousarray(weights[0][fits].T)
        self._across = np.ascontiguousarray(weights[1][fits].T)
        # Where no two footprints begin at the same place, neither do any two of their taps of the same number.
        self._apart = np.unique(self._base).size == self._base.size

    def _views(self, flat: np.ndarray, row: int) -> list[np.ndarray]:
        """``flat`` from each tap of a row of the footprint on: indexed alike by where the footprints begin."""
        width = self.canvas.shape[1]
        return [flat[row * width + column :] for column in range(len(self._across))]

    def apply(self, x: np.ndarray) -> np.ndarray:
        """A_k x: float32 on the canvas to float32 of the frame's shape, zero where not covered."""
        flat = np.ascontiguousarray(x).ravel()
        total, line, seen = (np.zeros(self._base.size, np.float32) for _ in range(3))
        for row, down in enumerate(self._down):
            line[:] = 0.0
            for view, across in zip(self._views(flat, row), self._across, strict=True):
                np.take(view, self._base, out=seen, mode="clip")  # never clipped: it only spares a check
                seen *= across
                line += seen
            line *= down
            total += line
        y = np.zeros(self.covered.shape, np.float32)
        y[self.covered] = total
        return y

    def adjoint(self, y: np.ndarray) -> np.ndarray:
        """A_kᵀ y: float32 of the frame's shape to float32 on the canvas; <A x, y> = <x, Aᵀ y>."""
        height, width = self.canvas.shape
        if self._base.size == 0:
            return np.zeros((height, width), np.float32)
        values = y[self.covered]
        if self._apart:
            flat = np.zeros(height * width, np.float32)
            for row, down in enumerate(self._down):
                lit = down * values
                for view, across in zip(self._views(flat, row), self._across, strict=True):
                    view[self._base] += across * lit
            return flat.reshape(height, width)
        total = np.zeros(height * width)
        offsets = np.arange(len(self._across))[:, None]
        places = self._base[None] + offsets
        spread = self._across * values[None]
        for row, down in enumerate(self._down):
            total += np.bincount((places + row * width).ravel(), (spread * down[None]).ravel(), height * width)
        return total.astype(np.float32).reshape(height, width)
