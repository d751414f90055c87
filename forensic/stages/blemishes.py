"""Detection of damage that is seen in one frame only: blotches (dust, dirt, dropouts) and upright scratches.

A place is damaged if the frame departs from both its neighbours, along motion, in the same direction, while these
agree with each other (the spike detection index of Kokaram 1998, with the simplified ranked order difference of
Biemond et al. 1999: the frame must lie outside the range of the 3x3 surroundings in both, so that an error of a pixel
in the motion makes no find). Where the motion between the neighbours is not the same both ways, nothing is found.

Scratches are told by the same differences, weaker but continued along a line: at least 7 of 10 pixels of an upright
line, not wider than 12 pixels. A line that stays where it is in a picture that stays where it is differs from no
neighbour and is not found: it could be a post.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.frames.frame import WorkingFrame
from forensic.media.opencv import opencv
from forensic.stages.shots import continuous, likeness_of_most

_SAME_SHOT = 0.9  # likeness of most of neighbouring frames below which there was a cut
_UNREST = 5.0  # times the spread of the difference of the neighbours: least contrast of a find
_SEED, _RIM = 1.0, 0.5  # of the contrast: where a find begins, and to where it reaches
_SMALLEST = 4  # pixels
_WIDEST = 13  # pixels: a line as wide is no scratch
_LINE = 31  # pixels of a scratch's length that are looked at together, at least; and 1/12 of the picture's height
_CONTINUED = 0.7  # share of them that must depart


@dataclass(frozen=True)
class Found:
    """``pixels``: boolean, all finds with their margin. ``blotches`` and ``scratches``: pixels of each without it.

    ``contrast``: what was asked for in this frame, grey levels. ``why_none``: where the frame could not be judged.
    """

    pixels: np.ndarray
    blotches: int
    scratches: int
    contrast: float | None
    why_none: str | None = None

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        facts: dict[str, Any] = {
            "pixels": int(np.count_nonzero(self.pixels)),
            "blotches": self.blotches,
            "scratches": self.scratches,
            "contrast": None if self.contrast is None else round(self.contrast, 3),
        }
        return facts if self.why_none is None else facts | {"why_none": self.why_none}


def blemishes(near: Sequence[WorkingFrame], at: int, kinds: str, contrast: float, grow: int) -> Found:
    """Damage of ``near[at]``, of which ``near`` holds one neighbour on either side where the clip has them.

    ``kinds``: ``blotches``, ``scratches`` or ``both``. ``contrast``: grey levels. ``grow``: px.
    """
    nothing = np.zeros(near[at].luma.shape, bool)
    if len(near) != 3:
        return Found(nothing, 0, 0, None, "a neighbour is missing: the frame is the first or the last")
    planes = [frame.luma for frame in near]
    if in_shot(planes, at) != (0, 2):
        return Found(nothing, 0, 0, None, "a neighbour shows another shot")
    cv2 = opencv()
    from forensic.fusion.between import between  # OpenCV is loaded only where a pixel is touched

    way = between(*planes)
    own = planes[1]
    before, after = (
        cv2.remap(plane, *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        for plane, places in ((planes[0], way.before), (planes[2], way.after))
    )
    apart = np.abs(before - after)
    unrest = 1.4826 * float(np.median(apart))
    limit = max(contrast, _UNREST * unrest)
    alike = cv2.blur(apart, (3, 3)) < np.float32(_RIM * limit)
    trusted = cv2.erode((way.believed & alike).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    blotches, scratches = nothing, nothing
    if kinds in ("blotches", "both"):
        blotches = _blotches(own, before, after, trusted, limit)
    if kinds in ("scratches", "both"):
        scratches = _scratches(own, before, after, trusted, limit)
    pixels = (blotches | scratches).astype(np.uint8)
    if grow:
        pixels = cv2.dilate(pixels, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1,) * 2))
    counts = int(np.count_nonzero(blotches)), int(np.count_nonzero(scratches & ~blotches))
    return Found(pixels > 0, *counts, limit)


def in_shot(planes: Sequence[np.ndarray], at: int) -> tuple[int, int]:
    """First and last (inclusive) of luma ``planes`` that lie in one shot with plane ``at``, whether damaged or not."""
    return continuous(planes, at, _SAME_SHOT, likeness_of_most)[:2]


def _blotches(own: np.ndarray, before: np.ndarray, after: np.ndarray, trusted: np.ndarray, limit: float) -> np.ndarray:
    cv2 = opencv()
    around = np.ones((3, 3), np.uint8)
    high = cv2.dilate(np.maximum(before, after), around)
    low = cv2.erode(np.minimum(before, after), around)
    beyond = np.maximum(own - high, low - own)
    beyond[~trusted] = 0.0
    seeds, reached = beyond > np.float32(_SEED * limit), beyond > np.float32(_RIM * limit)
    reached = cv2.morphologyEx(reached.astype(np.uint8), cv2.MORPH_CLOSE, around)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(reached, connectivity=8, ltype=cv2.CV_32S)
    kept = np.zeros(count, bool)
    kept[np.unique(labels[seeds])] = True
    kept &= stats[:, cv2.CC_STAT_AREA] >= _SMALLEST
    kept[0] = False
    return np.asarray(kept[labels])


def _scratches(own: np.ndarray, before: np.ndarray, after: np.ndarray, trusted: np.ndarray, limit: float) -> np.ndarray:
    cv2 = opencv()
    length = max(_LINE, own.shape[0] // 12) | 1
    found = np.zeros(own.shape, bool)
    least = np.float32(_RIM * limit)
    for sign in (1, -1):
        departs = np.minimum(sign * (own - before), sign * (own - after))
        departs = ((departs > least) & trusted).astype(np.float32)
        share = cv2.blur(departs, (1, length), borderType=cv2.BORDER_REFLECT)
        lines = (share >= np.float32(_CONTINUED)).astype(np.uint8)
        lines -= cv2.morphologyEx(lines, cv2.MORPH_OPEN, np.ones((1, _WIDEST), np.uint8))
        along = cv2.dilate(lines, np.ones((length, 1), np.uint8))
        along = cv2.dilate(along, np.ones((1, 3), np.uint8))
        line = ((along > 0) & (departs > 0)).astype(np.uint8)
        found |= cv2.morphologyEx(line, cv2.MORPH_CLOSE, np.ones((9, 1), np.uint8)) > 0
    return found
