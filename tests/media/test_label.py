"""The label of generative pictures: readable, everywhere, not to be cropped away by one cut."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from forensic.errors import InternalError
from forensic.frames.colour import ColourSpec, to_rgb
from forensic.frames.frame import CodedFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.frames.still import read_still
from forensic.hashes import sha256_bytes
from forensic.media.label import _FIVE, _SEVEN, EDGES, LABEL, _block, _glyph, burn, is_labelled
from forensic.media.stills import write_still
from forensic.media.watermark import sealed
from tests.media.conftest import MakeFrame

_SIZES = [(64, 64), (65, 67), (100, 80), (176, 144), (214, 120), (320, 240), (64, 400), (1280, 720), (1921, 1081)]


def read_text(ink: np.ndarray) -> str:
    """Recognise the characters in a band of ink by the fonts' own glyphs, scale included."""
    rows = np.flatnonzero(ink.any(axis=1))
    ink = ink[rows[0] : rows[-1] + 1]
    for font, height in ((_SEVEN, 7), (_FIVE, 5)):
        if ink.shape[0] % height:
            continue
        scale = ink.shape[0] // height
        small = ink[::scale, ::1]
        glyphs = {c: np.kron(_glyph(font, c), np.ones((1, scale), bool)) for c in font if c != " "}
        blank = _glyph(font, " ").shape[1] * scale
        text, column, gap = "", int(np.flatnonzero(small.any(axis=0))[0]), 0
        while column < small.shape[1]:
            if not small[:, column : column + 1].any():
                column, gap = column + 1, gap + 1
                continue
            # Glyphs with blank edge columns do not exist, so the first match from the widest down is the character.
            for character, glyph in sorted(glyphs.items(), key=lambda item: -item[1].shape[1]):
                window = small[:, column : column + glyph.shape[1]]
                after = small[:, column + glyph.shape[1] : column + glyph.shape[1] + scale]
                if window.shape == glyph.shape and np.array_equal(window, glyph) and not after.any():
                    text += (" " if text and gap >= blank else "") + character
                    column, gap = column + glyph.shape[1], 0
                    break
            else:
                break
        else:
            return text
    return ""


def bands(picture: np.ndarray) -> list[str]:
    """Text lines of a picture of grey levels, top to bottom, where ink is bright."""
    ink = picture > 128
    lines, start = [], None
    for row in range(ink.shape[0] + 1):
        full = row < ink.shape[0] and ink[row].any()
        if full and start is None:
            start = row
        elif not full and start is not None:
            lines.append(read_text(ink[start:row]))
            start = None
    return lines


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("brightness", [0, 90, 255])
def test_label_can_be_read_at_both_edges(size: tuple[int, int], brightness: int, make_frame: MakeFrame) -> None:
    blank = make_frame("gray", *size, stage_class=StageClass.GENERATIVE)
    plane = np.full_like(blank.planes[0], brightness)
    frame = CodedFrame((plane,), blank.geometry, blank.colour, blank.timing, blank.stage_class)
    marked = burn(frame).planes[0]
    for edge in (marked[: size[1] // 2], marked[size[1] // 2 :]):
        inked = np.where((edge == 255) & _in_box(edge, brightness), 255, 0)
        words = " ".join(bands(inked))
        assert "AI-GENERATED" in words
        assert "DETAIL —" in words
        assert "NOT EVIDENCE" in words
        if size[0] >= 214:
            assert LABEL in words


def _in_box(edge: np.ndarray, brightness: int) -> np.ndarray:
    """Rows of the box: those that hold black."""
    rows = (edge == 0).any(axis=1) if brightness else (edge == 255).any(axis=1)
    return np.repeat(rows[:, None], edge.shape[1], axis=1)


def _holds(picture: np.ndarray, lines: tuple[str, ...], font: dict[str, str], scale: int) -> bool:
    """Whether ``lines`` stand somewhere in ``picture``, white with a black outline, dot for dot."""
    ink = np.kron(np.pad(_block(font, lines), 1), np.ones((scale, scale), np.uint8)).astype(np.uint8)
    outlined = cv2.dilate(ink, np.ones((2 * scale + 1, 2 * scale + 1), np.uint8))
    if any(have < need for have, need in zip(picture.shape, ink.shape, strict=True)):
        return False
    apart = cv2.matchTemplate(picture, ink * 255, cv2.TM_SQDIFF, mask=outlined)
    return bool(apart.min() < 255**2)  # less than one dot; the sums are not exact


_WHOLE, _LEAST = ("AI-GENERATED", "DETAIL —", "NOT EVIDENCE"), ("NOT", "EVIDENCE")


@pytest.mark.parametrize(
    ("size", "lines", "font", "scale"),
    [
        ((64, 64), _LEAST, _FIVE, 1), ((200, 64), _WHOLE, _SEVEN, 1), ((100, 80), _WHOLE, _SEVEN, 1),
        ((320, 180), _WHOLE, _SEVEN, 1), ((360, 640), _WHOLE, _SEVEN, 1), ((1280, 720), _WHOLE, _SEVEN, 2),
        ((1921, 1081), _WHOLE, _SEVEN, 3),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ground", [0, 128, 255, "noise"])
def test_a_crop_to_the_middle_still_shows_a_mark(
    size: tuple[int, int], lines: tuple[str, ...], font: dict[str, str], scale: int, ground: int | str,
    make_frame: MakeFrame,
) -> None:  # fmt: skip
    (width, height), blank = size, make_frame("gray", *size, stage_class=StageClass.GENERATIVE)
    plane = blank.planes[0] if ground == "noise" else np.full_like(blank.planes[0], ground)
    frame = CodedFrame((plane,), blank.geometry, blank.colour, blank.timing, blank.stage_class)
    left, top = int(0.15 * width), int(0.15 * height)
    assert _holds(burn(frame).planes[0][top : height - top, left : width - left], lines, font, scale)
    assert not _holds(burn(frame, EDGES).planes[0][top : height - top, left : width - left], lines, font, scale)


@pytest.mark.parametrize("size", [(320, 180), (640, 360), (360, 640), (1280, 720)])
def test_no_crop_to_seventy_per_cent_anywhere_is_without_a_mark(size: tuple[int, int], make_frame: MakeFrame) -> None:
    (width, height), scale = size, max(1, round(min(size) / 360))
    picture = burn(make_frame("gray", *size, stage_class=StageClass.GENERATIVE)).planes[0]
    rows, columns = round(0.7 * height), round(0.7 * width)
    for top in (0, (height - rows) // 2, height - rows):
        for left in (0, (width - columns) // 2, width - columns):
            assert _holds(picture[top : top + rows, left : left + columns], _WHOLE, _SEVEN, scale), (top, left)


def test_marks_cover_little_of_a_picture_that_has_room(make_frame: MakeFrame) -> None:
    frame = make_frame("gray", 1280, 720, stage_class=StageClass.GENERATIVE)
    assert np.mean(burn(frame).planes[0] != burn(frame, EDGES).planes[0]) < 0.06


def test_wide_pictures_carry_it_more_than_once(make_frame: MakeFrame) -> None:
    marked = burn(make_frame("gray", 1280, 720, stage_class=StageClass.GENERATIVE)).planes[0]
    top = bands(np.where(marked[:22] == 255, 255, 0))
    assert top[0].count(LABEL) == 3
    assert marked[:22, :].max() == 255


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("full_range", [True, False])
def test_every_layout_gets_a_black_and_white_box(layout: str, full_range: bool, make_frame: MakeFrame) -> None:
    colour = ColourSpec(matrix=1, full_range=full_range)
    frame = make_frame(layout, 131, 97, colour=colour, stage_class=StageClass.GENERATIVE)
    marked = burn(frame)
    assert marked.geometry == frame.geometry
    assert marked.stage_class is StageClass.GENERATIVE
    assert burn(marked).sha256 == marked.sha256
    rgb = to_rgb(marked.planes, frame.geometry.layout, colour).astype(int)
    for row in (1, 96):  # blank rows of the boxes
        assert rgb[row].max() <= (16 if LAYOUTS[layout].family == "gray" else 2)
    assert (np.ptp(rgb[:20], axis=2) <= 2).all() or LAYOUTS[layout].chroma_shift_y > 1
    beside_the_mark = (slice(45, 50), slice(0, 18))
    for before, after in zip(frame.planes, marked.planes, strict=True):
        if before.shape == frame.planes[0].shape:
            np.testing.assert_array_equal(before[beside_the_mark], after[beside_the_mark])


def test_picture_without_room_is_not_labelled_but_refused(make_frame: MakeFrame) -> None:
    with pytest.raises(InternalError) as caught:
        burn(make_frame("gray", 63, 200, stage_class=StageClass.GENERATIVE))
    assert caught.value.code == "label.too-small"


def test_stills_of_generative_frames_are_labelled(tmp_path: object, make_frame: MakeFrame) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "still.png"
    frame = make_frame("yuv420p", 256, 128, stage_class=StageClass.GENERATIVE)
    written, digest = write_still(path, frame)
    assert digest == sha256_bytes(path.read_bytes())
    assert written.sha256 == sealed(frame).sha256 != frame.sha256 and is_labelled(written)
    still = read_still(path.read_bytes())
    assert still.rgb_matches
    assert still.stage_class is StageClass.GENERATIVE
    assert still.planes_sha256 == written.sha256
    with pytest.raises(InternalError):
        write_still(path, frame.to_working())  # type: ignore[arg-type]
