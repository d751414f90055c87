"""Enlargement by a learned model: luma by the network, colour by interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from forensic.errors import BadInput
from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.opencv import opencv
from forensic.registry.cards import load_card
from forensic.stages.kernels import KERNELS
from forensic.stages.learned import RunsModel, model_for_scale, require_overlap
from forensic.stages.luma import combine, separate
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.resampling import resample, scaled_axes
from forensic.stages.stage import Applied, Stage, StageCard, resized_geometry
from forensic.stages.suited import purpose

if TYPE_CHECKING:
    from forensic.registry.card import ModelCard


class LearnedUpscaleParameters(Parameters):
    """Which model, and how the picture is cut for it."""

    model: str = parameter(
        title="Model", unit="model id", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Folder under models/."
    )
    tile: int = parameter(
        256,
        title="Tile",
        unit="pixels",
        ge=32,
        le=2048,
        description="Longest side of the pieces in which a picture is worked on.",
    )
    overlap: int = parameter(
        16,
        title="Overlap",
        unit="pixels",
        ge=0,
        le=256,
        description="Surroundings that each piece sees on every side; at least the model's receptive field.",
    )
    chroma_kernel: Literal["bilinear", "bicubic", "lanczos"] = parameter(
        "lanczos", title="Colour kernel", unit="name", description="Interpolation of colour, as in the stage 'resize'."
    )
    consistency: float = parameter(
        0.0,
        title="Consistency",
        unit="share",
        ge=0.0,
        le=1.0,
        description="How far the result is drawn towards pictures that, seen through the camera, give the recording; 0 "
        "leaves it as the network gave it.",
    )
    deadband: float = parameter(
        2.0,
        title="Deadband",
        unit="grey levels",
        ge=0.0,
        le=64.0,
        description="With 'consistency': differences to the recording up to this are noise or coding, and stay.",
    )
    psf_sigma: float = parameter(
        0.25,  # as the risk map's forward model
        title="Optical blur",
        unit="input pixels (standard deviation)",
        ge=0.0,
        le=3.0,
        description="With 'consistency': blur of the camera in front of its pixels.",
    )


class LearnedUpscale(RunsModel, Stage[LearnedUpscaleParameters]):
    """A super-resolution network for luma."""

    name = "learned-upscale"
    title = "Learned enlargement"
    stage_class = StageClass.FIDELITY
    parameter_model = LearnedUpscaleParameters
    resamples = True
    card = StageCard(
        explanation=(
            "Makes the picture larger with a network that was trained on pairs of small and large photographs, so "
            "that edges come out sharper than by interpolation. What the network gives tends to the median of the "
            "pictures that could have given the recording: it is an estimate, not what was there. The model's card "
            "says what it was trained on and how it was measured. With 'consistency' the estimate is then drawn "
            "towards pictures that give the recording when seen through the camera's optics and pixels. Colour is "
            "interpolated. A model of factor 1 restores the picture at the recording's own size."
        ),
        artefacts=(
            "Edges may be drawn cleaner, straighter or slightly elsewhere than they were.",
            "Compression blocks and noise may be taken for detail and sharpened.",
            "Small characters and faces must not be read from the enlargement where the recording does not show them.",
        ),
        references=(
            "W. Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel "
            "Convolutional Neural Network, CVPR 2016, 1874-1883.",
            "H. Zhao, O. Gallo, I. Frosio, J. Kautz, Loss Functions for Image Restoration With Neural Networks, IEEE "
            "Transactions on Computational Imaging 3 (2017), 47-57 (L1 loss).",
        ),
    )

    def __init__(self, parameters: LearnedUpscaleParameters, models_dir: Path | None = None) -> None:
        """Reads the model's card, not the weights. Raises ``PolicyRefused`` (``model.*``) for a bad card."""
        super().__init__(parameters, models_dir)
        self.use(load_card(parameters.model, models_dir))
        self._check_input(self._model_card)
        require_overlap(self.name, parameters.overlap, self._model_card)

    def _check_input(self, card: ModelCard) -> None:
        """Raise ``BadInput`` (``model.not-for-single-frames``) if the model works on something else."""
        what, stage = purpose(card)
        if card.channels != "luma":
            raise BadInput(
                "model.not-for-luma",
                f"Model {card.id} {what}; stage {self.name!r} needs one that works on luma.",
                f"Use it with the stage {stage!r}.",
            )
        if card.refines is not None or card.works_on is not None:
            raise BadInput(
                "model.not-for-single-frames",
                f"Model {card.id} {what}; stage {self.name!r} needs one that works on single frames.",
                f"Use it with the stage {stage!r}.",
            )

    @property
    def scale(self) -> float:
        """The model's factor."""
        return float(self._model_card.scale)

    def with_scale(self, factor: int) -> LearnedUpscale:
        """With the model's sibling for ``factor``, all other parameters as they are; itself if the model has it.

        Raises ``UsageError`` (``recipe.scale``) where there is none.
        """
        model = model_for_scale(self._model_card, factor, self.models_dir)
        return self if model == self._model_card.id else self.varied(model=model)

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """Both sides times the model's factor."""
        factor = self._model_card.scale
        return resized_geometry(geometry, geometry.width * factor, geometry.height * factor, geometry.sample_aspect)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame = window[at]
        self.prepare()
        parts = separate(frame)
        luma, note = self._enlarged(parts[0], window, at)
        axes = scaled_axes(frame.geometry, self.output_geometry(frame.geometry), frame.colour)
        kernel = KERNELS[self.parameters.chroma_kernel]
        colour = [
            resample(part, rows, columns, kernel) for part, (rows, columns) in zip(parts[1:], axes[1:], strict=True)
        ]
        if self.parameters.consistency == 0.0:
            return Applied(combine(frame, (luma, *colour)), note)
        from forensic.fusion.forward import ForwardModel  # OpenCV is loaded only where a pixel is touched
        from forensic.fusion.projection import consistent

        opencv()
        chosen, factor = self.parameters, self._model_card.scale
        forward = ForwardModel(factor, chosen.psf_sigma * factor)
        luma, before, after = consistent(luma, parts[0], forward, chosen.consistency, chosen.deadband)
        told = {"consistency": {"rms_before": round(before, 4), "rms_after": round(after, 4)}}
        return Applied(combine(frame, (luma, *colour)), {**note, **told})

    def _enlarged(self, luma: np.ndarray, window: Sequence[WorkingFrame], at: int) -> tuple[np.ndarray, dict[str, Any]]:
        """The enlarged luma of ``window[at]``, whose luma is ``luma``, and what is to be noted."""
        return self._loaded.upscale_luma_tiled(luma, self.parameters.tile, self.parameters.overlap), {}
