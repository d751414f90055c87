"""Crop to a rectangle, sample for sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensic.errors import BadInput
from forensic.frames.cut import Cut
from forensic.frames.frame import Coding, Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.movement import Movement
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import MAXIMUM_SIDE, Stage, StageCard


class CropParameters(Parameters):
    """A rectangle in pixels of the picture as it comes in."""

    x: int = parameter(title="Left", unit="pixels", ge=0, le=MAXIMUM_SIDE, description="Columns dropped at the left.")
    y: int = parameter(title="Top", unit="pixels", ge=0, le=MAXIMUM_SIDE, description="Rows dropped at the top.")
    width: int = parameter(title="Width", unit="pixels", ge=1, le=MAXIMUM_SIDE, description="Columns kept.")
    height: int = parameter(title="Height", unit="pixels", ge=1, le=MAXIMUM_SIDE, description="Rows kept.")


class Crop(Stage[CropParameters]):
    """Keeps one rectangle of the picture."""

    name = "crop"
    title = "Crop"
    stage_class = StageClass.GEOMETRIC
    parameter_model = CropParameters
    anchors = True
    card = StageCard(
        explanation="Keeps one rectangle of the picture and drops the rest. The kept pixels are not changed.",
        artefacts=("What lies outside the rectangle is not seen: the surroundings may matter.",),
        references=(
            "SWGDE Best Practices for Digital Forensic Video Analysis (cropping as a documented clarification step).",
        ),
    )

    @property
    def positional(self) -> bool:
        """A rectangle is a place."""
        return True

    @property
    def movement(self) -> Movement:
        """Fixed."""
        return Movement.CUT

    def after_crop(self, x: int, y: int) -> Crop:
        """The same rectangle of the exhibit; ``output_geometry`` refuses it if it no longer fits."""
        return self.varied(x=self.parameters.x - x, y=self.parameters.y - y)

    def output_coding(self, coding: Coding) -> Coding:
        """Of the rectangle."""
        box = self.parameters
        return coding.within(box.x, box.y, box.width, box.height)

    def output_cut(self, frame: WorkingFrame) -> Cut | None:
        """Only of a rectangle that moves before this one; what a crop cuts off is known from its parameters."""
        return None if frame.cut is None else frame.cut.moved(self.parameters.x, self.parameters.y)

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """The rectangle. Raises ``BadInput`` (``stage.crop``) if it sticks out or splits a chroma sample."""
        box, layout = self.parameters, geometry.layout
        if box.x + box.width > geometry.width or box.y + box.height > geometry.height:
            raise BadInput(
                "stage.crop",
                f"The rectangle {box.width}x{box.height} at ({box.x}, {box.y}) does not lie within the "
                f"{geometry.width}x{geometry.height} picture.",
            )
        step_x, step_y = 1 << layout.chroma_shift_x, 1 << layout.chroma_shift_y
        if box.x % step_x or box.y % step_y:
            raise BadInput(
                "stage.crop",
                f"The corner ({box.x}, {box.y}) would split a colour sample of this {layout.name} picture.",
                f"Use a left edge that is a multiple of {step_x} and a top edge that is a multiple of {step_y}, "
                f"for example {box.x - box.x % step_x},{box.y - box.y % step_y}.",
            )
        return Geometry(box.width, box.height, layout, geometry.sample_aspect)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame, box = window[at], self.parameters
        shapes = self.output_geometry(frame.geometry).plane_shapes
        planes = []
        for number, (plane, (rows, columns)) in enumerate(zip(frame.planes, shapes, strict=True)):
            chroma = frame.geometry.layout.family == "yuv" and number > 0
            top = box.y >> frame.geometry.layout.chroma_shift_y if chroma else box.y
            left = box.x >> frame.geometry.layout.chroma_shift_x if chroma else box.x
            planes.append(np.ascontiguousarray(plane[top : top + rows, left : left + columns]))
        return tuple(planes)
