"""Following a region: found to a fraction of a pixel, lost when it is gone, shown sample for sample."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.hashes import canonical_json
from forensic.stages import catalogue
from forensic.stages.chroma import NEUTRAL
from forensic.stages.recipe import parse_recipe
from forensic.stages.tracking import track_region


def pattern(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Something of 42 x 32 pixels with structure: how much of each pixel it covers, and its brightness."""
    inside = np.clip(21 - np.abs(x), 0, 1) * np.clip(16 - np.abs(y), 0, 1)
    return inside, 140 + 35 * np.sin(x / 2.1) + 30 * np.cos((x + 2 * y) / 3.7)


def path(index: int) -> tuple[float, float]:
    return 70 + 3.4 * index + 6 * np.sin(index / 5), 60 + 0.9 * index + 9 * np.cos(index / 6) - 9


def moving(count: int, noise: float = 3.0, hidden=()):
    generator = np.random.default_rng(11)
    y, x = np.mgrid[:160, :280].astype(float)
    still = 80 + 10 * np.sin(x / 17) + 8 * np.cos(y / 11)
    for index in range(count):
        px, py = path(index)
        share, there = pattern(x - px, y - py)
        share = share * (index not in hidden)
        yield index, (still + share * (there - still) + generator.normal(0, noise, x.shape)).astype(np.float32)


BOX = (50, 45, 40, 30)  # its middle is (69.5, 59.5); path(0) is (70, 60)


def test_a_moving_region_is_found_to_a_twentieth_of_a_pixel_without_drift():
    track = track_region(moving(40), BOX)
    assert len(track.points) == 40 and track.lost == ()
    errors = np.array([np.subtract((p.x + 0.5, p.y + 0.5), path(p.frame)) for p in track.points])
    assert np.sqrt((errors[1:] ** 2).mean()) < 0.055, "as the card of follow states"
    assert np.abs(errors[-5:]).max() < 0.25, "errors do not add up"
    assert all(point.like == "first" for point in track.points) and min(p.score for p in track.points) > 0.9
    canonical_json(track.to_record())


def test_a_hidden_region_is_reported_as_lost_and_found_again():
    track = track_region(moving(24, hidden=(9, 10, 11)), BOX)
    assert track.lost == (9, 10, 11)
    found = {point.frame: point for point in track.points}
    assert set(found) == set(range(24)) - {9, 10, 11}
    assert abs(found[12].x + 0.5 - path(12)[0]) < 0.3


def test_a_region_that_never_comes_back_ends_the_search():
    track = track_region(moving(40, hidden=range(8, 40)), BOX)
    assert track.points[-1].frame == 7 and track.lost == tuple(range(8, 19))


def test_it_follows_backwards_too():
    frames = list(moving(12))[::-1]
    px, py = path(11)
    box = (round(px) - 20, round(py) - 15, 40, 30)
    track = track_region(frames, box)
    first = min(track.points, key=lambda point: point.frame)
    off_x, off_y = box[0] + 19.5 - px, box[1] + 14.5 - py
    assert first.frame == 0 and abs(first.x - off_x - path(0)[0]) < 0.3 and abs(first.y - off_y - path(0)[1]) < 0.3


@pytest.mark.parametrize("box", [(0, 0, 4, 30), (270, 10, 40, 30), (-2, 0, 40, 30)])
def test_a_region_that_cannot_be_followed_is_refused(box):
    with pytest.raises(BadInput) as refusal:
        track_region(moving(3), box)
    assert refusal.value.code == "track.region"
    for frames in ([], [(0, np.full((90, 90), 80, np.float32))]):
        with pytest.raises(BadInput):
            track_region(frames, (2, 2, 20, 20))


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


def test_a_track_becomes_a_recipe_and_a_region_moves_with_it(clip):
    track = track_region(moving(6), BOX)
    values = track.to_parameters(64, 48)
    stage = catalogue.build("follow", values)
    assert len(stage.parameters.points) == 6
    text = 'name = "x"\ntitle = "X"\nwhy = "Test."\n[[stage]]\nname = "follow"\nwhy = "Car."\n'
    text += f"parameters = {{ points = {values['points']}, width = 64, height = 48 }}\n"
    bound = parse_recipe(text.encode(), "x.toml").bind(roi=(10, 20, 200, 120))
    assert bound.stages[1].parameters.points[0] == (0, 59.5, 39.5)


@pytest.mark.parametrize(
    "points", [[], [[1, 2.0, 3.0], [1, 4.0, 5.0]], [[3, 2.0, 3.0], [1, 4.0, 5.0]], [[-1, 2.0, 3.0]]]
)
def test_positions_that_do_not_rise_are_refused(points):
    with pytest.raises(BadInput):
        catalogue.build("follow", {"points": points, "width": 20, "height": 12})
