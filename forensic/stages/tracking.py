"""Following a marked region through a clip: where it is in every frame, or that it was lost.

Not part of a run. The result goes into a recipe as the points of the stage ``follow``, where every position
stands on the record and can be checked and corrected by hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from forensic.errors import BadInput
from forensic.media.opencv import opencv
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, resample

_LEAST_SIDE = 8  # pixels
_LEAST_SPREAD = 2.0  # grey levels: a region flatter than this cannot be recognised
_NEAR = 3  # pixels around the place by the last view in which the first view is looked for
_PATIENCE = 10  # frames in a row in which it may be lost
_ROUNDS, _STEPS, _RIM = 8, 64, 3  # of the fit; steps of a pixel at which it samples; samples around the region


@dataclass(frozen=True)
class TrackPoint:
    """The region's middle in one frame (pixels), how alike it looked (correlation, up to 1), and to which view."""

    frame: int
    x: float
    y: float
    score: float
    like: str  # "first": the region as marked; "last": as last seen


@dataclass(frozen=True)
class Track:
    """Where the region was found, and the frames in which it was not."""

    points: tuple[TrackPoint, ...]
    lost: tuple[int, ...]

    def to_parameters(self, width: int, height: int) -> dict[str, Any]:
        """Parameters of the stage ``follow`` that shows ``width`` x ``height`` pixels around the region."""
        points = [[point.frame, round(point.x, 2), round(point.y, 2)] for point in sorted(self.points, key=_by_frame)]
        return {"points": points, "width": width, "height": height}

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "points": [
                {"frame": p.frame, "x": p.x, "y": p.y, "score": round(p.score, 4), "like": p.like} for p in self.points
            ],
            "lost": list(self.lost),
        }


def _by_frame(point: TrackPoint) -> int:
    return point.frame


def track_region(
    frames: Iterable[tuple[int, np.ndarray]],
    box: tuple[int, int, int, int],
    *,
    search: int = 24,
    least_score: float = 0.6,
) -> Track:
    """Follow the rectangle ``box`` (x, y, width, height in pixels) of the first of ``frames``.

    ``frames``: (index, float32 luma plane) in the order in which to follow, forwards or backwards in time.
    ``search``: how far in pixels it may be from where its last movement would lead. ``least_score``:
    normalised cross-correlation (0 to 1) below which it counts as lost; after 10 frames in a row the search
    ends. It is looked for as last seen, then, close by, as marked: what was marked wins wherever it can still
    be recognised, so that errors do not add up. Only shifts are followed: a region that turns or grows is
    found by its middle, less and less well. Places are fractions of a pixel, by least squares.

    Raises ``BadInput`` (``track.region``) where the box is too small, too flat, or outside.

    J. P. Lewis, Fast Normalized Cross-Correlation, Vision Interface 1995, 120-123; I. Matthews, T. Ishikawa,
    S. Baker, The Template Update Problem, PAMI 26 (2004), 810-815 (why the first view is kept).
    """
    source = iter(frames)
    try:
        number, luma = next(source)
    except StopIteration:
        raise BadInput("track.region", "There is no frame to follow a region through.") from None
    x, y, width, height = box
    inside = x >= 0 and y >= 0 and x + width <= luma.shape[1] and y + height <= luma.shape[0]
    if min(width, height) < _LEAST_SIDE or not inside:
        raise BadInput(
            "track.region",
            f"The region {width}x{height} at ({x}, {y}) cannot be followed in a {luma.shape[1]}x{luma.shape[0]} "
            f"picture.",
            f"It must lie within the picture and be at least {_LEAST_SIDE} pixels wide and high.",
        )
    first = np.ascontiguousarray(luma[y : y + height, x : x + width], dtype=np.float32)
    if float(first.std()) < _LEAST_SPREAD:
        raise BadInput("track.region", "The region is too uniform to be recognised.", "Include an edge or a pattern.")
    half_x, half_y = (width - 1) / 2, (height - 1) / 2
    points, lost = [TrackPoint(number, x + half_x, y + half_y, 1.0, "first")], []
    left, top, speed_x, speed_y = float(x), float(y), 0.0, 0.0
    last, in_a_row = first, 0
    for number, luma in source:
        found = _found(luma, first, last, (left + speed_x, top + speed_y), search)
        if found is None or found[2] < least_score:
            lost.append(number)
            in_a_row += 1
            left, top = left + speed_x, top + speed_y
            if in_a_row > _PATIENCE:
                break
            continue
        new_left, new_top, score, like = found
        if in_a_row == 0:
            speed_x, speed_y = new_left - left, new_top - top
        left, top, in_a_row = new_left, new_top, 0
        points.append(TrackPoint(number, left + half_x, top + half_y, score, like))
        column, row = round(left), round(top)
        last = np.ascontiguousarray(luma[row : row + height, column : column + width], dtype=np.float32)
    return Track(tuple(points), tuple(lost))


def _found(
    luma: np.ndarray, first: np.ndarray, last: np.ndarray, guess: tuple[float, float], search: int
) -> tuple[float, float, float, str] | None:
    """(left, top, score, which view) of the best match around ``guess``, or None where it lies outside."""
    by_last = _peak(luma, last, guess, search)
    if by_last is None:
        return None
    by_first = _peak(luma, first, by_last[:2], _NEAR)
    if by_first is not None and by_first[2] >= max(0.7, by_last[2] - 0.1):
        return (*by_first, "first")
    return (*by_last, "last")


def _peak(
    luma: np.ndarray, view: np.ndarray, guess: tuple[float, float], search: int
) -> tuple[float, float, float] | None:
    cv2 = opencv()
    height, width = view.shape
    left, top = max(round(guess[0]) - search, 0), max(round(guess[1]) - search, 0)
    right = min(round(guess[0]) + search + width, luma.shape[1])
    bottom = min(round(guess[1]) + search + height, luma.shape[0])
    if right - left < width or bottom - top < height or float(view.std()) == 0.0:
        return None
    part = np.ascontiguousarray(luma[top:bottom, left:right], dtype=np.float32)
    scores = np.nan_to_num(cv2.matchTemplate(part, view, cv2.TM_CCOEFF_NORMED), posinf=0.0, neginf=0.0)
    row, column = (int(place) for place in np.unravel_index(int(scores.argmax()), scores.shape))
    across = _vertex(scores[row], column)
    down = _vertex(scores[:, column], row)
    place = _refined(luma, view, left + column + across, top + row + down)
    return *place, float(min(scores[row, column], 1.0))


def _refined(luma: np.ndarray, view: np.ndarray, left: float, top: float) -> tuple[float, float]:
    """The place at which ``view``, with a gain and an offset of brightness, fits best: iterated least squares.

    (Lucas and Kanade 1981.) The place as given where that moves by more than a pixel or needs samples outside.
    """
    height, width = view.shape
    x, y = left, top
    for _ in range(_ROUNDS):
        column, row = int(np.floor(x)) - _RIM, int(np.floor(y)) - _RIM
        part = luma[max(row, 0) : row + height + 2 * _RIM + 1, max(column, 0) : column + width + 2 * _RIM + 1]
        if row < 0 or column < 0 or part.shape != (height + 2 * _RIM + 1, width + 2 * _RIM + 1):
            return left, top
        down, across = (Fraction(round((place % 1.0) * _STEPS), _STEPS) + _RIM - 1 for place in (y, x))
        seen = resample(
            np.ascontiguousarray(part, dtype=np.float32),
            AxisMap(height + 2, offset=down), AxisMap(width + 2, offset=across), KERNELS["bicubic"],
        ).astype(np.float64)  # fmt: skip
        slope_x, slope_y = 0.5 * (seen[1:-1, 2:] - seen[1:-1, :-2]), 0.5 * (seen[2:, 1:-1] - seen[:-2, 1:-1])
        columns = [slope_x.ravel(), slope_y.ravel(), seen[1:-1, 1:-1].ravel(), np.ones(view.size)]
        matrix = np.stack(columns, axis=1)
        step_x, step_y, gain, _ = np.linalg.lstsq(matrix, view.ravel().astype(np.float64), rcond=None)[0]
        if gain < 0.2:
            return left, top
        x, y = x + float(step_x / gain), y + float(step_y / gain)
        if max(abs(x - left), abs(y - top)) > 1.0:
            return left, top
        if max(abs(step_x), abs(step_y)) < gain / _STEPS:
            break
    return x, y


def _vertex(line: np.ndarray, place: int) -> float:
    """Offset of the peak of the parabola through three scores; 0 at the end of the search."""
    if not 0 < place < line.size - 1:
        return 0.0
    before, peak, after = (float(value) for value in line[place - 1 : place + 2])
    bend = before - 2 * peak + after
    return 0.0 if bend >= 0 else 0.5 * (before - after) / bend
