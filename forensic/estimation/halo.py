"""Halos: what the camera's own sharpening has drawn along edges, from the mean course of grey levels across them.

Across an isolated edge between two flat parts a picture that was not sharpened rises from one level to the other
and stops. Sharpening (unsharp masking, a camera's "detail" setting) makes it swing beyond both. Pixels beside the
edge are placed by their distance to it along its normal, as in the slanted-edge method (ISO 12233:2017, annex D), and
their levels divided by the height of the step. At every distance a quantile over the sharpest edges says how far
the levels swing. Scenes have edges softer than their pixels, which swing less, and lines along edges, which
look like a swing: what an ideally sharp edge would do follows with a bias and a scatter that were measured on simulated
recordings. The halo's width is the distance over which the swing is more than half of its greatest. Edges that end
in clipped levels say nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.estimation.edges import derivatives, edges_of
from forensic.estimation.estimate import Answer, Estimate, NotDetermined
from forensic.estimation.sampling import Group

_REACH = 9  # samples along the normal, to either side
_PLATEAU = (3.5, 6.5)  # distances at which the levels beside an edge are taken
_LEAST_HEIGHT = 24.0  # grey levels
_FLAT = 0.15  # of the step's height: scatter allowed in the flat parts, beside the noise
_FEWEST = 40
_SHARPEST = 0.3  # share of the edges, by slope against height: a soft edge shows little of a halo
_SHARE = 0.35  # quantile of the swing at every distance: thin lines beside an edge look like halos, but are fewer
_MOST = 20_000  # per frame, evenly chosen: more say nothing more
_CLIPPED = (2.0, 253.0)
_GRID = np.arange(0.0, 4.01, 0.25)
_HALF_BIN = 0.375
_SOFT = 0.33  # slope against height, per pixel, below which edges are too soft for a halo of fine detail to show
_CLEAR = 0.1  # a swing that stands out even so
# Set on the simulator (docs/estimation.md). Swing = offset + share x overshoot of an ideal edge; and the lines that
# bound nine tenths of the swings: offset and share of the greatest, and of the least.
_OFFSET, _PART = 0.025, 0.55
_MOST_OFFSET, _MOST_PART = 0.12, 0.8
_LEAST_OFFSET, _LEAST_PART = -0.04, 0.28
_LOG_WIDTH_BELOW, _LOG_WIDTH_ABOVE = 0.4, 0.5


@dataclass(frozen=True)
class Halo:
    """``overshoot``: of an ideally sharp edge beyond the levels beside it, percent of the step, mean of both sides.

    ``width``: of the halo, at half its greatest height, in pixels. ``edges``: how many were looked at.
    """

    overshoot: Answer
    width: Answer
    edges: int

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {"overshoot": self.overshoot.to_record(), "halo_width": self.width.to_record(), "edges": self.edges}


def estimate_halo(groups: Sequence[Group], noise_sigma: float | None = None) -> Halo:
    """Halos in the frames of ``groups`` (the first of each). ``noise_sigma`` in grey levels sets the least edge."""
    profiles = [_profiles(group[0].levels, noise_sigma or 1.0) for group in groups]
    place, level, sharpness = (np.concatenate(part, axis=-1) for part in zip(*profiles, strict=True))
    if sharpness.size < _FEWEST:
        few = NotDetermined(f"fewer than {_FEWEST} isolated edges between flat parts")
        return Halo(few, few, int(sharpness.size))
    swing, width = _measured(place, level)
    if float(np.median(sharpness)) < _SOFT and swing < _CLEAR:
        soft = NotDetermined("the edges are too soft for halos to show")
        return Halo(soft, soft, int(sharpness.size))
    alone = [_measured(*one[:2])[0] for one in profiles if one[2].size >= _FEWEST]
    over_frames = 1.645 * float(np.std(alone, ddof=1)) / len(alone) ** 0.5 if len(alone) > 1 else 0.0
    value, low, high = (
        100.0 * max((swing - offset) / part, 0.0)
        for offset, part in ((_OFFSET, _PART), (_MOST_OFFSET + over_frames, _MOST_PART),
                             (_LEAST_OFFSET - over_frames, _LEAST_PART))
    )  # fmt: skip
    found = Estimate(
        value, min(low, value), max(high, value), "percent of the step", "swing of the grey levels beside the sharpest "
        "edges", int(sharpness.size), bound="upper" if low == 0.0 else None,
    )  # fmt: skip
    if low == 0.0 or width is None:
        return Halo(found, NotDetermined("no halo stands out along the edges"), int(sharpness.size))
    wide = Estimate(width, width * float(np.exp(-_LOG_WIDTH_BELOW)), width * float(np.exp(_LOG_WIDTH_ABOVE)), "pixels",
                    "half height of the swing", int(sharpness.size))  # fmt: skip
    return Halo(found, wide, int(sharpness.size))


_Profiles = tuple[np.ndarray, np.ndarray, np.ndarray]


def _profiles(levels: np.ndarray, noise: float) -> _Profiles:
    """Of the sharpest edges: distance in pixels, and level from 0 before the edge to 1 behind it, (samples, edges);
    and slope against height, per pixel, (edges)."""
    nothing = np.zeros((2 * _REACH + 1, 0)), np.zeros((2 * _REACH + 1, 0)), np.zeros(0)
    if min(levels.shape) < 48:
        return nothing
    edges = edges_of(*derivatives(levels, 1.0), max(_LEAST_HEIGHT, 12.0 * noise), _REACH + 2)
    if edges.rows.size > _MOST:
        edges = edges.chosen(np.linspace(0, edges.rows.size - 1, _MOST).astype(np.intp))
    far = np.arange(-_REACH, _REACH + 1, dtype=np.float64)[:, None]
    rows = np.rint(edges.rows + far * edges.uy).astype(np.intp)
    columns = np.rint(edges.columns + far * edges.ux).astype(np.intp)
    # Where a pixel lies, along the normal, from where the slope is greatest.
    place = (rows - edges.rows) * edges.uy + (columns - edges.columns) * edges.ux - edges.offset
    level = levels[rows, columns].astype(np.float64)
    before, behind = (_plateau(place, level, side) for side in (-1.0, 1.0))
    height = behind[0] - before[0]
    scatter = np.maximum(before[1], behind[1])
    least, most = level.min(axis=0), level.max(axis=0)
    fit = (height > max(_LEAST_HEIGHT, 12.0 * noise)) & (scatter < np.hypot(_FLAT * height, 1.5 * noise))
    fit &= (least > _CLIPPED[0]) & (most < _CLIPPED[1])
    if not fit.any():
        return nothing
    sharpness = edges.slope[fit] / height[fit]
    sharp = sharpness >= np.quantile(sharpness, 1.0 - _SHARPEST)
    return place[:, fit][:, sharp], ((level[:, fit] - before[0][fit]) / height[fit])[:, sharp], sharpness[sharp]


def _plateau(place: np.ndarray, level: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the levels on one side of every edge."""
    inside = (side * place >= _PLATEAU[0]) & (side * place <= _PLATEAU[1])
    count = np.maximum(inside.sum(axis=0), 1)
    mean = np.where(inside, level, 0.0).sum(axis=0) / count
    return mean, np.sqrt(np.where(inside, (level - mean) ** 2, 0.0).sum(axis=0) / count)


def _measured(place: np.ndarray, level: np.ndarray) -> tuple[float, float | None]:
    """(swing as a share of the step, width of the halo in pixels or None) of the course of levels over all edges."""
    halo = np.array([_swing(place, level, at) for at in _GRID])
    swing = float(halo.max())
    top = int(np.argmax(halo))
    inner, outer = top, top
    while inner > 0 and halo[inner] > 0.5 * swing:
        inner -= 1
    while outer < halo.size - 1 and halo[outer] > 0.5 * swing:
        outer += 1
    if swing <= 0.0 or inner == top or outer == top or halo[outer] > 0.5 * swing:
        return swing, None
    return swing, _crossing(halo, outer - 1, swing) - _crossing(halo, inner, swing)


def _swing(place: np.ndarray, level: np.ndarray, at: float) -> float:
    """Beyond 1 at distance ``at`` behind the edges, and beyond 0 as far before them; mean of the two sides."""
    behind, before = level[np.abs(place - at) <= _HALF_BIN] - 1.0, -level[np.abs(place + at) <= _HALF_BIN]
    if not behind.size or not before.size:
        return -1.0
    return 0.5 * float(np.quantile(behind, _SHARE) + np.quantile(before, _SHARE))


def _crossing(halo: np.ndarray, at: int, overshoot: float) -> float:
    """Distance, in pixels, at which the halo passes half its greatest height between samples ``at`` and the next."""
    part = (0.5 * overshoot - halo[at]) / (halo[at + 1] - halo[at])
    return float(_GRID[1] - _GRID[0]) * (at + float(np.clip(part, 0.0, 1.0)))
