"""The label that generative pixels cannot lose: burned into the picture itself.

It stands along the top and the bottom edge, repeated across the width, light on a black box, and over the
picture, light with a black outline: in the middle, and where there is room at the crossings of its quarters.
So neither the crop of an edge nor one to the middle takes all of it away. It is drawn as in :data:`LABEL`, em
dash included, in a fixed bitmap font (no font library, hence the same bits everywhere), and every sample that
it touches has a fixed value: drawn twice it is the same.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np

from forensic.errors import InternalError
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry, Planes
from forensic.frames.stageclass import StageClass
from forensic.media.lettering import GLYPHS

LABEL = "AI-GENERATED DETAIL — NOT EVIDENCE"
SMALLEST_SIDE = 64

EDGES, EVERYWHERE = 1, 2
"""Forms of the label: at the edges alone (releases before 0.3.0), and over the picture as well."""

_BETWEEN = 12  # blank columns between two repeats

_LINES = ("AI-GENERATED", "DETAIL —", "NOT EVIDENCE")
_FEWEST = ("NOT", "EVIDENCE")  # over a picture too small for more; its edges carry the whole
_IN_THE_MIDDLE = 0.7  # of width and height: what is cropped to so much still shows a whole mark
_MOST_COVERED = 0.1  # of the picture, by more marks than one
_CROSSINGS = {
    9: [(row / 4, column / 4) for row in (1, 2, 3) for column in (1, 2, 3)],
    5: [(1 / 4, 1 / 4), (1 / 4, 3 / 4), (1 / 2, 1 / 2), (3 / 4, 1 / 4), (3 / 4, 3 / 4)],
    1: [(1 / 2, 1 / 2)],
}

# Rows top to bottom, # is ink. Seven rows for pictures that have room, five for tiny ones.
_SEVEN = {character: GLYPHS[character] for character in "ACDEGILNORTV-— "}
_FIVE = {
    "A": ".#. #.# ### #.# #.#",
    "C": ".## #.. #.. #.. .##",
    "D": "##. #.# #.# #.# ##.",
    "E": "### #.. ##. #.. ###",
    "G": ".## #.. #.# #.# .##",
    "I": "### .#. .#. .#. ###",
    "L": "#.. #.. #.. #.. ###",
    "N": "#..# ##.# #.## #..# #..#",
    "O": ".#. #.# #.# #.# .#.",
    "R": "##. #.# ##. #.# #.#",
    "T": "### .#. .#. .#. .#.",
    "V": "#.# #.# #.# #.# .#.",
    "-": ".. .. ## .. ..",
    "—": "..... ..... ##### ..... .....",
    " ": ".. .. .. .. ..",
}


def _glyph(font: dict[str, str], character: str) -> np.ndarray:
    return np.array([[mark == "#" for mark in row] for row in font[character].split()], dtype=bool)


def _text(font: dict[str, str], text: str) -> np.ndarray:
    """Ink of one line of ``text``, one blank column after each character."""
    columns = []
    for character in text:
        glyph = _glyph(font, character)
        columns += [glyph, np.zeros((glyph.shape[0], 1), bool)]
    return np.hstack(columns)


def _block(font: dict[str, str], lines: tuple[str, ...]) -> np.ndarray:
    """Ink of centred ``lines``, two blank rows apart."""
    inks = [_text(font, line) for line in lines]
    width = max(ink.shape[1] for ink in inks)
    rows: list[np.ndarray] = []
    for ink in inks:
        left = (width - ink.shape[1]) // 2
        rows += [np.pad(ink, ((0, 0), (left, width - ink.shape[1] - left))), np.zeros((2, width), bool)]
    return np.vstack(rows[:-1])


def _tiled(block: np.ndarray, width: int, scale: int) -> np.ndarray:
    """``block`` enlarged and repeated as often as it fits into ``width`` columns whole, centred."""
    unit = np.kron(np.pad(block, ((0, 0), (0, _BETWEEN))), np.ones((scale, scale), bool))
    copies = max(1, (width + _BETWEEN * scale) // unit.shape[1])
    row = np.hstack([unit] * copies)[:, : -_BETWEEN * scale]
    left = (width - row.shape[1]) // 2
    return np.pad(row, ((0, 0), (left, width - row.shape[1] - left)))


def _scale(width: int, height: int) -> int:
    return max(1, round(min(width, height) / 360))


@lru_cache(maxsize=8)
def _strip(width: int, height: int, step: int) -> np.ndarray:
    """Ink (True) of the strip for a picture of this size; its row count is a multiple of ``step``."""
    block, scale = _block(_SEVEN, (LABEL,)), _scale(width, height)
    while scale > 1 and block.shape[1] * scale > width:
        scale -= 1
    if block.shape[1] > width:
        block = _block(_SEVEN, _LINES)
        if block.shape[1] > width or 4 * block.shape[0] > height:
            block = _block(_FIVE, _LINES)
    strip = np.pad(_tiled(block, width, scale), ((2 * scale, 2 * scale), (0, 0)))
    return np.pad(strip, ((0, -strip.shape[0] % step), (0, 0)))


def _outlined(block: np.ndarray, scale: int, steps: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Ink of ``block`` enlarged, and what it covers, its outline of ``scale`` samples included.

    Both are padded to multiples of ``steps``, (rows, columns).
    """
    ink = np.pad(np.kron(block, np.ones((scale, scale), bool)), scale)
    covered = ink.copy()
    for axis in (0, 1):  # a square around each sample, rows first; the margin keeps what is rolled from coming round
        covered |= np.logical_or.reduce([np.roll(covered, by, axis) for by in range(-scale, scale + 1)])
    padding = [(0, -size % step) for size, step in zip(ink.shape, steps, strict=True)]
    return np.pad(ink, padding), np.pad(covered, padding)


@lru_cache(maxsize=8)
def _marks(
    width: int, band: tuple[int, int], height: int, steps: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Ink and cover of the mark over a picture of this size, and where it stands (top, left).

    ``band`` are the rows between the strips; places are multiples of ``steps``, so that no chroma sample
    belongs to a mark in part.
    """
    (first, stop), scale = band, _scale(width, height)
    for font, lines, enlarged in ((_SEVEN, _LINES, scale), (_FIVE, _LINES, 1), (_FIVE, _FEWEST, 1)):
        ink, covered = _outlined(_block(font, lines), enlarged, steps)
        rows, columns = ink.shape
        if columns <= _IN_THE_MIDDLE * width and rows <= min(_IN_THE_MIDDLE * height, stop - first):
            break
    places: list[tuple[int, int]] = []
    for count, crossings in _CROSSINGS.items():
        apart = 1.5 * columns <= width / (4 if count == 9 else 2) and 1.5 * rows <= height / 4
        if count == 1 or (apart and count * rows * columns <= _MOST_COVERED * width * height):
            for down, across in crossings:
                top = min(max(round(down * height) - rows // 2, first), stop - rows)
                left = round(across * width) - columns // 2
                places.append((top // steps[0] * steps[0], left // steps[1] * steps[1]))
            break
    return ink, covered, places


def _codes(frame_geometry: Geometry, limited: bool) -> tuple[int, int, int]:
    """Code values of black, white and neutral chroma."""
    layout = frame_geometry.layout
    scale = 1 << (layout.bits - 8)
    black, white = (16 * scale, 235 * scale) if limited else (0, layout.maximum)
    return black, white, 128 * scale


def burn(frame: CodedFrame, form: int = EVERYWHERE) -> CodedFrame:
    """``frame`` with the label in its samples. Class, timing and the rest are unchanged.

    ``form``: :data:`EDGES` is for repeating what earlier releases made, and for nothing else. Works on every
    layout. Raises ``InternalError`` (``label.too-small``) below 64 samples a side: a picture that cannot carry
    the label is not written.
    """
    geometry = frame.geometry
    if min(geometry.width, geometry.height) < SMALLEST_SIDE:
        raise InternalError(
            "label.too-small",
            f"A generative picture of {geometry.width}x{geometry.height} has no room for the label.",
            f"Generative output needs at least {SMALLEST_SIDE} samples a side.",
        )
    layout = geometry.layout
    limited = layout.family == "yuv" and not frame.colour.full_range
    black, white, neutral = _codes(geometry, limited)
    sy = layout.chroma_shift_y
    ink = _strip(geometry.width, geometry.height, 1 << sy)
    rows = ink.shape[0]
    # The lower box starts on a chroma row, so that no chroma sample belongs half to the picture.
    below = (geometry.height - rows) >> sy << sy
    box = np.where(ink, white, black).astype(layout.dtype)
    planes = []
    for number, plane in enumerate(frame.planes):
        drawn = plane.copy()
        if layout.family == "yuv" and number:
            drawn[: rows >> sy] = neutral
            drawn[below >> sy :] = neutral
        else:
            drawn[:rows] = box
            drawn[below:] = black
            drawn[below : below + rows] = box
        planes.append(drawn)
    if form != EDGES:
        _mark(planes, geometry, (rows, below), (black, white, neutral))
    return CodedFrame(tuple(planes), geometry, frame.colour, frame.timing, frame.stage_class)


def _mark(planes: list[np.ndarray], geometry: Geometry, band: tuple[int, int], codes: tuple[int, int, int]) -> None:
    """Draw the marks over the picture into ``planes``, between the strips."""
    layout, (black, white, neutral) = geometry.layout, codes
    sy, sx = layout.chroma_shift_y, layout.chroma_shift_x
    ink, covered, places = _marks(geometry.width, band, geometry.height, (1 << sy, 1 << sx))
    rows, columns = ink.shape
    touched = covered.reshape(rows >> sy, 1 << sy, columns >> sx, 1 << sx).any(axis=(1, 3))
    for top, left in places:
        for number, plane in enumerate(planes):
            if layout.family == "yuv" and number:
                plane[top >> sy :, left >> sx :][: rows >> sy, : columns >> sx][touched] = neutral
            else:
                plane[top : top + rows, left : left + columns][covered] = black
                plane[top : top + rows, left : left + columns][ink] = white


def is_labelled(frame: CodedFrame) -> bool:
    """Whether the label stands in the samples of ``frame``: drawing it once more would change nothing."""
    return burn(frame).sha256 == frame.sha256


def shows_label(planes: Planes, geometry: Geometry, colour: ColourSpec) -> bool:
    """Whether the label stands at the edges of a picture, as it does in every form, whatever class the picture claims.

    Raises ``InternalError`` (``label.too-small``).
    """
    frame = CodedFrame(planes, geometry, colour, FrameTiming(0, 0, Fraction(1)), StageClass.GENERATIVE)
    return burn(frame, EDGES).sha256 == frame.sha256
