"""Richardson-Lucy deblurring with a stated point spread function."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.luma import nominal_range, with_luma
from forensic.stages.parameters import parameter
from forensic.stages.psf import DeconvolutionField, PsfParameters
from forensic.stages.stage import Stage, StageCard

_FLOOR = np.float32(0.5)  # grey levels above black: the iteration divides, and must stay positive


class RichardsonLucyParameters(PsfParameters):
    """The blur, and how far to go."""

    iterations: int = parameter(
        10,
        title="Iterations",
        unit="count",
        ge=0,
        le=200,
        description="More iterations sharpen more and amplify noise more; 0 changes nothing.",
    )


class RichardsonLucy(Stage[RichardsonLucyParameters]):
    """Maximum-likelihood deblurring under Poisson noise, luma only."""

    name = "richardson-lucy"
    title = "Richardson-Lucy deblurring"
    stage_class = StageClass.FIDELITY
    parameter_model = RichardsonLucyParameters
    card = StageCard(
        explanation=(
            "Undoes a blur whose shape the examiner states, step by step: it looks for the picture that, blurred in "
            "that way, comes closest to the recording. It never goes below black. The result is right only if the "
            "stated blur is. Colour is not touched."
        ),
        artefacts=(
            "Noise grows with every iteration and clumps into spots.",
            "Ripples along strong edges, more so if the stated blur is wrong.",
            "A wrongly stated blur can produce doubled edges that look like detail.",
        ),
        references=(
            "W. H. Richardson, Bayesian-Based Iterative Method of Image Restoration, Journal of the Optical Society "
            "of America 62 (1972), 55-59.",
            "L. B. Lucy, An iterative technique for the rectification of observed distributions, The Astronomical "
            "Journal 79 (1974), 745-754.",
        ),
    )

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame = window[at]
        if self.parameters.iterations == 0:
            return frame.planes
        black = np.float32(nominal_range(frame)[0])
        field = DeconvolutionField(frame.luma - black, self.parameters)
        observed = np.maximum(field.plane, _FLOOR)
        estimate = observed
        for _ in range(self.parameters.iterations):
            expected = np.maximum(field.filtered(estimate, field.transfer), _FLOOR)
            estimate = np.maximum(estimate * field.filtered(observed / expected, field.transfer, mirrored=True), 0.0)
        return with_luma(frame, field.cut(estimate) + black)
