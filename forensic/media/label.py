"""The label that generative pixels cannot lose: burned into the picture itself.

It stands along the top and the bottom edge and is repeated across the width, so that no single crop
removes it, in a fixed bitmap font (no font library, hence the same bits everywhere), light on a black
box. It is drawn as in :data:`LABEL`, em dash included.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from forensic.errors import InternalError
from forensic.frames.frame import CodedFrame, Geometry
from forensic.media.lettering import GLYPHS

LABEL = "AI-GENERATED DETAIL — NOT EVIDENCE"
SMALLEST_SIDE = 64

_BETWEEN = 12  # blank columns between two repeats

_LINES = ("AI-GENERATED", "DETAIL —", "NOT EVIDENCE")

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


@lru_cache(maxsize=8)
def _strip(width: int, height: int, step: int) -> np.ndarray:
    """Ink (True) of the strip for a picture of this size; its row count is a multiple of ``step``."""
    block, scale = _block(_SEVEN, (LABEL,)), max(1, round(min(width, height) / 360))
    while scale > 1 and block.shape[1] * scale > width:
        scale -= 1
    if block.shape[1] > width:
        block = _block(_SEVEN, _LINES)
        if block.shape[1] > width or 4 * block.shape[0] > height:
            block = _block(_FIVE, _LINES)
    strip = np.pad(_tiled(block, width, scale), ((2 * scale, 2 * scale), (0, 0)))
    return np.pad(strip, ((0, -strip.shape[0] % step), (0, 0)))


def _codes(frame_geometry: Geometry, limited: bool) -> tuple[int, int, int]:
    """Code values of black, white and neutral chroma."""
    layout = frame_geometry.layout
    scale = 1 << (layout.bits - 8)
    black, white = (16 * scale, 235 * scale) if limited else (0, layout.maximum)
    return black, white, 128 * scale


def burn(frame: CodedFrame) -> CodedFrame:
    """``frame`` with the label in its samples. Class, timing and the rest are unchanged.

    Works on every layout. Raises ``InternalError`` (``label.too-small``) below 64 samples a side: a
    picture that cannot carry the label is not written.
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
    return CodedFrame(tuple(planes), geometry, frame.colour, frame.timing, frame.stage_class)


def is_labelled(frame: CodedFrame) -> bool:
    """Whether the label stands in the samples of ``frame``: drawing it once more would change nothing."""
    return burn(frame).sha256 == frame.sha256
