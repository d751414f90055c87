"""Aspect correction: resample pictures with oblong pixels to square ones."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.resampling import resample_planes, scaled_axes
from forensic.stages.stage import Stage, StageCard, resized_geometry


class AspectParameters(Parameters):
    """Which pixel shape is assumed, and how to interpolate."""

    sample_aspect: str | None = parameter(
        None,
        title="Pixel aspect",
        unit="width:height",
        pattern=r"^[1-9][0-9]{0,4}:[1-9][0-9]{0,4}$",
        description="Shape of a recorded pixel, for example 16:11; where none is given, what the file says.",
    )
    kernel: Literal["bilinear", "bicubic", "lanczos"] = parameter(
        "lanczos", title="Kernel", unit="name", description="Interpolation, as in the stage 'resize'."
    )


class Aspect(Stage[AspectParameters]):
    """Stretches one side so that pixels become square."""

    name = "aspect"
    title = "Aspect correction"
    stage_class = StageClass.GEOMETRIC
    parameter_model = AspectParameters
    card = StageCard(
        explanation=(
            "Some recorders store pixels that are not square, so that people look too thin or too wide on a computer "
            "screen. This stage stretches the picture in one direction until shapes are right. It never shrinks: no "
            "recorded row or column is dropped."
        ),
        artefacts=(
            "Slight softening in the stretched direction.",
            "If the file states a wrong pixel shape, so is the result.",
        ),
        references=(
            "Recommendation ITU-R BT.601-7 (13.5 MHz sampling of 525- and 625-line pictures: pixels are not square).",
            "R. G. Keys, Cubic convolution interpolation for digital image processing, IEEE Transactions on "
            "Acoustics, Speech, and Signal Processing 29 (1981), 1153-1160.",
        ),
    )

    @property
    def keeps_places(self) -> bool:
        """One side is stretched."""
        return False

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """Wider for wide pixels, higher for tall ones; the result's pixels are 1:1."""
        given = self.parameters.sample_aspect
        aspect = geometry.sample_aspect or Fraction(1)
        if given is not None:
            numerator, denominator = given.split(":")
            aspect = Fraction(int(numerator), int(denominator))
        width, height = geometry.width, geometry.height
        if aspect > 1:
            width = (width * aspect + Fraction(1, 2)).__floor__()
        elif aspect < 1:
            height = (height / aspect + Fraction(1, 2)).__floor__()
        else:
            return geometry
        return resized_geometry(geometry, width, height, Fraction(1))

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame = window[at]
        axes = scaled_axes(frame.geometry, self.output_geometry(frame.geometry), frame.colour)
        return resample_planes(frame.planes, axes, self.parameters.kernel)
