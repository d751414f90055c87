"""Where every frame of a clip lies against one chosen frame: the path by which ``stabilise`` holds a scene still.

Not part of a run. The result goes into a recipe as the parameter ``path``, where every displacement stands on the
record and can be checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.stages.camera import Model, Similarity, View, motion, view

_DECIMALS, _FINE_DECIMALS = 4, 8  # of pixels; of logarithms and radians


@dataclass(frozen=True)
class CameraPath:
    """``places``: frame number and, of its content against the reference frame's, displacement in pixels, logarithm of
    the zoom and turn in radians, about the picture's middle. ``chained``: frames placed through their neighbour
    because they could not be compared with the reference itself. ``lost``: frames that were not placed."""

    reference: int
    places: tuple[tuple[int, float, float, float, float], ...]
    chained: tuple[int, ...]
    lost: tuple[int, ...]

    def to_parameters(self) -> dict[str, Any]:
        """Parameters of the stage ``stabilise``."""
        return {"reference": self.reference, "path": [list(place) for place in self.places]}

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "reference": self.reference,
            "places": [list(place) for place in self.places],
            "chained": list(self.chained),
            "lost": list(self.lost),
        }


def path_against(
    reference: int, picture: np.ndarray, frames: Iterable[tuple[int, np.ndarray]], model: Model
) -> CameraPath:
    """Place every frame of ``frames`` (number, float32 luma) against ``picture``, the luma of frame ``reference``.

    Every frame is compared with the reference itself, so that errors do not add up. Where that fails it is
    compared with the frame before it, if that was placed.
    """
    first = view(picture)
    places: list[tuple[int, float, float, float, float]] = []
    chained, lost = [], []
    before: tuple[View, Similarity] | None = None
    for number, luma in frames:
        seen = view(luma)
        found = motion(first, seen, model)
        if found is None and before is not None:
            link = motion(before[0], seen, model)
            found = None if link is None else link.after(before[1])
            if found is not None:
                chained.append(number)
        if found is None:
            lost.append(number)
            before = None
            continue
        before = seen, found
        dx, dy, grown, turned = found.logarithm
        places.append((number, round(dx, _DECIMALS), round(dy, _DECIMALS), round(grown, _FINE_DECIMALS),
                       round(turned, _FINE_DECIMALS)))  # fmt: skip
    return CameraPath(reference, tuple(places), tuple(chained), tuple(lost))
