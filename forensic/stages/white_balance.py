"""White balance: gains of red, green and blue that make a chosen thing neutral."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from forensic.errors import BadInput
from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.chroma import NEUTRAL, chroma_at_luma, luma_at_chroma, mix, rgb_matrix
from forensic.stages.luma import nominal_range
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Applied, Stage, StageCard

Gain = Annotated[float, Field(ge=0.1, le=10.0)]
Pixel = Annotated[int, Field(ge=0, le=32768)]
_DARKEST = 8.0  # grey levels above black below which a mean says nothing of the light's colour


class WhiteBalanceParameters(Parameters):
    """How the gains are found."""

    method: Literal["gains", "neutral-region", "gray-world"] = parameter(
        "gains",
        title="Method",
        unit="name",
        description="Given gains; or what makes a region neutral; or what makes the mean of each picture neutral.",
    )
    gains: tuple[Gain, Gain, Gain] = parameter(
        (1.0, 1.0, 1.0),
        title="Gains",
        unit="times",
        description="For red, green and blue, with method 'gains'.",
    )
    region: tuple[Pixel, Pixel, Pixel, Pixel] | None = parameter(
        None,
        title="Neutral region",
        unit="pixels (x, y, width, height)",
        description="Something known to be gray or white, with method 'neutral-region'.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> WhiteBalanceParameters:
        if (self.method == "neutral-region") != (self.region is not None):
            raise ValueError("'region' goes with method 'neutral-region', and only with it")
        if self.region is not None and min(self.region[2:]) < 1:
            raise ValueError("'region' must be at least 1 pixel wide and high")
        if self.method != "gains" and "gains" in self.model_fields_set:
            raise ValueError("'gains' goes with method 'gains' only")
        return self


class WhiteBalance(Stage[WhiteBalanceParameters]):
    """Von Kries scaling of R', G' and B'."""

    name = "white-balance"
    title = "White balance"
    stage_class = StageClass.PRESENTATION
    parameter_model = WhiteBalanceParameters
    card = StageCard(
        explanation=(
            "Removes a colour cast by making red, green and blue stronger or weaker in the whole picture. The gains "
            "are scaled so that the brightness of a neutral surface does not change. Every pixel gets the same gains."
        ),
        artefacts=(
            "If the thing taken as neutral is not, everything gets a false tint: colours of clothes or cars are then "
            "not to be relied on.",
            "'gray-world' is wrong wherever one colour fills the picture, and may change from frame to frame.",
        ),
        references=(
            "G. Buchsbaum, A spatial processor model for object colour perception, Journal of the Franklin Institute "
            "310 (1980), 1-26 (gray world).",
            "J. von Kries, Die Gesichtsempfindungen (1905): independent gains of the three receptors.",
        ),
    )

    @property
    def positional(self) -> bool:
        """A neutral region is a place."""
        return self.parameters.region is not None

    def after_crop(self, x: int, y: int) -> WhiteBalance:
        """The same region of the exhibit."""
        if self.parameters.region is None:
            return self
        left, top, width, height = self.parameters.region
        return self.varied(region=(left - x, top - y, width, height))

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """As it comes in. Raises ``BadInput``: ``stage.layout`` for gray, ``stage.region`` if it sticks out."""
        if geometry.layout.family == "gray":
            raise BadInput("stage.layout", "A gray picture has no colour to balance.", "Leave the stage out.")
        if self.parameters.region is not None:
            x, y, width, height = self.parameters.region
            if x + width > geometry.width or y + height > geometry.height:
                raise BadInput(
                    "stage.region",
                    f"The neutral region {width}x{height} at ({x}, {y}) does not lie within the "
                    f"{geometry.width}x{geometry.height} picture.",
                )
        return geometry

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame = window[at]
        rgb = frame.geometry.layout.family == "rgb"
        to_rgb = np.eye(3) if rgb else rgb_matrix(frame)
        weights = np.array([0.299, 0.587, 0.114]) if rgb else np.linalg.inv(to_rgb)[0]
        gains = np.array(self.parameters.gains)
        note: dict[str, Any] = {}
        if self.parameters.method != "gains":
            gains, reliable = self._measured(frame, to_rgb)
            note["measured"] = reliable
        if np.all(gains == 1.0):
            return Applied(frame.planes, note)
        gains = gains / float(weights @ gains)  # a neutral surface keeps its luma
        if note:
            note["gains"] = [round(float(gain), 6) for gain in gains]
        if rgb:
            return Applied(
                tuple(plane * np.float32(gain) for plane, gain in zip(frame.planes, gains, strict=True)), note
            )
        change = np.linalg.inv(to_rgb) @ np.diag(gains) @ to_rgb
        black = np.float32(nominal_range(frame)[0])
        blue, red = (plane - NEUTRAL for plane in frame.planes[1:3])
        wide_blue, wide_red = (plane - NEUTRAL for plane in chroma_at_luma(frame))
        luma = mix(change[0], (frame.planes[0] - black, wide_blue, wide_red)) + black
        small = (luma_at_chroma(frame) - black, blue, red)
        return Applied((luma, mix(change[1], small) + NEUTRAL, mix(change[2], small) + NEUTRAL), note)

    def _measured(self, frame: WorkingFrame, to_rgb: np.ndarray) -> tuple[np.ndarray, bool]:
        """Gains that make the mean of the region or picture neutral; (1, 1, 1) where it is too dark to say."""
        if frame.geometry.layout.family == "rgb":
            planes, origin = frame.planes, np.zeros(3)
        else:
            planes = (frame.planes[0], *chroma_at_luma(frame))
            origin = np.array([nominal_range(frame)[0], 128.0, 128.0])
        x, y, width, height = self.parameters.region or (0, 0, frame.geometry.width, frame.geometry.height)
        means = [float(np.mean(plane[y : y + height, x : x + width], dtype=np.float64)) for plane in planes]
        colour = to_rgb @ (np.array(means) - origin)
        if colour.min() < _DARKEST:
            return np.ones(3), False
        return np.clip(colour.mean() / colour, 0.1, 10.0), True
