"""Enlargement by a diffusion model: detail is drawn by lot, and a seed says which. Never in forensic mode."""

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


class DiffusionUpscaleParameters(Parameters):
    """Which model, how large its result is shown, in how many steps, from which noise, and in which tiles."""

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
    steps: int = parameter(
        1,
        title="Steps",
        unit="steps",
        ge=1,
        le=15,
        description="In how many steps noise becomes a picture. Time grows with them; more is not always better.",
    )
    seed: int = parameter(
        0,
        title="Seed",
        unit="number",
        ge=0,
        le=2**32 - 1,
        description="Chooses the noise, and with it the detail. Another seed gives another picture, just as likely.",
    )
    tile: int = parameter(
        192,
        title="Tile",
        unit="pixels",
        ge=32,
        le=2048,
        description="Longest side of the pieces in which a picture is worked on: bounds memory. The noise belongs to "
        "the picture, not to the piece.",
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


class DiffusionUpscale(ComputedAsChosen, RgbEnlargement[DiffusionUpscaleParameters]):
    """A network that was trained to take noise away, so that what is left looks like a photograph."""

    name = "diffusion-upscale"
    title = "Generative enlargement by diffusion"
    stage_class = StageClass.GENERATIVE
    parameter_model = DiffusionUpscaleParameters
    card = StageCard(
        explanation=(
            "Makes the picture larger out of noise. A fidelity model enlarges the recording first; noise is put over "
            "it, and a network that was trained to tell photographs from noise takes it away again, in a few steps. "
            "What is left is the enlarged recording with detail that looks likely. The detail is drawn by lot: seed, "
            "frame and place decide it, and another seed gives another picture that fits the recording as well. The "
            "seed is recorded, and the same seed gives the same picture. It works on red, green and blue together. "
            "The result is an illustration and no evidence; it is labelled in every frame, and only creative mode may "
            "make it."
        ),
        artefacts=(
            "Detail is invented everywhere, and differs from seed to seed: nothing in it can be relied on.",
            "Characters can be changed into other characters, faces into other faces.",
            "Texture can look like a net or like grain; noise and compression blocks can become texture or lines.",
            "Every frame is made from other noise: detail boils from frame to frame.",
            "Colour can shift. What is darker than black or brighter than white in the recording is cut off.",
        ),
        references=(
            "Z. Yue, J. Wang, C. C. Loy, ResShift: Efficient Diffusion Model for Image Super-resolution by Residual "
            "Shifting, NeurIPS 2023, arXiv:2307.12348.",
            "Y. Blau, T. Michaeli, The Perception-Distortion Tradeoff, CVPR 2018, 6228-6237.",
            "J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011 "
            "(the noise).",
        ),
    )

    def __init__(self, parameters: DiffusionUpscaleParameters, models_dir: Path | None = None) -> None:
        """Reads the model's card, not the weights. Raises ``PolicyRefused`` (``model.*``) for a bad card, and
        ``BadInput`` (``model.not-a-sampler``, ``stage.parameters``) for a model that cannot do this.
        """
        super().__init__(parameters, models_dir)
        self.use(card := load_card(parameters.model, models_dir))
        if card.works_on != "noise":
            raise BadInput(
                "model.not-a-sampler",
                f"Model {card.id} {purpose(card)[0]}; stage {self.name!r} needs one that starts from noise.",
                f"Use it with the stage {purpose(card)[1]!r}.",
            )
        self.require_factor()
        require_overlap(self.name, parameters.overlap, card)

    def made_by(self, model: LoadedModel, picture: np.ndarray, frame: int) -> np.ndarray:
        """As :meth:`ComputedAsChosen.made_by`, with the noise of that frame."""
        from forensic.registry.sampling import sampled_picture

        given = self.parameters
        return sampled_picture(model, picture, given.steps, given.seed, frame, given.tile, given.overlap)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame, given = window[at], self.parameters
        self.prepare()
        made = self._made(self.seen(frame), frame.timing.index)
        drawn = {"steps": given.steps, "seed": given.seed, "frame": frame.timing.index}
        return Applied(self.shown(made, frame), {"drawn": drawn, **self._difference})
