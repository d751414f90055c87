"""Resize: nearest, bilinear, bicubic, Lanczos, with correct centres, chroma siting, antialiasing."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from pydantic import model_validator

from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.parameters import Parameters, parameter, read_parameters
from forensic.stages.resampling import resample_planes, scaled_axes
from forensic.stages.stage import MAXIMUM_SIDE, Stage, StageCard, resized_geometry


class ResizeParameters(Parameters):
    """By a factor, or to a size."""

    scale: float | None = parameter(
        None, title="Scale", unit="times", ge=0.05, le=16.0,
        description="Factor for both sides; instead of a width and height.",
    )  # fmt: skip
    width: int | None = parameter(
        None, title="Width", unit="pixels", ge=1, le=MAXIMUM_SIDE,
        description="Columns of the result; without a height the shape is kept.",
    )  # fmt: skip
    height: int | None = parameter(
        None, title="Height", unit="pixels", ge=1, le=MAXIMUM_SIDE,
        description="Rows of the result; without a width the shape is kept.",
    )  # fmt: skip
    kernel: Literal["nearest", "bilinear", "bicubic", "lanczos"] = parameter(
        "lanczos", title="Kernel", unit="name",
        description="Interpolation: nearest sample, bilinear, bicubic (Keys, a = -1/2) or Lanczos (3 lobes).",
    )  # fmt: skip

    @model_validator(mode="after")
    def _one_way(self) -> ResizeParameters:
        if (self.scale is None) == (self.width is None and self.height is None):
            raise ValueError("Give either 'scale', or 'width' and/or 'height'")
        return self


class Resize(Stage[ResizeParameters]):
    """Resampling to another size."""

    name = "resize"
    title = "Resize"
    stage_class = StageClass.GEOMETRIC
    parameter_model = ResizeParameters
    resamples = True
    card = StageCard(
        explanation=(
            "Makes the picture larger or smaller by interpolating between recorded pixels with a fixed formula. "
            "It adds no information: a larger picture is easier to look at, it does not show more than was recorded."
        ),
        artefacts=(
            "Lanczos and bicubic overshoot at sharp edges: a faint light or dark line may run beside an edge.",
            "Slanted edges may look stepped, above all with 'nearest'.",
            "'nearest' drops pixels when it makes a picture smaller.",
        ),
        references=(
            "C. E. Duchon, Lanczos Filtering in One and Two Dimensions, Journal of Applied Meteorology 18 (1979), "
            "1016-1022.",
            "R. G. Keys, Cubic convolution interpolation for digital image processing, IEEE Transactions on "
            "Acoustics, Speech, and Signal Processing 29 (1981), 1153-1160.",
            "Recommendation ITU-T H.273, clause 8.7 (chroma sample location).",
        ),
    )

    @property
    def scale(self) -> float | None:
        """The given factor; None where a size was given."""
        return self.parameters.scale

    def with_scale(self, factor: int) -> Resize:
        """By ``factor``, with the same kernel; replaces a width and height."""
        kernel = {"kernel": self.parameters.kernel} if "kernel" in self.parameters.model_fields_set else {}
        return Resize(read_parameters(ResizeParameters, self.name, {"scale": float(factor), **kernel}))

    def scale_for(self, geometry: Geometry) -> float:
        """Larger of both axes' factors."""
        result = self.output_geometry(geometry)
        return max(result.width / geometry.width, result.height / geometry.height)

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """Size by the parameters; where both sides are given the sample aspect keeps the display shape."""
        chosen, aspect = self.parameters, geometry.sample_aspect
        if chosen.scale is not None:
            factor = Fraction(chosen.scale).limit_denominator(1 << 20)
            width, height = _rounded(geometry.width * factor), _rounded(geometry.height * factor)
        elif chosen.width is not None and chosen.height is not None:
            width, height = chosen.width, chosen.height
            change = Fraction(geometry.width, width) * Fraction(height, geometry.height)
            if change != 1:
                aspect = (aspect or Fraction(1)) * change
        elif chosen.width is not None:
            width, height = chosen.width, _rounded(Fraction(geometry.height * chosen.width, geometry.width))
        else:
            assert chosen.height is not None  # noqa: S101 - by _one_way
            width, height = _rounded(Fraction(geometry.width * chosen.height, geometry.height)), chosen.height
        return resized_geometry(geometry, width, height, aspect)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame = window[at]
        axes = scaled_axes(frame.geometry, self.output_geometry(frame.geometry), frame.colour)
        return resample_planes(frame.planes, axes, self.parameters.kernel)


def _rounded(value: Fraction) -> int:
    """Nearest whole number, halves up, at least 1."""
    return max(1, (value + Fraction(1, 2)).__floor__())
