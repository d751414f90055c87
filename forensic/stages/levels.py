"""Levels: black point, white point, gamma."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import model_validator

from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Stage, StageCard
from forensic.stages.tone import DISPLAY_WHITE, map_tones


class LevelsParameters(Parameters):
    """On the display scale: 0 is the video's nominal black, 255 its nominal white."""

    black: float = parameter(
        0.0,
        title="Black point",
        unit="grey levels (display)",
        ge=0.0,
        le=254.0,
        description="Brightness that becomes black; everything darker is lost.",
    )
    white: float = parameter(
        255.0,
        title="White point",
        unit="grey levels (display)",
        ge=1.0,
        le=255.0,
        description="Brightness that becomes white; everything brighter is lost.",
    )
    gamma: float = parameter(
        1.0,
        title="Gamma",
        unit="exponent",
        ge=0.1,
        le=10.0,
        description="Above 1 brightens the middle tones, below 1 darkens them.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> LevelsParameters:
        if self.white - self.black < 1.0:
            raise ValueError("'white' must be at least 1 grey level above 'black'")
        return self


class Levels(Stage[LevelsParameters]):
    """Stretch of brightness between a black and a white point, with a gamma."""

    name = "levels"
    title = "Levels and gamma"
    stage_class = StageClass.PRESENTATION
    parameter_model = LevelsParameters
    card = StageCard(
        explanation=(
            "Spreads a chosen range of brightness over the whole scale and brightens or darkens the middle tones. "
            "Every pixel of one brightness gets the same new brightness; nothing depends on its surroundings."
        ),
        artefacts=(
            "What is darker than the black point or brighter than the white point is lost.",
            "What the recording holds beyond nominal black and white (in limited range, luma below 16 and above 235) "
            "is clipped with any setting that changes something. Many cameras put highlights there.",
            "Noise in stretched dark areas becomes visible.",
            "Colour is not stretched with brightness: a stretched picture looks less or more colourful.",
        ),
        references=(
            "R. C. Gonzalez and R. E. Woods, Digital Image Processing, 4th edition (Pearson, 2018), section 3.2 "
            "(power-law and piecewise-linear transformations).",
        ),
    )

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        black, white, gamma = self.parameters.black, self.parameters.white, self.parameters.gamma
        if (black, white, gamma) == (0.0, DISPLAY_WHITE, 1.0):
            return window[at].planes

        def curve(display: np.ndarray) -> np.ndarray:
            share = np.clip((display - np.float32(black)) / np.float32(white - black), 0.0, 1.0)
            if gamma != 1.0:
                share = np.power(share, np.float32(1.0 / gamma))
            return np.asarray(share * np.float32(DISPLAY_WHITE))

        return map_tones(window[at], curve)
