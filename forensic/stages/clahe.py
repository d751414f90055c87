"""Contrast-limited adaptive histogram equalisation of luma, in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.luma import nominal_range, with_luma
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Stage, StageCard

_BINS = 256


class ClaheParameters(Parameters):
    """Size of the neighbourhood and limit of the contrast."""

    clip_limit: float = parameter(
        2.0,
        title="Contrast limit",
        unit="times",
        ge=1.0,
        le=40.0,
        description="Steepest slope of the local tone curve; 1 changes nothing.",
    )
    columns: int = parameter(
        8, title="Tile columns", unit="tiles", ge=1, le=64, description="Tiles across; each gets its own tone curve."
    )
    rows: int = parameter(8, title="Tile rows", unit="tiles", ge=1, le=64, description="Tiles down.")


class Clahe(Stage[ClaheParameters]):
    """Local contrast by histogram equalisation with a limited slope."""

    name = "clahe"
    title = "Local contrast (CLAHE)"
    stage_class = StageClass.PRESENTATION
    parameter_model = ClaheParameters
    card = StageCard(
        explanation=(
            "Brings out contrast separately in each part of the picture, so that a dark doorway and a bright street "
            "can both be seen. A limit keeps noise from being blown up without bound. Colour planes are not touched."
        ),
        artefacts=(
            "Brightness can no longer be compared between distant parts of the picture.",
            "Noise and compression blocks in flat areas become visible.",
            "Soft light or dark veils around objects much darker or brighter than their surroundings.",
            "What the recording holds beyond nominal black and white (in limited range, luma below 16 and above 235) "
            "is clipped. Many cameras put highlights there.",
        ),
        references=(
            "K. Zuiderveld, Contrast Limited Adaptive Histogram Equalization, in: Graphics Gems IV (Academic Press, "
            "1994), 474-485.",
        ),
    )

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame, chosen = window[at], self.parameters
        if chosen.clip_limit == 1.0:
            return frame.planes
        black, white = nominal_range(frame)
        unit = np.float32((white - black) / _BINS)
        level = np.clip((frame.luma - np.float32(black)) / unit, 0.0, np.float32(_BINS)).astype(np.float32)
        rows, columns = min(chosen.rows, level.shape[0]), min(chosen.columns, level.shape[1])
        curves = _tile_curves(level, rows, columns, chosen.clip_limit)
        luma = _interpolated(level, curves) * unit + np.float32(black)
        return with_luma(frame, luma)


def _edges(length: int, count: int) -> np.ndarray:
    return np.arange(count + 1) * length // count


def _tile_curves(level: np.ndarray, rows: int, columns: int, clip_limit: float) -> np.ndarray:
    """Tone curve of each tile, (rows, columns, _BINS + 1) float32: value at each bin edge, in bins."""
    tops, lefts = _edges(level.shape[0], rows), _edges(level.shape[1], columns)
    bins = np.minimum(level, _BINS - 1).astype(np.intp)
    curves = np.empty((rows, columns, _BINS + 1), np.float32)
    for row in range(rows):
        for column in range(columns):
            tile = bins[tops[row] : tops[row + 1], lefts[column] : lefts[column + 1]]
            share = np.bincount(tile.ravel(), minlength=_BINS) * (_BINS / tile.size)  # 1 = uniform
            curves[row, column, 0] = 0.0
            curves[row, column, 1:] = np.cumsum(_clipped(share, clip_limit))
    return curves


def _clipped(share: np.ndarray, limit: float) -> np.ndarray:
    """Clip the histogram at ``limit`` and spread the excess evenly; the sum stays and no bin exceeds the limit."""
    low, high = 0.0, limit
    for _ in range(40):  # bisection for the height that is added to every bin
        height = (low + high) / 2
        if np.minimum(share + height, limit).sum() > _BINS:
            high = height
        else:
            low = height
    return np.asarray(np.minimum(share + low, limit))


def _interpolated(level: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Each pixel by the curves of the four nearest tile centres, bilinearly; beyond the outer ones, the nearest."""
    rows, columns = curves.shape[:2]
    upper, lower, down = _between(level.shape[0], rows)
    left, right, across = _between(level.shape[1], columns)
    base = np.minimum(level, np.float32(_BINS - 1)).astype(np.int32)
    fraction = level - base
    result = np.empty_like(level)
    # Runs of rows and columns that share the same four tiles.
    for top, bottom in _runs(upper, lower):
        for start, stop in _runs(left, right):
            part = (slice(top, bottom), slice(start, stop))
            tiles = [curves[r, c] for r in (upper[top], lower[top]) for c in (left[start], right[start])]
            values = []
            for curve in tiles:
                slope = np.diff(curve)
                values.append(curve[base[part]] + slope[base[part]] * fraction[part])
            x, y = across[None, start:stop], down[top:bottom, None]
            result[part] = (values[0] * (1 - x) + values[1] * x) * (1 - y) + (values[2] * (1 - x) + values[3] * x) * y
    return result


def _between(length: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each sample: index of the tile centre before it, after it, and the weight of the latter."""
    edges = _edges(length, count)
    centres = (edges[:-1] + edges[1:] - 1) / 2
    position = np.interp(np.arange(length), centres, np.arange(count))
    before = np.minimum(position.astype(np.intp), count - 1)
    return before, np.minimum(before + 1, count - 1), (position - before).astype(np.float32)


def _runs(first: np.ndarray, second: np.ndarray) -> list[tuple[int, int]]:
    breaks = np.flatnonzero((np.diff(first) != 0) | (np.diff(second) != 0)) + 1
    borders = [0, *map(int, breaks), len(first)]
    return list(pairwise(borders))
