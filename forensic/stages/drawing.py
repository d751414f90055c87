"""Drawing on a picture: shapes as coverage of pixels, laid over all planes with colour in its place.

Shapes are distances, not polygons: a pixel's coverage follows from how far its middle lies from the line,
so that an edge is smooth over one pixel and the same bits come out on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.media.lettering import line_of_text
from forensic.stages.chroma import NEUTRAL, rgb_matrix
from forensic.stages.kernels import KERNELS
from forensic.stages.luma import nominal_range
from forensic.stages.resampling import AxisMap, chroma_siting, resample

# R', G', B' from 0 to 1. Told apart with most kinds of colour blindness (after Okabe and Ito, 2008).
COLOURS = {
    "yellow": (0.94, 0.89, 0.26),
    "orange": (0.90, 0.62, 0.0),
    "red": (0.84, 0.15, 0.10),
    "magenta": (0.80, 0.30, 0.65),
    "cyan": (0.34, 0.80, 0.95),
    "green": (0.0, 0.62, 0.45),
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
}
Point = tuple[float, float]
_GRID = 8  # samples: a multiple of every colour sample
_SPARE = 4  # samples around ink, so that interpolation at the rim of a region sees none


class Canvas:
    """Coverage, 0 to 1, of one colour over a picture of ``width`` x ``height`` luma samples."""

    def __init__(self, width: int, height: int) -> None:
        self.ink: np.ndarray = np.zeros((height, width), np.float32)
        self._parts: list[tuple[int, int, int, int]] = []  # (top, bottom, left, right) of what was drawn

    @property
    def region(self) -> tuple[slice, slice] | None:
        """Rows and columns that hold all ink, on a grid of 8 samples with 4 to spare, or None where there is none."""
        if not self._parts:
            return None
        tops, bottoms, lefts, rights = zip(*self._parts, strict=True)
        return (
            slice(max(min(tops) - _SPARE, 0) // _GRID * _GRID, max(bottoms) + _SPARE),
            slice(max(min(lefts) - _SPARE, 0) // _GRID * _GRID, max(rights) + _SPARE),
        )

    def line(self, start: Point, end: Point, thickness: float) -> None:
        """A straight line with round ends, ``thickness`` pixels wide."""
        reach = thickness / 2 + 1
        part, x, y = self._around([start, end], reach)
        along_x, along_y = end[0] - start[0], end[1] - start[1]
        length = along_x * along_x + along_y * along_y
        share = 0.0 if length == 0 else np.clip(((x - start[0]) * along_x + (y - start[1]) * along_y) / length, 0, 1)
        self._add(part, np.hypot(x - start[0] - share * along_x, y - start[1] - share * along_y), thickness)

    def circle(self, middle: Point, radius: float, thickness: float) -> None:
        """A ring whose line is centred on ``radius``."""
        part, x, y = self._around([middle], radius + thickness / 2 + 1)
        self._add(part, np.abs(np.hypot(x - middle[0], y - middle[1]) - radius), thickness)

    def outline(self, corners: Sequence[Point], thickness: float) -> None:
        """A closed polygon's lines."""
        for start, end in zip(corners, [*corners[1:], corners[0]], strict=True):
            self.line(start, end, thickness)

    def arrow(self, start: Point, end: Point, thickness: float, head: float) -> None:
        """A line with a head at ``end`` whose two strokes are ``head`` pixels long."""
        self.line(start, end, thickness)
        length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        if length == 0:
            return
        back_x, back_y = (start[0] - end[0]) / length, (start[1] - end[1]) / length
        for turn in (np.radians(28.0), -np.radians(28.0)):
            x = float(back_x * np.cos(turn) - back_y * np.sin(turn))
            y = float(back_x * np.sin(turn) + back_y * np.cos(turn))
            self.line(end, (end[0] + head * x, end[1] + head * y), thickness)

    def box(self, left: int, top: int, width: int, height: int) -> None:
        """A filled rectangle of whole pixels; what lies outside the picture is left out."""
        self.ink[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 1.0
        self._parts.append((max(top, 0), max(top + height, 0), max(left, 0), max(left + width, 0)))

    def dots(self, ink: np.ndarray, left: int, top: int) -> None:
        """Ink (bool) with its top left at (``left``, ``top``), cut at the picture's edges."""
        height, width = self.ink.shape
        y0, y1, x0, x1 = max(top, 0), min(top + ink.shape[0], height), max(left, 0), min(left + ink.shape[1], width)
        if y0 < y1 and x0 < x1:
            part = self.ink[y0:y1, x0:x1]
            np.maximum(part, ink[y0 - top : y1 - top, x0 - left : x1 - left], out=part)
            self._parts.append((y0, y1, x0, x1))

    def _around(self, points: Sequence[Point], reach: float) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
        height, width = self.ink.shape
        bounds = []
        for axis, length in ((1, height), (0, width)):
            low = int(np.floor(min(point[axis] for point in points) - reach))
            high = int(np.ceil(max(point[axis] for point in points) + reach)) + 1
            bounds.append(slice(min(max(low, 0), length), min(max(high, 0), length)))
        rows, columns = bounds
        x = np.arange(columns.start, columns.stop, dtype=np.float64)[None, :]
        y = np.arange(rows.start, rows.stop, dtype=np.float64)[:, None]
        return (rows, columns), x, y

    def _add(self, part: tuple[slice, slice], distance: np.ndarray, thickness: float) -> None:
        target = self.ink[part]
        np.maximum(target, np.clip(thickness / 2 + 0.5 - distance, 0.0, 1.0).astype(np.float32), out=target)
        if target.size:
            self._parts.append((part[0].start, part[0].stop, part[1].start, part[1].stop))


def colour_values(frame: WorkingFrame, colour: str) -> tuple[float, ...]:
    """Sample values of every plane for a colour of :data:`COLOURS`, by the frame's own matrix and range."""
    rgb = np.array(COLOURS[colour])
    black, white = nominal_range(frame)
    family = frame.geometry.layout.family
    if family == "rgb":
        return tuple(float(black + (white - black) * part) for part in rgb)
    if family == "gray":
        return (float(black + (white - black) * (rgb @ np.array([0.299, 0.587, 0.114]))),)
    luma, blue, red = np.linalg.inv(rgb_matrix(frame)) @ (rgb * (white - black))
    return float(luma + black), float(blue + NEUTRAL), float(red + NEUTRAL)


def lay_over(frame: WorkingFrame, planes: Planes, canvas: Canvas, colour: str) -> Planes:
    """``planes`` of a picture like ``frame`` with ``colour`` laid over where ``canvas`` has ink."""
    if canvas.region is None:
        return planes
    rows, columns = canvas.region
    ink = canvas.ink[rows, columns]
    layout, made = frame.geometry.layout, []
    for number, (plane, value) in enumerate(zip(planes, colour_values(frame, colour), strict=True)):
        chroma = layout.family == "yuv" and number > 0
        part: tuple[slice, slice] = (rows, columns)
        if chroma:
            shift_y, shift_x = layout.chroma_shift_y, layout.chroma_shift_x
            part = (slice(rows.start >> shift_y, -(-rows.stop >> shift_y)),
                    slice(columns.start >> shift_x, -(-columns.stop >> shift_x)))  # fmt: skip
        drawn = plane.copy()
        target = drawn[part]
        share = _at_chroma(frame, ink, target.shape) if chroma else ink
        target += share * (np.float32(value) - target)
        made.append(drawn)
    return tuple(made)


def _at_chroma(frame: WorkingFrame, ink: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Coverage of chroma samples: antialiased bilinear, in phase."""
    layout = frame.geometry.layout
    x, y = chroma_siting(frame.geometry, frame.colour)
    rows = AxisMap(shape[0], Fraction(1 << layout.chroma_shift_y), y)
    columns = AxisMap(shape[1], Fraction(1 << layout.chroma_shift_x), x)
    return np.asarray(np.clip(resample(ink, rows, columns, KERNELS["bilinear"]), 0.0, 1.0))


def filled(frame: WorkingFrame, planes: Planes, box: tuple[int, int, int, int], colour: str) -> Planes:
    """``planes`` with the rectangle ``box`` (x, y, width, height; luma pixels) overwritten whole.

    In chroma planes every sample is overwritten that belongs to, or is mixed from, a pixel of the box.
    """
    x, y, width, height = box
    layout = frame.geometry.layout
    made = []
    for number, (plane, value) in enumerate(zip(planes, colour_values(frame, colour), strict=True)):
        chroma = layout.family == "yuv" and number > 0
        shift_x, shift_y = (layout.chroma_shift_x, layout.chroma_shift_y) if chroma else (0, 0)
        rows = slice(max(y, 0) >> shift_y, max(-(-(y + height) >> shift_y), 0))
        columns = slice(max(x, 0) >> shift_x, max(-(-(x + width) >> shift_x), 0))
        drawn = plane.copy()
        drawn[rows, columns] = np.float32(value)
        made.append(drawn)
    return tuple(made)


def text_size(geometry: Geometry) -> int:
    """Samples per dot of the font for a picture of this size: readable, never dominant."""
    return max(1, round(min(geometry.width, geometry.height) / 360))


def caption(frame: WorkingFrame, planes: Planes, text: str, place: tuple[int, int], size: int, colour: str) -> Planes:
    """``planes`` with ``text`` on a black box whose top left is at ``place``, moved to lie within the picture."""
    ink = line_of_text(text, size)
    height, width = ink.shape[0] + 2 * size, ink.shape[1] + 4 * size
    left = max(0, min(place[0], frame.geometry.width - width))
    top = max(0, min(place[1], frame.geometry.height - height))
    planes = filled(frame, planes, (left, top, width, height), "black")
    canvas = Canvas(frame.geometry.width, frame.geometry.height)
    canvas.dots(ink, left + 2 * size, top + size)
    return lay_over(frame, planes, canvas, colour)
