"""Enlargement by a generative network: detail that looks likely, in all three colours. Never in forensic mode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forensic.errors import BadInput
from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card
from forensic.stages.computed import ComputedAsChosen, Device, Precision, device_parameter, precision_parameter
from forensic.stages.learned import require_overlap
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.rgb_enlargement import RgbEnlargement
from forensic.stages.stage import Applied, StageCard
from forensic.stages.suited import purpose

if TYPE_CHECKING:
    from forensic.registry.loading import LoadedModel


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
    device: Device = device_parameter()
    precision: Precision = precision_parameter()


class GenerativeUpscale(ComputedAsChosen, RgbEnlargement[GenerativeUpscaleParameters]):
    """A super-resolution network that was trained to make pictures look real."""

    name = "generative-upscale"
    title = "Generative enlargement"
    stage_class = StageClass.GENERATIVE
    parameter_model = GenerativeUpscaleParameters
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
        self.require_factor()
        require_overlap(self.name, parameters.overlap, card)

    def made_by(self, model: LoadedModel, picture: np.ndarray, frame: int) -> np.ndarray:
        """As :meth:`ComputedAsChosen.made_by`; the frame's number changes nothing."""
        from forensic.registry.pictures import enlarged_picture

        return enlarged_picture(model, picture, self.parameters.tile, self.parameters.overlap)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame = window[at]
        self.prepare()
        made = self._made(self.seen(frame), frame.timing.index)
        return Applied(self.shown(made, frame), dict(self._difference))
