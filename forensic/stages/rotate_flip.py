"""Rotation by right angles and mirroring, sample for sample."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import numpy as np

from forensic.frames.frame import Coding, Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.kernels import KERNELS
from forensic.stages.movement import Movement
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.resampling import AxisMap, chroma_siting, resample
from forensic.stages.stage import Stage, StageCard


class RotateFlipParameters(Parameters):
    """First the rotation, then the mirroring."""

    rotate: Literal[0, 90, 180, 270] = parameter(
        0, title="Rotation", unit="degrees clockwise", description="Turn of the whole picture."
    )
    flip: Literal["none", "horizontal", "vertical"] = parameter(
        "none",
        title="Mirroring",
        unit="name",
        description="'horizontal' exchanges left and right, 'vertical' exchanges top and bottom.",
    )


class RotateFlip(Stage[RotateFlipParameters]):
    """Turns and mirrors the picture."""

    name = "rotate-flip"
    title = "Rotate and mirror"
    stage_class = StageClass.GEOMETRIC
    parameter_model = RotateFlipParameters
    card = StageCard(
        explanation=(
            "Turns the picture by right angles or mirrors it. Brightness samples move to their new places unchanged; "
            "where colour is stored more coarsely than brightness, colour samples are interpolated if the turned grid "
            "does not fall onto the standard one."
        ),
        artefacts=("A mirrored picture shows writing and left and right the wrong way round.",),
        references=("Recommendation ITU-T H.273, clause 8.7 (chroma sample location).",),
    )

    @property
    def keeps_places(self) -> bool:
        """Only where it turns and mirrors nothing."""
        return self.parameters.rotate == 0 and self.parameters.flip == "none"

    @property
    def movement(self) -> Movement:
        """Every sample of luma as it was, somewhere else."""
        return Movement.PERMUTED

    def output_coding(self, coding: Coding) -> Coding:
        """Of the same samples, which no longer lie where they were coded."""
        return coding.unplaced()

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """Sides and sample aspect change places for 90 and 270 degrees."""
        if self.parameters.rotate in (0, 180):
            return geometry
        aspect = geometry.sample_aspect
        return Geometry(geometry.height, geometry.width, geometry.layout, None if aspect is None else 1 / aspect)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame = window[at]
        if self.parameters.rotate == 0 and self.parameters.flip == "none":
            return frame.planes
        result = self.output_geometry(frame.geometry)
        planes = [np.ascontiguousarray(self._turn(plane)) for plane in frame.planes]
        if frame.geometry.layout.family == "yuv":
            rows, columns = self._chroma_axes(frame, result)
            planes[1:] = [resample(plane, rows, columns, KERNELS["lanczos"]) for plane in planes[1:]]
        return tuple(planes)

    def _turn(self, plane: np.ndarray) -> np.ndarray:
        turned = np.rot90(plane, -self.parameters.rotate // 90)
        if self.parameters.flip == "horizontal":
            return turned[:, ::-1]
        return turned[::-1] if self.parameters.flip == "vertical" else turned

    def _chroma_axes(self, frame: WorkingFrame, result: Geometry) -> tuple[AxisMap, AxisMap]:
        """Maps from the turned chroma planes onto the grid that the declared siting asks for."""
        source, layout = frame.geometry, frame.geometry.layout
        siting_x, siting_y = chroma_siting(source, frame.colour)
        # Per source axis: luma length, chroma count, chroma pitch and position of chroma sample 0.
        rows, columns = source.plane_shapes[1]
        along_x = (source.width, columns, 1 << layout.chroma_shift_x, siting_x)
        along_y = (source.height, rows, 1 << layout.chroma_shift_y, siting_y)
        from_x, from_y = (along_x, along_y) if self.parameters.rotate in (0, 180) else (along_y, along_x)
        reverse_x = (self.parameters.rotate in (90, 180)) != (self.parameters.flip == "horizontal")
        reverse_y = (self.parameters.rotate in (180, 270)) != (self.parameters.flip == "vertical")
        rows, columns = result.plane_shapes[1]
        return (
            _onto_grid(from_y, reverse_y, rows, 1 << layout.chroma_shift_y, siting_y),
            _onto_grid(from_x, reverse_x, columns, 1 << layout.chroma_shift_x, siting_x),
        )


def _onto_grid(
    source: tuple[int, int, int, Fraction], reverse: bool, count: int, pitch: int, first: Fraction
) -> AxisMap:
    length, samples, source_pitch, source_first = source
    # Luma position of sample 0 of the turned plane.
    origin = length - 1 - source_first - source_pitch * (samples - 1) if reverse else source_first
    return AxisMap(count, Fraction(pitch, source_pitch), (first - origin) / source_pitch)
