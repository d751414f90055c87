"""Enlargement by a laboratory's own model: of generative class, whatever its card says. Never in forensic mode."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from forensic.errors import BadInput
from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.registry.external.shelf import load_external
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.rgb_enlargement import RgbEnlargement
from forensic.stages.stage import StageCard

if TYPE_CHECKING:
    from forensic.registry.external.card import ExternalCard
    from forensic.registry.external.loading import ExternalModel


class ExternalUpscaleParameters(Parameters):
    """Which model, how large its result is shown, how the picture is cut for it, and what its noise begins with."""

    model: str = parameter(
        title="Model", unit="model id", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Enrolled by `models add`."
    )
    factor: int = parameter(
        0,
        title="Factor",
        unit="times",
        ge=0,
        le=8,
        description="Size of the result; 0: the model's own factor. For less, its picture is reduced.",
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
        description="Surroundings that each piece sees on every side. What the model looks at is not known: pieces are "
        "cross-faded.",
    )
    seed: int = parameter(
        0,
        title="Seed",
        unit="number",
        ge=0,
        le=2**32 - 1,
        description="Of pipelines that begin with noise: what the noise of every piece is drawn from. For other models "
        "0.",
    )
    steps: int = parameter(
        20,
        title="Steps",
        unit="steps",
        ge=1,
        le=1000,
        description="Of pipelines that begin with noise: how many steps lead from it to the picture.",
    )


class ExternalUpscale(RgbEnlargement[ExternalUpscaleParameters]):
    """A model that a laboratory brought, and that nobody here has examined."""

    name = "external-upscale"
    title = "Enlargement by the laboratory's own model"
    stage_class = StageClass.GENERATIVE
    parameter_model = ExternalUpscaleParameters
    card = StageCard(
        explanation=(
            "Makes the picture larger (or, with a model of factor 1, remakes it at its size) with a model that the "
            "laboratory "
            "itself brought: a checkpoint computed by spandrel, an ONNX file, or an upscaling pipeline of diffusers. "
            "This "
            "program has checked that its files are those that were enrolled, and knows no more of it: not what it "
            "was trained "
            "on, not what it invents. So it is treated as generative, whatever class the laboratory declares. The "
            "result is an "
            "illustration and no evidence; it is labelled in every frame, and only creative mode may make it."
        ),
        artefacts=(
            "Detail may be invented anywhere: characters can be changed into other characters, faces into other faces.",
            "What else the model does wrong, only the laboratory can say; its card has what it says.",
            "Every frame, and every piece of a frame, is made alone: detail can change from one to the next.",
            "Colour can shift. What is darker than black or brighter than white in the recording is cut off.",
        ),
        references=(
            "Y. Blau, T. Michaeli, The Perception-Distortion Tradeoff, CVPR 2018, 6228-6237.",
            "docs/models.md, section External models: what is checked when such a model is enrolled and loaded.",
        ),
    )

    def __init__(self, parameters: ExternalUpscaleParameters, models_dir: Path | None = None) -> None:
        """Reads the model's card in the models store, not its files. Raises ``PolicyRefused`` (``model.*``)."""
        super().__init__(parameters, models_dir)
        self._model_card = card = load_external(parameters.model)
        self._lock = Lock()
        self.require_factor()
        if not card.noise and parameters.seed:
            raise BadInput(
                "stage.parameters",
                f"Stage {self.name!r}: model {card.id} draws no noise; a seed would be on the record without a "
                f"meaning.",
                "Leave 'seed' out.",
            )

    @property
    def model(self) -> ExternalCard:
        """The model's card."""
        return self._model_card

    @property
    def heeds_seed(self) -> bool:
        """Whether the model draws noise, so that another seed gives another picture."""
        return self._model_card.noise

    def varied(self, **values: Any) -> ExternalUpscale:
        """As ever; the loaded model goes along where it is the same one (large ones take long to load)."""
        made = super().varied(**values)
        loaded = self.__dict__.get("_loaded")
        if loaded is not None and made.model.card_sha256 == self.model.card_sha256:
            made.__dict__["_loaded"] = loaded
        return made

    @cached_property
    def _loaded(self) -> ExternalModel:
        from forensic.registry.external.loading import load_external_model  # engines are loaded only where used

        return load_external_model(self._model_card)

    def prepare(self) -> None:
        """Load and check the files now rather than at the first frame. Raises as ``load_external_model`` does."""
        with self._lock:
            self._loaded  # noqa: B018

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame, chosen = window[at], self.parameters
        self.prepare()
        made = self._loaded.enlarged(self.seen(frame), chosen.tile, chosen.overlap, chosen.seed, chosen.steps)
        return self.shown(made, frame)
