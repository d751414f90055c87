"""How coarsely the frames of a window were quantised, on one scale, from what came along with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.frames.frame import Coding, WorkingFrame
from forensic.stages.informing import quantiser_of_step

NOT_ASKED = "the frames are not as they were decoded"


@dataclass(frozen=True)
class WindowCoding:
    """``quantisers``: of every frame on H.264's scale, the mean of the others where one has none; () if none has.

    ``facts``: for every frame its picture type, the quantiser that the bitstream states with its scale, or why not.
    """

    quantisers: tuple[float, ...]
    facts: tuple[dict[str, Any], ...]

    @property
    def source(self) -> str:
        """Where the quantisers are from, in words."""
        known = sum(fact["not_exported"] is None for fact in self.facts)
        return f"bitstream, {known} of {len(self.facts)} frames"


def coding_of_window(window: Sequence[WorkingFrame]) -> WindowCoding:
    """What is known of the coding of the frames of ``window``."""
    found = [_on_one_scale(frame) for frame in window]
    known = [value for value in found if value is not None]
    mean = float(np.mean(known)) if known else 0.0
    quantisers = tuple(mean if value is None else value for value in found) if known else ()
    return WindowCoding(
        quantisers, tuple(_fact(frame.coding, value) for frame, value in zip(window, found, strict=True))
    )


def _on_one_scale(frame: WorkingFrame) -> float | None:
    from forensic.estimation.quantiser import step_of  # OpenCV is loaded only where a pixel is touched

    coding = frame.coding
    if coding is None or coding.scale is None or coding.quantiser is None:
        return None
    quantiser = coding.quantiser
    if coding.scale == "h264":
        # FFmpeg counts from the quantiser at which a step is one of the sample's own levels (QP'Y, clause 7.4.2.1.1).
        quantiser -= 6.0 * (frame.geometry.layout.bits - 8)
    step = step_of(coding.scale, quantiser)
    return None if step is None else quantiser_of_step(step)


def _fact(coding: Coding | None, found: float | None) -> dict[str, Any]:
    if coding is None:
        return {"picture_type": None, "stated": None, "not_exported": NOT_ASKED}
    if coding.quantiser is None:
        return {"picture_type": coding.picture_type, "stated": None, "not_exported": coding.why_not}
    why = None if found is not None else f"quantisers of the scale {coding.scale} have no one step"
    stated = {"quantiser": round(coding.quantiser, 3), "scale": coding.scale}
    return {"picture_type": coding.picture_type, "stated": stated, "not_exported": why}
