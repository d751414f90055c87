"""Run a model that works on R'G'B' pictures, tile by tile; the same bytes whatever runs beside it."""

from __future__ import annotations

import numpy as np

from forensic.errors import BadInput, InternalError, UsageError
from forensic.registry.loading import LoadedModel
from forensic.registry.tiling import blend_tiles, cut_inside, plan_tiles


def enlarged_picture(model: LoadedModel, picture: np.ndarray, tile: int, overlap: int) -> np.ndarray:
    """``picture``, float32 [3, H, W], R'G'B' of 0 to 1, enlarged to [3, scale*H, scale*W], not clipped.

    ``tile`` (at least 16) and ``overlap`` (at least what the card says) are input pixels: every tile is seen with what
    surroundings the picture has. Where the network's field of view is bounded, tiles change nothing but the last bits;
    where it is not, they are cross-faded, and the card states what they change. The schedule is fixed by tile, overlap
    and the picture's size. Raises ``BadInput`` (``model.not-for-colour``, ``model.not-at-once``), ``UsageError``
    (``model.tile-size``, ``model.tile-overlap``) and ``InternalError`` (``model.picture``, ``model.not-finite``).
    """
    if model.card.channels != "rgb":
        raise BadInput(
            "model.not-for-colour",
            f"Model {model.card.id} works on luma, not on colour pictures.",
            'Choose a model whose card says channels = "rgb".',
        )
    if model.card.works_on is not None:
        raise BadInput(
            "model.not-at-once",
            f"Model {model.card.id} does not make a larger picture of a picture at once.",
            "Choose a model whose card has no works_on.",
        )
    if picture.ndim != 3 or picture.shape[0] != 3 or picture.dtype != np.float32 or not picture.size:
        raise InternalError(
            "model.picture", f"A picture is float32 [3, H, W]; this is {picture.dtype} {picture.shape}."
        )
    if overlap < model.radius:
        raise UsageError(
            "model.tile-overlap",
            f"Overlap {overlap} is less than the {model.radius} pixels that model {model.card.id} asks for.",
            f"Use an overlap of at least {model.radius}.",
        )
    plan = plan_tiles(picture.shape[1], picture.shape[2], tile, overlap)
    made = map(model.engine.run, cut_inside(picture, plan))
    out = blend_tiles(made, plan, model.scale, faded=model.engine.radius is None)
    if not np.isfinite(np.sum(out, dtype=np.float64)):
        raise InternalError(
            "model.not-finite",
            f"Model {model.card.id} gave a sample that is not a finite number.",
            "The run was stopped; report this with the input, it is a defect of the model or of the machine.",
        )
    return out
