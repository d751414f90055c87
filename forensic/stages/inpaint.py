"""Filling of damaged places: from neighbouring frames where they show it, by a generative model where none does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from forensic.errors import BadInput, InternalError
from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card
from forensic.stages.fill_from_neighbours import LEFT, FillFromNeighbours, FillFromNeighboursParameters
from forensic.stages.learned import RunsModel
from forensic.stages.movement import MARKED_DAMAGE, Bound
from forensic.stages.parameters import parameter, read_parameters
from forensic.stages.rgb import planes_of, rgb_of
from forensic.stages.stage import Applied, Stage, StageCard
from forensic.stages.suited import purpose

MADE_UP = "made up by a model"


class InpaintParameters(FillFromNeighboursParameters):
    """Where the picture is damaged, how neighbours are asked first, and which model fills the rest."""

    model: str = parameter(
        title="Model", unit="model id", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Folder under models/."
    )
    step: int = parameter(
        48,
        title="Step",
        unit="pixels",
        ge=8,
        le=64,
        description="From one window of the model (64 pixels a side) to the next: windows overlap by the rest.",
    )


class Inpaint(RunsModel, Stage[InpaintParameters]):
    """A masked autoencoder behind the fidelity stage that fills from neighbours."""

    name = "inpaint"
    title = "Generative filling of damage"
    stage_class = StageClass.GENERATIVE
    parameter_model = InpaintParameters
    card = StageCard(
        explanation=(
            "Fills damaged places: scratches, dust, things in the way. What neighbouring frames show is taken from "
            "them first, exactly as the stage 'fill-from-neighbours' does it. What none of them shows is then made "
            "up: a network that has learnt to complete photographs of which it saw a part says what would look likely "
            "there. Nobody knows what was there. Damage is marked by a person or found by a detector, and is at most "
            "a tenth of the picture. Every sample outside the damage is the one that was recorded, which is checked "
            "for every frame; colour, which recordings keep coarsely, is damaged where one of the pixels that a colour "
            "sample stands for is, and then all these pixels are. The record says for every frame how much "
            "was damaged, how much was taken from neighbours and how much was made up. The result is an illustration "
            "and no evidence; every frame is labelled, all of the risk map is HIGH, and only creative mode may make it."
        ),
        artefacts=(
            "What is filled in is invented. A letter, a face or a thing under the damage is not brought back: there "
            "may be nothing where something was, and something where nothing was.",
            "Large places come out smooth, without the grain of the recording; fine texture is not continued.",
            "Every frame is filled by itself: what is made up can change from frame to frame.",
            "Faint rims of damage that were not marked stay, and colour the filling.",
        ),
        references=(
            "K. He, X. Chen, S. Xie, Y. Li, P. Dollar, R. Girshick, Masked Autoencoders Are Scalable Vision Learners, "
            "CVPR 2022, arXiv:2111.06377.",
            "S. J. Gortler, R. Grzeszczuk, R. Szeliski, M. F. Cohen, The Lumigraph, SIGGRAPH 1996, 43-54 (pull-push, "
            "from which the network starts).",
        ),
    )

    def __init__(self, parameters: InpaintParameters, models_dir: Path | None = None) -> None:
        """Reads the model's card, not the weights. Raises ``PolicyRefused`` (``model.*``) for a bad card, and
        ``BadInput`` (``model.not-for-holes``) for a model that works on something else.
        """
        super().__init__(parameters, models_dir)
        self.use(card := load_card(parameters.model, models_dir))
        if card.works_on != "holes":
            raise BadInput(
                "model.not-for-holes",
                f"Model {card.id} fills no holes; stage {self.name!r} needs one that does.",
                f"Use it with the stage {purpose(card)[1]!r}.",
            )
        most = card.architecture.hyperparameters.get("window", 0) - card.least_overlap
        if parameters.step > most:
            raise BadInput(
                "stage.parameters",
                f"Stage {self.name!r}: parameter 'step' is {parameters.step} pixels; windows of model {card.id} "
                f"have to overlap by {card.least_overlap}.",
                f"Use at most {most}.",
            )
        own = set(InpaintParameters.model_fields) - set(FillFromNeighboursParameters.model_fields)
        given = parameters.model_dump(exclude_unset=True, exclude=own)
        self._fill = FillFromNeighbours(read_parameters(FillFromNeighboursParameters, self.name, given), models_dir)

    @property
    def radius(self) -> int:
        """As of the stage that asks the neighbours."""
        return self._fill.radius

    @property
    def positional(self) -> bool:
        """As of the stage that asks the neighbours."""
        return self._fill.positional

    @property
    def uninvented(self) -> FillFromNeighbours:
        """The same damage filled from neighbours only."""
        return self._fill

    @property
    def bound(self) -> Bound | None:
        """What a person has marked."""
        return MARKED_DAMAGE if self.parameters.names_places else None

    def after_crop(self, x: int, y: int) -> Inpaint:
        """With the same places of the picture marked."""
        moved = self.parameters.moved(x, y)
        return self.varied(**moved) if moved else self

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """As it is. Raises ``BadInput`` (``mask.*``) where what is marked cannot be used."""
        return self._fill.output_geometry(geometry)

    def replaced(self, note: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Pixels filled from other frames, and those that the model made up."""
        return {MADE_UP if why == LEFT else why: pixels for why, pixels in self._fill.replaced(note).items()}

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame = window[at]
        filled = self._fill.filled(window, at)
        masks = _masks(frame, filled.damaged, None)
        planes = _pasted(frame.planes, filled.planes, masks)
        facts: dict[str, Any] = {"pixels": 0, "share": 0.0, "windows": 0}
        if filled.left.any():
            left = _masks(frame, filled.left, filled.colour_left)
            planes, windows = self._completed(frame, planes, left)
            pixels = int(np.count_nonzero(filled.left))
            facts = {"pixels": pixels, "share": round(pixels / filled.left.size, 6), "windows": windows}
        _require_kept(frame.planes, planes, masks)
        return Applied(planes, filled.note | {"made_up": facts})

    def _completed(self, frame: WorkingFrame, planes: Planes, left: Planes) -> tuple[Planes, int]:
        """``planes`` with what is ``left``, boolean for every plane, made up; and how many windows were run."""
        self.prepare()
        from forensic.registry.inpainting import inpainted, smoothed

        seen = planes
        if frame.geometry.layout.family == "yuv":
            # Damaged colour would reach beyond the holes when it is interpolated to the size of luma.
            colour = (smoothed(plane, mask) for plane, mask in zip(planes[1:], left[1:], strict=True))
            seen = (planes[0], *colour)
        picture = rgb_of(WorkingFrame(seen, frame.geometry, frame.colour, frame.timing, frame.stage_class))
        made = inpainted(self._loaded, np.clip(picture, 0.0, 1.0), left[0], self.parameters.step)
        whole = planes_of(np.where(left[0], made.picture, picture), frame, frame.geometry)
        return _pasted(planes, whole, left), made.windows


def _masks(frame: WorkingFrame, luma: np.ndarray, colour: np.ndarray | None) -> Planes:
    """A mask for every plane: ``luma``, and ``colour`` for colour planes; where None, samples that touch ``luma``."""
    from forensic.fusion.filling import colour_mask  # OpenCV is loaded only where a pixel is touched

    layout = frame.geometry.layout
    if layout.family != "yuv":
        return (luma,) * len(frame.planes)
    if colour is None:
        pitch = (1 << layout.chroma_shift_x, 1 << layout.chroma_shift_y)
        colour = colour_mask(luma, frame.planes[1].shape, pitch)
    return luma, colour, colour


def _pasted(before: Planes, made: Planes, masks: Planes) -> Planes:
    """``made`` where the masks say so, ``before`` elsewhere."""
    return tuple(np.where(mask, new, old) for old, new, mask in zip(before, made, masks, strict=True))


def _require_kept(before: Planes, after: Planes, damaged: Planes) -> None:
    """Raise ``InternalError`` (``inpaint.outside``) if a sample outside the damage is not the one that came in."""
    for number, (old, new, mask) in enumerate(zip(before, after, damaged, strict=True)):
        if not np.array_equal(old[~mask], new[~mask]):
            raise InternalError(
                "inpaint.outside",
                f"Plane {number}: samples outside the damage were changed.",
                "The run was stopped; report this with the recipe, it is a defect of the program.",
            )
