"""How far around a pixel a stage looks: what a pixel's value may have changed, once the stage has been passed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from forensic.frames.frame import Geometry
from forensic.stages.stage import Stage

_LOBES = 3  # samples: support of the widest kernel that interpolates (Lanczos)
# Each pixel by itself; what deflickering takes from the whole picture is repeated for the reference, to the bit.
_BY_PIXEL = frozenset({"levels", "curves", "annotate", "measure", "deflicker", "crop"})
_INTERPOLATING = frozenset({"resize", "aspect", "undistort", "perspective", "stabilise", "deinterlace"})
_COLOUR_TO_LUMA = frozenset({"channel", "selective-colour"})


def reach_of(stage: Stage[Any], given: Geometry) -> int | None:
    """Pixels of its input, a picture of ``given``, by which ``stage`` carries a pixel's value to others of its result.

    None: over the whole picture, or nothing is known of it.
    """
    pitch = 1 << max(given.layout.chroma_shift_x, given.layout.chroma_shift_y)
    if stage.name in _BY_PIXEL:
        return 0
    if stage.name in _INTERPOLATING:
        return _interpolation(stage, given, pitch)
    if stage.name in _COLOUR_TO_LUMA:
        return (_LOBES + 1) * pitch
    if stage.name == "rotate-flip":  # moves whole pixels; colour may have to be interpolated onto the turned grid
        return 0 if pitch == 1 else (_LOBES + 1) * pitch
    if stage.name == "follow":
        return 0 if stage.parameters.placing == "whole" else (_LOBES + 1) * pitch
    known = _REACHES.get(stage.name)
    return None if known is None else known(stage, given, pitch)


def _interpolation(stage: Stage[Any], given: Geometry, pitch: int) -> int:
    """Kernels are stretched where samples are dropped, and reach further on coarse colour."""
    made = stage.output_geometry(given)
    factor = min(1.0, made.width / given.width, made.height / given.height)
    return math.ceil((_LOBES + 1) * pitch / factor)


def _white_balance(stage: Stage[Any], given: Geometry, pitch: int) -> int | None:
    return (_LOBES + 1) * pitch if stage.parameters.method == "gains" else None


def _clahe(stage: Stage[Any], given: Geometry, pitch: int) -> int:
    """A tile's curve is used up to the middles of those beside it."""
    return 2 * max(-(-given.width // stage.parameters.columns), -(-given.height // stage.parameters.rows))


def _local_contrast(stage: Stage[Any], given: Geometry, pitch: int) -> int:
    """Means of means."""
    return 2 * int(stage.parameters.radius) + 1


def _deblock(stage: Stage[Any], given: Geometry, pitch: int) -> int:
    """Four samples are read on either side of an edge, and the filter runs across and down."""
    return 8 * pitch


def _nlmeans(stage: Stage[Any], given: Geometry, pitch: int) -> int:
    return (int(stage.parameters.patch_radius) + int(stage.parameters.search_radius)) * pitch


def _unsharp(stage: Stage[Any], given: Geometry, pitch: int) -> int:
    """OpenCV cuts the Gaussian of a float picture at four standard deviations."""
    return math.ceil(4.0 * stage.parameters.sigma) + 1


def _learned_upscale(stage: Stage[Any], given: Geometry, pitch: int) -> int | None:
    """What the card says that the network sees; a whole tile with its surroundings where that is not bounded."""
    chosen, card = stage.parameters, stage.model
    if chosen.consistency > 0.0:
        return None
    field = getattr(card, "receptive_field", None)
    seen = field if isinstance(field, int) else chosen.tile + 2 * chosen.overlap
    return max(seen, (_LOBES + 1) * pitch)


def _learned_colour(stage: Stage[Any], given: Geometry, pitch: int) -> int | None:
    field = getattr(stage.model, "receptive_field", None)
    return field + pitch if isinstance(field, int) else None


_REACHES: dict[str, Callable[[Stage[Any], Geometry, int], int | None]] = {
    "white-balance": _white_balance,
    "clahe": _clahe,
    "local-contrast": _local_contrast,
    "deblock": _deblock,
    "nlmeans": _nlmeans,
    "unsharp": _unsharp,
    "learned-upscale": _learned_upscale,
    "learned-colour": _learned_colour,
}
