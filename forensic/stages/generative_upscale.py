"""Enlargement by a generative network: detail that looks likely, in all three colours. Never in forensic mode."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from forensic.errors import BadInput, UsageError
from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.opencv import opencv
from forensic.registry.cards import load_card
from forensic.stages.kernels import KERNELS
from forensic.stages.learned import RunsModel, require_overlap
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.resampling import AxisMap, resample
from forensic.stages.rgb import planes_of, rgb_of
from forensic.stages.stage import Stage, StageCard, resized_geometry
from forensic.stages.suited import purpose


class GenerativeUpscaleParameters(Parameters):
    """Which model, how large its result is shown, and how the picture is cut for it."""

    model: str = parameter(
        title="Model", unit="model id", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Folder under models/."
    )
    factor: int = parameter(
        4,
        title="Factor",
        unit="times",
        ge=1,
        le=8,
        description="Size of the result. The network enlarges by its own factor; for less, its picture is reduced.",
    )
    tile: int = parameter(
        128,
        title="Tile",
        unit="pixels",
        ge=32,
        le=2048,
        description="Longest side of the pieces in which a picture is worked on: bounds memory.",
    )
    overlap: int = parameter(
        32,
        title="Overlap",
        unit="pixels",
        ge=0,
        le=256,
        description="Surroundings that each piece sees on every side; at least what the model's card asks for.",
    )


class GenerativeUpscale(RunsModel, Stage[GenerativeUpscaleParameters]):
    """A super-resolution network that was trained to make pictures look real."""

    name = "generative-upscale"
    title = "Generative enlargement"
    stage_class = StageClass.GENERATIVE
    parameter_model = GenerativeUpscaleParameters
    resamples = True
    card = StageCard(
        explanation=(
            "Makes the picture larger with a network that was trained to give pictures which look real (by an adversary"
            " that tells made pictures from photographs), not pictures that are nearest to what was there. It "
            "invents detail: texture, edges, strokes of characters and features of faces that the recording does not "
            "hold. It works on red, green and blue together. The result is an illustration and no evidence; it is "
            "labelled in every frame, and only creative mode may make it."
        ),
        artefacts=(
            "Detail is invented everywhere: characters can be changed into other characters, faces into other faces.",
            "Texture of one material can be drawn on another; noise and compression blocks become texture or lines.",
            "Every frame is invented anew: detail can boil from frame to frame.",
            "Colour can shift. What is darker than black or brighter than white in the recording is cut off.",
        ),
        references=(
            "C. Ledig et al., Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network, "
            "CVPR 2017, 4681-4690.",
            "Y. Blau, T. Michaeli, The Perception-Distortion Tradeoff, CVPR 2018, 6228-6237.",
        ),
    )

    def __init__(self, parameters: GenerativeUpscaleParameters, models_dir: Path | None = None) -> None:
        """Reads the model's card, not the weights. Raises ``PolicyRefused`` (``model.*``) for a bad card."""
        super().__init__(parameters, models_dir)
        self.use(card := load_card(parameters.model, models_dir))
        if card.channels != "rgb" or card.stage_class is not StageClass.GENERATIVE or card.works_on is not None:
            raise BadInput(
                "model.not-generative",
                f"Model {card.id} is of class {card.stage_class.label} and {purpose(card)[0]}; stage "
                f"{self.name!r} needs a generative one that works on rgb.",
                f"Use it with the stage {purpose(card)[1]!r}.",
            )
        if parameters.factor > card.scale:
            raise BadInput(
                "stage.parameters",
                f"Stage {self.name!r}: parameter 'factor' is {parameters.factor}; model {card.id} enlarges "
                f"{card.scale} times.",
                f"Use at most {card.scale}.",
            )
        require_overlap(self.name, parameters.overlap, card)

    @property
    def scale(self) -> float:
        """Size of the result."""
        return float(self.parameters.factor)

    def with_scale(self, factor: int) -> GenerativeUpscale:
        """With another factor, up to the model's. Raises ``UsageError`` (``recipe.scale``) for a larger one."""
        if not 1 <= factor <= self._model_card.scale:
            raise UsageError(
                "recipe.scale",
                f"Model {self._model_card.id} enlarges {self._model_card.scale} times and cannot do {factor} times.",
                f"Use --scale 1 to {self._model_card.scale}.",
            )
        return self.varied(factor=factor)

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """Both sides times the factor."""
        factor = self.parameters.factor
        return resized_geometry(geometry, geometry.width * factor, geometry.height * factor, geometry.sample_aspect)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        from forensic.registry.pictures import enlarged_picture

        frame = window[at]
        self.prepare()
        opencv()
        seen = np.clip(rgb_of(frame), 0.0, 1.0)  # what the network was trained on
        made = enlarged_picture(self._loaded, seen, self.parameters.tile, self.parameters.overlap)
        np.clip(made, 0.0, 1.0, out=made)
        geometry = self.output_geometry(frame.geometry)
        shown = reduced_picture(made, geometry, self._model_card.scale, self.parameters.factor)
        return planes_of(shown, frame, geometry)


def reduced_picture(picture: np.ndarray, geometry: Geometry, scale: int, factor: int) -> np.ndarray:
    """The network's picture, [3, scale*H, scale*W], at the asked size: antialiased Lanczos, outer edges together."""
    if factor == scale:
        return picture
    step = Fraction(scale, factor)
    rows, columns = (AxisMap(count, step, (step - 1) / 2) for count in (geometry.height, geometry.width))
    return np.stack([resample(np.ascontiguousarray(plane), rows, columns, KERNELS["lanczos"]) for plane in picture])
