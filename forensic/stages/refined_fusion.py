"""Fusion of many frames, refined by a learned model that weighs it against what a network makes of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from forensic.errors import BadInput, InternalError
from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.fusion.options import Fused, FusionOptions
from forensic.registry.cards import load_card
from forensic.stages.coding import coding_of_window
from forensic.stages.fusion import Fusion, FusionParameters
from forensic.stages.learned import RunsModel, model_for_scale
from forensic.stages.parameters import parameter
from forensic.stages.stage import Applied, StageCard
from forensic.stages.suited import purpose

_TILE = 256  # recorded pixels: pieces that the single-frame network works on
LEAST_BLUR, MOST_BLUR = 0.2, 0.9  # recorded pixels: as trained
LEAST_DOUBT, MOST_DOUBT = 0.05, 0.8  # of the blur, standard deviation of its logarithm
_MOTIONS = ("translation", "affine", "homography")


class RefinedFusionParameters(FusionParameters):
    """Those of the stage 'fusion', and the model. Smoothing is what the model was trained with, the blur near it."""

    model: str = parameter(
        title="Model", unit="model id", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Folder under models/."
    )
    scale: int = parameter(
        4, title="Scale", unit="times", ge=1, le=4, description="Factor for both sides; that of the model."
    )
    blur_error: float = parameter(
        0.5,
        title="Error of the blur",
        unit="standard deviation of its logarithm",
        ge=LEAST_DOUBT,
        le=MOST_DOUBT,
        description=(
            "How far the blur may be off: 0.5 where nothing is known of the optics, 0.05 where it was measured on the "
            "camera itself. The less it may be, the more the model goes by the fusion."
        ),
    )


class RefinedFusion(RunsModel, Fusion):
    """Multi-frame super-resolution with a learned last step."""

    name = "refined-fusion"
    title = "Refined multi-frame fusion"
    stage_class = StageClass.FIDELITY
    parameter_model = RefinedFusionParameters
    parameters: RefinedFusionParameters
    card = StageCard(
        explanation=(
            "Makes two pictures of the same moment, and one of both. The first is that of the stage 'fusion', which "
            "knows nothing but the frames. For the second, a network that was trained on pairs of recorded and true "
            "pictures enlarges each frame by itself, and the results are laid onto each other by the shifts that "
            "fusion measured, and averaged. A second network, trained on simulated recordings too, then says for "
            "every place how much of each to take, and corrects what remains: it sees where the frames disagree, how "
            "many there are, what a fusion for a wider blur would give, how sure one is of the blur and, where the "
            "recording tells, how coarsely the picture was quantised. What comes out tends to the median of the "
            "pictures that could have given the recording: an estimate, not what was there. The model's card says "
            "what it was trained on and how it was measured. Colour is interpolated."
        ),
        artefacts=(
            "Those of the stage 'fusion' and of the model's card.",
            "Edges may be drawn cleaner, straighter or slightly elsewhere than they were.",
            "Small characters and faces must not be read from the result where the recording does not show them.",
            "Where things move, fewer frames are used, and the result is nearer to the single-frame network's.",
        ),
        references=(
            *Fusion.card.references,
            "L. Chen, X. Chu, X. Zhang, J. Sun, Simple Baselines for Image Restoration, ECCV 2022, arXiv:2204.04676 "
            "(the networks' blocks).",
        ),
    )

    def __init__(self, parameters: RefinedFusionParameters, models_dir: Path | None = None) -> None:
        """Reads the model's card, not the weights. Raises ``PolicyRefused`` (``model.*``) for a bad card, and
        ``BadInput`` (``stage.parameters``, ``model.not-a-refiner``) for a model that does not fit."""
        super().__init__(parameters, models_dir)
        card = load_card(parameters.model, models_dir)
        self.use(card)
        if card.refines != "fusion":
            raise BadInput(
                "model.not-a-refiner",
                f"Model {card.id} refines no fusion; stage {self.name!r} needs one that does.",
                f"Use it with the stage {purpose(card)[1]!r}.",
            )
        self._require("scale", parameters.scale == card.scale, f"{card.scale}, the model's factor")
        self._require("registration", parameters.registration in _MOTIONS, " or ".join(_MOTIONS))
        within = LEAST_BLUR <= parameters.psf_sigma <= MOST_BLUR
        self._require("psf_sigma", within, f"from {LEAST_BLUR} to {MOST_BLUR}")
        self._require("self_similarity", parameters.self_similarity, "left on")
        self._require("estimate_psf", not parameters.estimate_psf, "left off")
        self._require("strength", parameters.strength == 1.0, "1")

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise BadInput(
                "stage.parameters",
                f"Stage {self.name!r}: parameter {name!r} must be {wanted}: model {self.parameters.model} was trained "
                "so.",
                "Leave it out of the recipe, or use the stage 'fusion'.",
            )

    def with_scale(self, factor: int) -> RefinedFusion:
        """By ``factor``, with the model's sibling for it, all else as it is; itself if the model has it.

        Raises ``UsageError`` (``recipe.scale``) where there is none.
        """
        model = model_for_scale(self._model_card, factor, self.models_dir)
        return self if model == self._model_card.id else self.varied(model=model, scale=factor)

    def _told(self, quantisers: tuple[float | None, ...]) -> FusionOptions:
        from forensic.registry.architectures.refiner.network import SHARPER

        return replace(super()._told(quantisers), second_sigma=SHARPER * self.parameters.psf_sigma, even_priors=True)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        applied = super()._apply(window, at)
        told = {"quantiser_told": self._quantiser(window, at)}
        return Applied(applied.planes, {**applied.note, "refinement": told})

    def _finished(self, window: Sequence[WorkingFrame], at: int, fused: Fused) -> np.ndarray:
        from forensic.fusion.aligned import averaged
        from forensic.registry.refining import refined

        self.prepare()
        own = self._alone(window[at])
        alone = [
            own if place == at else self._alone(frame) if fused.weights[place].any() else None
            for place, frame in enumerate(window)
        ]
        mean, spread = averaged(alone, fused, at)
        if fused.second is None:
            raise InternalError(
                "fusion.second", "The fusion lacks the picture with the second blur that was asked for."
            )
        enlarged = np.stack([own, mean, fused.luma, fused.second, spread])
        blur, doubt = self.parameters.psf_sigma, self.parameters.blur_error
        quantiser = self._quantiser(window, at)
        return refined(self._loaded, window[at].luma, enlarged, fused.effective, quantiser, blur, doubt)

    def _alone(self, frame: WorkingFrame) -> np.ndarray:
        return self._loaded.upscale_luma_tiled(frame.luma, _TILE, self._loaded.radius)

    def _quantiser(self, window: Sequence[WorkingFrame], at: int) -> float | None:
        if self.parameters.quantiser is not None:
            return self.parameters.quantiser
        coding = coding_of_window(window)
        return coding.quantisers[at] if coding.quantisers and coding.facts[at]["not_exported"] is None else None
