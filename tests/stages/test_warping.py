"""Perspective and lens correction: places where they belong, nothing made up, antialiased, exact identities."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec
from forensic.stages import catalogue, warping
from forensic.stages.chroma import NEUTRAL
from forensic.stages.homography import homography, mapped, mapped_points
from forensic.stages.lens import Lens
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import parse_recipe

QUAD = [[21.3, 14.8], [150.2, 30.1], [160.7, 110.4], [12.6, 95.2]]
BLOBS = [(12.0, 10.0), (60.5, 40.25), (118.0, 20.0), (30.0, 62.0), (100.0, 66.0), (119.0, 79.0)]
LENS = Lens((95.5, 63.5), (115.0, 115.0), k1=-0.2, k2=0.03, p1=0.003, p2=-0.002)


def blobs(u: np.ndarray, v: np.ndarray, places=BLOBS) -> np.ndarray:
    """A smooth scene: one bump of 100 grey levels at each place."""
    return 50 + sum(100 * np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * 2.5**2)) for x, y in places)


def recorded_frame(working, scene, layout="yuv420p", location="left", size=(192, 128)):
    """A frame whose samples are ``scene(x, y)`` at their luma places, chroma sited as ``location`` says."""
    width, height = size
    empty = working(width, height, layout).geometry
    first_x, first_y = (0.5 if location == "center" else 0.0), (0.0 if location == "topleft" else 0.5)
    planes = []
    for number, (rows, columns) in enumerate(empty.plane_shapes):
        pitch_x = 1 << empty.layout.chroma_shift_x if number and empty.layout.family == "yuv" else 1
        pitch_y = 1 << empty.layout.chroma_shift_y if number and empty.layout.family == "yuv" else 1
        y, x = np.mgrid[:rows, :columns].astype(float)
        offset_x, offset_y = (first_x if pitch_x > 1 else 0.0), (first_y if pitch_y > 1 else 0.0)
        planes.append(scene(x * pitch_x + offset_x, y * pitch_y + offset_y))
    return working(width, height, layout, planes=tuple(planes), colour=ColourSpec(chroma_location=location))


def centroid(plane: np.ndarray, x: float, y: float, reach: int = 9) -> tuple[float, float]:
    top, left = max(round(y) - reach, 0), max(round(x) - reach, 0)
    part = plane[top : round(y) + reach + 1, left : round(x) + reach + 1] - 50.0
    rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
    return left + float((columns * part).sum() / part.sum()), top + float((rows * part).sum() / part.sum())


def quad_to_result(width: int, height: int, margin: int) -> np.ndarray:
    near, right, bottom = margin - 0.5, margin - 0.5 + width, margin - 0.5 + height
    return homography(np.array(QUAD), np.array([[near, near], [right, near], [right, bottom], [near, bottom]]))


def test_a_homography_leads_its_four_points_onto_each_other():
    generator = np.random.default_rng(3)
    source = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * 700.0 + generator.uniform(-150, 150, (50, 4, 2))
    target = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * 0.01 + 4000.0 + generator.uniform(-2e-3, 2e-3, (50, 4, 2))
    matrix = homography(source, target)
    assert np.abs(mapped_points(matrix, source) - target).max() < 1e-9


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p"])
def test_a_known_plane_is_rectified_to_two_hundredths_of_a_pixel_in_every_plane(location, layout, working):
    width, height, margin = 120, 80, 6
    to_result = quad_to_result(width, height, margin)
    frame = recorded_frame(
        working, lambda x, y: blobs(*(c - margin for c in mapped(to_result, x, y))), layout, location
    )
    stage = catalogue.build("perspective", {"corners": QUAD, "width": width, "height": height, "margin": margin})
    made = stage.process([frame], 0)
    assert (made.geometry.width, made.geometry.height) == (132, 92)
    y, x = np.mgrid[:92, :132].astype(float)
    expected = blobs(x - margin, y - margin)
    for px, py in BLOBS:
        found, right = (centroid(plane, px + margin, py + margin) for plane in (made.planes[0], expected))
        assert max(abs(found[0] - right[0]), abs(found[1] - right[1])) < 0.02
    pitch = 2 if layout == "yuv420p" else 1
    first_x = 0.5 if pitch == 2 and location == "center" else 0.0
    first_y = 0.5 if pitch == 2 and location != "topleft" else 0.0
    y, x = np.mgrid[: made.planes[1].shape[0], : made.planes[1].shape[1]].astype(float)
    colour = blobs(x * pitch + first_x - margin, y * pitch + first_y - margin)
    px, py = BLOBS[1]
    found, right = (
        centroid(plane, (px + margin) / pitch, (py + margin) / pitch, 6) for plane in (made.planes[1], colour)
    )
    assert max(abs(found[0] - right[0]), abs(found[1] - right[1])) < 0.02


def test_a_known_lens_is_corrected_to_two_hundredths_of_a_pixel(working):
    def scene(x, y):
        straight = LENS.straightened(np.stack([x.ravel(), y.ravel()], axis=1))
        return blobs(straight[:, 0], straight[:, 1]).reshape(x.shape)

    frame = recorded_frame(working, scene)
    made = catalogue.build("undistort", LENS.to_parameters()).process([frame], 0)
    y, x = np.mgrid[:128, :192].astype(float)
    for px, py in BLOBS:
        found, right = (centroid(plane, px, py) for plane in (made.planes[0], blobs(x, y)))
        assert max(abs(found[0] - right[0]), abs(found[1] - right[1])) < 0.02


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10le", "rgb24"])
def test_identity_parameters_change_no_bit(layout, working):
    frame = working(50, 38, layout)
    whole = [[-0.5, -0.5], [49.5, -0.5], [49.5, 37.5], [-0.5, 37.5]]
    for name, values in (
        ("perspective", {"corners": whole, "width": 50, "height": 38}),
        ("undistort", {"centre": [24.5, 18.5], "focal": [31.4, 31.4]}),
    ):
        stage = catalogue.build(name, values)
        made = stage.process([frame], 0)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(made.planes, frame.planes, strict=True))
        assert stage.scale_for(frame.geometry) == pytest.approx(1.0)


def test_a_rectangle_seen_straight_on_is_a_crop(working):
    frame = working(96, 64, "yuv444p")
    corners = [[9.5, 7.5], [73.5, 7.5], [73.5, 39.5], [9.5, 39.5]]
    made = catalogue.build("perspective", {"corners": corners, "width": 64, "height": 32}).process([frame], 0)
    assert np.abs(made.planes[0] - frame.planes[0][8:40, 10:74]).max() < 1e-3


@pytest.mark.parametrize("scale", [0.25, 0.4, 3.0])
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos"])
def test_a_pure_change_of_size_is_that_of_resize_antialiasing_and_chroma_included(scale, kernel, working):
    frame = working(160, 120)
    resized = catalogue.build("resize", {"scale": scale, "kernel": kernel}).process([frame], 0)
    whole = [[-0.5, -0.5], [159.5, -0.5], [159.5, 119.5], [-0.5, 119.5]]
    size = {"width": resized.geometry.width, "height": resized.geometry.height}
    made = catalogue.build("perspective", {"corners": whole, "kernel": kernel, **size}).process([frame], 0)
    for a, b in zip(made.planes, resized.planes, strict=True):
        assert np.abs(a - b).max() < 2e-2


def test_what_lies_outside_the_recording_is_neutral_and_counted(working):
    frame = working(96, 64, planes=tuple(np.full(s, 200.0) for s in ((64, 96), (32, 48), (32, 48))))
    corners = [[-20.5, 9.5], [43.5, 9.5], [43.5, 41.5], [-20.5, 41.5]]
    made, note = catalogue.build("perspective", {"corners": corners, "width": 64, "height": 32}).process_noted(
        [frame], 0
    )
    assert np.all(made.planes[0][:, :20] == np.float32(125.5)) and np.abs(made.planes[0][:, 20:] - 200).max() < 1e-3
    assert np.all(made.planes[1][:, :10] == NEUTRAL)
    assert note["outside"]["samples"] == 20 * 32 and note["outside"]["share"] == 0.3125
    assert note["outside"]["value"] == [125.5, 128.0, 128.0]
    assert note["magnification"] == {"smallest": 1.0, "largest": 1.0}


def test_the_local_magnification_is_on_the_record_and_before_the_policy(working):
    stage = catalogue.build("perspective", {"corners": QUAD, "width": 240, "height": 160})
    frame = recorded_frame(working, lambda x, y: 0 * x + 90)
    made, note = stage.process_noted([frame], 0)
    seen = note["magnification"]
    assert 1.0 < seen["smallest"] < seen["largest"] < 3.0
    plan = Pipeline([stage]).plan(frame.geometry)
    assert plan[0].scale == pytest.approx(seen["largest"], abs=1e-3)
    assert (plan[0].result.width, plan[0].result.height) == (made.geometry.width, made.geometry.height)
    twice = catalogue.build(
        "perspective", {"corners": [[9.5, 9.5], [19.5, 9.5], [19.5, 19.5], [9.5, 19.5]], "width": 120, "height": 50}
    )
    assert twice.scale_for(frame.geometry) == pytest.approx(12.0), "the larger of both directions"


@pytest.mark.parametrize(
    ("corners", "words"),
    [
        ([[10, 10], [10, 60], [60, 60], [60, 10]], "anticlockwise"),
        ([[10, 10], [60, 60], [60, 10], [10, 60]], "convex"),
        ([[10, 10], [35, 10], [60, 10], [10, 60]], "line"),
        ([[10, 10], [10.2, 10], [60, 60], [10, 60]], "pixel apart"),
        ([[10, 10], [60, 10], [60, 60]], "corners"),
        ([[10, 10], [60, 10], [60, 60], [10, float("nan")]], "corners"),
    ],
)
def test_corners_that_make_no_rectangle_are_refused_with_the_reason(corners, words):
    with pytest.raises(BadInput) as refusal:
        catalogue.build("perspective", {"corners": corners, "width": 50, "height": 50})
    assert refusal.value.code == "stage.parameters" and words in refusal.value.message


@pytest.mark.parametrize(
    "values",
    [
        {"corners": [[40, 10], [56, 10], [90, 60], [5, 60]], "width": 60, "height": 60, "margin": 200},
        {"corners": [[200, 10], [260, 10], [260, 60], [200, 60]], "width": 60, "height": 60},
        {"corners": [[0, 0], [95, 0], [95, 63], [0, 63]], "width": 2, "height": 2},
    ],
)
def test_a_horizon_an_empty_view_and_a_vanishing_picture_are_refused(values, working):
    stage = catalogue.build("perspective", values)
    with pytest.raises(BadInput) as refusal:
        stage.output_geometry(working(96, 64).geometry)
    assert refusal.value.code == "stage.perspective"


@pytest.mark.parametrize(
    "lens",
    [
        Lens((95.5, 63.5), (115.0, 115.0), k1=-0.28),
        Lens((90.0, 70.0), (120.0, 110.0), 0.2, -0.1, 0.05, 0.01, -0.02),
        LENS,
    ],
)
def test_a_lens_model_is_undone_by_its_inverse(lens):
    places = np.random.default_rng(1).uniform(20, 110, (200, 2))
    straight = lens.straightened(places)
    again = np.stack(lens.recorded(straight[:, 0], straight[:, 1]), axis=1)
    assert np.abs(again - places).max() < 1e-7


def test_a_model_that_folds_shows_no_place_twice(working):
    """Beyond the fold the formula would lead back into the picture: such places are outside."""
    lens = Lens((95.5, 63.5), (60.0, 60.0), k1=-0.4)
    frame = working(192, 128, planes=tuple(np.full(s, 200.0) for s in ((128, 192), (64, 96), (64, 96))))
    made, note = catalogue.build("undistort", lens.to_parameters()).process_noted([frame], 0)
    y, x = np.mgrid[:128, :192]
    radius = np.hypot(x - 95.5, y - 63.5) / 60.0
    assert np.all(made.planes[0][radius > lens.fold] == np.float32(125.5))
    assert np.abs(made.planes[0][radius < lens.fold - 0.03] - 200).max() < 1e-3
    assert note["outside"]["samples"] > 0


def test_opencv_agrees_with_the_lens_model():
    import cv2

    camera = np.array([[LENS.focal[0], 0, LENS.centre[0]], [0, LENS.focal[1], LENS.centre[1]], [0, 0, 1.0]])
    coefficients = np.array([LENS.k1, LENS.k2, LENS.p1, LENS.p2, LENS.k3])
    straight = np.random.default_rng(2).uniform(10, 120, (40, 2))
    x, y = (straight[:, i] - LENS.centre[i] for i in (0, 1))
    rays = np.stack([x / LENS.focal[0], y / LENS.focal[1], np.ones_like(x)], axis=1)
    theirs, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), camera, coefficients)
    assert np.abs(np.stack(LENS.recorded(straight[:, 0], straight[:, 1]), axis=1) - theirs.reshape(-1, 2)).max() < 1e-9


RECIPE = """
name = "x"
title = "X"
why = "Test."
[[stage]]
name = "undistort"
why = "Lens."
parameters = { centre = [95.5, 63.5], focal = [115.0, 115.0], k1 = -0.05 }
[[stage]]
name = "perspective"
why = "Sign."
parameters = { corners = [[40.0, 30.0], [120.0, 34.0], [124.0, 90.0], [44.0, 84.0]], width = 80, height = 60 }
[[stage]]
name = "annotate"
why = "Look."
parameters = { marks = [{ kind = "circle", at = [20.0, 20.0], radius = 8.0 }] }
"""


def test_a_region_moves_corners_and_centre_but_no_place_in_the_rectified_picture(working):
    frame = recorded_frame(working, blobs)
    whole = parse_recipe(RECIPE.encode(), "x.toml").bind()
    part = parse_recipe(RECIPE.encode(), "x.toml").bind(roi=(20, 10, 150, 110))
    assert part.stages[1].parameters.centre == (75.5, 53.5)
    assert part.stages[2].parameters.corners[0] == (20.0, 20.0)
    assert part.stages[3].parameters.marks[0].at == (20.0, 20.0), "the rectified picture did not move"
    a, b = (bound.pipeline.process_window([frame], 0) for bound in (whole, part))
    assert np.abs(a.planes[0] - b.planes[0]).max() < 1e-2


def test_an_error_in_a_corner_moves_the_middle_by_as_much_as_the_card_states():
    upright = np.array([[0, 0], [200, 0], [200, 100], [0, 100]], dtype=float)
    for shift, moved in (([1.0, 0.0], 0.28), ([0.0, 1.0], 0.56)):
        off = upright.copy()
        off[0] += shift
        x, y = mapped(homography(upright, off), np.array([100.0]), np.array([50.0]))
        assert np.hypot(x[0] - 100, y[0] - 50) == pytest.approx(moved, abs=0.005)


@pytest.mark.parametrize("name", ["perspective", "undistort"])
def test_the_map_is_computed_once_for_all_frames_of_a_geometry_and_changes_no_bit(name, working, monkeypatch):
    values = {
        "perspective": {"corners": QUAD, "width": 90, "height": 70, "margin": 4},
        "undistort": {"centre": [95.5, 63.5], "focal": [115.0, 115.0], "k1": -0.2, "zoom": 0.9},
    }[name]
    stage = catalogue.build(name, values)
    frames = [working(192, 128, "yuv420p", index=index, seed=index) for index in range(3)]
    monkeypatch.setattr(warping, "_MOST_KEPT", 0)
    plain = [stage.process([frame], 0) for frame in frames]
    monkeypatch.undo()
    warping._lookups.clear()
    computed = []
    pieces = warping._Lookup.pieces
    monkeypatch.setattr(warping._Lookup, "pieces", lambda self: computed.append(self.shape) or pieces(self))
    kept = [stage.process([frame], 0) for frame in frames]
    assert len(computed) == len(set(frames[0].geometry.plane_shapes)), "colour planes share theirs"
    for one, other in zip(plain, kept, strict=True):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(one.planes, other.planes, strict=True))
    catalogue.build(name, {**values, "kernel": "bilinear"}).process([frames[0]], 0)
    assert len(computed) == 2 * len(set(frames[0].geometry.plane_shapes)), "another kernel, another table"


def test_a_map_too_large_to_keep_is_computed_without_holding_up_other_threads(working, monkeypatch):
    stage = catalogue.build("perspective", {"corners": QUAD, "width": 400, "height": 300})
    frame = working(192, 128, "gray")
    expected = stage.process([frame], 0).planes[0].tobytes()
    warping._lookups.clear()
    held, pieces = [], warping._Lookup.pieces

    def watched(self):
        for piece in pieces(self):
            held.append(warping._lock.locked())
            yield piece

    monkeypatch.setattr(warping._Lookup, "pieces", watched)
    monkeypatch.setattr(warping, "_MOST_KEPT", 400 * 300 * 50)
    assert stage.process([frame], 0).planes[0].tobytes() == expected
    assert held == [False, False] and not warping._lookups


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "lanczos"])
@pytest.mark.parametrize("times", [1, 12])
def test_what_a_map_takes_to_keep_is_known_before_it_is_computed(kernel, times, working):
    """Enlarged, and shrunk by about 1.5 to 2, with parts that lie outside."""
    size = (900, 600)
    back = homography(np.array([[0, 0], [size[0], 0], size, [0, size[1]]], dtype=float), np.array(QUAD) * times)
    lookup = warping._Lookup(
        lambda u, v: mapped(back, u * 1.2 - 40, v), working(192 * times, 128 * times, "gray").geometry, size[::-1],
        (128 * times, 192 * times), warping._Grid(0.0, 0.0, 1, 1), warping.KERNELS[kernel],
    )  # fmt: skip
    taken = sum(piece.size for piece in lookup.pieces())
    assert taken * 0.8 < lookup.size < taken * 1.25
