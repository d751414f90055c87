"""A picture that stands for places of pixels: sent through stages that move a frame, it says where they come to lie."""

from __future__ import annotations

import numpy as np

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.layout import PixelLayout, layout_named
from forensic.stages.chroma import NEUTRAL

WHITE = 255.0


def standing_in(plane: np.ndarray, layout: PixelLayout, source: WorkingFrame) -> WorkingFrame:
    """``plane`` (float32, of the size of luma) as first plane of a picture that is moved like one of ``layout``, on
    whose grid of colour some stages move whole samples; with the time and class of ``source``.
    """
    rows, columns = plane.shape
    kept = layout if layout.family == "yuv" else layout_named("gray")
    geometry = Geometry(columns, rows, kept, source.geometry.sample_aspect)
    colour = (np.full(shape, NEUTRAL, np.float32) for shape in geometry.plane_shapes[1:])
    return WorkingFrame((plane, *colour), geometry, ColourSpec(), source.timing, source.stage_class)
