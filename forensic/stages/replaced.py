"""Pixels that do not show what was recorded at that moment, carried to the picture that the risk map compares with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.opencv import opencv
from forensic.stages.reach import reach_of
from forensic.stages.stage import Stage
from forensic.stages.standin import WHITE, standing_in

_LEAST_WEIGHT = 0.5  # of 255: from which a replaced pixel counts in one that was interpolated
_SPREAD = 8  # px: least by which places are widened, once a later stage looks at surroundings


def replaced_places(
    stages: Sequence[Stage[Any]], source: WorkingFrame, notes: Sequence[Mapping[str, Any]], shown: np.ndarray
) -> dict[str, np.ndarray]:
    """By reason, boolean arrays of the shape of ``shown``: pixels that a stage replaced, or left though damaged.

    ``stages``: of the pipeline that made the frame; ``notes``: theirs; ``shown``: of ``Pipeline.shows_recording``.
    Where a later stage moves pixels in a way that is not repeated for the reference, or mixes frames, the places cannot
    be told: then every pixel counts. Where one looks at surroundings, places are widened by as much (``reach_of``), by
    8 px at least; where it looks at the whole picture, every pixel counts.
    """
    by_position = {note["position"]: note for note in notes}
    found: dict[str, np.ndarray] = {}
    for position, stage in enumerate(stages, start=1):
        note = by_position.get(position)
        for reason, pixels in ({} if note is None else stage.replaced(note)).items():
            if pixels.any():
                here = _carried(stages, position, source, by_position, pixels, shown)
                found[reason] = found.get(reason, np.zeros_like(here)) | here
    return found


def _carried(
    stages: Sequence[Stage[Any]],
    position: int,
    source: WorkingFrame,
    by_position: Mapping[int, Mapping[str, Any]],
    pixels: np.ndarray,
    shown: np.ndarray,
) -> np.ndarray:
    later = list(enumerate(stages[position:], start=position + 1))
    for _, stage in later:
        moves = stage.effective_class is StageClass.GEOMETRIC and not (stage.in_reference_chain or stage.resamples)
        mixes = stage.effective_class is not StageClass.GEOMETRIC and not stage.in_reference_chain and stage.radius
        if moves or mixes or stage.shows_source:
            return np.ones_like(shown)
    actual = source.geometry  # of the enhanced picture; the reference has not been through what resamples
    for stage in stages[:position]:
        actual = stage.output_geometry(actual)
    plane = np.where(pixels, np.float32(0.0), np.float32(WHITE))
    least = _SPREAD
    for number, stage in later:
        reach = reach_of(stage, actual)
        if reach is None:
            return np.ones_like(shown)
        if reach:
            plane, least = _widened(plane, reach, actual, least), 0
        if stage.in_reference_chain and stage.effective_class is StageClass.GEOMETRIC:
            picture = standing_in(plane, actual.layout, source)
            plane = stage.repeat(picture, by_position.get(number, {})).planes[0]
        actual = stage.output_geometry(actual)
    # Replaced, or outside the recording; beyond white where a kernel weighs a replaced pixel negatively.
    other = np.abs(plane - np.float32(WHITE)) > _LEAST_WEIGHT
    return np.asarray(other & shown) if other.shape == shown.shape else np.ones_like(shown)


def _widened(plane: np.ndarray, reach: int, actual: Geometry, least: int) -> np.ndarray:
    """``plane`` with what is not white widened by ``reach`` pixels of a picture of ``actual``, at least ``least``."""
    rows, columns = plane.shape
    across, down = (
        max(least, math.ceil(reach * own / other)) for own, other in ((columns, actual.width), (rows, actual.height))
    )
    marked = (np.abs(plane - np.float32(WHITE)) > _LEAST_WEIGHT).astype(np.uint8)
    wide = opencv().dilate(marked, np.ones((1, 2 * across + 1), np.uint8))
    wide = opencv().dilate(wide, np.ones((2 * down + 1, 1), np.uint8))
    return np.where(wide > 0, np.float32(0.0), np.float32(WHITE))
