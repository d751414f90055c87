"""Motion that differs slowly over the picture, on top of the global one: parallax, rolling shutter, stabilised phones.

A grid of vertices about 16 px apart, each with a shift of its own, bilinear between them: far fewer unknowns than
dense flow, so that the sub-pixel precision of registration is kept. Gauss-Newton on grey levels with weights
against outliers as in ``registration``, coarse to fine; vertices are held together by springs (the quadratic form
of a membrane), which fills in where there is no structure. Every vertex is solved with the sum of its row of the
normal equations in place of its diagonal block (mass lumping): exact for a common shift, and never too large a step.

The grid is kept only where a good part of its vertices explain their surroundings better than the global motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from forensic.fusion.interpolation import inside, sampled
from forensic.fusion.motion import Motion, grid_through

_CELL = 16.0  # px between vertices
_FEWEST, _MOST = 4, 25  # vertices along a side
_LEAST_SIDE = 48  # px
_SMOOTHING = 0.8  # px, as in registration
_ROUNDS = (8, 8)  # at half size, at full size
_SETTLED = 0.004  # px
_SPRING = 0.004  # of the mean trace of a vertex's equations
_SWEEPS = 40  # over the springs
_FARTHEST = 4.0  # px from the global motion
_BETTER = 0.9  # energy that is left over that of the global motion, for a vertex to count as better explained
_SHARE = 0.2  # of the vertices that must be, for the grid to be kept
_LEAST = 0.1  # px: a grid that bends less is no grid
_FULL, _NONE = 0.15, 0.5  # px: disagreement of both directions up to which a pixel is trusted fully, not at all


@dataclass(frozen=True)
class _Grid:
    """Hat functions of the vertices along rows and columns, float32 (vertices, px); they sum to one everywhere."""

    down: np.ndarray
    across: np.ndarray

    @classmethod
    def over(cls, shape: tuple[int, int], vertices: tuple[int, int]) -> _Grid:
        return cls(*(_hats(length, count) for length, count in zip(shape, vertices, strict=True)))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values at the vertices, bilinear between: float32 (rows, columns)."""
        # einsum of two operands without "optimize" is a plain loop: no BLAS, whose order depends on threads.
        return np.einsum("rj,jx->rx", np.einsum("ir,ij->rj", self.down, values), self.across)

    def gathered(self, plane: np.ndarray) -> np.ndarray:
        """Sums of ``plane`` under the hats: (vertices, vertices)."""
        return np.einsum("rj,ir->ij", np.einsum("rx,jx->rj", plane, self.across), self.down)


def _hats(length: int, count: int) -> np.ndarray:
    place = np.linspace(0.0, count - 1.0, length)
    return np.maximum(0.0, 1.0 - np.abs(place[None] - np.arange(count)[:, None])).astype(np.float32)


def _vertices(shape: tuple[int, int]) -> tuple[int, int]:
    rows, columns = (int(np.clip(round(side / _CELL) + 1, _FEWEST, _MOST)) for side in shape)
    return rows, columns


def piecewise(reference: np.ndarray, frame: np.ndarray, start: Motion) -> Motion:
    """``start`` bent by a grid of shifts, or ``start`` itself where that explains the frame no better.

    Pictures: float32 luma of the same shape. The result's ``trust`` falls where both directions disagree.
    """
    shape = frame.shape
    if min(shape) < _LEAST_SIDE or reference.shape != shape:
        return start
    smooth_reference, smooth_frame = _smoothed(reference), _smoothed(frame)
    columns, rows = start.places_in_reference(shape)
    there = _bent(smooth_frame, smooth_reference, columns, rows)
    if there is None:
        return start
    grid = _Grid.over(shape, _vertices(shape))
    columns, rows = columns + grid.spread(there[0]), rows + grid.spread(there[1])
    ahead_x, ahead_y = grid_through(start.matrix, shape)
    back = _bent(smooth_reference, smooth_frame, ahead_x, ahead_y, needed=False)
    if back is None:
        return start
    x, y = grid_through(np.eye(3), shape)
    landed_x, landed_y = ahead_x + grid.spread(back[0]), ahead_y + grid.spread(back[1])
    gap = np.hypot(sampled(landed_x, columns, rows) - x, sampled(landed_y, columns, rows) - y)
    trust = np.clip((np.float32(_NONE) - gap) / np.float32(_NONE - _FULL), 0.0, 1.0).astype(np.float32)
    return Motion(start.matrix, np.stack([columns, rows]).astype(np.float32), trust)


def _smoothed(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REFLECT))


def _bent(
    fixed: np.ndarray, moving: np.ndarray, columns: np.ndarray, rows: np.ndarray, needed: bool = True
) -> np.ndarray | None:
    """Shifts of the vertices, float32 (2, rows, columns of vertices), that lay ``moving`` onto ``fixed`` better.

    (``columns``, ``rows``): where each pixel of ``fixed`` lies in ``moving`` so far. None where they do not help,
    unless they are not ``needed`` to.
    """
    vertices = _vertices(fixed.shape)
    shifts = np.zeros((2, *vertices), np.float32)
    for level, rounds in zip((1, 0), _ROUNDS, strict=True):
        if level:
            small, smaller = cv2.pyrDown(fixed), cv2.pyrDown(moving)
            height, width = small.shape
            x = np.ascontiguousarray(columns[::2, ::2][:height, :width]) / np.float32(2.0)
            y = np.ascontiguousarray(rows[::2, ::2][:height, :width]) / np.float32(2.0)
            shifts = np.float32(2.0) * _settled(small, smaller, x, y, shifts, rounds)
        else:
            shifts = _settled(fixed, moving, columns, rows, shifts, rounds)
    if not needed:
        return shifts
    grid = _Grid.over(fixed.shape, vertices)
    straight, valid, spread = _difference(fixed, moving, columns, rows)
    bent, also, _ = _difference(fixed, moving, columns + grid.spread(shifts[0]), rows + grid.spread(shifts[1]))
    both = (valid & also).astype(np.float32)
    limit = np.float32((3.0 * spread) ** 2)
    before, after = (grid.gathered(both * np.minimum(residual * residual, limit)) for residual in (straight, bent))
    better = (after < _BETTER * before) & (np.hypot(shifts[0], shifts[1]) > _LEAST)
    return shifts if float(np.mean(better)) >= _SHARE else None


def _difference(
    fixed: np.ndarray, moving: np.ndarray, columns: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """(difference less its median, where both show something, its robust spread)."""
    moved = sampled(moving, columns, rows)
    valid = inside(columns, rows, moving.shape)
    residual = moved - fixed
    if not valid.any():
        return residual, valid, 1.0
    residual = residual - np.float32(np.median(residual[valid]))  # a change of light is no motion
    return residual, valid, max(1.4826 * float(np.median(np.abs(residual[valid]))), 0.25)


def _settled(
    fixed: np.ndarray, moving: np.ndarray, columns: np.ndarray, rows: np.ndarray, start: np.ndarray, rounds: int
) -> np.ndarray:
    """``start`` refined by at most ``rounds`` Gauss-Newton steps; px of these pictures."""
    grid, shifts = _Grid.over(fixed.shape, (start.shape[1], start.shape[2])), start.copy()
    for _ in range(rounds):
        x, y = columns + grid.spread(shifts[0]), rows + grid.spread(shifts[1])
        residual, valid, spread = _difference(fixed, moving, x, y)
        mean = fixed + np.float32(0.5) * residual
        slope_x, slope_y = (
            cv2.Sobel(mean, cv2.CV_32F, *order, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
            for order in ((1, 0), (0, 1))
        )
        weight = valid / (1.0 + (residual / np.float32(3.0 * spread)) ** 2) ** 2
        gathered = [
            grid.gathered((weight * one * other).astype(np.float32)).astype(np.float64)
            for one, other in (
                (slope_x, slope_x), (slope_x, slope_y), (slope_y, slope_y), (slope_x, residual), (slope_y, residual),
            )
        ]  # fmt: skip
        change = _sprung(gathered, shifts.astype(np.float64))
        shifts = np.clip(shifts + change, -_FARTHEST, _FARTHEST).astype(np.float32)
        if float(np.abs(change).max()) < _SETTLED:
            break
    return shifts


def _sprung(gathered: list[np.ndarray], shifts: np.ndarray) -> np.ndarray:
    """The change of ``shifts`` that lowers the residuals and the tension between neighbours; Jacobi sweeps."""
    xx, xy, yy, x_residual, y_residual = gathered
    spring = _SPRING * float(np.mean(xx + yy)) + 1e-6
    neighbours = _beside(np.ones_like(xx))
    a, b, c = xx + spring * neighbours, xy, yy + spring * neighbours
    determinant = a * c - b * b
    change = np.zeros_like(shifts)
    for _ in range(_SWEEPS):
        total = shifts + change
        pull_x = spring * (_beside(total[0]) - neighbours * shifts[0]) - x_residual
        pull_y = spring * (_beside(total[1]) - neighbours * shifts[1]) - y_residual
        change = np.stack([(c * pull_x - b * pull_y) / determinant, (a * pull_y - b * pull_x) / determinant])
    return change


def _beside(values: np.ndarray) -> np.ndarray:
    """Sum over the up to four neighbours of every vertex."""
    total = np.zeros_like(values)
    total[1:] += values[:-1]
    total[:-1] += values[1:]
    total[:, 1:] += values[:, :-1]
    total[:, :-1] += values[:, 1:]
    return total
