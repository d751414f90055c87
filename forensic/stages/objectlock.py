"""A recipe made to follow something: a crop that moves with it, and fusion in its own frame of reference."""

from __future__ import annotations

from inspect import getattr_static
from typing import Any

import numpy as np

from forensic.errors import UsageError
from forensic.frames.layout import PixelLayout
from forensic.frames.stageclass import StageClass
from forensic.fusion.motion import placed, project
from forensic.fusion.tracking import Track, rounded
from forensic.stages.catalogue import build, stage_type
from forensic.stages.follow import Follow, FollowParameters
from forensic.stages.informing import DEINTERLACE, informed
from forensic.stages.masking import MaskParameters
from forensic.stages.parameters import read_parameters
from forensic.stages.recipe import Recipe, RecipeStage
from forensic.stages.stage import Stage

_FUSING = ("fusion", "refined-fusion")
# Weight of fusion's priors, which at 1 suits whole pictures: lettering has more edges than they take for likely, and
# loses contrast (docs/fusion.md). A network that refines was trained at 1.
_STRENGTH = {"fusion": {"strength": 0.4}}


def locked(base: Recipe, track: Track, layout: PixelLayout, source: str) -> Recipe:
    """``base`` behind a crop of the size of the region that ``track`` followed.

    Stages that fuse frames are given the motions that were found, in pixels of the crop: they register nothing
    anew, and use no frame in which the region was lost or could not be registered. Where a stage before them moves or
    turns pixels, they register by themselves, up to a homography. ``fusion`` smooths less than usual, unless the recipe
    says how much. ``layout``: of the exhibit's pictures, on whose colour grid the crop moves.

    Raises ``UsageError`` (``recipe.roi``) where a stage names places in the picture: the crop moves under them.
    """
    for step in base.steps:
        if _names_places(step):
            raise UsageError(
                "recipe.roi",
                f"Stage {step.name!r} of recipe {base.name!r} names places in the picture, which a region that moves "
                "does not keep.",
                "Leave --track out, or take the places out of the recipe.",
            )
    follow = follow_parameters(track)
    given: dict[str, dict[str, Any]] = {}
    still = True  # nothing between the crop and here has moved a pixel
    for step in base.steps:
        if step.name in _FUSING:
            motions = {"motions": given_motions(track, follow, layout)} if still else {}
            softer = {} if "strength" in step.parameters else _STRENGTH.get(step.name, {})
            given[step.name] = {"registration": "homography"} | softer | motions
        kind = stage_type(step.name)
        if step.name != DEINTERLACE and (kind.stage_class is StageClass.GEOMETRIC or kind.resamples):
            still = False
    return informed(
        base,
        prefix="tracked",
        first={"follow": follow},
        parameters=given,
        why=f"It follows the region marked in frame {track.marked}.",
        source=source,
    )


def _names_places(step: RecipeStage) -> bool:
    """Whether its parameters name places of the picture. Needs no model: a stage that runs one names none but masks."""
    kind = stage_type(step.name)
    if issubclass(kind.parameter_model, MaskParameters):
        return read_parameters(kind.parameter_model, step.name, step.parameters).names_places
    # Motions are given anew to stages that fuse; the block grid is no place that somebody marked.
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


def given_motions(track: Track, follow: dict[str, Any], layout: PixelLayout) -> list[list[float]]:
    """Parameter ``motions`` of a fusion behind ``follow``: from the crop in the marked frame to that in each.

    The crop moves by whole colour samples; what is left of the motion (the fraction, the turn, the growth) is here.
    """
    crop = Follow(read_parameters(FollowParameters, Follow.name, follow))
    corners = {sight.frame: crop.corner(sight.frame, layout) for sight in track.sights}
    origin = corners[track.marked]
    found = []
    for sight in track.sights:
        corner = corners[sight.frame]
        if origin is None or corner is None or not sight.registered:
            continue
        matrix = placed(-corner[0], -corner[1]) @ sight.matrix @ placed(*origin)
        found.append([sight.frame, *np.ravel(rounded(matrix / matrix[2, 2])).tolist()])
    return found
