"""Restoration of colour by a learned model, guided by luma, behind a stage that enlarges; luma stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from forensic.errors import BadInput
from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card
from forensic.registry.siblings import siblings
from forensic.stages.learned import RunsModel
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Applied, Stage, StageCard
from forensic.stages.suited import purpose


class LearnedColourParameters(Parameters):
    """Which model."""

    model: str = parameter(
        title="Model",
        unit="model id",
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
        description="Folder under models/, made for the factor by which the picture was enlarged.",
    )


class LearnedColour(RunsModel, Stage[LearnedColourParameters]):
    """A network for the two chroma planes of an enlarged picture."""

    name = "learned-colour"
    title = "Learned restoration of colour"
    stage_class = StageClass.FIDELITY
    parameter_model = LearnedColourParameters
    keeps_luma = True
    card = StageCard(
        explanation=(
            "Corrects the colour of a picture that was enlarged before. Recordings keep colour at half the resolution "
            "and code it coarsely; interpolation leaves it smeared across edges, and leaves blocks and noise as they "
            "are. A network that was trained on pairs of recorded and true pictures moves colour to where the edges of "
            "brightness are and smooths what coding added. It sees colour and brightness only as differences to what "
            "is nearby, so that nothing is given a colour because of what it looks like; and the result stays within "
            "the range of both colour planes as far as one recorded colour sample reaches: colour is moved, none is "
            "made that was not beside it, and an even area keeps its colour. Brightness is not changed in any pixel. "
            "It works on 4:2:0, which nearly all recordings are; other pictures pass through unchanged, and the record "
            "says so for every frame. For corrected frames the record has the mean and the root mean square of the "
            "change. What comes out tends to the median of the pictures "
            "that could have given the recording: it is an estimate, not what was there. It belongs directly behind "
            "the stage that enlarges, with the model for its factor."
        ),
        artefacts=(
            "Those of the model's card.",
            "Colour may be drawn to an edge of brightness that is not the edge of the colour: a shadow, a fold, "
            "lettering on a surface of one colour.",
            "A thing that is small or only a little different in colour may take on the colour of its surroundings; do "
            "not read the colour of a thing of a few recorded pixels from the result. Compare with the recording.",
        ),
        references=(
            "L. Chen, X. Chu, X. Zhang, J. Sun, Simple Baselines for Image Restoration, ECCV 2022, arXiv:2204.04676 "
            "(the networks' blocks).",
            "K. He, J. Sun, X. Tang, Guided Image Filtering, ECCV 2010 (colour as a local linear function of "
            "brightness).",
        ),
    )

    def __init__(self, parameters: LearnedColourParameters, models_dir: Path | None = None) -> None:
        """Reads the model's card, not the weights. Raises ``PolicyRefused`` (``model.*``) for a bad card, and
        ``BadInput`` (``model.not-for-colour``) for a model that works on something else.
        """
        super().__init__(parameters, models_dir)
        self.use(card := load_card(parameters.model, models_dir))
        if card.works_on != "colour":
            raise BadInput(
                "model.not-for-colour",
                f"Model {card.id} does not restore colour; stage {self.name!r} needs one that does.",
                f"Use it with the stage {purpose(card)[1]!r}.",
            )

    @property
    def enlarged_before(self) -> int:
        """Factor that the model was made for."""
        return self._model_card.made_for

    def for_scale(self, factor: int) -> LearnedColour | None:
        """With the model's sibling for pictures enlarged ``factor`` times; None if there is none: colour stays."""
        if factor == self.enlarged_before:
            return self
        found = siblings(self._model_card, self.models_dir).get(factor)
        return None if found is None else self.varied(model=found)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame = window[at]
        why_not = _why_not(frame)
        if why_not is not None:
            return Applied(frame.planes, {"colour": {"restored": False, "why": why_not}})
        self.prepare()
        from forensic.registry.colouring import recoloured

        given = np.stack(frame.planes[1:])
        made = recoloured(self._loaded, frame.planes[0], given)
        change = made - given
        planes: Planes = (frame.planes[0], np.ascontiguousarray(made[0]), np.ascontiguousarray(made[1]))
        return Applied(planes, {"colour": {"restored": True, "change": _told(change)}})


def _why_not(frame: WorkingFrame) -> str | None:
    """Why the colour of ``frame`` is left as it is, or None."""
    layout = frame.geometry.layout
    if layout.family == "gray":
        return "the picture has no colour"
    if layout.family != "yuv" or (layout.chroma_shift_x, layout.chroma_shift_y) != (1, 1):
        return f"as interpolated: the model was trained for 4:2:0, the picture is {layout.name}"
    return None


def _told(change: np.ndarray) -> dict[str, dict[str, Any]]:
    """Mean and root mean square of the change of Cb and Cr, grey levels."""
    return {
        name: {
            "mean": round(float(plane.mean(dtype=np.float64)), 4),
            "rms": round(float(np.sqrt(np.mean(plane.astype(np.float64) ** 2))), 4),
        }
        for name, plane in zip(("cb", "cr"), change, strict=True)
    }
