"""Embedded fonts: which face draws which character, and glyphs for scripts that need shaping.

Simple text goes to ReportLab as characters. Text of scripts whose letters join, stack or carry
marks is shaped with HarfBuzz into glyphs, each addressed through a private-use character that is
a fixed function of its glyph number, so that equal documents have equal bytes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import uharfbuzz
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from forensic.errors import InternalError
from forensic.resources import reports_dir

REGULAR, BOLD, MONO = "NotoSans-Regular", "NotoSans-Bold", "NotoSansMono-Regular"
_BASE = {REGULAR: (REGULAR, MONO), BOLD: (BOLD, REGULAR, MONO), MONO: (MONO, REGULAR)}

# (first, last, face, shaped): the face is asked for characters of its blocks only.
_SCRIPTS: tuple[tuple[int, int, str, bool], ...] = (
    (0x0530, 0x058F, "NotoSansArmenian-Regular", False),
    (0x0590, 0x05FF, "NotoSansHebrew-Regular", True),
    (0xFB1D, 0xFB4F, "NotoSansHebrew-Regular", True),
    (0x0600, 0x08FF, "NotoSansArabic-Regular", True),
    (0xFB50, 0xFEFC, "NotoSansArabic-Regular", True),
    (0x0900, 0x097F, "NotoSansDevanagari-Regular", True),
    (0x0980, 0x09FF, "NotoSansBengali-Regular", True),
    (0x0A00, 0x0A7F, "NotoSansGurmukhi-Regular", True),
    (0x0A80, 0x0AFF, "NotoSansGujarati-Regular", True),
    (0x0B00, 0x0B7F, "NotoSansOriya-Regular", True),
    (0x0B80, 0x0BFF, "NotoSansTamil-Regular", True),
    (0x0C00, 0x0C7F, "NotoSansTelugu-Regular", True),
    (0x0C80, 0x0CFF, "NotoSansKannada-Regular", True),
    (0x0D00, 0x0D7F, "NotoSansMalayalam-Regular", True),
    (0x0D80, 0x0DFF, "NotoSansSinhala-Regular", True),
    (0x0E00, 0x0E7F, "NotoSansThai-Regular", True),
    (0x0E80, 0x0EFF, "NotoSansLao-Regular", True),
    (0x0F00, 0x0FFF, "NotoSerifTibetan-Regular", True),
    (0x1000, 0x109F, "NotoSansMyanmar-Regular", True),
    (0x10A0, 0x10FF, "NotoSansGeorgian-Regular", False),
    (0x1200, 0x139F, "NotoSansEthiopic-Regular", False),
    (0x1780, 0x17FF, "NotoSansKhmer-Regular", True),
    (0xA8E0, 0xA8FF, "NotoSansDevanagari-Regular", True),
    (0x1100, 0x11FF, "NanumSquareR", False),
    (0x3130, 0x318F, "NanumSquareR", False),
    (0xAC00, 0xD7A3, "NanumSquareR", False),
    (0x2000, 0x2BFF, "DroidSansFallbackFull", False),
    (0x2E80, 0xFFEF, "DroidSansFallbackFull", False),
    (0x20000, 0x3FFFF, "DroidSansFallbackFull", False),
)
_SHAPED = frozenset(face for _, _, face, shaped in _SCRIPTS if shaped)
_GLYPH_BASE = 0xE000
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True)
class Glyph:
    """One shaped glyph: its private-use character, and advance and offset in 1/1000 of the size."""

    char: str
    advance: float
    dx: float
    dy: float


@dataclass(frozen=True)
class Run:
    """A stretch of text for one face, ``start`` to ``end`` in the caller's string."""

    face: str
    start: int
    end: int
    shaped: bool


@cache
def font(face: str) -> TTFont:
    """Load and register ``face`` from the shipped fonts (``InternalError`` ``report.font`` if damaged)."""
    path = reports_dir() / "fonts" / f"{face}.ttf"
    try:
        # The parser of the file raises whatever its struct reads run into.
        loaded = TTFont(face, str(path), asciiReadable=True)
    except Exception as error:
        raise InternalError("report.font", f"The font {face} cannot be read.", "Install the package again.") from error
    pdfmetrics.registerFont(loaded)
    return loaded


def _has(face: str, char: str) -> bool:
    return ord(char) in font(face).face.charToGlyph and not 0xE000 <= ord(char) <= 0xF8FF


@lru_cache(maxsize=8192)
def face_for(char: str, role: str) -> str | None:
    """Face that draws ``char`` where ``role`` (REGULAR, BOLD, MONO) is wanted; None if there is none."""
    for face in _BASE[role]:
        if _has(face, char):
            return face
    number = ord(char)
    for low, high, face, _ in _SCRIPTS:
        if low <= number <= high and _has(face, char):
            return face
    return None


def runs(text: str, role: str) -> Iterator[Run]:
    """Split ``text`` into stretches of one face. Marks and joiners stay with what they stand on.

    Every character must have a face (:func:`printable` sees to that).
    """
    start, current, shaped = 0, "", False
    for position, char in enumerate(text):
        mark = unicodedata.category(char) in ("Mn", "Mc", "Me")
        if current and (char in _JOINERS or (mark and _has(current, char)) or (char == " " and current in _SHAPED)):
            shaped = shaped or mark
            continue
        face = face_for(char, role) or role
        if face != current:
            if current:
                yield Run(current, start, position, shaped or current in _SHAPED)
            start, current, shaped = position, face, False
        shaped = shaped or mark
    if current:
        yield Run(current, start, len(text), shaped or current in _SHAPED)


def printable(text: str, role: str) -> str:
    """``text`` with every character that no shipped font has replaced by its code point."""
    if text.isascii():
        return text
    from forensic.report.visible import code_point

    return "".join(char if char in _JOINERS or face_for(char, role) is not None else code_point(char) for char in text)


@lru_cache(maxsize=8192)
def char_width(face: str, char: str) -> float:
    """Advance of ``char`` in 1/1000 of the type size."""
    return float(font(face).face.getCharWidth(ord(char)))


@cache
def _shaper(face: str) -> uharfbuzz.Font:
    return uharfbuzz.Font(uharfbuzz.Face(uharfbuzz.Blob((reports_dir() / "fonts" / f"{face}.ttf").read_bytes())))


@lru_cache(maxsize=4096)
def shape(face: str, text: str, right_to_left: bool) -> tuple[Glyph, ...]:
    """Shape ``text`` in ``face``; glyphs come in the order in which they are drawn, left to right."""
    shaper = _shaper(face)
    buffer = uharfbuzz.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = "rtl" if right_to_left else "ltr"
    uharfbuzz.shape(shaper, buffer)
    scale = 1000.0 / shaper.face.upem
    truetype = font(face).face
    glyphs = []
    for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        number = _GLYPH_BASE + info.codepoint
        if number > 0xF8FF:
            raise InternalError("report.glyph", f"Glyph {info.codepoint} of {face} has no private-use character.")
        truetype.charToGlyph[number] = info.codepoint
        truetype.charWidths[number] = shaper.get_glyph_h_advance(info.codepoint) * scale
        glyphs.append(
            Glyph(chr(number), position.x_advance * scale, position.x_offset * scale, position.y_offset * scale)
        )
    return tuple(glyphs)
