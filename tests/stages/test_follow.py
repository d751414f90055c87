"""The stage ``follow``: a rectangle that moves, shown sample for sample."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.stages import catalogue
from forensic.stages.chroma import NEUTRAL
from forensic.stages.recipe import parse_recipe


def followed(values, frame):
    return catalogue.build("follow", {"width": 20, "height": 12, **values}).process_noted([frame], 0)


@pytest.mark.parametrize("layout", ["yuv420p", "yuv411p", "rgb24"])
def test_whole_placing_copies_samples(layout, working):
    frame = working(96, 64, layout, index=5)
    made, note = followed({"points": [[4, 30.0, 20.0], [8, 50.0, 28.0]]}, frame)
    left, top = (int(value) for value in note["corner"])
    assert abs(left + 9.5 - 35) <= 2 and abs(top + 5.5 - 22) <= 1 and note["position"] == "between two given"
    assert np.array_equal(made.planes[0], frame.planes[0][top : top + 12, left : left + 20])
    if layout != "rgb24":
        step_y, step_x = (2, 2) if layout == "yuv420p" else (1, 4)
        part = frame.planes[1][top // step_y : (top + 12) // step_y, left // step_x : (left + 20) // step_x]
        assert np.array_equal(made.planes[1], part)


def test_interpolated_placing_is_exact_to_the_fraction(working):
    y, x = np.mgrid[:64, :96].astype(float)
    frame = working(96, 64, "gray", planes=(100 + 1.5 * x + 0.5 * y,), index=4)
    made, note = followed({"points": [[4, 30.3, 20.6]], "placing": "bicubic"}, frame)
    assert note["position"] == "given" and note["corner"] == pytest.approx([20.8, 15.1])
    y, x = np.mgrid[:12, :20]
    assert np.abs(made.planes[0] - (100 + 1.5 * (x + 20.8) + 0.5 * (y + 15.1))).max() < 1e-2


def test_where_and_when_there_is_nothing_to_show_it_is_neutral(working):
    frame = working(96, 64, index=5)
    made, note = followed({"points": [[5, 3.5, 3.5]]}, frame)
    assert np.all(made.planes[0][:2] == np.float32(125.5)) and note["outside"]["share"] > 0.3
    for points in ([[6, 30.0, 20.0]], [[1, 30.0, 20.0], [4, 30.0, 20.0]]):
        made, note = followed({"points": points}, frame)
        assert note["corner"] is None and note["outside"]["share"] == 1.0
        assert np.all(made.planes[0] == np.float32(125.5)) and np.all(made.planes[1] == NEUTRAL)


@pytest.mark.parametrize(
    "points", [[], [[1, 2.0, 3.0], [1, 4.0, 5.0]], [[3, 2.0, 3.0], [1, 4.0, 5.0]], [[-1, 2.0, 3.0]]]
)
def test_positions_that_do_not_rise_are_refused(points):
    with pytest.raises(BadInput):
        catalogue.build("follow", {"points": points, "width": 20, "height": 12})


def test_positions_move_with_a_region_of_interest():
    values = {"points": [[0, 69.5, 59.5], [3, 80.0, 60.0]], "width": 64, "height": 48}
    text = 'name = "x"\ntitle = "X"\nwhy = "Test."\n[[stage]]\nname = "follow"\nwhy = "Car."\n'
    text += f"parameters = {{ points = {values['points']}, width = 64, height = 48 }}\n"
    bound = parse_recipe(text.encode(), "x.toml").bind(roi=(10, 20, 200, 120))
    assert bound.stages[1].parameters.points[0] == (0, 59.5, 39.5)


@pytest.mark.parametrize(("layout", "pitch"), [("yuv420p", (2, 2)), ("yuv411p", (4, 1)), ("gray", (1, 1))])
def test_the_corner_lies_on_the_colour_grid_and_is_where_pixels_come_from(layout, pitch, working):
    frame = working(96, 64, layout, index=5)
    stage = catalogue.build("follow", {"points": [[4, 30.3, 20.6], [8, 50.1, 28.2]], "width": 20, "height": 12})
    corner = stage.corner(5, frame.geometry.layout)
    assert corner is not None and corner[0] % pitch[0] == 0 and corner[1] % pitch[1] == 0
    assert stage.process_noted([frame], 0)[1]["corner"] == list(corner)
    assert stage.corner(3, frame.geometry.layout) is None and stage.corner(9, frame.geometry.layout) is None
