"""Motion that differs over the picture, as a coarse mesh: parallax, a lens, the wobble of a rolling shutter.

The mesh has a vertex in every corner of the picture and about one per tenth of its longer side. Dense flow
is gathered into it by medians, so that what moves in the scene is not followed (S. Liu, P. Tan, L. Yuan,
J. Sun, B. Zeng, MeshFlow: Minimum Latency Online Video Stabilization, ECCV 2016).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from forensic.frames.frame import Geometry
from forensic.media.opencv import opencv
from forensic.stages.camera import View, motion, placed

_CELLS = 10  # along the longer side
_STEPS = 256  # places are rounded to 1/256 pixel, so that they can be recorded and repeated exactly
_FARTHEST = 8.0  # pixels (of the compared picture) by which a place may differ from the camera's motion
_ODD = 1.5  # pixels by which a vertex may differ from those around it
_CLOSES = 0.5  # pixels by which flow forth and back may miss its start
_LEAST_TRUST = 0.2  # part of a vertex's surroundings whose flow must be trusted
_STIFFNESS = 1.0  # vertices (standard deviation of the smoothing over the mesh)
_REMEMBERED = 1024  # pairs


def mesh_shape(geometry: Geometry) -> tuple[int, int]:
    """(rows, columns) of vertices for a picture."""
    longest = max(geometry.width, geometry.height)
    rows, columns = (max(2, round(_CELLS * side / longest) + 1) for side in (geometry.height, geometry.width))
    return rows, columns


@dataclass(frozen=True)
class Mesh:
    """Displacement (dx, dy) in pixels at each vertex, float64 [rows, columns, 2], over a picture; linear between."""

    offsets: np.ndarray
    width: int
    height: int

    def at(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where places (``u``, ``v``) come to lie; beyond the picture as at its edge."""
        u, v = np.broadcast_arrays(u, v)
        rows, columns = self.offsets.shape[:2]
        across = np.clip(u / max(self.width - 1, 1), 0.0, 1.0) * (columns - 1)
        down = np.clip(v / max(self.height - 1, 1), 0.0, 1.0) * (rows - 1)
        left, top = np.minimum(across.astype(np.int64), columns - 2), np.minimum(down.astype(np.int64), rows - 2)
        right_share, low_share = across - left, down - top
        moved = []
        for axis, place in ((0, u), (1, v)):
            grid = self.offsets[..., axis]
            upper = grid[top, left] * (1.0 - right_share) + grid[top, left + 1] * right_share
            lower = grid[top + 1, left] * (1.0 - right_share) + grid[top + 1, left + 1] * right_share
            moved.append(place + upper * (1.0 - low_share) + lower * low_share)
        return moved[0], moved[1]

    @property
    def farthest(self) -> float:
        """Greatest displacement, pixels."""
        return float(np.hypot(self.offsets[..., 0], self.offsets[..., 1]).max())

    def back(self) -> Mesh:
        """Where each place of the moved picture comes from, rounded as it is recorded."""
        rows, columns = self.offsets.shape[:2]
        u, v = np.meshgrid(np.linspace(0, self.width - 1, columns), np.linspace(0, self.height - 1, rows))
        x, y = u, v
        for _ in range(4):
            there = self.at(x, y)
            x, y = x - (there[0] - u), y - (there[1] - v)
        found = np.stack([x - u, y - v], axis=-1)
        return Mesh(np.round(found * _STEPS) / _STEPS, self.width, self.height)

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        rows, columns = self.offsets.shape[:2]
        return {"rows": rows, "columns": columns, "from": self.offsets.reshape(-1, 2).tolist()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], geometry: Geometry) -> Mesh:
        """Inverse of :meth:`to_record`."""
        offsets = np.array(record["from"], dtype=np.float64).reshape(record["rows"], record["columns"], 2)
        return cls(offsets, geometry.width, geometry.height)


_known: OrderedDict[tuple[bytes, bytes, tuple[int, int]], np.ndarray | None] = OrderedDict()
_lock = Lock()


def mesh_motion(first: View, second: View, shape: tuple[int, int]) -> np.ndarray | None:
    """Displacement from ``first`` to ``second`` at the vertices, float64 [*shape, 2] pixels, or None if not told.

    A pure function of both, remembered by their digests as in :func:`forensic.stages.camera.motion`.
    """
    key = (first.digest, second.digest, shape)
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    found = _mesh_motion(first, second, shape)
    with _lock:
        _known[key] = found
        while len(_known) > _REMEMBERED:
            _known.popitem(last=False)
    return found


def _mesh_motion(first: View, second: View, shape: tuple[int, int]) -> np.ndarray | None:
    whole = motion(first, second, "similarity")
    if whole is None:
        return None
    height, width = first.plane.shape
    moved, seen = placed(second.plane, type(whole)(whole.turn, whole.shift / first.factor))
    residual = _residual(first.plane, moved, seen, shape)
    u, v = np.meshgrid(np.linspace(0, width - 1, shape[1]), np.linspace(0, height - 1, shape[0]))
    places = (u - 0.5 * (width - 1)) + 1j * (v - 0.5 * (height - 1))
    there = whole.turn * (places + residual[..., 0] + 1j * residual[..., 1]) + whole.shift / first.factor
    change = (there - places) * first.factor
    return np.stack([change.real, change.imag], axis=-1)


def _residual(first: np.ndarray, moved: np.ndarray, seen: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Flow from ``first`` to ``moved`` gathered into the mesh, [*shape, 2] pixels; 0 where it cannot be trusted."""
    cv2 = opencv()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    one, two = (np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in (first, moved))
    forth, back = search.calc(one, two, None), search.calc(two, one, None)
    rows, columns = first.shape
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    returned = cv2.remap(back, x + forth[..., 0], y + forth[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    closes = np.abs(forth + returned).max(axis=-1) < _CLOSES
    trusted = closes & (np.abs(forth).max(axis=-1) < _FARTHEST) & seen
    gathered, trust = np.zeros((*shape, 2)), np.zeros(shape)
    reach_y, reach_x = rows / max(shape[0] - 1, 1), columns / max(shape[1] - 1, 1)
    for row in range(shape[0]):
        for column in range(shape[1]):
            top, bottom = (round(np.clip((row + side) * reach_y, 0, rows)) for side in (-1.0, 1.0))
            left, right = (round(np.clip((column + side) * reach_x, 0, columns)) for side in (-1.0, 1.0))
            inside = trusted[top:bottom, left:right]
            trust[row, column] = inside.mean()
            if trust[row, column] >= _LEAST_TRUST:
                gathered[row, column] = np.median(forth[top:bottom, left:right][inside], axis=0)
    # A vertex that differs from those around it follows a thing, not the camera.
    middle = np.stack([cv2.medianBlur(gathered[..., axis].astype(np.float32), 3) for axis in (0, 1)], axis=-1)
    odd = np.abs(gathered - middle).max(axis=-1) > _ODD
    weight = np.where(odd | (trust < _LEAST_TRUST), 0.0, trust)
    smooth = [cv2.GaussianBlur(part, (0, 0), _STIFFNESS, borderType=cv2.BORDER_REPLICATE) for part in (
        weight, gathered[..., 0] * weight, gathered[..., 1] * weight)]  # fmt: skip
    total = np.maximum(smooth[0], 1e-9)
    stiff = np.stack([smooth[1] / total, smooth[2] / total], axis=-1)
    return np.asarray(np.where((smooth[0] > 1e-3)[..., None], stiff, 0.0))
