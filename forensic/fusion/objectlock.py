"""Fusion locked to an object: a marked region is followed through the frames and fused as if it stood still.

The user marks a rectangle in one frame, say the plate of a moving car. It is found again in each frame by
normalised cross-correlation near where its motion so far leads, then registered as precisely as the camera is
(shift, then affine, then homography) from there. The window that is fused is the rectangle; what is around it
takes part only in registration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from forensic.errors import UsageError
from forensic.fusion.agreement import LEAST_SHARE, agreement
from forensic.fusion.crops import Frame
from forensic.fusion.fuse import joined, quantisers_of
from forensic.fusion.interpolation import sampled
from forensic.fusion.motion import Motion, grid_through, project
from forensic.fusion.noise import step_of
from forensic.fusion.options import FrameReport, Fused, FusionOptions
from forensic.fusion.registration import Model, refine
from forensic.media.opencv import opencv

LEAST_SIDE = 12  # px of a region
_AROUND = 4  # px around the region that help to register it
_SEARCH = 12  # px around the predicted place in which it is looked for
_LEAST_CORRELATION = 0.5


@dataclass(frozen=True)
class Region:
    """Columns ``x`` to ``x + width`` and rows ``y`` to ``y + height`` of a frame, px."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Track:
    """Where the region is in a frame: ``motion`` from the marked frame's pixels to that frame's; None with the
    reason in ``lost`` where it was not found. ``correlation``: of the pictures after the coarse search."""

    place: int
    motion: Motion | None
    correlation: float
    lost: str | None = None

    def corners(self, region: Region) -> list[list[float]] | None:
        """The region's corners in that frame, clockwise from the top left, px."""
        if self.motion is None:
            return None
        left, top = region.x - 0.5, region.y - 0.5
        right, bottom = left + region.width, top + region.height
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return [[round(float(value), 3) for value in point] for point in self.motion.of(points)]


def follow(frames: Sequence[np.ndarray], at: int, region: Region, model: Model = "homography") -> list[Track]:
    """Track ``region`` of ``frames[at]`` (float32 luma, one shape) through all frames, outwards from it.

    Raises ``UsageError`` (``fusion.region``) for a region that is not in the picture or below 12x12 px.
    """
    opencv()
    _check(frames, at, region)
    tracks: dict[int, Track] = {at: Track(at, Motion.shift(0.0, 0.0), 1.0)}
    for step in (1, -1):
        before, last = Motion.shift(0.0, 0.0), Motion.shift(0.0, 0.0)
        place = at + step
        while 0 <= place < len(frames):
            # Constant velocity: what happened from the frame before the last to the last happens again.
            predicted = Motion(last.matrix @ np.linalg.inv(before.matrix) @ last.matrix)
            found = _find(frames[at], frames[place], region, predicted, model)
            tracks[place] = replace(found, place=place)
            if found.motion is not None:
                before, last = last, found.motion
            place += step
    return [tracks[place] for place in range(len(frames))]


def fuse_region(
    frames: Sequence[np.ndarray], at: int, region: Region, options: FusionOptions | None = None
) -> tuple[Fused, list[Track]]:
    """Fuse ``region`` of ``frames[at]`` in its own frame of reference: picture of ``scale`` times the region.

    Arguments as for :func:`forensic.fusion.fuse.fuse`; the richest motion is ``options.registration``, with
    ``mesh``, ``flow`` and ``none`` taken as ``homography``. ``largest_shift`` bounds the region's way in px.
    """
    options = options or FusionOptions(registration="homography", largest_shift=500.0)
    model: Model = "homography" if options.registration in ("mesh", "flow", "none") else options.registration  # type: ignore[assignment]
    tracks = follow(frames, at, region, model)
    quantisers, source = quantisers_of(frames, options)
    patch = np.ascontiguousarray(frames[at][region.y : region.y + region.height, region.x : region.x + region.width])
    used: list[Frame] = []
    reports = []
    for track in tracks:
        frame, report = _admitted(patch, frames[track.place], at, region, track, quantisers[track.place], options)
        reports.append(report)
        if frame is not None:
            used.append(frame)
    fused = joined(used, reports, patch.shape, at, options, source)
    extra: dict[str, Any] = {
        "region": [region.x, region.y, region.width, region.height],
        "track": [
            {"place": t.place, "corners": t.corners(region), "correlation": round(t.correlation, 4), "lost": t.lost}
            for t in tracks
        ],
    }
    return replace(fused, report=fused.report | extra), tracks


def _check(frames: Sequence[np.ndarray], at: int, region: Region) -> None:
    if not 0 <= at < len(frames):
        raise UsageError("fusion.window", f"There is no frame {at} among {len(frames)} frames.")
    height, width = frames[at].shape
    inside = region.x >= 0 and region.y >= 0 and region.x + region.width <= width and region.y + region.height <= height
    if not inside or min(region.width, region.height) < LEAST_SIDE:
        raise UsageError(
            "fusion.region",
            f"Region {region.x},{region.y},{region.width},{region.height} is not in a {width}x{height} picture or is "
            f"smaller than {LEAST_SIDE} pixels.",
            "Mark a region of the frame that holds the object.",
        )


def _find(reference: np.ndarray, frame: np.ndarray, region: Region, predicted: Motion, model: Model) -> Track:
    """Look for the region where ``predicted`` leads: first by correlation of what it should look like there."""
    height, width = reference.shape
    top, left = max(0, region.y - _AROUND), max(0, region.x - _AROUND)
    bottom = min(height, region.y + region.height + _AROUND)
    right = min(width, region.x + region.width + _AROUND)
    corners = np.array([[left, top], [right - 1, top], [left, bottom - 1], [right - 1, bottom - 1]], np.float64)
    moved = predicted.of(corners)
    x0, y0 = (int(value) for value in np.floor(moved.min(axis=0)))
    x1, y1 = (int(value) + 1 for value in np.ceil(moved.max(axis=0)))
    # The template is what the marked frame would look like there, cut to what lies within the picture.
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
    if x1 - x0 < LEAST_SIDE or y1 - y0 < LEAST_SIDE:
        return Track(0, None, 0.0, "left the picture")
    back = np.linalg.inv(predicted.matrix) @ _placed(x0, y0)
    expected = sampled(reference, *grid_through(back, (y1 - y0, x1 - x0)))
    left_room, top_room = min(_SEARCH, x0), min(_SEARCH, y0)
    search = np.ascontiguousarray(frame[y0 - top_room : y1 + _SEARCH, x0 - left_room : x1 + _SEARCH])
    scores = cv2.matchTemplate(search, expected, cv2.TM_CCOEFF_NORMED)
    _, best, _, (found_x, found_y) = cv2.minMaxLoc(scores)
    if not np.isfinite(best) or best < _LEAST_CORRELATION:
        return Track(0, None, float(best) if np.isfinite(best) else 0.0, "not found")
    start = _placed(found_x - left_room, found_y - top_room) @ predicted.matrix
    cut_x, cut_y = max(0, x0 + found_x - left_room - _AROUND), max(0, y0 + found_y - top_room - _AROUND)
    seen = np.ascontiguousarray(frame[cut_y : cut_y + y1 - y0 + 2 * _AROUND, cut_x : cut_x + x1 - x0 + 2 * _AROUND])
    patch = np.ascontiguousarray(reference[top:bottom, left:right])
    result = refine(patch, seen, Motion(_placed(-cut_x, -cut_y) @ start @ _placed(left, top)), model)
    if result is None:
        return Track(0, None, float(best), "no registration")
    return Track(0, Motion(_placed(cut_x, cut_y) @ result.motion.matrix @ _placed(-left, -top)), float(best))


def _placed(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _admitted(
    patch: np.ndarray,
    frame: np.ndarray,
    at: int,
    region: Region,
    track: Track,
    quantiser: float | None,
    options: FusionOptions,
) -> tuple[Frame | None, FrameReport]:
    """The part of ``frame`` that shows the region, in the region's coordinates."""
    step = 0.0 if quantiser is None else step_of(quantiser)
    if track.motion is None:
        return None, FrameReport(track.place, None, 0.0, track.lost, quantiser=quantiser)
    matrix = track.motion.matrix @ _placed(region.x, region.y)
    rows, columns = patch.shape
    corners = project(matrix, np.array([[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]], np.float64))
    way = float(np.abs(track.motion.displacement(frame.shape)).max())
    low, high = np.floor(corners.min(axis=0)).astype(int) - 2, np.ceil(corners.max(axis=0)).astype(int) + 3
    left, top = (max(0, int(value)) for value in low)
    right, bottom = min(frame.shape[1], int(high[0])), min(frame.shape[0], int(high[1]))
    motion = Motion(_placed(-left, -top) @ matrix)
    if way > options.largest_shift:
        return None, FrameReport(track.place, motion, 0.0, "shift too large", quantiser=quantiser)
    if right - left < LEAST_SIDE or bottom - top < LEAST_SIDE:
        return None, FrameReport(track.place, motion, 0.0, "left the picture", quantiser=quantiser)
    seen = np.ascontiguousarray(frame[top:bottom, left:right])
    if track.place == at:
        report = FrameReport(track.place, Motion.shift(0.0, 0.0), 1.0, None, quantiser=quantiser)
        return Frame(track.place, 0, patch, Motion.shift(0.0, 0.0), np.ones_like(patch), step), report
    match = agreement(patch, seen, motion, step)
    reason = "does not match" if match.share < LEAST_SHARE else None
    light = match.light
    report = FrameReport(track.place, track.motion, match.share, reason, light.gain, light.offset, quantiser)
    if reason is not None:
        return None, report
    return Frame(track.place, abs(track.place - at), light.applied(seen), motion, match.weight, step), report
