"""Unsharp masking of luma with coring and a halo limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.opencv import opencv
from forensic.stages.luma import with_luma
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Stage, StageCard


class UnsharpParameters(Parameters):
    """Size, strength, and what holds it back."""

    sigma: float = parameter(
        1.0,
        title="Radius",
        unit="pixels (standard deviation)",
        ge=0.3,
        le=20.0,
        description="Size of the detail that is strengthened.",
    )
    amount: float = parameter(
        0.5, title="Amount", unit="times", ge=0.0, le=5.0, description="How much of the detail is added; 0 adds none."
    )
    threshold: float = parameter(
        0.0,
        title="Threshold",
        unit="grey levels",
        ge=0.0,
        le=50.0,
        description="Detail weaker than this counts as noise and is not strengthened.",
    )
    overshoot: float = parameter(
        255.0,
        title="Overshoot limit",
        unit="grey levels",
        ge=0.0,
        le=255.0,
        description="How far a pixel may go beyond the darkest and brightest of its 3x3 neighbourhood.",
    )


class Unsharp(Stage[UnsharpParameters]):
    """Strengthens local contrast of luma."""

    name = "unsharp"
    title = "Unsharp mask"
    stage_class = StageClass.FIDELITY
    parameter_model = UnsharpParameters
    card = StageCard(
        explanation=(
            "Makes edges look crisper by adding to the picture a part of its difference from a blurred copy. It "
            "strengthens what is there, noise included; it does not bring back detail that was lost."
        ),
        artefacts=(
            "Light and dark lines (halos) along edges, as far as the overshoot limit lets them.",
            "Stronger noise and stronger compression blocks.",
        ),
        references=(
            "R. C. Gonzalez and R. E. Woods, Digital Image Processing, 4th edition (Pearson, 2018), section 3.6 "
            "(unsharp masking and highboost filtering).",
        ),
    )

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame, chosen = window[at], self.parameters
        if chosen.amount == 0.0:
            return frame.planes
        cv2 = opencv()
        luma = frame.luma
        detail = luma - cv2.GaussianBlur(luma, (0, 0), chosen.sigma, borderType=cv2.BORDER_REFLECT_101)
        if chosen.threshold > 0.0:
            detail -= np.clip(detail, np.float32(-chosen.threshold), np.float32(chosen.threshold))
        sharpened = luma + np.float32(chosen.amount) * detail
        if chosen.overshoot < 255.0:
            square = np.ones((3, 3), np.uint8)
            limit = np.float32(chosen.overshoot)
            np.minimum(sharpened, cv2.dilate(luma, square) + limit, out=sharpened)
            np.maximum(sharpened, cv2.erode(luma, square) - limit, out=sharpened)
        return with_luma(frame, sharpened)
