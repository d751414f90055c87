"""Which stages may follow which: what a recipe is refused for before a pixel is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from forensic.errors import BadInput
from forensic.frames.frame import Geometry
from forensic.frames.stageclass import StageClass
from forensic.stages.crop import Crop
from forensic.stages.deinterlace import Deinterlace
from forensic.stages.masking import MaskParameters, require_whole
from forensic.stages.stage import Stage


def check_order(stages: Sequence[Stage[Any]]) -> None:
    """Raise ``BadInput`` (``recipe.order``) if a stage names pixels of an already resampled picture, separates fields
    after their lines may have moved, masks named places after the picture was moved by more than a fixed crop, or is
    made for another enlargement than there is before it.
    """
    resampled = False
    moved: Stage[Any] | None = None
    displaced: Stage[Any] | None = None  # by more than a fixed crop, which carries places along
    for number, stage in enumerate(stages):
        if moved is not None and isinstance(stage, Deinterlace):
            raise BadInput(
                "recipe.order",
                f"Stage {stage.name!r} tells fields by the number of the line, which stage {moved.name!r} before "
                "it may change.",
                f"Put {stage.name!r} before it.",
            )
        masks = isinstance(stage.parameters, MaskParameters) and stage.parameters.names_places
        if masks and displaced is not None:
            raise BadInput(
                "recipe.order",
                f"Stage {stage.name!r} masks places of the recording, which stage {displaced.name!r} before it moves.",
                f"Put {stage.name!r} before it.",
            )
        if stage.effective_class is StageClass.GEOMETRIC or stage.resamples or stage.scale != 1.0:
            moved = stage
            displaced = displaced if isinstance(stage, Crop) else stage
        if resampled and stage.positional:
            raise BadInput(
                "recipe.order",
                f"Stage {stage.name!r} names places in the picture but comes after a change of size.",
                "Put it before the stage that resizes: its pixels are then those of the exhibit.",
            )
        resampled = resampled or stage.scale != 1.0
        _check_enlargement(stage, stages[:number])


def check_places(stages: Sequence[tuple[Stage[Any], Geometry]]) -> None:
    """Raise ``BadInput`` (``mask.picture``) if a mask picture is of another size than the picture it was drawn on.

    ``stages``: each with the geometry that it is given.
    """
    before: list[tuple[Geometry, tuple[int, int] | None]] = []
    for stage, given in stages:
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
