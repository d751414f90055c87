"""Places that an examiner marked on one picture, carried to the same picture in another size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from forensic.errors import BadInput
from forensic.frames.frame import Geometry
from forensic.stages.parameters import parameter
from forensic.stages.stage import MAXIMUM_SIDE

Coordinate = Annotated[float, Field(ge=-MAXIMUM_SIDE, le=2 * MAXIMUM_SIDE)]
Place = tuple[Coordinate, Coordinate]
Side = Annotated[int, Field(ge=1, le=MAXIMUM_SIDE)]
_ROUNDING = 0.5  # pixels by which a side may differ from the exact multiple: resize rounds it


def marked_on_parameter() -> Any:
    """The parameter ``marked_on`` of stages that draw at marked places."""
    return parameter(
        None,
        title="Size of the marked picture",
        unit="pixels (width, height)",
        description="Size of the picture on which the places were marked, where this stage comes after a change of "
        "size; without it the places are pixels of the picture as this stage gets it.",
    )


def enlargement(marked_on: tuple[int, int] | None, geometry: Geometry, stage: str) -> float:
    """Factor from the marked picture to ``geometry``.

    Raises ``BadInput`` (``stage.marked-on``) where one is not the other in another size.
    """
    if marked_on is None:
        return 1.0
    width, height = marked_on
    factor = geometry.width / width
    if abs(geometry.height - factor * height) > _ROUNDING * (1 + factor):
        raise BadInput(
            "stage.marked-on",
            f"The places of stage {stage!r} were marked on a picture of {width}x{height}, which is not the "
            f"{geometry.width}x{geometry.height} picture that it gets in another size.",
            "State the size of the picture on which they were marked, after any crop, turn or aspect correction.",
        )
    return factor


def carried(place: Sequence[float], factor: float) -> tuple[float, float]:
    """A place (0, 0 is the middle of the top left pixel) in a picture ``factor`` times the size."""
    return (place[0] + 0.5) * factor - 0.5, (place[1] + 0.5) * factor - 0.5


def refuse_moved(stage: str) -> BadInput:
    """What ``after_crop`` raises for places marked on a picture whose stated size a crop would change."""
    return BadInput(
        "stage.marked-on",
        f"The places of stage {stage!r} were marked on the whole picture, of which a region would be cut out.",
        "Mark them on the region, or put the crop into the recipe.",
    )


def active(first: int | None, last: int | None, frame: int) -> bool:
    """Whether a mark of frames ``first`` to ``last`` (None: open) is shown on ``frame``."""
    return (first is None or frame >= first) and (last is None or frame <= last)
