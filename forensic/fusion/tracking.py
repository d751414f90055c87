"""Following a marked region through a clip: where it is in every frame, how turned and grown, or that it was lost.

Not part of a run. What is found goes into a recipe as parameters of the stages ``follow`` (places) and ``fusion``
(motions), where every number stands on the record and can be checked and corrected by hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from forensic.errors import BadInput
from forensic.fusion.interpolation import sampled
from forensic.fusion.motion import Motion, grid_through, placed, project
from forensic.fusion.registration import refine
from forensic.media.opencv import opencv

LEAST_SIDE = 8  # px of a region
_LEAST_SPREAD = 2.0  # grey levels: a region flatter than this cannot be recognised
_AROUND = 4  # px around the region that help to find and to register it
_NEAR = 3  # px around the place by the last view in which the first view is looked for
_AS_MARKED, _WORSE = 0.7, 0.1  # correlation from which the first view is taken, if this much below the last view's
_PATIENCE = 10  # frames in a row in which it may be lost
_LARGEST_CHANGE = 1.5  # times that the region may have grown or shrunk from the marked frame to another
_STEADY, _FEWEST = 8, 4  # frames on either side through which the shape is a line; fewer in all are left as they are
_EXACT = 1e6  # weight of the marked frame
_LEAST_OFF, _ROUNDS = 0.02, 5  # px at the border: smallest spread; rounds of robust weights
_DIGITS = 10  # significant digits of a motion on record


@dataclass(frozen=True)
class Region:
    """Columns ``x`` to ``x + width`` and rows ``y`` to ``y + height`` of a frame, px."""

    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> np.ndarray:
        """(1, 2): middle of the region as a place between pixel centres."""
        return np.array([[self.x + (self.width - 1) / 2, self.y + (self.height - 1) / 2]])


@dataclass(frozen=True)
class Sight:
    """The region in one frame.

    ``matrix``: homography, float64 (3, 3), from the marked frame's pixels to this frame's. ``registered``: whether
    it was fitted to a fraction of a pixel; else it is right to about a pixel, and no frame to fuse. ``score``:
    normalised correlation, up to 1, with the view ``like`` ("first": as marked; "last": as last seen).
    """

    frame: int
    matrix: np.ndarray
    score: float
    like: str
    registered: bool = True

    def to_record(self, region: Region) -> dict[str, Any]:
        """JSON-able facts; ``x`` and ``y``: the region's middle, px."""
        x, y = project(self.matrix, region.middle)[0]
        return {
            "frame": self.frame, "x": float(x), "y": float(y), "score": round(self.score, 4), "like": self.like,
            "registered": self.registered, "matrix": rounded(self.matrix),
        }  # fmt: skip


@dataclass(frozen=True)
class Track:
    """Where the region, marked in frame ``marked``, was found, by rising frame number, and where it was not."""

    region: Region
    marked: int
    sights: tuple[Sight, ...]
    lost: tuple[int, ...]

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "points": [sight.to_record(self.region) for sight in self.sights],
            "lost": list(self.lost),
            "shape": f"line through the fits of up to {_STEADY} frames on either side",
        }


def joined(backwards: Track, forwards: Track) -> Track:
    """One track of two from the same marked frame, with turn, growth and slant made steady.

    A thing keeps turning and growing for some frames as it did: those of every frame are taken from a line through
    the fits of up to 8 frames on either side (robust weights; the marked frame is exact). Its place, which a shaking
    camera moves from frame to frame, stays as it was found in each.
    """
    sights = {sight.frame: sight for sight in (*backwards.sights, *forwards.sights)}
    lost = tuple(sorted({*backwards.lost, *forwards.lost}))
    (marked,) = {backwards.marked, forwards.marked}
    track = Track(forwards.region, marked, tuple(sights[frame] for frame in sorted(sights)), lost)
    return replace(track, sights=_steady(track))


def _steady(track: Track) -> tuple[Sight, ...]:
    middle = track.region.middle
    fitted = [sight for sight in track.sights if sight.registered]
    times = np.array([sight.frame for sight in fitted], np.float64)
    places = [project(sight.matrix, middle)[0] for sight in fitted]
    shapes = np.array(
        [
            _shape(placed(*-place) @ sight.matrix @ placed(*middle[0]))
            for sight, place in zip(fitted, places, strict=True)
        ]
    )
    # What each number of the shape moves at the region's border, px.
    half_x, half_y = (track.region.width - 1) / 2, (track.region.height - 1) / 2
    reach = np.array([half_x, half_y, half_x, half_y, half_x * half_x, half_y * half_y])
    steady = {}
    for sight, place in zip(fitted, places, strict=True):
        if sight.frame == track.marked:
            continue
        near = np.abs(times - sight.frame) <= _STEADY
        shape = _on_line(times[near] - sight.frame, shapes[near], times[near] == track.marked, reach)
        matrix = placed(*place) @ _of_shape(shape) @ placed(*-middle[0])
        steady[sight.frame] = replace(sight, matrix=matrix / matrix[2, 2])
    return tuple(steady.get(sight.frame, sight) for sight in track.sights)


def _on_line(times: np.ndarray, shapes: np.ndarray, exact: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Value at time 0 of a line through ``shapes`` (frames, 6) by weighted least squares, outliers weighing less."""
    if times.size < _FEWEST:
        return np.asarray(shapes[times == 0][0])
    weights = np.ones(times.size)
    line = np.stack([np.ones_like(times), times], axis=1)
    for _ in range(_ROUNDS):
        root = np.sqrt(np.where(exact, _EXACT, weights))[:, None]
        found = np.linalg.lstsq(line * root, shapes * root, rcond=None)[0]
        off = np.abs((shapes - line @ found) * reach).max(axis=1)
        spread = max(1.4826 * float(np.median(off[~exact])), _LEAST_OFF)
        weights = 1.0 / (1.0 + (off / (2.0 * spread)) ** 2) ** 2
    return np.asarray(found[0])


def _shape(matrix: np.ndarray) -> np.ndarray:
    """Turn, growth, slant and perspective of a motion that leaves (0, 0) where it is: six numbers, 0 for none."""
    m = matrix / matrix[2, 2]
    return np.array([m[0, 0] - 1, m[0, 1], m[1, 0], m[1, 1] - 1, m[2, 0], m[2, 1]])


def _of_shape(shape: np.ndarray) -> np.ndarray:
    a, b, c, d, e, f = shape
    return np.array([[1 + a, b, 0.0], [c, 1 + d, 0.0], [e, f, 1.0]])


def rounded(matrix: np.ndarray) -> list[list[float]]:
    """A motion as it goes on record: 10 significant digits."""
    return [[float(f"{value:.{_DIGITS}g}") for value in row] for row in matrix]


@dataclass(frozen=True)
class _View:
    """What the region looked like in a frame: that frame, and the motion from the marked one to it."""

    luma: np.ndarray
    matrix: np.ndarray


def track_region(
    frames: Iterable[tuple[int, np.ndarray]], region: Region, *, search: int = 24, least_score: float = 0.6
) -> Track:
    """Follow ``region`` of the first of ``frames``.

    ``frames``: (index, float32 luma plane) in the order in which to follow, forwards or backwards in time.
    ``search``: how far in px it may be from where its last movement would lead. ``least_score``: normalised
    cross-correlation (0 to 1) below which it counts as lost; after 10 frames in a row the search ends. It is
    looked for as last seen, then, close by, as marked: what was marked wins wherever it can still be recognised, so
    that errors do not add up. From there it is registered as the frames of a camera are: shift, then affine, then
    homography, each kept where it explains more.

    Raises ``BadInput`` (``track.region``) where the region is too small, too flat, or outside.

    J. P. Lewis, Fast Normalized Cross-Correlation, Vision Interface 1995, 120-123; I. Matthews, T. Ishikawa,
    S. Baker, The Template Update Problem, PAMI 26 (2004), 810-815 (why the first view is kept).
    """
    opencv()
    source = iter(frames)
    try:
        number, luma = next(source)
    except StopIteration:
        raise BadInput("track.region", "There is no frame to follow a region through.") from None
    _check(luma, region)
    first = last = _View(luma, np.eye(3))
    marked, sights, lost = number, [Sight(number, np.eye(3), 1.0, "first")], []
    velocity, in_a_row, predicted = np.zeros(2), 0, first.matrix
    for number, luma in source:
        predicted = placed(*velocity) @ predicted
        found = _found(luma, first, last, predicted, region, search)
        if found is None or found.score < least_score:
            lost.append(number)
            in_a_row += 1
            if in_a_row > _PATIENCE:
                break
            continue
        if in_a_row == 0:
            velocity = (project(found.matrix, region.middle) - project(last.matrix, region.middle))[0]
        last, in_a_row, predicted = _View(luma, found.matrix), 0, found.matrix
        sights.append(replace(found, frame=number))
    return Track(region, marked, tuple(sorted(sights, key=lambda sight: sight.frame)), tuple(sorted(lost)))


def _check(luma: np.ndarray, region: Region) -> None:
    rows, columns = luma.shape
    inside = region.x >= 0 and region.y >= 0 and region.x + region.width <= columns and region.y + region.height <= rows
    if min(region.width, region.height) < LEAST_SIDE or not inside:
        raise BadInput(
            "track.region",
            f"The region {region.width}x{region.height} at ({region.x}, {region.y}) cannot be followed in a "
            f"{columns}x{rows} picture.",
            f"It must lie within the picture and be at least {LEAST_SIDE} pixels wide and high.",
        )
    if float(luma[region.y : region.y + region.height, region.x : region.x + region.width].std()) < _LEAST_SPREAD:
        raise BadInput("track.region", "The region is too uniform to be recognised.", "Include an edge or a pattern.")


def _found(
    luma: np.ndarray, first: _View, last: _View, predicted: np.ndarray, region: Region, search: int
) -> Sight | None:
    """The best match around ``predicted``, registered; None where it lies outside. The frame's number is still 0."""
    by_last = _peak(luma, last, predicted, region, search)
    if by_last is None:
        return None
    by_first = _peak(luma, first, by_last[1], region, _NEAR)
    views = [("last", last, by_last)]
    if by_first is not None and by_first[0] >= max(_AS_MARKED, by_last[0] - _WORSE):
        views.insert(0, ("first", first, by_first))
    for name, view, (score, start) in views:
        matrix = _registered(luma, view, start, region)
        if matrix is not None:
            return Sight(0, matrix, score, name)
    name, _, (score, start) = views[0]
    return Sight(0, start, score, name, registered=False)


def _surroundings(matrix: np.ndarray, region: Region, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the upright box around the region and 4 px more, within a picture of ``shape``."""
    left, top = region.x - _AROUND, region.y - _AROUND
    right, bottom = region.x + region.width - 1 + _AROUND, region.y + region.height - 1 + _AROUND
    corners = project(matrix, np.array([[left, top], [right, top], [left, bottom], [right, bottom]], np.float64))
    low, high = np.floor(corners.min(axis=0) + 1e-6), np.ceil(corners.max(axis=0) - 1e-6) + 1
    return max(0, int(low[0])), max(0, int(low[1])), min(shape[1], int(high[0])), min(shape[0], int(high[1]))


def _peak(
    luma: np.ndarray, view: _View, predicted: np.ndarray, region: Region, search: int
) -> tuple[float, np.ndarray] | None:
    """(correlation, motion to about half a pixel) of the best match, within ``search`` px of ``predicted``, of what
    ``view`` would look like there; None where too little of it would be in the picture."""
    left, top, right, bottom = _surroundings(predicted, region, luma.shape)
    if right - left < LEAST_SIDE or bottom - top < LEAST_SIDE:
        return None
    back = view.matrix @ np.linalg.inv(predicted) @ placed(left, top)
    expected = sampled(view.luma, *grid_through(back, (bottom - top, right - left)))
    if float(expected.std()) == 0.0:
        return None
    room_x, room_y = min(search, left), min(search, top)
    part = np.ascontiguousarray(luma[top - room_y : bottom + search, left - room_x : right + search], np.float32)
    scores = np.nan_to_num(cv2.matchTemplate(part, expected, cv2.TM_CCOEFF_NORMED), posinf=0.0, neginf=0.0)
    row, column = (int(place) for place in np.unravel_index(int(scores.argmax()), scores.shape))
    return float(min(scores[row, column], 1.0)), placed(column - room_x, row - room_y) @ predicted


def _registered(luma: np.ndarray, view: _View, start: np.ndarray, region: Region) -> np.ndarray | None:
    """``start`` made exact; None where that does not settle, or goes elsewhere."""
    left, top, right, bottom = _surroundings(view.matrix, region, view.luma.shape)
    x0, y0, x1, y1 = _surroundings(start, region, luma.shape)
    x0, y0 = max(0, x0 - _AROUND), max(0, y0 - _AROUND)
    patch = np.ascontiguousarray(view.luma[top:bottom, left:right])
    seen = np.ascontiguousarray(luma[y0 : y1 + _AROUND, x0 : x1 + _AROUND])
    guess = placed(-x0, -y0) @ start @ np.linalg.inv(view.matrix) @ placed(left, top)
    result = refine(patch, seen, Motion(guess), "homography")
    if result is None:
        return None
    matrix = placed(x0, y0) @ result.motion.matrix @ placed(-left, -top) @ view.matrix
    matrix = matrix / matrix[2, 2]
    away = np.abs(project(matrix, region.middle) - project(start, region.middle)).max()
    grown = _growth(matrix, region)
    return matrix if away <= _NEAR and 1 / _LARGEST_CHANGE <= grown <= _LARGEST_CHANGE else None


def _growth(matrix: np.ndarray, region: Region) -> float:
    """How many times as long as in the marked frame things are in the region's middle; 0 for a mirrored one."""
    origin, right, below = project(matrix, region.middle + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    (a, c), (b, d) = right - origin, below - origin
    return float(np.sqrt(max(a * d - b * c, 0.0)))
