"""Legend of a picture that prints a measured number as grey: a bar from one end of the scale to the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reportlab.lib.colors import Color
from reportlab.platypus import Flowable

from forensic.report.theme import CAPTION, INK, TEXT_WIDTH
from forensic.report.typeset import Text

_STEPS, _TALL, _TICK = 64, 8.0, 2.5


@dataclass(frozen=True)
class GreyScale:
    """``dark_first``: black stands for ``low``, white for ``high``; else the other way round. ``ticks`` lie between."""

    title: str
    low: float
    high: float
    ticks: Sequence[float]
    dark_first: bool


class GreyScales(Flowable):  # type: ignore[misc]
    """Scales side by side, as wide as the pictures above them."""

    def __init__(self, scales: Sequence[GreyScale], gap: float = 9.0) -> None:
        super().__init__()
        self.scales, self.gap = list(scales), gap
        self.titles = [Text(scale.title, CAPTION) for scale in self.scales]
        self.spaceBefore, self.spaceAfter = 1.0, 7.0

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        self.column = (TEXT_WIDTH - self.gap * (len(self.scales) - 1)) / len(self.scales)
        titles = max(title.layout(self.column) for title in self.titles)
        self.width, self.height = TEXT_WIDTH, titles + 2 + _TALL + _TICK + CAPTION.leading
        return self.width, self.height

    def draw(self) -> None:
        for number, (scale, title) in enumerate(zip(self.scales, self.titles, strict=True)):
            left = number * (self.column + self.gap)
            title.paint(self.canv, left, self.height)
            self._bar(scale, left, CAPTION.leading + _TICK)

    def _bar(self, scale: GreyScale, left: float, bottom: float) -> None:
        for step in range(_STEPS):
            grey = step / (_STEPS - 1)
            level = grey if scale.dark_first else 1.0 - grey
            self.canv.setFillColor(Color(level, level, level))
            self.canv.rect(left + self.column * step / _STEPS, bottom, self.column / _STEPS, _TALL, stroke=0, fill=1)
        self.canv.setStrokeColor(INK)
        self.canv.setLineWidth(0.4)
        self.canv.rect(left, bottom, self.column, _TALL, stroke=1, fill=0)
        for tick in scale.ticks:
            share = (tick - scale.low) / (scale.high - scale.low)
            x = left + share * self.column
            self.canv.line(x, bottom, x, bottom - _TICK)
            text = Text(f"{tick:g}", CAPTION)
            text.layout(40.0)
            text.paint(self.canv, min(max(left, x - 5.0), left + self.column - 14.0), bottom - _TICK)
