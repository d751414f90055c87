"""Wiener deblurring with a stated point spread function."""

from __future__ import annotations

from collections.abc import Sequence

from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.luma import with_luma
from forensic.stages.parameters import parameter
from forensic.stages.psf import DeconvolutionField, PsfParameters, inverse_spectrum
from forensic.stages.stage import Stage, StageCard


class WienerParameters(PsfParameters):
    """The blur, and how much noise there is."""

    noise_to_signal: float = parameter(
        0.005,
        title="Noise-to-signal ratio",
        unit="power ratio",
        ge=1e-6,
        le=1.0,
        description="Higher gives less sharpening and less noise.",
    )


class Wiener(Stage[WienerParameters]):
    """Least-squares inverse of a known blur, luma only."""

    name = "wiener"
    title = "Wiener deblurring"
    stage_class = StageClass.FIDELITY
    parameter_model = WienerParameters
    card = StageCard(
        explanation=(
            "Undoes a blur whose shape the examiner states (out of focus, or motion in a straight line), as far as "
            "noise allows. The result is right only if the stated blur is. Colour is not touched."
        ),
        artefacts=(
            "Ringing: ripples along strong edges, more so the higher the sharpening or the wronger the stated blur.",
            "Stronger noise; where part of the picture is blurred differently, that part becomes worse.",
            "A wrongly stated blur can produce doubled edges that look like detail.",
        ),
        references=(
            "N. Wiener, Extrapolation, Interpolation, and Smoothing of Stationary Time Series (Wiley, 1949).",
            "R. C. Gonzalez and R. E. Woods, Digital Image Processing, 4th edition (Pearson, 2018), section 5.8 "
            "(constant noise-to-signal ratio).",
        ),
    )

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame = window[at]
        field = DeconvolutionField(frame.luma, self.parameters)
        inverse = inverse_spectrum(self.parameters, field.plane.shape, self.parameters.noise_to_signal)
        return with_luma(frame, field.cut(field.filtered(field.plane, inverse)))
