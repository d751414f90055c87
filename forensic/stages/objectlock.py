"""A recipe made to follow something: a crop that moves with it, and fusion in its own frame of reference."""

from __future__ import annotations

from inspect import getattr_static
from typing import Any

import numpy as np

from forensic.errors import UsageError
from forensic.frames.stageclass import StageClass
from forensic.fusion.motion import project
from forensic.fusion.tracking import Track, rounded
from forensic.stages.catalogue import build, stage_type
from forensic.stages.informing import DEINTERLACE, informed
from forensic.stages.masking import MaskParameters
from forensic.stages.parameters import read_parameters
from forensic.stages.recipe import Recipe, RecipeStage
from forensic.stages.stage import Stage

_FUSING = ("fusion", "refined-fusion")
# Weight of fusion's priors, which at 1 suits whole pictures: lettering has more edges than they take for likely, and
# loses contrast (docs/fusion.md). A network that refines was trained at 1.
_STRENGTH = {"fusion": {"strength": 0.4}}


def locked(base: Recipe, track: Track, source: str) -> Recipe:
    """``base`` behind a crop of the size of the region that ``track`` followed.

    Stages that fuse frames are given the motions that were found: they register nothing anew, and use no frame in which
    the region was lost or could not be registered. Motions that the recipe states go before those; what both are of is
    the recorded picture, and the stage takes the crop's own way into account. Where a stage before them moves or
    turns pixels, they register by themselves, up to a homography. ``fusion`` smooths less than usual, unless the recipe
    says how much.

    Raises ``UsageError`` (``recipe.roi``) where a stage names places in the picture, or motions of a picture that was
    moved or turned: the crop moves under them.
    """
    for step in base.steps:
        if _names_places(step):
            raise _moved_under(base, step, "names places in the picture", "take the places out of the recipe")
    given: dict[str, dict[str, Any]] = {}
    still = True  # nothing between the crop and here has moved a pixel
    for step in base.steps:
        if step.name in _FUSING:
            own = step.parameters.get("motions")
            if own and not still:
                raise _moved_under(base, step, "is given motions of pictures that a stage before it moves",
                                   "leave the motions out: they are then estimated")  # fmt: skip
            motions = {"motions": own or tracked_motions(track), "motions_in": "before-follow"} if still else {}
            softer = {} if "strength" in step.parameters else _STRENGTH.get(step.name, {})
            given[step.name] = {"registration": "homography"} | softer | motions
        kind = stage_type(step.name)
        if step.name != DEINTERLACE and (kind.stage_class is StageClass.GEOMETRIC or kind.resamples):
            still = False
    return informed(
        base,
        prefix="tracked",
        first={"follow": follow_parameters(track)},
        parameters=given,
        why=f"It follows the region marked in frame {track.marked}.",
        source=source,
    )


def _moved_under(base: Recipe, step: RecipeStage, what: str, remedy: str) -> UsageError:
    return UsageError(
        "recipe.roi",
        f"Stage {step.name!r} of recipe {base.name!r} {what}, which a region that moves does not keep.",
        f"Leave --track out, or {remedy}.",
    )


def _names_places(step: RecipeStage) -> bool:
    """Whether its parameters name places of the picture. Needs no model: a stage that runs one names none but masks."""
    kind = stage_type(step.name)
    if issubclass(kind.parameter_model, MaskParameters):
        return read_parameters(kind.parameter_model, step.name, step.parameters).names_places
    # Motions, and the grid of blocks, are taken as of the recorded picture; every frame says where it lies in that.
    if step.name in (*_FUSING, "deblock") or getattr_static(kind, "positional") is Stage.__dict__["positional"]:
        return False
    return build(step.name, step.parameters).positional


def follow_parameters(track: Track) -> dict[str, Any]:
    """Parameters of the stage ``follow`` that shows the region, of its own size, wherever it was found."""
    points = []
    for sight in track.sights:
        x, y = project(sight.matrix, track.region.middle)[0]
        points.append([sight.frame, round(float(x), 2), round(float(y), 2)])
    return {"points": points, "width": track.region.width, "height": track.region.height}


def tracked_motions(track: Track) -> list[list[float]]:
    """Parameter ``motions`` of a fusion: from the marked frame to each, in pixels of the recorded picture."""
    return [[sight.frame, *np.ravel(rounded(sight.matrix)).tolist()] for sight in track.sights if sight.registered]
