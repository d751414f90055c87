"""Which stages may follow which: what a recipe is refused for before a pixel is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from forensic.errors import BadInput
from forensic.frames.frame import Geometry
from forensic.frames.stageclass import StageClass
from forensic.stages.crop import Crop
from forensic.stages.deblock import Deblock
from forensic.stages.deinterlace import Deinterlace
from forensic.stages.masking import MaskParameters, require_whole
from forensic.stages.movement import Movement
from forensic.stages.stage import Stage


def check_order(stages: Sequence[Stage[Any]], *, recorded: bool = False) -> None:
    """Raise ``BadInput`` (``recipe.order``) if a stage names pixels of an already resampled picture, separates fields
    after their lines may have moved, says of the recording what no longer holds behind a stage that moves the picture
    (``Stage.bound``), or is made for another enlargement than there is before it; ``stage.grid`` for deblocking behind
    a turn by right angles if nobody stated the grid.

    ``recorded``: the stages are those of a run that was made. It is what it is: of what is said of the recording, only
    what was asked of the first runs too is asked (``Bound.of_records``).
    """
    resampled = False
    moved: Stage[Any] | None = None
    for number, stage in enumerate(stages):
        if moved is not None and isinstance(stage, Deinterlace):
            raise BadInput(
                "recipe.order",
                f"Stage {stage.name!r} tells fields by the number of the line, which stage {moved.name!r} before "
                "it may change.",
                f"Put {stage.name!r} before it.",
            )
        _check_bound(stage, stages[:number], recorded)
        if stage.movement is not Movement.NONE:
            moved = stage
        if resampled and stage.positional:
            raise BadInput(
                "recipe.order",
                f"Stage {stage.name!r} names places in the picture but comes after a change of size.",
                "Put it before the stage that resizes: its pixels are then those of the exhibit.",
            )
        resampled = resampled or stage.scale != 1.0
        _check_enlargement(stage, stages[:number])


def _check_bound(stage: Stage[Any], before: Sequence[Stage[Any]], recorded: bool) -> None:
    bound = stage.bound
    if bound is None or (recorded and not bound.of_records):
        return
    followed = False
    for earlier in before:
        followed = followed or earlier.movement is Movement.MOVING_CUT
        # Once its picture is turned, the moving rectangle no longer says where it lies.
        lost = bound.uncut and followed and earlier.movement is Movement.PERMUTED
        if lost or earlier.movement not in bound.behind:
            raise BadInput(
                "recipe.order",
                f"Stage {stage.name!r} {bound.what}, which stage {earlier.name!r} before it moves.",
                bound.remedy or f"Put {stage.name!r} before it.",
            )
        if earlier.movement is Movement.PERMUTED and isinstance(stage, Deblock):
            stage.require_stated(earlier.name)


def check_places(stages: Sequence[tuple[Stage[Any], Geometry]]) -> None:
    """Raise ``BadInput``: ``mask.picture`` if a mask picture is of another size than the picture it was drawn on;
    ``stage.grid`` if nobody stated the grid of blocks of a picture that was cropped.

    ``stages``: each with the geometry that it is given.
    """
    before: list[tuple[Geometry, tuple[int, int] | None]] = []
    corner, moving = (0, 0), False  # of the recording, as fixed crops have it; one that moves tells its own
    for stage, given in stages:
        if isinstance(stage, Deblock):
            stage.require_grid(*corner, given.layout)
        moving = moving or stage.movement is Movement.MOVING_CUT
        if isinstance(stage, Crop) and not moving:
            corner = (corner[0] + stage.parameters.x, corner[1] + stage.parameters.y)
        if isinstance(stage.parameters, MaskParameters):
            require_whole(stage.parameters, before)
        before.append((given, (stage.parameters.x, stage.parameters.y) if isinstance(stage, Crop) else None))


def _check_enlargement(stage: Stage[Any], before: Sequence[Stage[Any]]) -> None:
    wanted = stage.enlarged_before
    if wanted is None:
        return
    places = [number for number, each in enumerate(before) if each.resamples or each.scale != 1.0]
    factor: float | None = 1.0
    for number in places:
        own = before[number].scale
        factor = None if factor is None or own is None else factor * own
    if factor != float(wanted):
        found = "by a factor that follows from the picture" if factor is None else f"{factor:g} times"
        raise BadInput(
            "recipe.order",
            f"Stage {stage.name!r} wants pictures enlarged {wanted} times; before it they are enlarged {found}.",
            "Put it behind the stage that enlarges, with the model for its factor.",
        )
    last = places[-1] if places else -1
    warping = [each.name for each in before[last + 1 :] if each.effective_class is StageClass.GEOMETRIC]
    if wanted > 1 and warping:
        raise BadInput(
            "recipe.order",
            f"Stage {stage.name!r} goes by where recorded samples lie; stage {warping[0]!r} before it changes that.",
            f"Put {stage.name!r} directly behind the stage that enlarges.",
        )
