"""The page: header, footer, watermark, table of contents, and the attached record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reportlab import rl_config
from reportlab.pdfbase.pdfdoc import PDFArray, PDFDictionary, PDFName, PDFStream, PDFString
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable

from forensic.report.fonts import BOLD, font
from forensic.report.theme import (
    BODY,
    FURNITURE,
    MARGIN,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    QUIET,
    RULE,
    TEXT_WIDTH,
    WARNING,
    WATERMARK,
    TextStyle,
)
from forensic.report.typeset import Text

ATTACHMENT = "attestation.json"
OF_A_RUN = "Signed record of the run (DSSE envelope, in-toto statement)"
_ENTRY_LEADING = 15.0
_SHORT_MARK = 40  # characters of a page's mark beside a header of full width
rl_config.useA85 = 0  # binary streams: a quarter smaller, and nothing else reads the setting


@dataclass(frozen=True)
class Furniture:
    """What every page carries. ``watermark`` is empty for a report of forensic mode; ``run`` is the ``noun``'s id."""

    header: str
    title: str
    run: str
    watermark: str = ""
    noun: str = "Run"


@dataclass(frozen=True)
class _Entry:
    title: str
    key: str
    page: int


class Contents(Flowable):  # type: ignore[misc]
    """Room for the table of contents, which is drawn when all page numbers are known."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        return width, self.count * _ENTRY_LEADING + 6

    def draw(self) -> None:
        x, y = self.canv.absolutePosition(0, self.count * _ENTRY_LEADING)
        self.canv.reserve_contents(x, y)


class ReportCanvas(Canvas):  # type: ignore[misc]
    """A canvas that finishes its pages at the end, when it knows how many there are."""

    furniture: Furniture  # set on the subclass that :func:`canvas_for` makes

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pages: list[dict[str, Any]] = []
        self._entries: list[_Entry] = []
        self._contents: tuple[int, float, float] | None = None
        self._mark = self._page_mark = ""

    def set_page_mark(self, text: str) -> None:
        """Header mark of this page and the following ones."""
        self._mark = text
        self._page_mark = self._page_mark or text

    def enter_contents(self, title: str, key: str, level: int, height: float) -> None:
        """Bookmark the place of a heading; top level headings are listed in the contents."""
        self.bookmarkHorizontal(key, 0, height + 8)
        self.addOutlineEntry(title, key, level=level, closed=level == 0)
        if level == 0:
            self._entries.append(_Entry(title, key, len(self._pages) + 1))

    def reserve_contents(self, x: float, y: float) -> None:
        """Remember where the contents go: first line's top at (``x``, ``y``) of this page."""
        self._contents = (len(self._pages), x, y)

    def showPage(self) -> None:
        state = dict(self.__dict__)
        state.pop("_pages")
        self._pages.append(state)
        self._startPage()
        self._page_mark = self._mark

    def save(self) -> None:
        pages, entries, contents = self._pages, self._entries, self._contents
        for number, state in enumerate(pages):
            self.__dict__.update(state)
            if contents is not None and contents[0] == number:
                self._draw_contents(entries, contents[1], contents[2])
            self._draw_furniture(number + 1, len(pages))
            super().showPage()
        self._pages = pages
        super().save()

    def _draw_contents(self, entries: list[_Entry], x: float, y: float) -> None:
        for entry in entries:
            title, page = Text(entry.title, BODY), Text(str(entry.page), BODY)
            title.layout(TEXT_WIDTH - 40)
            page.layout(60)
            title.paint(self, x, y)
            number_x = x + TEXT_WIDTH - page.natural_width()
            page.paint(self, number_x, y)
            self.setStrokeColor(RULE)
            self.setLineWidth(0.5)
            self.setDash(0.5, 2.5)
            self.line(x + title.natural_width() + 6, y - 9.8, number_x - 6, y - 9.8)
            self.setDash()
            self.linkRect("", entry.key, (x, y - BODY.leading, x + TEXT_WIDTH, y), relative=0, thickness=0)
            y -= _ENTRY_LEADING

    def _line(self, content: str, style: TextStyle, x: float, y: float, width: float) -> None:
        text, kept = Text(content, style), content
        while text.natural_width() > width and kept:
            kept = kept[:-1]
            text = Text(f"{kept.rstrip()}…", style)
        text.layout(width + 1)
        text.paint(self, x, y)

    def _draw_furniture(self, page: int, pages: int) -> None:
        furniture = self.furniture
        right = TextStyle(FURNITURE.size, FURNITURE.leading, FURNITURE.role, FURNITURE.colour, align="right")
        top, bottom = PAGE_HEIGHT - 13 * 72 / 25.4, 13 * 72 / 25.4
        left = TEXT_WIDTH * (0.62 if len(self._page_mark) <= _SHORT_MARK else 0.46)
        self._line(furniture.header, FURNITURE, MARGIN, top, left)
        if self._page_mark:
            strong = TextStyle(FURNITURE.size, FURNITURE.leading, BOLD, WARNING, align="right")
            self._line(self._page_mark, strong, MARGIN + left, top, TEXT_WIDTH - left)
        else:
            self._line(furniture.title, right, MARGIN + TEXT_WIDTH * 0.62, top, TEXT_WIDTH * 0.38)
        self.setStrokeColor(RULE)
        self.setLineWidth(0.5)
        self.line(MARGIN, top - 12, PAGE_WIDTH - MARGIN, top - 12)
        self.line(MARGIN, bottom + 6, PAGE_WIDTH - MARGIN, bottom + 6)
        self._line(f"{furniture.noun} {furniture.run}", FURNITURE, MARGIN, bottom, TEXT_WIDTH * 0.75)
        counter = TextStyle(FURNITURE.size, FURNITURE.leading, FURNITURE.role, QUIET, align="right")
        self._line(f"Page {page} of {pages}", counter, MARGIN + TEXT_WIDTH * 0.75, bottom, TEXT_WIDTH * 0.25)
        if furniture.watermark:
            self._draw_watermark(furniture.watermark)

    def _draw_watermark(self, words: str) -> None:
        font(BOLD)
        self.saveState()
        self.setFillColor(WARNING)
        self.rect(0, PAGE_HEIGHT - 18, PAGE_WIDTH, 18, stroke=0, fill=1)
        self.rect(0, 0, PAGE_WIDTH, 18, stroke=0, fill=1)
        self.setFillColorRGB(1, 1, 1)
        self.setFont(BOLD, 9.5)
        self.drawCentredString(PAGE_WIDTH / 2, PAGE_HEIGHT - 12.5, words)
        self.drawCentredString(PAGE_WIDTH / 2, 5.5, words)
        self.translate(PAGE_WIDTH / 2, PAGE_HEIGHT / 2)
        self.rotate(54)
        self.setFillColor(WATERMARK)
        self.setFont(BOLD, 33)
        self.drawCentredString(0, -11, words)
        self.restoreState()


def canvas_for(furniture: Furniture, attachment: bytes, date: str, description: str = OF_A_RUN) -> type[ReportCanvas]:
    """A canvas class with this furniture that attaches ``attachment`` as ``attestation.json``."""

    class _Canvas(ReportCanvas):
        def save(self) -> None:
            attach(self, attachment, date, description)
            super().save()

    _Canvas.furniture = furniture
    return _Canvas


class _StoredStream(PDFStream):  # type: ignore[misc]
    """A stream without filters and without an empty list of them."""

    def format(self, document: Any) -> bytes:
        dictionary = PDFDictionary({**self.dictionary.dict, "Length": len(self.content)})
        return bytes(dictionary.format(document)) + b"\nstream\n" + bytes(self.content) + b"\nendstream\n"


def attach(canvas: Canvas, data: bytes, date: str, description: str = OF_A_RUN) -> None:
    """Embed ``data`` (ISO 32000-2, 7.11.4), unfiltered, so that its bytes stand in the file as they are."""
    document = canvas._doc
    stream = _StoredStream(
        PDFDictionary(
            {
                "Type": PDFName("EmbeddedFile"),
                "Subtype": "/application#2Fjson",
                "Params": PDFDictionary({"Size": len(data), "ModDate": PDFString(date)}),
            }
        ),
        data,
    )
    reference = document.Reference(stream)
    specification = PDFDictionary(
        {
            "Type": PDFName("Filespec"),
            "F": PDFString(ATTACHMENT),
            "UF": PDFString(ATTACHMENT),
            "EF": PDFDictionary({"F": reference, "UF": reference}),
            "Desc": PDFString(description),
            "AFRelationship": PDFName("Data"),
        }
    )
    names = PDFArray([PDFString(ATTACHMENT), document.Reference(specification)])
    document.Catalog.Names = PDFDictionary({"EmbeddedFiles": document.Reference(PDFDictionary({"Names": names}))})
