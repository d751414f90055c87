"""Selective colour: one range of hues keeps its colour, the rest of the picture turns grey."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensic.errors import BadInput
from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.chroma import NEUTRAL, rgb_matrix
from forensic.stages.luma import combine, separate
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Stage, StageCard


class SelectiveColourParameters(Parameters):
    """Which hues, and how sharply they are told from the others."""

    hue: float = parameter(
        title="Hue", unit="degrees", ge=0.0, le=360.0,
        description="Middle of the range on the colour circle: 0 red, 60 yellow, 120 green, 180 cyan, 240 blue, "
        "300 magenta.",
    )  # fmt: skip
    width: float = parameter(
        60.0, title="Width", unit="degrees", ge=1.0, le=360.0, description="Range of hues that is kept whole."
    )
    softness: float = parameter(
        20.0, title="Softness", unit="degrees", ge=0.0, le=90.0,
        description="Beyond the range on either side, over which colour fades.",
    )  # fmt: skip
    least_colour: float = parameter(
        12.0, title="Least colour", unit="grey levels", ge=0.0, le=128.0,
        description="Difference between the strongest and weakest of red, green and blue from which a hue is believed; "
        "it fades in from half of this.",
    )  # fmt: skip
    gain: float = parameter(
        1.0, title="Gain", unit="times", ge=0.0, le=4.0, description="Strength of the colour that is kept."
    )
    others: float = parameter(
        0.0, title="Other colours", unit="times", ge=0.0, le=1.0,
        description="How much colour the rest keeps; 0 makes it grey, 1 leaves it.",
    )  # fmt: skip


class SelectiveColour(Stage[SelectiveColourParameters]):
    """Keeps the colour of a range of hues."""

    name = "selective-colour"
    title = "Selective colour"
    stage_class = StageClass.PRESENTATION
    parameter_model = SelectiveColourParameters
    card = StageCard(
        explanation=(
            "Shows one range of colours in colour and everything else in grey, so that, say, a red jacket can be "
            "followed through a crowd. Brightness is not changed in any pixel; colour is made weaker or stronger by a "
            "factor that depends on the pixel's own colour alone. No colour is turned into another."
        ),
        artefacts=(
            "What is shown grey was not grey in the recording.",
            "Colour of video is coarse, strongly compressed and depends on the light: at night, under sodium lamps or "
            "with infrared lighting a hue says little about the true colour of a thing.",
            "In dark or nearly grey places noise decides the hue, and spots of colour may come and go.",
            "At the border of two colours the recording mixes them: the rim of a thing may drop out.",
            "A gain above 1 makes colours look stronger than they were recorded; the strongest are clipped when shown.",
        ),
        references=(
            "A. R. Smith, Color gamut transform pairs, SIGGRAPH 1978, 12-19 (hue of the hexagonal colour circle).",
            "Recommendation ITU-T H.273, clause 8.3 (matrix coefficients).",
        ),
    )

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """As it comes in. Raises ``BadInput`` (``stage.layout``) for gray."""
        if geometry.layout.family == "gray":
            raise BadInput("stage.layout", "A gray picture has no colour to select.", "Leave the stage out.")
        return geometry

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame, chosen = window[at], self.parameters
        if chosen.gain == chosen.others == 1.0:
            return frame.planes
        if frame.geometry.layout.family == "rgb":
            luma, blue, red = separate(frame)
            red_green_blue = np.stack(combine(frame, (np.zeros_like(luma), blue, red)))
            share = self._share(red_green_blue)
            return combine(frame, (luma, blue * share, red * share))
        blue, red = (plane - NEUTRAL for plane in frame.planes[1:3])
        # Luma adds the same to red, green and blue: hue and colourfulness do not depend on it.
        matrix = rgb_matrix(frame).astype(np.float32)
        share = self._share(np.stack([row[1] * blue + row[2] * red for row in matrix]))
        return frame.planes[0], blue * share + NEUTRAL, red * share + NEUTRAL

    def _share(self, colour: np.ndarray) -> np.ndarray:
        """Factor of the colour differences for ``colour``, R', G', B' up to a common term, (3, rows, columns)."""
        chosen = self.parameters
        strongest, weakest = colour.max(axis=0), colour.min(axis=0)
        spread = strongest - weakest
        red, green, blue = colour / np.maximum(spread, np.float32(1e-6))
        sector = np.where(
            colour[0] == strongest,
            np.mod(green - blue, np.float32(6.0)),
            np.where(colour[1] == strongest, blue - red + np.float32(2.0), red - green + np.float32(4.0)),
        )
        away = np.abs(np.mod(np.float32(60.0) * sector - np.float32(chosen.hue) + 180.0, np.float32(360.0)) - 180.0)
        within = _ramp(np.float32(chosen.width / 2 + chosen.softness) - away, chosen.softness)
        believed = _ramp(spread - np.float32(chosen.least_colour / 2), chosen.least_colour / 2)
        kept = within * believed
        return np.asarray(np.float32(chosen.others) + kept * np.float32(chosen.gain - chosen.others), np.float32)


def _ramp(value: np.ndarray, length: float) -> np.ndarray:
    """0 below 0, 1 from ``length`` on; a step where ``length`` is 0."""
    if length == 0.0:
        return (value >= 0).astype(np.float32)
    return np.clip(value / np.float32(length), 0.0, 1.0)
