"""Pixels that do not show what was recorded at that moment, carried to the picture that the risk map compares with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.layout import layout_named
from forensic.frames.stageclass import StageClass
from forensic.media.opencv import opencv
from forensic.stages.stage import Stage

_WHITE = 255.0
_SPREAD = 8  # px: by which later stages that look at surroundings may carry a replaced pixel's value


def replaced_places(
    stages: Sequence[Stage[Any]], source: WorkingFrame, notes: Sequence[Mapping[str, Any]], shown: np.ndarray
) -> dict[str, np.ndarray]:
    """By reason, boolean arrays of the shape of ``shown``: pixels that a stage replaced, or left though damaged.

    ``stages``: of the pipeline that made the frame; ``notes``: theirs; ``shown``: of ``Pipeline.shows_recording``.
    Where a later stage moves pixels in a way that is not repeated for the reference, or mixes frames, the places cannot
    be told: then every pixel counts. Where one looks at surroundings, places are widened by 8 px.
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
    spread = any(not stage.in_reference_chain and not stage.resamples for _, stage in later)
    if spread:
        pixels = opencv().dilate(pixels.astype(np.uint8), np.ones((2 * _SPREAD + 1,) * 2, np.uint8)) > 0
    rows, columns = pixels.shape
    geometry = Geometry(columns, rows, layout_named("gray"), source.geometry.sample_aspect)
    plane = np.where(pixels, np.float32(0.0), np.float32(_WHITE))
    picture = WorkingFrame((plane,), geometry, ColourSpec(), source.timing, source.stage_class)
    for number, stage in later:
        if stage.in_reference_chain and stage.effective_class is StageClass.GEOMETRIC:
            picture = stage.repeat(picture, by_position.get(number, {}))
    darker = picture.planes[0] < _WHITE - 0.5  # replaced, or outside the recording
    return np.asarray(darker & shown) if darker.shape == shown.shape else np.ones_like(shown)
