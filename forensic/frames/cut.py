"""Where a frame lies in the picture that a moving rectangle was cut out of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cut:
    """Where a frame lies in the picture that a moving rectangle was cut out of, in luma samples of that picture.

    (``left``, ``top``): the frame's first sample; beyond the picture too. ``shown``: (left, top, right, bottom), the
    last two not included: of that picture, what was recorded and can be seen in the frame. Where nothing can, as in
    :data:`NOWHERE`, the frame's place means nothing.
    """

    left: float
    top: float
    shown: tuple[float, float, float, float]

    @property
    def shows(self) -> bool:
        """Whether there is anything to see."""
        left, top, right, bottom = self.shown
        return left < right and top < bottom

    def moved(self, x: float, y: float) -> Cut:
        """Of a frame that begins ``x`` columns and ``y`` rows further on."""
        return Cut(self.left + x, self.top + y, self.shown)

    def within(self, width: int, height: int) -> Cut:
        """Of which no more than ``width`` x ``height`` samples from the frame's first one on can be seen."""
        left, top, right, bottom = self.shown
        seen = (max(left, self.left), max(top, self.top))
        return Cut(self.left, self.top, (*seen, min(right, self.left + width), min(bottom, self.top + height)))


NOWHERE = Cut(0.0, 0.0, (0.0, 0.0, 0.0, 0.0))
"""Of a frame that shows nothing of that picture, or turned, stretched or moved in a way that is not told here."""
