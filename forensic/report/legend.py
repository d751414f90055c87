"""Legend of the risk overlays for print: a sample of each level's marking with its name, drawn as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.colors import black as BLACK
from reportlab.platypus import Flowable

from forensic.report.theme import CELL, INK, TEXT_WIDTH
from forensic.report.typeset import Text

_SWATCH_WIDTH, _SWATCH_HEIGHT, _GAP, _ROW = 30.0, 11.0, 5.0, 16.0
# Mid grey (130) with the tint of each level, and Okabe and Ito's colours, as forensic.risk.overlay draws them.
_GROUND = {"MEDIUM": HexColor("#9a9874"), "HIGH": HexColor("#b06e3b"), "NOT ASSESSED": HexColor("#8d8d8d")}
_PICTURE = HexColor("#828282")
_YELLOW = HexColor("#f0e442")
_PERIOD = 4.6


class Legend(Flowable):  # type: ignore[misc]
    """Swatches of ``levels`` (LOW, MEDIUM, HIGH, NOT ASSESSED) with the text of each, two in a row."""

    def __init__(self, levels: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.levels = [(level, Text(text, CELL)) for level, text in levels]
        self.spaceBefore, self.spaceAfter = 2.0, 5.0

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        self.column = TEXT_WIDTH / 2
        tallest = [text.layout(self.column - _SWATCH_WIDTH - 3 * _GAP) for _, text in self.levels]
        pairs = [tallest[start : start + 2] for start in range(0, len(tallest), 2)]
        self.rows = [max(_ROW, max(pair) + 3) for pair in pairs]
        self.width, self.height = TEXT_WIDTH, sum(self.rows)
        return self.width, self.height

    def draw(self) -> None:
        top = self.height
        for number, (level, text) in enumerate(self.levels):
            if number and number % 2 == 0:
                top -= self.rows[number // 2 - 1]
            x = number % 2 * self.column
            _swatch(self.canv, level, x, top - _SWATCH_HEIGHT - 1)
            text.paint(self.canv, x + _SWATCH_WIDTH + _GAP, top)


def _swatch(canvas: Any, level: str, x: float, y: float) -> None:
    """One sample with its lower left corner at (``x``, ``y``)."""
    canvas.saveState()
    canvas.setFillColor(_GROUND.get(level, _PICTURE))
    canvas.rect(x, y, _SWATCH_WIDTH, _SWATCH_HEIGHT, stroke=0, fill=1)
    clip = canvas.beginPath()
    clip.rect(x, y, _SWATCH_WIDTH, _SWATCH_HEIGHT)
    canvas.clipPath(clip, stroke=0, fill=0)
    if level == "MEDIUM":
        _lines(canvas, x, y, 1, BLACK, 1.9)
        _lines(canvas, x, y, 1, _YELLOW, 1.1)
    elif level == "HIGH":
        for direction in (1, -1):
            _lines(canvas, x, y, direction, BLACK, 1.0)
    elif level == "NOT ASSESSED":
        canvas.setFillColor(BLACK)
        for column in range(round(_SWATCH_WIDTH / 3)):
            for row in range(round(_SWATCH_HEIGHT / 3) + 1):
                canvas.rect(x + 3 * column, y + 3 * row, 1.2, 1.2, stroke=0, fill=1)
    canvas.restoreState()
    canvas.saveState()
    canvas.setStrokeColor(_EDGES.get(level, INK))
    canvas.setLineWidth(0.8)
    canvas.rect(x, y, _SWATCH_WIDTH, _SWATCH_HEIGHT, stroke=1, fill=0)
    canvas.restoreState()


def _lines(canvas: Any, x: float, y: float, direction: int, colour: Color, width: float) -> None:
    canvas.setStrokeColor(colour)
    canvas.setLineWidth(width)
    for number in range(-4, int(_SWATCH_WIDTH / _PERIOD) + 4):
        left = x + number * _PERIOD
        low, high = (y, y + _SWATCH_HEIGHT) if direction > 0 else (y + _SWATCH_HEIGHT, y)
        canvas.line(left, low, left + _SWATCH_HEIGHT, high)


_EDGES = {"MEDIUM": _YELLOW, "HIGH": HexColor("#d55e00")}
