"""Annotation: marks where they belong, nothing else touched, redactions for good."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec, to_rgb
from forensic.hashes import canonical_json
from forensic.media.lettering import GLYPHS, LINE_ROWS, line_of_text, unknown_characters
from forensic.stages import catalogue
from forensic.stages.drawing import COLOURS
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import parse_recipe

LAYOUTS = ["yuv420p", "yuv422p10le", "yuv444p", "yuv411p", "gray", "rgb24"]


def annotated(*marks, **values):
    return catalogue.build("annotate", {"marks": list(marks), **values})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_mark_is_drawn_where_it_belongs_and_nothing_else_is_touched(layout, working):
    frame = working(160, 120, layout)
    made = annotated({"kind": "box", "at": [40, 30], "to": [100, 80], "colour": "red"}).process([frame], 0)
    changed = made.planes[0] != frame.planes[0]
    assert changed[30, 40:101].all() and changed[80, 40:101].all() and changed[30:81, 40].all()
    assert not changed[40:71, 50:91].any() and not changed[:24].any() and not changed[:, 106:].any()
    if layout != "gray":
        steps = tuple(-(-a // b) for a, b in zip(made.planes[0].shape, made.planes[1].shape, strict=True))
        colour = made.planes[1] != frame.planes[1]
        assert colour.any() and not colour[48 // steps[0] : 64 // steps[0], 56 // steps[1] : 88 // steps[1]].any()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p", "rgb24"])
@pytest.mark.parametrize("colour", list(COLOURS))
def test_a_filled_place_has_the_colour_that_was_asked_for(colour, layout, full, working):
    frame = working(64, 48, layout, colour=ColourSpec(full_range=full if layout != "rgb24" else None))
    made = annotated({"kind": "redact", "at": [8, 8], "to": [39, 31], "colour": colour}).process([frame], 0).quantise()
    shown = to_rgb(made.planes, made.geometry.layout, made.colour)
    assert np.abs(shown[10:30, 10:38] - np.rint(np.array(COLOURS[colour]) * 255)).max() <= 2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_redaction_leaves_no_trace_of_what_was_there(layout, working):
    mark = {"kind": "redact", "at": [11, 13], "to": [50, 36], "text": "REDACTED"}
    one = annotated(mark).process([working(96, 64, layout, seed=1)], 0)
    two = annotated(mark).process([working(96, 64, layout, seed=9)], 0)
    for a, b in zip(one.planes, two.planes, strict=True):
        step_y, step_x = -(-64 // a.shape[0]), -(-96 // a.shape[1])
        inner = slice(13 // step_y, 36 // step_y + 1), slice(11 // step_x, 50 // step_x + 1)
        assert np.array_equal(a[inner], b[inner]), "two scenes are the same under the redaction, colour included"
        assert not np.array_equal(a, b)


def test_a_redaction_covers_every_pixel_that_it_touches_and_hides_marks_no_less(working):
    frame = working(96, 64, "gray")
    made = annotated(
        {"kind": "arrow", "at": [30, 30], "to": [80, 50]}, {"kind": "redact", "at": [20.6, 20.4], "to": [10.4, 9.6]}
    ).process([frame], 0)
    assert np.all(made.planes[0][10:21, 10:22] == 0.0)
    assert np.array_equal(made.planes[0][:9, :9], frame.planes[0][:9, :9])
    assert made.planes[0][30, 30] != frame.planes[0][30, 30]


def test_a_circle_is_round_to_a_tenth_of_a_pixel(working):
    frame = working(200, 200, "gray", planes=(np.zeros((200, 200)),))
    made = annotated({"kind": "circle", "at": [99.3, 101.7], "radius": 60.0, "colour": "white", "thickness": 3.0})
    ink = made.process([frame], 0).planes[0].astype(np.float64)
    y, x = np.mgrid[:200, :200]
    assert (ink * x).sum() / ink.sum() == pytest.approx(99.3, abs=0.05)
    assert (ink * y).sum() / ink.sum() == pytest.approx(101.7, abs=0.05)
    distance = np.hypot(x - 99.3, y - 101.7)
    assert (ink * distance).sum() / ink.sum() == pytest.approx(60.0, abs=0.1)
    assert not ink[(distance < 57.9) | (distance > 62.1)].any()


def test_marks_are_shown_on_their_frames_only_and_noted(working):
    stage = annotated(
        {"kind": "circle", "at": [30, 30], "radius": 9, "first_frame": 2, "last_frame": 3},
        {"kind": "line", "at": [60, 30], "to": [80, 30], "first_frame": 3},
    )
    for index, expected in ((1, []), (2, [1]), (3, [1, 2]), (9, [2])):
        frame = working(96, 64, index=index)
        made, note = stage.process_noted([frame], 0)
        assert note == {"marks": expected}
        assert np.array_equal(made.planes[0], frame.planes[0]) is (not expected)


def test_text_is_drawn_in_a_box_that_stays_in_the_picture(working):
    frame = working(160, 120, "gray", planes=(np.full((120, 160), 90.0),))
    made = annotated({"kind": "text", "at": [150, 118], "text": "Kfz 12°"}).process([frame], 0)
    ink = line_of_text("Kfz 12°")
    rows, columns = np.nonzero(made.planes[0] != 90.0)
    assert rows.max() == 119 and columns.max() == 159
    assert np.ptp(columns) + 1 == ink.shape[1] + 4 and np.ptp(rows) + 1 == LINE_ROWS + 2
    box = made.planes[0][rows.min() + 1 : rows.max(), columns.min() + 2 : columns.max() - 1]
    assert np.array_equal(box > 127, ink), "letter for letter"


def test_places_marked_on_the_exhibit_are_found_in_an_enlarged_picture(working):
    frame = working(96, 64, "gray", planes=(np.full((64, 96), 90.0),))
    mark = {"kind": "circle", "at": [30, 20], "radius": 10, "thickness": 1.0, "colour": "white"}
    pipeline = Pipeline([catalogue.build("resize", {"scale": 3.0}), annotated(mark, marked_on=[96, 64])])
    made = pipeline.process_window([frame], 0).planes[0]
    y, x = np.nonzero(np.abs(made - 90.0) > 1.0)
    assert (x.min() + x.max()) / 2 == pytest.approx(91.0, abs=0.51), "the middle of pixel 30 is 91 at three times"
    assert (y.min() + y.max()) / 2 == pytest.approx(61.0, abs=0.51)
    with pytest.raises(BadInput) as refusal:
        Pipeline([catalogue.build("resize", {"scale": 3.0}), annotated(mark)])
    assert refusal.value.code == "recipe.order"
    with pytest.raises(BadInput) as refusal:
        annotated(mark, marked_on=[96, 80]).output_geometry(frame.geometry)
    assert refusal.value.code == "stage.marked-on"


def test_a_region_moves_the_marks_with_it(working):
    text = 'name = "x"\ntitle = "X"\nwhy = "Test."\n[[stage]]\nname = "annotate"\nwhy = "Look."\n' + (
        'parameters = { marks = [{ kind = "line", at = [40.0, 30.0], to = [60.0, 40.0] }] }\n'
    )
    whole, part = (parse_recipe(text.encode(), "x.toml").bind(roi=roi) for roi in (None, (20, 10, 60, 50)))
    frame = working(96, 64, "gray")
    a, b = (bound.pipeline.process_window([frame], 0).planes[0] for bound in (whole, part))
    assert np.array_equal(a[10:60, 20:80], b)
    assert part.stages[1].parameters.marks[0].to == (40.0, 30.0)
    canonical_json(part.record())


@pytest.mark.parametrize(
    "mark",
    [
        {"kind": "arrow", "at": [1, 1]},
        {"kind": "circle", "at": [1, 1], "to": [2, 2]},
        {"kind": "circle", "at": [1, 1]},
        {"kind": "text", "at": [1, 1]},
        {"kind": "text", "at": [1, 1], "text": "日本"},
        {"kind": "text", "at": [1, 1], "text": "a\nb"},
        {"kind": "blur", "at": [1, 1], "to": [9, 9]},
        {"kind": "box", "at": [1, 1], "to": [9, 9], "colour": "pink"},
        {"kind": "box", "at": [1, 1], "to": [9, 9], "first_frame": 5, "last_frame": 4},
        {"kind": "redact", "at": [1, 1], "to": [9, 9], "thickness": 2.0},
        {"kind": "box", "at": [1, float("inf")], "to": [9, 9]},
        {"kind": "box", "at": [1, 1], "to": [9, 9], "size": 3},
    ],
)
def test_a_mark_that_is_none_is_refused(mark):
    with pytest.raises(BadInput) as refusal:
        annotated(mark)
    assert refusal.value.code == "stage.parameters" and "marks" in refusal.value.message


@pytest.mark.parametrize(
    "mark",
    [{"kind": "box", "at": [200, 10], "to": [220, 30]}, {"kind": "text", "at": [1, 1], "text": "Much too long for it"}],
)
def test_a_mark_that_would_not_show_is_refused_not_dropped(mark, working):
    with pytest.raises(BadInput) as refusal:
        annotated(mark).output_geometry(working(96, 64).geometry)
    assert refusal.value.code == "stage.annotate"


def test_every_letter_of_the_font_can_be_told_from_every_other():
    drawn = {}
    for character in GLYPHS:
        ink = line_of_text(character)
        drawn.setdefault((ink.shape, ink.tobytes()), []).append(character)
    assert [same for same in drawn.values() if len(same) > 1] == []
    assert unknown_characters("".join(map(chr, range(32, 127))) + "ÄÖÜäöüßéèçñåŠž – ±×°²") == ""
    assert unknown_characters("日a本日") == "日本"
