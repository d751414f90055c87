"""Follow: a rectangle that moves with something through the clip, at positions that the recipe lists."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from forensic.frames.cut import NOWHERE, Cut
from forensic.frames.frame import Coding, Geometry, WorkingFrame
from forensic.frames.layout import PixelLayout
from forensic.frames.stageclass import StageClass
from forensic.stages.movement import Movement
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import MAXIMUM_SIDE, Applied, Stage, StageCard, resized_geometry
from forensic.stages.warping import warp

FrameNumber = Annotated[int, Field(ge=0, le=2**31 - 1)]
Coordinate = Annotated[float, Field(ge=-MAXIMUM_SIDE, le=2 * MAXIMUM_SIDE)]


class FollowParameters(Parameters):
    """Where the middle of the rectangle is, frame by frame."""

    points: tuple[tuple[FrameNumber, Coordinate, Coordinate], ...] = parameter(
        title="Positions",
        unit="frame number and pixels (frame, x, y)",
        min_length=1,
        max_length=4000,
        description="Middle of the rectangle, by rising frame number; between two frames listed it moves in a straight "
        "line. Marked by hand, or found by tracking.",
    )
    width: int = parameter(title="Width", unit="pixels", ge=8, le=MAXIMUM_SIDE, description="Columns shown.")
    height: int = parameter(title="Height", unit="pixels", ge=8, le=MAXIMUM_SIDE, description="Rows shown.")
    placing: Literal["whole", "bilinear", "bicubic", "lanczos"] = parameter(
        "whole",
        title="Placing",
        unit="name",
        description="'whole': the rectangle moves by whole colour samples and no pixel is changed; else it follows "
        "fractions of a pixel, by interpolation with that kernel.",
    )

    @field_validator("points")
    @classmethod
    def _rising(cls, points: tuple[tuple[int, float, float], ...]) -> tuple[tuple[int, float, float], ...]:
        if any(later[0] <= earlier[0] for earlier, later in pairwise(points)):
            raise ValueError("the frame numbers must rise")
        return points


class Follow(Stage[FollowParameters]):
    """A crop that moves."""

    name = "follow"
    title = "Following a region"
    stage_class = StageClass.GEOMETRIC
    parameter_model = FollowParameters
    anchors = True
    card = StageCard(
        explanation=(
            "Shows a rectangle of the picture that moves through the clip with a person, a car or a sign, so that it "
            "stays in the middle. Every position is in the recipe, marked by hand or found by tracking, and on the "
            "record. By default pixels are copied unchanged. What lies outside the recording, and frames for which no "
            "position is given, are shown in a neutral grey and never made up."
        ),
        artefacts=(
            "The surroundings seem to move instead of the thing: directions and speeds cannot be seen in the result.",
            "Tracking may jump to something that looks alike; every position must be checked.",
            "Between positions far apart in time a straight line is assumed.",
            "With whole placing the rectangle jumps by up to a colour sample (2 pixels in 4:2:0); interpolation avoids "
            "that and softens a little, differently in each frame.",
            "Measured on a synthetic region moving in a curve at up to 5 pixels a frame, noise of 3 grey levels: "
            "tracked positions were off by 0.05 pixel (root mean square per axis).",
        ),
        references=(
            "J. P. Lewis, Fast Normalized Cross-Correlation, Vision Interface 1995, 120-123 (tracking).",
            "I. Matthews, T. Ishikawa, S. Baker, The Template Update Problem, IEEE Transactions on Pattern Analysis "
            "and Machine Intelligence 26 (2004), 810-815 (tracking).",
        ),
    )

    @property
    def positional(self) -> bool:
        """Positions are places."""
        return True

    @property
    def movement(self) -> Movement:
        """By whole samples, unless it interpolates."""
        return Movement.MOVING_CUT if self.parameters.placing == "whole" else Movement.MOVING_BETWEEN

    def after_crop(self, x: int, y: int) -> Follow:
        """The same places of the exhibit."""
        return self.varied(points=tuple((frame, px - x, py - y) for frame, px, py in self.parameters.points))

    def output_coding(self, coding: Coding) -> Coding:
        """Of the same samples, which no longer lie where they were coded."""
        return coding.unplaced()

    def output_cut(self, frame: WorkingFrame) -> Cut:
        """The rectangle's corner in this frame."""
        corner, picture = self.corner(frame.timing.index, frame.geometry.layout), frame.geometry
        if corner is None:
            return NOWHERE
        whole = frame.cut or Cut(0.0, 0.0, (0.0, 0.0, picture.width, picture.height))
        return whole.within(picture.width, picture.height).moved(*corner)

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """The rectangle's size."""
        return resized_geometry(geometry, self.parameters.width, self.parameters.height, geometry.sample_aspect)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame, chosen = window[at], self.parameters
        result = self.output_geometry(frame.geometry)
        middle = self._middle(frame.timing.index)
        # Without a position, a rectangle beyond the picture: all of it is outside.
        left, top = self.corner(frame.timing.index, frame.geometry.layout) or (float(-4 * MAXIMUM_SIDE),) * 2
        kernel = "nearest" if chosen.placing == "whole" else chosen.placing

        def shifted(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return u + left, v + top

        planes, outside = warp(frame, shifted, result, kernel)
        note: dict[str, Any] = {"corner": None if middle is None else [left, top], **outside}
        if middle is not None:
            note["position"] = "given" if middle[2] else "between two given"
        return Applied(planes, note)

    def corner(self, frame: int, layout: PixelLayout) -> tuple[float, float] | None:
        """(x, y) of the rectangle's top left pixel in frame number ``frame`` of pictures of ``layout``; None before
        the first position and after the last.
        """
        middle, chosen = self._middle(frame), self.parameters
        if middle is None:
            return None
        left, top = middle[0] - (chosen.width - 1) / 2, middle[1] - (chosen.height - 1) / 2
        if chosen.placing != "whole":
            return left, top
        return _onto(left, 1 << layout.chroma_shift_x), _onto(top, 1 << layout.chroma_shift_y)

    def _middle(self, frame: int) -> tuple[float, float, bool] | None:
        """(x, y, whether listed) for frame number ``frame``, or None before the first and after the last."""
        points = self.parameters.points
        for number, x, y in points:
            if number == frame:
                return x, y, True
        for (before, x0, y0), (after, x1, y1) in pairwise(points):
            if before < frame < after:
                share = (frame - before) / (after - before)
                return x0 + share * (x1 - x0), y0 + share * (y1 - y0), False
        return None


def _onto(place: float, pitch: int) -> float:
    """Nearest place on the colour grid, halves up."""
    return float(np.floor(place / pitch + 0.5) * pitch)
