"""Channel extraction: one channel of the picture as a gray picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from forensic.errors import BadInput
from forensic.frames.colour import UNSPECIFIED, ColourSpec
from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.frames.layout import LAYOUTS, PixelLayout
from forensic.frames.stageclass import StageClass
from forensic.stages.chroma import NEUTRAL, chroma_at_luma, mix, rgb_matrix
from forensic.stages.luma import nominal_range, separate
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Stage, StageCard


class ChannelParameters(Parameters):
    """Which channel."""

    channel: Literal["Y", "Cb", "Cr", "R", "G", "B"] = parameter(
        "Y",
        title="Channel",
        unit="name",
        description="Y brightness, Cb and Cr colour differences, R, G and B red, green and blue.",
    )


class Channel(Stage[ChannelParameters]):
    """One channel as gray."""

    name = "channel"
    title = "Channel extraction"
    stage_class = StageClass.PRESENTATION
    parameter_model = ChannelParameters
    card = StageCard(
        explanation=(
            "Shows one channel of the picture in shades of gray. A mark or a number may stand out in one channel and "
            "drown in another. Brightness (Y) is shown as recorded; the coarser colour channels are interpolated to "
            "the size of the picture; red, green and blue are computed from brightness and colour."
        ),
        artefacts=(
            "Colour channels of video are coarse and strongly compressed: blocks and smears in them are not detail.",
        ),
        references=("Recommendation ITU-T H.273, clauses 8.3 and 8.7 (matrix coefficients, chroma sample location).",),
    )

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """Same size, gray. Raises ``BadInput`` (``stage.layout``) where there is no such channel."""
        if geometry.layout.family == "gray" and self.parameters.channel != "Y":
            raise BadInput(
                "stage.layout",
                f"A gray picture has no channel {self.parameters.channel}.",
                "Use channel Y, or leave the stage out.",
            )
        return Geometry(geometry.width, geometry.height, _gray(geometry.layout), geometry.sample_aspect)

    def output_colour(self, geometry: Geometry, colour: ColourSpec) -> ColourSpec:
        """Y keeps its range, now stated; the others are full range. A gray picture has no matrix."""
        if geometry.layout.family == "gray":
            return colour
        full = True
        if self.parameters.channel == "Y" and geometry.layout.family == "yuv":
            full = colour.assumed_full_range()
        return replace(colour, matrix=UNSPECIFIED, full_range=full, chroma_location="unspecified")

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame, wanted = window[at], self.parameters.channel
        family = frame.geometry.layout.family
        if wanted == "Y":
            return (frame.luma,)
        if family == "rgb":
            if wanted in ("R", "G", "B"):
                return (frame.planes["RGB".index(wanted)],)
            _, blue, red = separate(frame)
            # Cb and Cr of full-range Rec. 601, as in JPEG.
            difference = blue / np.float32(1.772) if wanted == "Cb" else red / np.float32(1.402)
            return (difference + NEUTRAL,)
        blue, red = chroma_at_luma(frame)
        if wanted in ("Cb", "Cr"):
            return (blue if wanted == "Cb" else red,)
        black, white = nominal_range(frame)
        planes = (frame.planes[0] - np.float32(black), blue - NEUTRAL, red - NEUTRAL)
        return (mix(rgb_matrix(frame)["RGB".index(wanted)] * (255.0 / (white - black)), planes),)


def _gray(layout: PixelLayout) -> PixelLayout:
    """Gray layout of at least the depth of ``layout``."""
    return min((gray for gray in LAYOUTS.values() if gray.family == "gray" and gray.bits >= layout.bits),
               key=lambda gray: gray.bits)  # fmt: skip
