"""Film grain put into a picture from a model, and what both grain stages share. Never in forensic mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from forensic.errors import BadInput, UsageError
from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.grain.parameters import GrainParameters, neighbours
from forensic.grain.synthesis import LARGEST_SEED, bounds, frame_seed, noise
from forensic.stages.luma import with_luma
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Applied, Stage, StageCard

Byte = Annotated[int, Field(ge=0, le=255)]
Coefficient = Annotated[int, Field(ge=-128, le=127)]

REFERENCES = (
    "A. Norkin, N. Birkbeck, Film Grain Synthesis for AV1 Video Codec, Data Compression Conference 2018, 3-12.",
    "Alliance for Open Media, AV1 Bitstream & Decoding Process Specification, version 1.0.0 with errata 1, 6.8.20 (the "
    "parameters) and 7.18.3 (film grain synthesis).",
)


class GrainModelParameters(Parameters):
    """The model of the grain, number for number that of AV1's bitstream."""

    luma_points: tuple[tuple[Byte, Byte], ...] | None = parameter(
        None, title="Strength in luma", unit="grey level, scaling", max_length=14,
        description="Scaling of the grain at rising levels, by straight lines between them; empty: no grain. Where it "
        "is not given, the model is estimated from the recording before the run.",
    )  # fmt: skip
    cb_points: tuple[tuple[Byte, Byte], ...] = parameter(
        (), title="Strength in Cb", unit="grey level, scaling", max_length=10, description="As that of luma."
    )
    cr_points: tuple[tuple[Byte, Byte], ...] = parameter(
        (), title="Strength in Cr", unit="grey level, scaling", max_length=10, description="As that of luma."
    )
    scaling_shift: int = parameter(
        11, title="Shift of the scaling", unit="bits", ge=8, le=11,
        description="Grain is scaling times template (standard deviation 32 before its filter) over 2 to this power.",
    )  # fmt: skip
    lag: int = parameter(
        3, title="Lag", unit="samples", ge=0, le=3,
        description="How far the filter looks: 2 lag (lag + 1) samples before each in raster order.",
    )  # fmt: skip
    luma_coefficients: tuple[Coefficient, ...] = parameter(
        (), title="Filter of luma", unit="coefficients", max_length=24,
        description="Row by row, as in the bitstream; empty: no filter.",
    )  # fmt: skip
    cb_coefficients: tuple[Coefficient, ...] = parameter(
        (), title="Filter of Cb", unit="coefficients", max_length=25,
        description="As that of luma; the last is that of the luma grain there.",
    )  # fmt: skip
    cr_coefficients: tuple[Coefficient, ...] = parameter(
        (), title="Filter of Cr", unit="coefficients", max_length=25, description="As that of Cb."
    )
    ar_shift: int = parameter(
        7, title="Shift of the filters", unit="bits", ge=6, le=9, description="Coefficients are over 2 to this power."
    )
    grain_shift: int = parameter(
        0, title="Shift of the grain", unit="bits", ge=0, le=3, description="Halves the template so many times."
    )
    chroma_from_luma: bool = parameter(
        False, title="Colour as luma", unit="yes or no", description="Colour is scaled by the points of luma."
    )
    mixing: tuple[int, int, int, int, int, int] = parameter(
        (128, 192, 256, 128, 192, 256), title="Level for colour", unit="numbers",
        description="Multiplier of colour, of luma, and offset, for Cb and for Cr; by default luma counts.",
    )  # fmt: skip
    overlap: bool = parameter(
        True, title="Blended blocks", unit="yes or no", description="Blocks of 32 pixels are blended at their rims."
    )
    restricted: bool = parameter(
        False, title="Within nominal range", unit="yes or no",
        description="The result is kept within nominal black and white of limited range.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _fits(self) -> GrainModelParameters:
        try:
            self.model_of()
        except UsageError as error:
            raise ValueError(error.message) from None
        return self

    def model_of(self) -> GrainParameters:
        """The model; one that adds nothing where it was not given."""
        count = len(neighbours(self.lag))
        return GrainParameters(
            self.luma_points or (),
            self.cb_points,
            self.cr_points,
            self.scaling_shift,
            self.lag,
            self.luma_coefficients or (0,) * count,
            self.cb_coefficients or (0,) * (count + 1),
            self.cr_coefficients or (0,) * (count + 1),
            self.ar_shift,
            self.grain_shift,
            self.chroma_from_luma,
            *self.mixing,
            overlap=self.overlap,
            restricted=self.restricted,
        )


def stage_values(model: GrainParameters) -> dict[str, Any]:
    """Values of a grain stage's parameters for ``model``, as a recipe file holds them."""
    values = model.to_record()
    names = ("cb_mult", "cb_luma_mult", "cb_offset", "cr_mult", "cr_luma_mult", "cr_offset")
    mixing = [values.pop(name) for name in names]
    return {**values, "mixing": mixing}


def require_measured(name: str, parameters: GrainModelParameters) -> None:
    """Raise ``BadInput`` (``grain.not-measured``) where the model was neither given nor estimated."""
    if parameters.luma_points is None:
        raise BadInput(
            "grain.not-measured",
            f"Stage {name!r} has no model of grain.",
            "Run the recipe by 'enhance', which estimates it first, or give one: 'forensic grain' prints it.",
        )


def subsampling_of(geometry: Geometry) -> tuple[int, int] | None:
    """(x, y) shifts of colour; None for gray and RGB, of which luma alone has grain."""
    layout = geometry.layout
    return (layout.chroma_shift_x, layout.chroma_shift_y) if layout.family == "yuv" else None


class GrainStageParameters(GrainModelParameters):
    """The model, and where chance begins."""

    seed: int = parameter(
        0, title="Seed", unit="number", ge=0, le=LARGEST_SEED - 1,
        description="Frame N is made from the number 1 + (seed + 40507 N) mod 65535.",
    )  # fmt: skip


class Grain(Stage[GrainStageParameters]):
    """Adds grain that was never recorded."""

    name = "grain"
    title = "Film grain"
    stage_class = StageClass.GENERATIVE
    parameter_model = GrainStageParameters
    card = StageCard(
        explanation=(
            "Adds film grain that a random number generator and a model make: a filter for its texture, a curve for "
            "its strength at every level, colour with a part of luma's. The model is given, or estimated from the "
            "recording before the run. The grain is made exactly as a decoder of AV1 makes it from the same numbers. "
            "It is in no recording: the result is an illustration and no evidence."
        ),
        artefacts=(
            "Grain looks like detail. Every speck of it is made up, also where it happens to look like something.",
            "Its template is 64 pixels wide and reused at random places: in large even areas a pattern may be seen.",
            "Grain keeps its size in pixels: on an enlarged picture it is finer than what was recorded.",
            "RGB pictures get the luma grain in all three colours, and none of its colour.",
        ),
        references=REFERENCES,
    )

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """As it comes in. Raises ``BadInput`` (``grain.not-measured``) without a model."""
        require_measured(self.name, self.parameters)
        return geometry

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame = window[at]
        layout = frame.geometry.layout
        seed = frame_seed(self.parameters.seed, frame.timing.index)
        model = self.parameters.model_of()
        bits = 8 if layout.bits <= 8 else 10 if layout.bits <= 10 else 12
        scale = np.float32(1 << (bits - 8))
        sub = subsampling_of(frame.geometry)
        seen = frame.planes if layout.family == "yuv" else (frame.luma,)
        codes = tuple(np.clip(np.rint(plane * scale), 0, (1 << bits) - 1).astype(np.int32) for plane in seen)
        planes = []
        for number, (plane, added) in enumerate(zip(seen, noise(codes, model, seed, bits, sub), strict=True)):
            if added is None:
                planes.append(plane)
                continue
            low, high = bounds(model, number, bits)
            made = plane + added.astype(np.float32) / scale
            planes.append(np.clip(made, np.float32(low) / scale, np.float32(high) / scale))
        note = {"grain": {"seed": seed, "bits": bits}}
        return Applied(with_luma(frame, planes[0]) if layout.family == "rgb" else tuple(planes), note)
