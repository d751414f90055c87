"""Names from evidence on the page: nothing hidden, nothing reordered, nothing clipped, no empty boxes."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportlab.pdfgen.canvas import Canvas

from forensic.report.bidi import embedding_levels, visual_order
from forensic.report.fonts import BOLD, MONO, REGULAR, face_for, printable, runs
from forensic.report.theme import BODY, CELL_MONO
from forensic.report.typeset import Text, mono
from forensic.report.visible import exact_spelling, visible


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cam\x1b[31m.mp4", "cam‹U+001B›[31m.mp4"),
        ("gpj\u202eexe.jpg", "gpj‹U+202E›exe.jpg"),
        ("a\u2066b\u2069", "a‹U+2066›b‹U+2069›"),
        ("zero\u200bwidth", "zero‹U+200B›width"),
        ("x\u200dy", "x‹U+200D›y"),
        ("no\u00a0break", "no‹U+00A0›break"),
        ("line\nbreak\ttab", "line‹U+000A›break‹U+0009›tab"),
        ("bad\udcffbyte", "bad‹byte FF›byte"),
        ("hangul\u3164filler", "hangul‹U+3164›filler"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_what_cannot_be_seen_is_spelt_out(name: str, shown: str) -> None:
    assert visible(name) == shown


@given(st.text(max_size=60))
def test_no_control_or_format_character_reaches_the_page(text: str) -> None:
    for char in visible(text):
        assert unicodedata.category(char) not in {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert char in "\u200c\u200d" or unicodedata.category(char) != "Cf"


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_names_have_different_exact_spellings(one: str, other: str) -> None:
    assert (one == other) == (exact_spelling(one) == exact_spelling(other))
    assert exact_spelling(one).isascii()


@given(st.text(max_size=60), st.sampled_from([REGULAR, BOLD, MONO]))
def test_every_printed_character_has_a_glyph(text: str, role: str) -> None:
    shown = printable(visible(text), role)
    assert all(char in "\u200c\u200d" or face_for(char, role) is not None for char in shown)
    parts = list(runs(shown, role))
    assert "".join(shown[part.start : part.end] for part in parts) == shown


def test_names_of_many_scripts_need_no_code_points() -> None:
    names = "Überwachung Ελλάδα Камера שלום مرحبا कैमरा ক্যামেরা กล้อง 监控录像 カメラ 한국어 Հայերեն ქართული አማርኛ"
    assert "‹" not in printable(visible(names), REGULAR)


def test_a_character_without_any_font_is_its_code_point() -> None:
    assert printable("\U0001f600", REGULAR) == "‹U+1F600›"


# Expected values made with python-bidi 0.6.12 (Unicode bidirectional algorithm, left-to-right paragraph).
@pytest.mark.parametrize(
    ("logical", "drawn"),
    [
        ("abc", "abc"),
        ("\u05d0\u05d1\u05d2.mp4", "\u05d2\u05d1\u05d0.mp4"),
        ("\u05d0\u05d1 (12).avi", "(12) \u05d1\u05d0.avi"),
        ("\u05d0 1,2 b", "1,2 \u05d0 b"),
        ("a \u05d0\u05d1 b \u05d2", "a \u05d1\u05d0 b \u05d2"),
        ("\u0627\u0661\u0662", "\u0661\u0662\u0627"),
    ],
)
def test_right_to_left_text_is_drawn_in_reading_order(logical: str, drawn: str) -> None:
    mirror = dict(zip("()", ")(", strict=True))
    levels = embedding_levels(logical)
    shown = "".join(mirror.get(logical[i], logical[i]) if levels[i] & 1 else logical[i] for i in visual_order(levels))
    assert shown == drawn


@given(st.text("ab1 .()אבاب١\u064e", max_size=20))
def test_reordering_loses_no_character(text: str) -> None:
    assert sorted(visual_order(embedding_levels(text))) == list(range(len(text)))


@given(st.text(max_size=200), st.integers(30, 500))
def test_every_line_fits_and_no_character_is_lost(text: str, width: int) -> None:
    block = Text(text, BODY)
    block.layout(width)
    assert block._lines[0][0] == 0
    for (_, end), (start, _) in zip(block._lines, block._lines[1:], strict=False):
        assert block._text[end:start].strip(" ") == ""
    assert block._text[block._lines[-1][1] :].strip(" ") == ""
    for start, end in block._lines:
        lone = end - start <= 1 or len(unicodedata.normalize("NFC", block._text[start:end])) <= 2
        assert lone or block._measure(start, end) <= width + 0.02


def test_a_long_hash_wraps_in_a_narrow_column() -> None:
    block = Text(mono("ab" * 32), CELL_MONO)
    assert block.layout(100) > 2 * CELL_MONO.leading


@given(st.text(max_size=80))
def test_any_text_can_be_drawn(text: str) -> None:
    canvas = Canvas(io.BytesIO(), invariant=1)
    block = Text([text, mono(text)], BODY)
    block.layout(200)
    block.paint(canvas, 50, 700)
    canvas.save()


def test_cutting_a_text_keeps_all_its_lines() -> None:
    block = Text("word " * 200, BODY)
    height = block.layout(150)
    head, tail = block.take(height / 2)
    assert head is not None and tail is not None
    assert head.height + tail.height == pytest.approx(height)
