"""Film grain taken out of a picture by its model. Part of the grain engine, and never in forensic mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.grain.removal import degrained
from forensic.stages.grain import REFERENCES, GrainModelParameters, require_measured, subsampling_of
from forensic.stages.luma import with_luma
from forensic.stages.parameters import parameter
from forensic.stages.stage import Stage, StageCard


class GrainRemoveParameters(GrainModelParameters):
    """The model, how many frames, and how much."""

    radius: int = parameter(
        1, title="Frames on either side", unit="frames", ge=0, le=4,
        description="Neighbours that are looked at; what stands still in them is told from grain.",
    )  # fmt: skip
    amount: float = parameter(
        1.0, title="Amount", unit="times the model's power", ge=0.0, le=4.0,
        description="Above 1 takes out more than the model says, and detail with it.",
    )  # fmt: skip


class GrainRemove(Stage[GrainRemoveParameters]):
    """Shrinks what has the spectrum and strength of the grain's model."""

    name = "grain-remove"
    title = "Film grain removal"
    stage_class = StageClass.GENERATIVE
    parameter_model = GrainRemoveParameters
    card = StageCard(
        explanation=(
            "Takes film grain out. Overlapping blocks of the frame and its neighbours are split into frequencies in "
            "space and time, and each is reduced by the power that the grain's model has there at the brightness of "
            "the block. What stands still adds up in the frames and stays; grain, which is new in each, does not. The "
            "model is given, or estimated from the recording before the run. It belongs to the engine that makes "
            "grain, and like it runs in creative mode only; for evidence use 'nlmeans' or 'temporal-average'."
        ),
        artefacts=(
            "Faint texture with the spectrum of grain goes with it, most where things move.",
            "Ringing at strong edges, and grain left around them.",
            "A model that is not this recording's takes out detail or leaves grain.",
        ),
        references=(
            *REFERENCES,
            "N. Wiener, Extrapolation, Interpolation, and Smoothing of Stationary Time Series (MIT Press, 1949).",
            "libaom, aom_dsp/noise_model.c: aom_wiener_denoise_2d (overlapped blocks with the noise's spectrum).",
        ),
    )

    @property
    def radius(self) -> int:
        """Frames on either side."""
        return self.parameters.radius

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """As it comes in. Raises ``BadInput`` (``grain.not-measured``) without a model."""
        require_measured(self.name, self.parameters)
        return geometry

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame, model = window[at], self.parameters.model_of()
        sub = subsampling_of(frame.geometry)
        lumas = [one.luma for one in window]
        if frame.geometry.layout.family != "yuv":
            return with_luma(frame, self._without(lumas, lumas, at, 0, sub))
        if model.empty:
            return frame.planes
        return tuple(
            self._without([one.planes[plane] for one in window], lumas, at, plane, sub)
            for plane in range(len(frame.planes))
        )

    def _without(
        self, planes: list[np.ndarray], lumas: list[np.ndarray], at: int, plane: int, sub: tuple[int, int] | None
    ) -> np.ndarray:
        return degrained(planes, lumas, at, plane, self.parameters.model_of(), sub, self.parameters.amount)
