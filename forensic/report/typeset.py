"""Setting text in lines: fallback fonts, shaping, right-to-left order, wrapping that never clips.

ReportLab's own paragraphs read markup and know one font per span; names from evidence may hold
anything, so text is set here from plain strings only.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reportlab.lib.colors import Color
from reportlab.pdfgen.canvas import Canvas

from forensic.report.bidi import embedding_levels, needs_reordering, visual_order
from forensic.report.fonts import BOLD, MONO, char_width, font, printable, runs, shape
from forensic.report.theme import TextStyle
from forensic.report.visible import visible

_MONO_BREAKS = frozenset("_.=,;:\\/&?|+@")
_BASELINE = 0.78  # of the leading, from the top of a line down


@dataclass(frozen=True)
class Span:
    """A stretch of text in one face and colour; None means the block's own."""

    text: str
    role: str | None = None
    colour: Color | None = None


def bold(text: str) -> Span:
    """``text`` in bold."""
    return Span(text, BOLD)


def mono(text: str) -> Span:
    """``text`` in the monospaced face."""
    return Span(text, MONO)


@dataclass(frozen=True)
class _Piece:
    """A drawable stretch of a line: one face, colour and direction."""

    text: str
    face: str
    role: str
    colour: Color
    shaped: bool
    level: int


def _is_wide(char: str) -> bool:
    return char > "\u2e7f" and unicodedata.east_asian_width(char) in "WF"


class Text:
    """A block of text. Everything is sanitised here, whoever the caller is."""

    def __init__(self, content: str | Span | Sequence[str | Span], style: TextStyle, *, mark: str = "") -> None:
        parts = [content] if isinstance(content, (str, Span)) else list(content)
        spans = [part if isinstance(part, Span) else Span(part) for part in parts]
        self.style = style
        self._mark = mark  # a bullet or number in the indent of the first line
        self._spans: list[tuple[int, int, str, Color]] = []
        text = ""
        for span in spans:
            role = span.role or style.role
            shown = printable(visible(span.text), role)
            self._spans.append((len(text), len(text) + len(shown), role, span.colour or style.colour))
            text += shown
        self._text = text
        self._lines: list[tuple[int, int]] = []
        self._width = -1.0

    def layout(self, width: float) -> float:
        """Break into lines for ``width`` points; return the height needed."""
        if width != self._width:
            self._width = width
            self._lines = list(self._break_lines(width - self.style.indent)) or [(0, 0)]
        return self.height

    @property
    def height(self) -> float:
        """Height of the lines, without the space before and after."""
        return len(self._lines) * self.style.leading

    @property
    def line_count(self) -> int:
        """Number of lines after :meth:`layout`."""
        return len(self._lines)

    def natural_width(self) -> float:
        """Width of the whole text on one line."""
        return self.style.indent + self._measure(0, len(self._text))

    def take(self, height: float) -> tuple[Text | None, Text | None]:
        """Cut after the lines that fit into ``height``: what fits, and the rest."""
        count = int((height + 1e-6) // self.style.leading)
        if count >= len(self._lines):
            return self, None
        if count <= 0:
            return None, self
        return self._part(0, count), self._part(count, len(self._lines))

    def _part(self, first: int, last: int) -> Text:
        part = Text.__new__(Text)
        part.style, part._text, part._spans, part._width = self.style, self._text, self._spans, self._width
        part._lines = self._lines[first:last]
        part._mark = self._mark if first == 0 else ""
        return part

    def paint(self, canvas: Canvas, x: float, top: float) -> None:
        """Draw with the upper left corner at (``x``, ``top``)."""
        style = self.style
        baseline = top - style.leading * _BASELINE
        if self._mark:
            canvas.setFont(style.role, style.size)
            canvas.setFillColor(style.colour)
            canvas.drawString(x, baseline, self._mark)
        for start, end in self._lines:
            left = x + style.indent
            if style.align != "left":
                spare = self._width - style.indent - self._measure(start, end)
                left += spare if style.align == "right" else spare / 2
            for piece in self._pieces(start, end):
                left += _draw(canvas, piece, left, baseline, style.size)
            baseline -= style.leading

    def _roles(self, start: int, end: int) -> Iterator[tuple[int, int, str, Color]]:
        for first, last, role, colour in self._spans:
            low, high = max(first, start), min(last, end)
            if low < high:
                yield low, high, role, colour

    def _measure(self, start: int, end: int) -> float:
        total = 0.0
        for low, high, role, _ in self._roles(start, end):
            text = self._text[low:high]
            if text.isascii():
                total += sum(char_width(role, char) for char in text)
                continue
            for run in runs(text, role):
                part = text[run.start : run.end]
                if run.shaped:
                    total += sum(glyph.advance for glyph in shape(run.face, part, needs_reordering(part)))
                else:
                    total += sum(char_width(run.face, char) for char in part)
        return total * self.style.size / 1000.0

    def _pieces(self, start: int, end: int) -> list[_Piece]:
        line = self._text[start:end]
        levels = embedding_levels(line) if needs_reordering(line) else None
        pieces: list[_Piece] = []
        for low, high, role, colour in self._roles(start, end):
            text = self._text[low:high]
            for run in runs(text, role):
                first = run.start
                for position in range(run.start + 1, run.end + 1):
                    here = 0 if levels is None else levels[low - start + first]
                    if position == run.end or (levels is not None and levels[low - start + position] != here):
                        pieces.append(_Piece(text[first:position], run.face, role, colour, run.shaped, here))
                        first = position
        return [pieces[number] for number in visual_order([piece.level for piece in pieces])]

    def _words(self) -> Iterator[tuple[int, int]]:
        """Stretches that should not be broken, each with the spaces that follow it."""
        text, start = self._text, 0
        roles = {position for low, high, role, _ in self._spans if role == MONO for position in range(low, high)}
        for position in range(1, len(text)):
            before, here = text[position - 1], text[position]
            if here == " " or here == "›":
                continue
            allowed = (
                before == " "
                or (before in "/-–—" and here.isalpha() and position > 1 and text[position - 2].isalnum())
                or before == "›"
                or here == "‹"
                or (_is_wide(before) and unicodedata.category(here)[0] not in "PM")
                or (_is_wide(here) and unicodedata.category(before) != "Ps")
                or (position - 1 in roles and before in _MONO_BREAKS)
            )
            if allowed:
                yield start, position
                start = position
        if start < len(text):
            yield start, len(text)

    def _break_lines(self, width: float) -> Iterator[tuple[int, int]]:
        text = self._text
        line_start, line_end, used = 0, 0, 0.0
        for start, end in self._words():
            solid = end
            while solid > start and text[solid - 1] == " ":
                solid -= 1
            word = self._measure(start, solid)
            if used + word <= width + 0.01:
                line_end, used = end, used + self._measure(start, end)
                continue
            if line_end > line_start:
                yield line_start, self._trimmed(line_start, line_end)
                line_start, line_end, used = start, start, 0.0
            while word > width + 0.01:  # longer than a line: cut between whole characters
                cut = self._longest(start, solid, width)
                yield start, cut
                start = cut
                word = self._measure(start, solid)
            line_start, line_end, used = start, end, self._measure(start, end)
        if line_end > line_start:
            yield line_start, self._trimmed(line_start, line_end)

    def _trimmed(self, start: int, end: int) -> int:
        while end > start + 1 and self._text[end - 1] == " ":
            end -= 1
        return end

    def _longest(self, start: int, end: int, width: float) -> int:
        """End of the longest stretch from ``start`` that fits, never between a letter and its marks."""
        low, high = start + 1, end
        while low < high:
            middle = (low + high + 1) // 2
            if self._measure(start, middle) <= width:
                low = middle
            else:
                high = middle - 1
        cut = low
        while cut > start + 1 and (unicodedata.category(self._text[cut])[0] == "M" if cut < end else False):
            cut -= 1
        return cut


def _draw(canvas: Canvas, piece: _Piece, x: float, y: float, size: float) -> float:
    """Draw one piece and return how far it went."""
    font(piece.face)
    canvas.setFillColor(piece.colour)
    canvas.setFont(piece.face, size)
    unit = size / 1000.0
    if not piece.shaped:
        text = piece.text
        if piece.level & 1:
            text = "".join(_MIRRORED.get(char, char) for char in reversed(text))
        canvas.drawString(x, y, text)
        return sum(char_width(piece.face, char) for char in text) * unit
    # ActualText keeps the real characters for searching and copying (ISO 32000-2, 14.9.4).
    canvas._code.append(f"/Span <</ActualText <FEFF{piece.text.encode('utf-16-be').hex().upper()}>>> BDC")
    along = 0.0
    for glyph in shape(piece.face, piece.text, bool(piece.level & 1)):
        canvas.drawString(x + (along + glyph.dx) * unit, y + glyph.dy * unit, glyph.char)
        along += glyph.advance
    canvas._code.append("EMC")
    return along * unit


_MIRRORED = dict(zip("()[]{}<>‹›«»", ")(][}{><›‹»«", strict=True))
