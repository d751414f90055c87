"""A recipe with a mask picture in it: what a person drew, whole, so that the recipe alone repeats the run."""

from __future__ import annotations

import base64

from forensic.errors import BadInput
from forensic.stages.catalogue import stage_type
from forensic.stages.informing import informed
from forensic.stages.masking import MaskParameters, drawn_mask
from forensic.stages.recipe import Recipe


def masked(recipe: Recipe, picture: bytes, frames: tuple[int, int] | None, source: str) -> Recipe:
    """``recipe`` with the mask ``picture`` (PNG) in every stage that replaces damaged pixels.

    ``frames``: first and last that the mask is for, None for all. ``source``: of the recipe that is made. Raises
    ``BadInput``: ``mask.picture`` for one that cannot be used, ``mask.no-stage`` where no stage takes a mask,
    ``stage.parameters`` for one too large for a recipe.
    """
    pixels, digest = drawn_mask(picture)
    names = [step.name for step in recipe.steps if issubclass(stage_type(step.name).parameter_model, MaskParameters)]
    if not names:
        raise BadInput(
            "mask.no-stage",
            f"No stage of recipe {recipe.name!r} takes a mask.",
            "Use one with the stage 'fill-from-neighbours', such as 'fill'.",
        )
    given = {"picture": base64.b64encode(picture).decode("ascii")}
    when = {} if frames is None else {"picture_frames": list(frames)}
    rows, columns = pixels.shape
    return informed(
        recipe,
        prefix="masked",
        first={},
        parameters={name: {**given, **when} for name in names},
        why=f"Damage was marked by a person on a picture of {columns}x{rows} (PNG, SHA-256 {digest}).",
        source=source,
    )
