"""Resampling of a picture along any smooth map, with this program's own kernels, chroma in its place.

A map says where in the recording each place of the result lies, in luma samples with (0, 0) the middle
of the top left one. What lies outside the recording is given a fixed neutral value and never made up.
Where the map shrinks the picture the kernel is stretched, separately along rows and columns of the
recording, by the local step (antialiasing): for a change of scale alone that is what ``resampling`` does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.stages.chroma import NEUTRAL
from forensic.stages.kernels import KERNELS, Kernel
from forensic.stages.luma import nominal_range
from forensic.stages.resampling import chroma_siting

# (u, v) of the result → (x, y) of the recording; NaN where there is none. float64, any shape.
PointMap = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

LARGEST_SHRINK = 32.0  # times: beyond, thousands of recorded samples would go into one
_CHUNK = 1 << 16  # samples worked on at a time
_MOST_KEPT = 512 << 20  # bytes of places and weights that are remembered
_UNIT = 1.0 + 1e-6  # steps up to this are one sample: rounding must not stretch a kernel
_PLACES = 129  # places along each side at which the local magnification is looked at


@dataclass(frozen=True)
class Coverage:
    """What a map does to a picture, over a grid of up to 129 x 129 places of the result.

    ``smallest`` and ``largest`` are the local linear magnification (result per recorded pixel), least and
    greatest over all directions and places that show the recording; ``inside`` is their share of the grid.
    """

    smallest: float
    largest: float
    inside: float


def within(x: np.ndarray, y: np.ndarray, source: Geometry) -> np.ndarray:
    """Whether places (luma samples) lie on the recorded picture; its pixels reach half a sample further out."""
    with np.errstate(invalid="ignore"):  # NaN compares false: outside
        return np.asarray((x >= -0.5) & (x <= source.width - 0.5) & (y >= -0.5) & (y <= source.height - 0.5))


def coverage(point_map: PointMap, source: Geometry, width: int, height: int) -> Coverage | None:
    """Local magnification of ``point_map`` for a result of ``width`` x ``height``, or None if it shows nothing."""
    u, v = np.meshgrid(_spread(width), _spread(height))
    x, y = point_map(u, v)
    inside = within(x, y, source)
    if not inside.any():
        return None
    xu, xv, yu, yv = (part[inside] for part in _slopes(point_map, u, v, 1.0, 1.0))
    known = np.isfinite(xu + xv + yu + yv)
    xu, xv, yu, yv = xu[known], xv[known], yu[known], yv[known]
    if not xu.size:
        return None
    # Singular values of the 2x2 matrix of slopes.
    half_sum = 0.5 * (xu * xu + xv * xv + yu * yu + yv * yv)
    determinant = xu * yv - xv * yu
    root = np.sqrt(np.maximum(half_sum * half_sum - determinant * determinant, 0.0))
    longest, shortest = np.sqrt(half_sum + root), np.abs(determinant) / np.sqrt(half_sum + root)
    largest = float(1.0 / max(float(shortest.min()), 1e-9))
    return Coverage(float(1.0 / longest.max()), largest, float(inside.mean()))


def _spread(count: int) -> np.ndarray:
    return np.linspace(0.0, count - 1.0, min(count, _PLACES))


def _slopes(point_map: PointMap, u: np.ndarray, v: np.ndarray, step_u: float, step_v: float) -> tuple[np.ndarray, ...]:
    """(x by u, x by v, y by u, y by v): differences over one step of the result, centred."""
    (x0, y0), (x1, y1) = point_map(u - 0.5 * step_u, v), point_map(u + 0.5 * step_u, v)
    (x2, y2), (x3, y3) = point_map(u, v - 0.5 * step_v), point_map(u, v + 0.5 * step_v)
    return x1 - x0, x3 - x2, y1 - y0, y3 - y2


def neutral_values(frame: WorkingFrame) -> tuple[float, ...]:
    """Sample value of every plane for what the recording does not show: middle grey without colour."""
    black, white = nominal_range(frame)
    grey = 0.5 * (black + white)
    if frame.geometry.layout.family == "yuv":
        return grey, float(NEUTRAL), float(NEUTRAL)
    return (grey,) * len(frame.planes)


def warp(
    frame: WorkingFrame, point_map: PointMap, result: Geometry, kernel_name: str, *, same: Hashable = None
) -> tuple[Planes, dict[str, Any]]:
    """Planes of ``frame`` seen through ``point_map``, with the geometry ``result``, and facts for the record.

    ``result`` has the layout of the frame; chroma keeps its siting. The facts: the share of luma samples
    outside the recording and the value that they were given. ``same`` stands for the map, where it is that of every
    frame: equal values, equal maps. Places and weights are then computed once for each geometry and kept, as far as
    they take up to about 512 MiB; the samples are the same, to the bit.
    """
    layout, kernel = frame.geometry.layout, KERNELS[kernel_name]
    siting_x, siting_y = (float(place) for place in chroma_siting(frame.geometry, frame.colour))
    fills = neutral_values(frame)
    planes, outside = [], 0
    for number, (plane, shape, fill) in enumerate(zip(frame.planes, result.plane_shapes, fills, strict=True)):
        chroma = layout.family == "yuv" and number > 0
        pitch_x, pitch_y = (1 << layout.chroma_shift_x, 1 << layout.chroma_shift_y) if chroma else (1, 1)
        first_x, first_y = (siting_x, siting_y) if chroma else (0.0, 0.0)
        grid = _Grid(first_x, first_y, pitch_x, pitch_y)
        lookup = _Lookup(point_map, frame.geometry, shape, plane.shape, grid, kernel)
        pieces = lookup.pieces() if same is None else _kept((same, kernel_name, *lookup.key), lookup)
        made, missing = _gathered_plane(plane, shape, pieces, fill)
        planes.append(made)
        if number == 0:
            outside = missing
    share = outside / (result.width * result.height)
    return tuple(planes), {"outside": {"share": round(share, 6), "samples": outside, "value": list(fills)}}


@dataclass(frozen=True)
class _Grid:
    """Where the samples of a plane lie, in luma samples."""

    first_x: float
    first_y: float
    pitch_x: int
    pitch_y: int


_Taps = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class _Piece:
    """Samples of the result that show the recording: where they stand, and their taps along both axes of it."""

    place: np.ndarray
    across: _Taps
    down: _Taps
    missing: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.place.nbytes + sum(one.nbytes for taps in (self.across, self.down) for tap in taps for one in tap)


@dataclass(frozen=True)
class _Lookup:
    """Where the samples of one plane of a result come from."""

    point_map: PointMap
    source: Geometry
    shape: tuple[int, int]
    plane_shape: tuple[int, ...]
    grid: _Grid
    kernel: Kernel

    @property
    def key(self) -> tuple[Hashable, ...]:
        """What it depends on, beside map and kernel."""
        return self.source, self.shape, self.plane_shape, self.grid

    @property
    def size(self) -> int:
        """Bytes that the pieces will take, about: from the steps at up to 129 x 129 places of the plane."""
        grid, reach = self.grid, self.kernel.support
        u, v = np.meshgrid(_spread(self.shape[1]), _spread(self.shape[0]))
        u, v = grid.first_x + grid.pitch_x * u, grid.first_y + grid.pitch_y * v
        inside = within(*self.point_map(u, v), self.source)
        xu, xv, yu, yv = _slopes(self.point_map, u, v, float(grid.pitch_x), float(grid.pitch_y))
        taps = np.zeros(inside.shape[0])
        for step in (np.hypot(xu, xv) / grid.pitch_x, np.hypot(yu, yv) / grid.pitch_y):
            stretch = np.where(inside & (step > _UNIT), np.minimum(step, LARGEST_SHRINK), 1.0)
            # A piece has the taps of its most stretched sample, and is about some rows.
            taps += np.maximum(1.0, 2.0 * np.ceil(reach * stretch.max(axis=1)))
        each = np.dtype(np.int32 if reach else np.int64).itemsize + np.dtype(np.float32).itemsize
        sample = np.dtype(np.int64).itemsize + each * taps
        return int(self.shape[0] * self.shape[1] * float((inside.mean(axis=1) * sample).mean()))

    def pieces(self) -> Iterator[_Piece]:
        """The plane in pieces, so that little is held at a time."""
        grid, count = self.grid, self.shape[0] * self.shape[1]
        for start in range(0, count, _CHUNK):
            place = np.arange(start, min(start + _CHUNK, count))
            u = grid.first_x + grid.pitch_x * (place % self.shape[1]).astype(np.float64)
            v = grid.first_y + grid.pitch_y * (place // self.shape[1]).astype(np.float64)
            x, y = self.point_map(u, v)
            inside = within(x, y, self.source)
            missing = int(inside.size - np.count_nonzero(inside))
            u, v, x, y = u[inside], v[inside], x[inside], y[inside]
            if not x.size:
                yield _Piece(place[inside], [], [], missing)
                continue
            xu, xv, yu, yv = _slopes(self.point_map, u, v, float(grid.pitch_x), float(grid.pitch_y))
            columns, rows = self.plane_shape[1], self.plane_shape[0]
            across = _weights((x - grid.first_x) / grid.pitch_x, np.hypot(xu, xv) / grid.pitch_x, columns, self.kernel)
            down = _weights((y - grid.first_y) / grid.pitch_y, np.hypot(yu, yv) / grid.pitch_y, rows, self.kernel)
            yield _Piece(place[inside], across, down, missing)


_lookups: OrderedDict[Hashable, list[_Piece]] = OrderedDict()
_lock = Lock()


def _kept(key: Hashable, lookup: _Lookup) -> Iterable[_Piece]:
    """The pieces of ``lookup``, computed the first time only, if there is room for them."""
    with _lock:
        if (found := _found(key)) is not None:
            return found
    if lookup.size > _MOST_KEPT:
        return lookup.pieces()
    with _lock:  # held while they are computed: other threads want the same
        if (found := _found(key)) is not None:
            return found
        made = _lookups[key] = list(lookup.pieces())
        # The newest stays even where it takes more than was estimated, lest every frame compute it in turn.
        while len(_lookups) > 1 and sum(piece.size for kept in _lookups.values() for piece in kept) > _MOST_KEPT:
            _lookups.popitem(last=False)
        return made


def _found(key: Hashable) -> list[_Piece] | None:
    found = _lookups.get(key)
    if found is not None:
        _lookups.move_to_end(key)
    return found


def _gathered_plane(
    plane: np.ndarray, shape: tuple[int, int], pieces: Iterable[_Piece], fill: float
) -> tuple[np.ndarray, int]:
    result: np.ndarray = np.full(shape[0] * shape[1], fill, np.float32)
    missing = 0
    for piece in pieces:
        missing += piece.missing
        if piece.place.size:
            result[piece.place] = _gathered(plane, piece.across, piece.down)
    return result.reshape(shape), missing


def _weights(
    position: np.ndarray, step: np.ndarray, length: int, kernel: Kernel
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(index, weight) of every tap along one axis; beyond the edge the outermost sample is repeated."""
    if kernel.support == 0:
        return [
            (np.clip(np.floor(position + 0.5).astype(np.int64), 0, length - 1), np.ones(position.shape, np.float32))
        ]
    stretch = np.where(step > _UNIT, np.minimum(step, LARGEST_SHRINK), 1.0)  # NaN beside a border: not stretched
    base = np.floor(position)
    fraction, index = position - base, base.astype(np.int64)
    reach = int(np.ceil(kernel.support * float(stretch.max())))
    # Taps beyond a sample's own stretch weigh exactly nothing: the others in the chunk cannot show in it.
    taps = [(tap, kernel.weight((tap - fraction) / stretch)) for tap in range(-reach + 1, reach + 1)]
    total = taps[0][1].copy()
    for _, weight in taps[1:]:
        total += weight
    return [
        (np.clip(index + tap, 0, length - 1).astype(np.int32), (weight / total).astype(np.float32))
        for tap, weight in taps
        if weight.any()
    ]


def _gathered(
    plane: np.ndarray, across: list[tuple[np.ndarray, np.ndarray]], down: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    flat = np.ascontiguousarray(plane).ravel()
    result: np.ndarray = np.zeros(across[0][0].shape, np.float32)
    for row, row_weight in down:
        start = row * plane.shape[1]
        line: np.ndarray = np.zeros_like(result)
        for column, weight in across:
            line += weight * flat[start + column]
        result += row_weight * line
    return result
