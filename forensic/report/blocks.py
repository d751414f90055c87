"""Blocks of the document: text, tables, notices, pictures, each able to go over a page's end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reportlab.lib.colors import Color
from reportlab.lib.colors import black as BLACK
from reportlab.lib.colors import white as WHITE
from reportlab.lib.utils import ImageReader
from reportlab.platypus import CondPageBreak, Flowable

from forensic.report.theme import (
    ACCENT,
    BODY,
    CAPTION,
    CAUTION,
    CAUTION_PANEL,
    CELL,
    CELL_HEAD,
    CELL_LABEL,
    CELL_MONO,
    COMMAND,
    HEADING,
    PANEL,
    RULE,
    SUBHEADING,
    TEXT_WIDTH,
    WARNING,
    WARNING_PANEL,
    TextStyle,
)
from forensic.report.typeset import Span, Text

Content = str | Span | Sequence[str | Span]
_PAD_X, _PAD_Y = 4.0, 2.6
_FEWEST = 3  # rows of a table left alone on a page
_OPENING = 240.0
_WHOLE = 4  # lines of a paragraph that go together
_ROOM = 66.0  # below a heading, so that it never stands alone at a page's end


class Block(Flowable):  # type: ignore[misc]
    """A :class:`Text` as a flowable; ``room`` points must be left below it on its page."""

    def __init__(self, text: Text, room: float = 0.0) -> None:
        super().__init__()
        self.text, self.room = text, room
        self.spaceBefore, self.spaceAfter = text.style.before, text.style.after

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        self.width, self.height = width, self.text.layout(width)
        return width, self.height if self.height + self.room <= height else height + 1

    def split(self, width: float, height: float) -> list[Flowable]:
        self.text.layout(width)
        if self.room or self.text.line_count <= _WHOLE:
            return []
        head, tail = self.text.take(height)
        if head is None:
            return []
        return [Block(head)] if tail is None else [Block(head), Block(tail)]

    def draw(self) -> None:
        self.text.paint(self.canv, 0, self.height)


class Heading(Block):
    """A numbered heading that enters the PDF outline and the table of contents."""

    def __init__(self, text: str, key: str, level: int) -> None:
        super().__init__(Text(text, HEADING if level == 0 else SUBHEADING), room=_ROOM)
        self.plain, self.key, self.level = text, key, level

    def draw(self) -> None:
        super().draw()
        self.canv.enter_contents(self.plain, self.key, self.level, self.height)


class PageMark(Flowable):  # type: ignore[misc]
    """Puts ``text`` into the header of this page and those that follow, until the next mark."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        return 0, 0

    def draw(self) -> None:
        self.canv.set_page_mark(self.text)


@dataclass(frozen=True)
class Cell:
    """Texts one under another in a table cell."""

    texts: tuple[Text, ...]

    def layout(self, width: float) -> float:
        """Break all texts for ``width``; return the height needed."""
        return sum(text.layout(width) + text.style.after for text in self.texts)

    def take(self, height: float) -> tuple[Cell | None, Cell | None]:
        """What fits into ``height``, and the rest."""
        for number, text in enumerate(self.texts):
            if text.height + text.style.after > height:  # as layout counts it: the space below goes along
                head, tail = text.take(height - text.style.after)
                before = (*self.texts[:number], *([head] if head else []))
                after = (*([tail] if tail else []), *self.texts[number + 1 :])
                return (Cell(before) if before else None), (Cell(after) if after else None)
            height -= text.height + text.style.after
        return self, None

    def paint(self, canvas: Any, x: float, top: float) -> None:
        """Draw with the upper left corner at (``x``, ``top``)."""
        for text in self.texts:
            text.paint(canvas, x, top)
            top -= text.height + text.style.after


class Grid(Flowable):  # type: ignore[misc]
    """A table: wrapped cells, hairlines between rows, the header again after a page's end."""

    def __init__(
        self,
        rows: Sequence[Sequence[Cell]],
        widths: Sequence[float],
        *,
        header: Sequence[Cell] | None = None,
        panel: Color | None = None,
        bar: Color | None = None,
    ) -> None:
        super().__init__()
        self.rows, self.header, self.panel, self.bar = [tuple(row) for row in rows], header, panel, bar
        total = sum(widths)
        self.columns = [TEXT_WIDTH * width / total for width in widths]
        self.spaceBefore, self.spaceAfter = 3.0, 8.0
        if bar is not None:
            self.spaceBefore = 8.0
        self._pad_x = 9.0 if bar is not None else _PAD_X
        self._pad_y = 6.0 if bar is not None else _PAD_Y

    def _row_height(self, row: Sequence[Cell]) -> float:
        heights = [cell.layout(width - 2 * self._pad_x) for cell, width in zip(row, self.columns, strict=True)]
        return max(heights) + 2 * self._pad_y

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        self.heights = [self._row_height(row) for row in self.rows]
        self.head_height = self._row_height(self.header) if self.header else 0.0
        self.width, self.height = sum(self.columns), sum(self.heights) + self.head_height
        return self.width, self.height

    def _like(self, rows: Sequence[Sequence[Cell]]) -> Grid:
        grid = Grid(rows, self.columns, header=self.header, panel=self.panel, bar=self.bar)
        grid.columns = self.columns
        return grid

    def split(self, width: float, height: float) -> list[Flowable]:
        self.wrap(width, height)
        left = height - self.head_height
        fitting = 0
        while fitting < len(self.rows) and self.heights[fitting] <= left:
            left -= self.heights[fitting]
            fitting += 1
        if fitting == len(self.rows):
            return [self]
        # A row is cut only where it would leave most of a page empty or can never fit on one.
        if self.heights[fitting] > 160 and left > 48:
            parts = [cell.take(left - 2 * self._pad_y) for cell in self.rows[fitting]]
            if any(head for head, _ in parts):
                top = tuple(head or Cell(()) for head, _ in parts)
                bottom = tuple(tail or Cell(()) for _, tail in parts)
                return [
                    self._like([*self.rows[:fitting], top]),
                    self._like([bottom, *self.rows[fitting + 1 :]]),
                ]
        kept = self._not_few(fitting)
        if kept == 0:
            return []
        head, rest = self._like(self.rows[:kept]), self._like(self.rows[kept:])
        # Rows moved on for company must not come back into the room that they left.
        return [head, rest] if kept == fitting else [head, CondPageBreak(height), rest]

    def _not_few(self, fitting: int) -> int:
        """``fitting`` rows, or fewer so that the next page does not begin with one or two rows alone."""
        moved = max(0, _FEWEST - (len(self.rows) - fitting))
        return fitting - moved if fitting - moved >= _FEWEST else fitting

    def opening(self) -> float:
        """Height of the header and the first rows, which a heading above should not be parted from."""
        self.wrap(TEXT_WIDTH, 0)
        return float(self.head_height + min(sum(self.heights[:_FEWEST]), _OPENING))

    def draw(self) -> None:
        canvas, top = self.canv, self.height
        if self.panel is not None:
            canvas.setFillColor(self.panel)
            canvas.rect(0, 0, self.width, self.height, stroke=0, fill=1)
        if self.bar is not None:
            canvas.setFillColor(self.bar)
            canvas.rect(0, 0, 2.6, self.height, stroke=0, fill=1)
        canvas.setLineWidth(0.4)
        canvas.setStrokeColor(RULE)
        listed = ([(self.header, self.head_height)] if self.header else []) + list(
            zip(self.rows, self.heights, strict=True)
        )
        for number, (row, height) in enumerate(listed):
            if number == 0 and self.header:
                canvas.setFillColor(PANEL)
                canvas.rect(0, top - height, self.width, height, stroke=0, fill=1)
            x = 0.0
            for cell, width in zip(row, self.columns, strict=True):
                cell.paint(canvas, x + self._pad_x, top - self._pad_y)
                x += width
            top -= height
            if self.bar is None:
                canvas.line(0, top, self.width, top)


@dataclass(frozen=True)
class Picture:
    """Pixels with their printed size in points and a caption.

    ``frame`` outlines a part: (left, top, width, height) as fractions of the picture.
    """

    image: ImageReader
    width: float
    height: float
    caption: str
    frame: tuple[float, float, float, float] | None = None


class PictureRow(Flowable):  # type: ignore[misc]
    """Pictures side by side with captions under them; never split."""

    def __init__(self, pictures: Sequence[Picture], gap: float = 9.0, narrowest: float = 0.0) -> None:
        super().__init__()
        self.pictures, self.gap, self.narrowest = list(pictures), gap, narrowest
        self.spaceBefore, self.spaceAfter = 3.0, 6.0
        self.captions = [Text(picture.caption, CAPTION) for picture in pictures]

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        share = (TEXT_WIDTH - self.gap * (len(self.pictures) - 1)) / len(self.pictures)
        least = self.narrowest or share
        self.cells = [max(picture.width, least) for picture in self.pictures]
        below = max(text.layout(cell) for text, cell in zip(self.captions, self.cells, strict=True))
        self.band = max(picture.height for picture in self.pictures)
        self.width, self.height = TEXT_WIDTH, self.band + 3 + below
        return self.width, self.height

    def draw(self) -> None:
        x = 0.0
        for picture, text, cell in zip(self.pictures, self.captions, self.cells, strict=True):
            bottom = self.height - picture.height
            self.canv.drawImage(picture.image, x, bottom, picture.width, picture.height)
            self.canv.setLineWidth(0.3)
            self.canv.setStrokeColor(RULE)
            self.canv.rect(x, bottom, picture.width, picture.height, stroke=1, fill=0)
            if picture.frame is not None:
                self._outline(picture, x, bottom)
            text.paint(self.canv, x, self.height - self.band - 3)
            x += cell + self.gap

    def _outline(self, picture: Picture, x: float, bottom: float) -> None:
        left, top, width, height = picture.frame or (0.0, 0.0, 1.0, 1.0)
        corner = x + left * picture.width, bottom + (1 - top - height) * picture.height
        for colour, dash in ((BLACK, ()), (WHITE, (2.5, 2.5))):
            self.canv.setStrokeColor(colour)
            self.canv.setLineWidth(0.9)
            self.canv.setDash(*dash)
            self.canv.rect(*corner, width * picture.width, height * picture.height, stroke=1, fill=0)
        self.canv.setDash()


def text_cell(content: Content, style: TextStyle = CELL) -> Cell:
    """One text as a cell."""
    return Cell((Text(content, style),))


def paragraph(content: Content, style: TextStyle = BODY) -> Block:
    """A paragraph of running text."""
    return Block(Text(content, style), room=_ROOM if style is SUBHEADING else 0.0)


def bullets(items: Sequence[Content], style: TextStyle = BODY) -> list[Flowable]:
    """A list with bullets."""
    inset = TextStyle(style.size, style.leading, style.role, style.colour, after=3, indent=11)
    return [Block(Text(item, inset, mark="•")) for item in items]


def numbered(items: Sequence[Content], style: TextStyle = BODY) -> list[Flowable]:
    """A numbered list."""
    inset = TextStyle(style.size, style.leading, style.role, style.colour, after=3, indent=18)
    return [Block(Text(item, inset, mark=f"{number}.")) for number, item in enumerate(items, 1)]


def _is_digest(value: Content) -> bool:
    return isinstance(value, str) and len(value) >= 40 and set(value) <= set("0123456789abcdef")


def facts(rows: Sequence[tuple[str, Content]], label_width: float = 0.27) -> Grid:
    """A two-column table of label and value."""
    cells = [
        (text_cell(label, CELL_LABEL), text_cell(value, CELL_MONO if _is_digest(value) else CELL))
        for label, value in rows
    ]
    return Grid(cells, (label_width, 1 - label_width))


def table(header: Sequence[str], rows: Sequence[Sequence[Content]], widths: Sequence[float]) -> Grid:
    """A table with a header row that repeats on each page."""
    return Grid(
        [[text_cell(value) for value in row] for row in rows],
        widths,
        header=[text_cell(title, CELL_HEAD) for title in header],
    )


def stacked_table(header: Sequence[str], rows: Sequence[Sequence[Cell]], widths: Sequence[float]) -> Grid:
    """A table whose cells hold several lines each; the header repeats on each page."""
    return Grid(rows, widths, header=[text_cell(title, CELL_HEAD) for title in header])


_TONES = {"note": (PANEL, ACCENT), "caution": (CAUTION_PANEL, CAUTION), "warning": (WARNING_PANEL, WARNING)}


def notice(title: str, lines: Sequence[Content], tone: str = "note") -> Grid:
    """A tinted box with a coloured edge; ``tone`` is ``note``, ``caution`` or ``warning``."""
    panel, bar = _TONES[tone]
    heading = TextStyle(BODY.size, BODY.leading, CELL_HEAD.role, bar, after=2)
    body = TextStyle(CELL.size + 0.3, CELL.leading + 0.6, after=2)
    texts = (Text(title, heading), *(Text(line, body) for line in lines))
    return Grid([[Cell(texts)]], (1.0,), panel=panel, bar=bar)


def commands(lines: Sequence[str]) -> Grid:
    """Lines to be typed, in the monospaced face, on a tinted ground."""
    hanging = TextStyle(COMMAND.size, COMMAND.leading, COMMAND.role, COMMAND.colour)
    return Grid([[Cell(tuple(Text(line, hanging) for line in lines))]], (1.0,), panel=PANEL, bar=RULE)


def titled(title: str, grid: Grid) -> list[Flowable]:
    """A subheading and its table, the subheading never without the table's first rows."""
    return [keep_room(34 + grid.opening()), paragraph(title, SUBHEADING), grid]


def keep_room(height: float) -> CondPageBreak:
    """Start a new page unless ``height`` points are left on this one."""
    return CondPageBreak(height)
