"""What stages have in common that enlarge red, green and blue together, up to the factor of their model."""

from __future__ import annotations

from fractions import Fraction
from typing import Self

import numpy as np

from forensic.errors import BadInput, InternalError, UsageError
from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.media.opencv import opencv
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, resample
from forensic.stages.rgb import planes_of, rgb_of
from forensic.stages.stage import ModelFacts, P, Stage, resized_geometry


class RgbEnlargement(Stage[P]):
    """The network enlarges by its own factor; for less, its picture is reduced. The stage has a ``model``,
    and the parameter ``factor`` (0: the model's own)."""

    resamples = True

    @property
    def _card(self) -> ModelFacts:
        card = self.model
        if card is None:
            raise InternalError("stage.model", f"Stage {self.name!r} enlarges with a model and has none.")
        return card

    def require_factor(self) -> None:
        """Raise ``BadInput`` (``stage.parameters``) for a factor beyond the model's."""
        card = self._card
        if self.factor > card.scale:
            raise BadInput(
                "stage.parameters",
                f"Stage {self.name!r}: parameter 'factor' is {self.factor}; model {card.id} enlarges {card.scale} "
                "times.",
                f"Use at most {card.scale}.",
            )

    @property
    def factor(self) -> int:
        """Size of the result in input pixels, each way."""
        return int(getattr(self.parameters, "factor")) or self._card.scale  # noqa: B009 - of the stage's own

    @property
    def scale(self) -> float:
        """Size of the result."""
        return float(self.factor)

    def with_scale(self, factor: int) -> Self:
        """With another factor, up to the model's. Raises ``UsageError`` (``recipe.scale``) for a larger one."""
        card = self._card
        if not 1 <= factor <= card.scale:
            raise UsageError(
                "recipe.scale",
                f"Model {card.id} enlarges {card.scale} times and cannot do {factor} times.",
                f"Use --scale 1 to {card.scale}.",
            )
        return self.varied(factor=factor)

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """Both sides times the factor."""
        return resized_geometry(
            geometry, geometry.width * self.factor, geometry.height * self.factor, geometry.sample_aspect
        )

    def seen(self, frame: WorkingFrame) -> np.ndarray:
        """What the network gets of ``frame``: float32 [3, H, W], 0 to 1, what lies beyond black and white cut off."""
        opencv()
        return np.clip(rgb_of(frame), 0.0, 1.0)

    def shown(self, made: np.ndarray, frame: WorkingFrame) -> Planes:
        """The network's picture of ``frame``, [3, scale*H, scale*W], at the asked size and in the frame's layout:
        antialiased Lanczos, outer edges together."""
        np.clip(made, 0.0, 1.0, out=made)
        geometry = self.output_geometry(frame.geometry)
        if self.factor != self._card.scale:
            step = Fraction(self._card.scale, self.factor)
            rows, columns = (AxisMap(count, step, (step - 1) / 2) for count in (geometry.height, geometry.width))
            lanczos = KERNELS["lanczos"]
            made = np.stack([resample(np.ascontiguousarray(plane), rows, columns, lanczos) for plane in made])
        return planes_of(made, frame, geometry)
