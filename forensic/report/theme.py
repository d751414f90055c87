"""One type scale, one set of colours and margins for the whole document (points, 1/72 inch)."""

from __future__ import annotations

from dataclasses import dataclass

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm

from forensic.report.fonts import BOLD, MONO, REGULAR

PAGE_WIDTH, PAGE_HEIGHT = A4
MARGIN = 20 * mm
TOP, BOTTOM = 24 * mm, 22 * mm
TEXT_WIDTH = PAGE_WIDTH - 2 * MARGIN
TEXT_HEIGHT = PAGE_HEIGHT - TOP - BOTTOM

INK = HexColor("#1b1b1b")
QUIET = HexColor("#5a5a5a")
RULE = HexColor("#c9c9c9")
ACCENT = HexColor("#1f3a5f")
PANEL = HexColor("#f1f4f8")
CAUTION = HexColor("#8a5a00")
CAUTION_PANEL = HexColor("#fdf6e7")
WARNING = HexColor("#a32a00")
WARNING_PANEL = HexColor("#fcefe9")
WATERMARK = Color(0.64, 0.16, 0.0, alpha=0.16)


@dataclass(frozen=True)
class TextStyle:
    """How a block of text is set. ``align`` is ``left``, ``right`` or ``centre``."""

    size: float
    leading: float
    role: str = REGULAR
    colour: Color = INK
    before: float = 0.0
    after: float = 0.0
    indent: float = 0.0
    align: str = "left"


TITLE = TextStyle(21, 27, BOLD, ACCENT, after=2)
SUBTITLE = TextStyle(11, 15, REGULAR, QUIET, after=8)
HEADING = TextStyle(14.5, 19, BOLD, ACCENT, before=14, after=6)
SUBHEADING = TextStyle(10.5, 14, BOLD, INK, before=9, after=3)
BODY = TextStyle(9.2, 13, after=5)
SMALL = TextStyle(8, 11, REGULAR, QUIET, after=4)
CELL = TextStyle(8.4, 11.4)
CELL_LABEL = TextStyle(8.4, 11.4, REGULAR, QUIET)
CELL_HEAD = TextStyle(7.8, 10.6, BOLD, INK)
CELL_MONO = TextStyle(7.8, 11.4, MONO)
COMMAND = TextStyle(7.8, 11.2, MONO)
CAPTION = TextStyle(7.8, 10.4, REGULAR, QUIET, after=2)
FURNITURE = TextStyle(7.4, 9, REGULAR, QUIET)
