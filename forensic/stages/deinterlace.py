"""Deinterlacing with bwdif: whole frames from one field each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from forensic.errors import BadInput
from forensic.frames.frame import Coding, Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Stage, StageCard

_LEAST_ROWS, _LEAST_COLUMNS = 4, 3


class DeinterlaceParameters(Parameters):
    """Which field was taken first, and which of both instants is shown."""

    field_order: Literal["top", "bottom"] = parameter(
        title="First field", unit="name", description="Field that was recorded first, as the container states it."
    )
    keep: Literal["first", "second"] = parameter(
        "first",
        title="Shown field",
        unit="name",
        description="Field whose lines are kept; the others are interpolated.",
    )


class Deinterlace(Stage[DeinterlaceParameters]):
    """bwdif, one frame out for each frame in."""

    name = "deinterlace"
    title = "Deinterlacing (bwdif)"
    stage_class = StageClass.FIDELITY
    parameter_model = DeinterlaceParameters
    card = StageCard(
        explanation=(
            "Interlaced video records odd and even lines at different instants, so that moving things look like "
            "combs. This stage keeps the lines of one instant and fills in the others from lines above, below, before "
            "and after. The kept lines are not changed (beyond rounding to 1/256 grey level)."
        ),
        artefacts=(
            "Half of the lines are interpolated; fine horizontal detail of moving things may flicker or look stepped.",
            "The other instant of each frame is not shown: process the clip again with the other field to see it.",
            "A wrongly stated first field shows the other instant of each frame than the one asked for; the statement "
            "in a file may be wrong or missing.",
            "The first and last frame of a clip lack a neighbour and use themselves in its place.",
        ),
        references=(
            "FFmpeg filter bwdif (Bob Weaver Deinterlacing Filter): motion-adaptive deinterlacing based on yadif with "
            "the filters of w3fdif (after M. Weston, BBC R&D) and cubic interpolation.",
        ),
    )

    @property
    def radius(self) -> int:
        """One frame before and one after."""
        return 1

    def output_coding(self, coding: Coding) -> Coding:
        """Of the same samples, which no longer lie where they were coded."""
        return coding.unplaced()

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """As it comes in. Raises ``BadInput`` (``stage.size``) for a plane too small to have fields."""
        rows, columns = geometry.plane_shapes[-1]
        if rows < _LEAST_ROWS or columns < _LEAST_COLUMNS:
            raise BadInput(
                "stage.size",
                f"A {geometry.width}x{geometry.height} picture is too small to deinterlace.",
                f"Every plane needs at least {_LEAST_ROWS} rows and {_LEAST_COLUMNS} columns.",
            )
        return geometry

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        from forensic.media.deinterlace import bwdif  # av is loaded only where it is used

        frame = window[at]
        before = window[at - 1] if at > 0 else frame
        after = window[at + 1] if at + 1 < len(window) else frame
        first_is_top = self.parameters.field_order == "top"
        keeps_top = first_is_top == (self.parameters.keep == "first")
        return bwdif(before, frame, after, "top" if keeps_top else "bottom")
