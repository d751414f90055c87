"""Where the edges of a picture are: ridges of the gradient after a blur of known width, placed between pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Edges:
    """Places on edges. ``rows``, ``columns``: of the pixel; ``ux``, ``uy``: the unit normal, from dark to bright.

    ``slope``: of the blurred picture there, in levels per pixel; ``offset``: from the pixel to where the slope is
    greatest, in pixels along the normal.
    """

    rows: np.ndarray
    columns: np.ndarray
    ux: np.ndarray
    uy: np.ndarray
    slope: np.ndarray
    offset: np.ndarray

    def chosen(self, which: np.ndarray) -> Edges:
        """Those of ``which`` (indices, or booleans)."""
        return Edges(*(part[which] for part in (
            self.rows, self.columns, self.ux, self.uy, self.slope, self.offset,
        )))  # fmt: skip


def derivatives(levels: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Horizontal and vertical derivative of ``levels`` (float32) after a Gaussian blur of ``sigma``, per pixel."""
    reach = int(np.ceil(4 * sigma))
    place = np.arange(-reach, reach + 1, dtype=np.float64)
    smooth = np.exp(-0.5 * (place / sigma) ** 2)
    smooth /= smooth.sum()
    slope = place / sigma**2 * smooth
    slope /= float(np.sum(slope * place))  # a ramp of one level per pixel has derivative one
    border = cv2.BORDER_REFLECT_101
    across = cv2.sepFilter2D(levels, cv2.CV_32F, slope, smooth, borderType=border)
    down = cv2.sepFilter2D(levels, cv2.CV_32F, smooth, slope, borderType=border)
    return across, down


def along(
    across: np.ndarray,
    down: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    ux: np.ndarray,
    uy: np.ndarray,
    far: float,
) -> np.ndarray:
    """Derivative along the normals (``ux``, ``uy``), ``far`` samples along them from (``rows``, ``columns``)."""
    at_row, at_column = np.rint(rows + far * uy).astype(np.intp), np.rint(columns + far * ux).astype(np.intp)
    return np.asarray(across[at_row, at_column] * ux + down[at_row, at_column] * uy)


def edges_of(across: np.ndarray, down: np.ndarray, least: float, margin: int) -> Edges:
    """Ridges of the gradient (``across``, ``down``) that a step of at least ``least`` levels could have made.

    The gradient is of a picture blurred by one pixel, the step's own blur up to 1.5. ``margin`` pixels along the
    picture's border are left out; the picture is larger than twice that.
    """
    height = np.hypot(across, down)
    inner = np.zeros(height.shape, bool)
    inner[margin:-margin, margin:-margin] = True
    rows, columns = np.nonzero((height > least / np.sqrt(2 * np.pi * (1.5**2 + 1.0))) & inner)
    here = height[rows, columns]
    ux, uy = across[rows, columns] / here, down[rows, columns] / here
    left, right = (along(across, down, rows, columns, ux, uy, far) for far in (-1.0, 1.0))
    peak = (here >= left) & (here >= right)
    curvature = np.minimum(left - 2.0 * here + right, -1e-3)
    offset = np.clip(0.5 * (left - right) / curvature, -0.5, 0.5)
    return Edges(rows, columns, ux, uy, here, offset).chosen(peak)
