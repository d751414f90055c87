"""Separable resampling of a plane at exact sample positions.

Output sample i of an axis takes its value at source position ``offset + step * i``, in source
samples, with both numbers rational, so that no phase is rounded. Beyond the picture the edge sample
is repeated. When samples are dropped (step > 1) the kernel is stretched by the step (antialiasing),
except for ``nearest``. Weights are normalised to sum one: a flat picture stays flat.

Whole upsampling factors (and pure shifts) go through OpenCV's separable filter, one pass per
phase; everything else through the same weights, gathered row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import Geometry, Planes
from forensic.media.opencv import opencv
from forensic.stages.kernels import KERNELS, Kernel

_MOST_PHASES = 8
_ZERO, _ONE = Fraction(0), Fraction(1)


@dataclass(frozen=True)
class AxisMap:
    """``count`` output samples of an axis; sample i lies at source position ``offset + step * i``."""

    count: int
    step: Fraction = _ONE
    offset: Fraction = _ZERO

    def is_identity(self, length: int) -> bool:
        """Whether an axis of ``length`` samples is left as it is."""
        return self.count == length and self.step == 1 and self.offset == 0


def chroma_siting(geometry: Geometry, colour: ColourSpec) -> tuple[Fraction, Fraction]:
    """(x, y) of chroma sample (0, 0) in luma samples, by H.273 ChromaLocType.

    A silent file is taken as ``left``: MPEG-2, MPEG-4, H.264 and HEVC place 4:2:0 and 4:2:2 chroma so.
    """
    layout, location = geometry.layout, colour.chroma_location
    middle_x = Fraction((1 << layout.chroma_shift_x) - 1, 2)
    middle_y = Fraction((1 << layout.chroma_shift_y) - 1, 2)
    x = middle_x if location in ("center", "top", "bottom") else _ZERO
    if location in ("topleft", "top"):
        y = _ZERO
    elif location in ("bottomleft", "bottom"):
        y = 2 * middle_y
    else:
        y = middle_y
    return x, y


def scaled_axes(source: Geometry, result: Geometry, colour: ColourSpec) -> list[tuple[AxisMap, AxisMap]]:
    """(rows, columns) map of every plane when a picture is scaled from ``source`` to ``result``.

    The outer edges of both pictures coincide (half-pixel centres); chroma keeps its siting
    relative to luma before and after.
    """
    layout = source.layout
    siting_x, siting_y = chroma_siting(source, colour)
    axes = []
    for number, (rows, columns) in enumerate(result.plane_shapes):
        chroma = layout.family == "yuv" and number > 0
        pitch_x, pitch_y = (1 << layout.chroma_shift_x, 1 << layout.chroma_shift_y) if chroma else (1, 1)
        first_x, first_y = (siting_x, siting_y) if chroma else (_ZERO, _ZERO)
        axes.append(
            (
                _scaled_axis(rows, Fraction(source.height, result.height), pitch_y, first_y),
                _scaled_axis(columns, Fraction(source.width, result.width), pitch_x, first_x),
            )
        )
    return axes


def _scaled_axis(count: int, step: Fraction, pitch: int, first: Fraction) -> AxisMap:
    half = Fraction(1, 2)
    # Output sample 0 lies at luma position `first`; its centre maps to (first + 1/2) * step - 1/2.
    return AxisMap(count, step, ((first + half) * step - half - first) / pitch)


def resample_planes(planes: Planes, axes: list[tuple[AxisMap, AxisMap]], kernel_name: str) -> Planes:
    """Resample each plane (float32) by its own (rows, columns) map with kernel ``kernel_name``."""
    kernel = KERNELS[kernel_name]
    return tuple(resample(plane, rows, columns, kernel) for plane, (rows, columns) in zip(planes, axes, strict=True))


def resample(plane: np.ndarray, rows: AxisMap, columns: AxisMap, kernel: Kernel) -> np.ndarray:
    """Resample float32 ``plane`` (rows, columns); returns float32 of shape (rows.count, columns.count).

    Returns ``plane`` itself where both maps are the identity.
    """
    height, width = plane.shape
    if rows.is_identity(height) and columns.is_identity(width):
        return plane
    row_phases, column_phases = _phases(rows, height, kernel), _phases(columns, width, kernel)
    if row_phases is not None and column_phases is not None:
        return _polyphase(plane, row_phases, column_phases)[: rows.count, : columns.count]
    if not rows.is_identity(height):
        plane = (
            _gather_rows(plane, rows, kernel)
            if row_phases is None
            else _polyphase(plane, row_phases, _IDENTITY)[: rows.count]
        )
    if not columns.is_identity(width):
        plane = (
            np.ascontiguousarray(_gather_rows(np.ascontiguousarray(plane.T), columns, kernel).T)
            if column_phases is None
            else _polyphase(plane, _IDENTITY, column_phases)[:, : columns.count]
        )
    return plane


_IDENTITY = (np.ones(1, np.float32),)


@lru_cache(maxsize=256)
def _phases(axis: AxisMap, length: int, kernel: Kernel) -> tuple[np.ndarray, ...] | None:
    """Correlation kernels (odd length, centred) of each phase, or None where the general way is due."""
    factor = axis.step.denominator
    if axis.step.numerator != 1 or factor > _MOST_PHASES or axis.count > factor * length:
        return None
    shifts = [axis.offset + phase * axis.step for phase in range(factor)]
    reach = max(kernel.support, 1) + max(abs(shift).__ceil__() for shift in shifts)
    taps = np.arange(-reach, reach + 1)
    phases = []
    for shift in shifts:
        if kernel.support == 0:
            weights = (taps == (shift + Fraction(1, 2)).__floor__()).astype(np.float64)
        else:
            weights = kernel.weight(taps - float(shift))
        used = np.flatnonzero(np.abs(weights) > 0)
        trim = int(np.abs(taps[used]).max())
        centred = weights[reach - trim : reach + trim + 1]
        phases.append((centred / centred.sum()).astype(np.float32))
    return tuple(phases)


def _polyphase(
    plane: np.ndarray, row_phases: tuple[np.ndarray, ...], column_phases: tuple[np.ndarray, ...]
) -> np.ndarray:
    cv2 = opencv()
    height, width = plane.shape
    count_y, count_x = len(row_phases), len(column_phases)
    result = np.empty((height, count_y, width, count_x), np.float32)
    for number, down in enumerate(row_phases):
        parts = [
            cv2.sepFilter2D(plane, cv2.CV_32F, across, down, borderType=cv2.BORDER_REPLICATE)
            for across in column_phases
        ]
        if count_x == 1:
            result[:, number, :, 0] = parts[0]
        else:
            result[:, number] = cv2.merge(parts)
    return result.reshape(height * count_y, width * count_x)


@lru_cache(maxsize=64)
def _taps(axis: AxisMap, length: int, kernel: Kernel) -> tuple[np.ndarray, np.ndarray]:
    """Source rows and weights, both (taps, count), of every output sample of an axis."""
    denominator = axis.step.denominator * axis.offset.denominator
    step, offset = int(axis.step * denominator), int(axis.offset * denominator)
    position = offset + step * np.arange(axis.count, dtype=np.int64)  # in 1/denominator samples
    if kernel.support == 0:
        nearest = (2 * position + denominator) // (2 * denominator)
        return np.clip(nearest, 0, length - 1)[None], np.ones((1, axis.count), np.float32)
    stretch = max(float(axis.step), 1.0)
    reach = int(np.ceil(kernel.support * stretch))
    base = position // denominator
    fraction = (position - base * denominator) / denominator
    taps = np.arange(-reach + 1, reach + 1)[:, None]
    weights = kernel.weight((taps - fraction) / stretch)
    weights /= weights.sum(axis=0)
    return np.clip(base + taps, 0, length - 1), weights.astype(np.float32)


def _gather_rows(plane: np.ndarray, axis: AxisMap, kernel: Kernel) -> np.ndarray:
    rows, weights = _taps(axis, plane.shape[0], kernel)
    result: np.ndarray = plane[rows[0]]
    result *= weights[0][:, None]
    for row, weight in zip(rows[1:], weights[1:], strict=True):
        part = plane[row]
        part *= weight[:, None]
        result += part
    return result
