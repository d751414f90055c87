"""Enlargement by a learned model that looks at a sequence of frames: luma by the network, colour by interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from forensic.errors import BadInput
from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.learned_upscale import LearnedUpscale, LearnedUpscaleParameters
from forensic.stages.parameters import parameter
from forensic.stages.shots import continuous
from forensic.stages.stage import StageCard
from forensic.stages.suited import purpose

if TYPE_CHECKING:
    from forensic.registry.card import ModelCard


class LearnedSequenceParameters(LearnedUpscaleParameters):
    """Which model, how many frames it is given, and how the picture is cut for it."""

    frames: int = parameter(
        5, title="Frames on either side", unit="frames", ge=0, le=15, description="5 shows the model up to 11 frames."
    )
    least_likeness: float = parameter(
        0.6,
        title="Least likeness",
        unit="correlation",
        ge=-1.0,
        le=1.0,
        description="Of consecutive frames, by 8x8 pixels; below it the recording counts as cut. -1 looks for no cuts.",
    )
    tile: int = parameter(
        512,
        title="Tile",
        unit="pixels",
        ge=32,
        le=2048,
        description="Longest side of the pieces in which a sequence is worked on.",
    )
    overlap: int = parameter(
        32,
        title="Overlap",
        unit="pixels",
        ge=0,
        le=256,
        description="Surroundings that each piece sees on every side; what moves further over its border is not found.",
    )


class LearnedSequence(LearnedUpscale):
    """A recurrent super-resolution network for luma, run on a window of frames."""

    name = "learned-sequence"
    title = "Learned enlargement from a sequence"
    stage_class = StageClass.FIDELITY
    parameter_model = LearnedSequenceParameters
    parameters: LearnedSequenceParameters
    card = StageCard(
        explanation=(
            "Makes the picture larger with a network that looks at the frames before and after it too. It follows what "
            "moves by an optical flow of its own, and carries what it found in each frame on to the next, from both "
            "ends of a window of frames to the one that is made. It was trained on pairs of small and large videos; "
            "what it gives tends to the median of the videos that could have given the recording: it is an "
            "estimate, not what was there. Where the recording is cut, or begins or ends, the window is shorter; the "
            "record says for every frame which frames were looked at. With 'consistency' the estimate is then "
            "drawn towards pictures that give the recording when seen through the camera's optics and pixels. Colour "
            "is interpolated."
        ),
        artefacts=(
            "Those of the model's card.",
            "Detail of a neighbouring frame can be carried to a place where this frame does not show it: where things "
            "cover each other, blink, or move faster than the flow can follow. Compare with a result of one frame.",
            "A frame's result depends on its neighbours: do not read the moment at which something changes (a lamp, a "
            "hand) from it.",
            "A fade or dissolve, or a cut between pictures that are alike, is not recognised as a cut. Of 4950 pairs "
            "of unlike photographs 0.6 % were as like as the default asks. Of 2176 pairs of consecutive frames in ten "
            "clips nine were less alike, all in an edited film; such places have fewer frames to go by.",
            "Edges may be drawn cleaner, straighter or slightly elsewhere than they were.",
            "Compression blocks and noise may be taken for detail and sharpened.",
            "Small characters and faces must not be read from the enlargement where the recording does not show them.",
        ),
        references=(
            "K. C. K. Chan, X. Wang, K. Yu, C. Dong, C. C. Loy, BasicVSR: The Search for Essential Components in Video "
            "Super-Resolution and Beyond, CVPR 2021, arXiv:2012.02181.",
            "A. Ranjan, M. J. Black, Optical Flow Estimation using a Spatial Pyramid Network, CVPR 2017, "
            "arXiv:1611.00850.",
        ),
    )

    def _check_input(self, card: ModelCard) -> None:
        """Raise ``BadInput`` (``model.not-for-sequences``) if the model works on something else."""
        if card.works_on != "sequence":
            raise BadInput(
                "model.not-for-sequences",
                f"Model {card.id} does not work on sequences; stage {self.name!r} needs one that does.",
                f"Use it with the stage {purpose(card)[1]!r}.",
            )

    @property
    def radius(self) -> int:
        """Frames on either side."""
        return self.parameters.frames

    def _enlarged(self, luma: np.ndarray, window: Sequence[WorkingFrame], at: int) -> tuple[np.ndarray, dict[str, Any]]:
        from forensic.registry.sequences import enlarged_of  # torch is loaded only where it is used

        planes = [luma if place == at else frame.luma for place, frame in enumerate(window)]
        first, last, alike = continuous(planes, at, self.parameters.least_likeness)
        chosen = self.parameters
        made = enlarged_of(self._loaded, planes[first : last + 1], at - first, chosen.tile, chosen.overlap)
        indices = [frame.timing.index for frame in window]
        note = {
            "frames": indices[first : last + 1],
            "left_out": [index for place, index in enumerate(indices) if not first <= place <= last],
            "missing": {"before": chosen.frames - at, "after": chosen.frames - (len(window) - 1 - at)},
            "likeness": [round(value, 4) for value in alike],
        }
        return made, {"sequence": note}
