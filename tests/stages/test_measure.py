"""Measurements: the truth lies in the interval as often as stated, and every doubt is on the record."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.hashes import canonical_json
from forensic.stages import catalogue, measurement
from forensic.stages.homography import homography, mapped_points
from forensic.stages.measurement import Marking, measure_distance
from forensic.stages.pipeline import Pipeline

CORNERS = np.array([[300.0, 250.0], [620.0, 260.0], [800.0, 560.0], [120.0, 540.0]])
SIZE = (3.5, 5.0)
TO_PICTURE = homography(np.array([[0, 0], [3.5, 0], [3.5, 5.0], [0, 5.0]]), CORNERS)
ENDS = mapped_points(TO_PICTURE, np.array([[0.5, 1.0], [2.3, 4.2]]))
KNOWN = mapped_points(TO_PICTURE, np.array([[1.0, 1.0], [3.0, 1.0]]))
TRUTH = float(np.hypot(1.8, 3.2))

VALUES = {
    "corners": CORNERS.tolist(), "size": list(SIZE), "size_uncertainty": 0.02, "points": ENDS.tolist(),
    "corners_uncertainty": 1.0, "points_uncertainty": 1.5,
}  # fmt: skip
REFERENCE = {"reference": KNOWN.tolist(), "reference_length": 2.0, "reference_uncertainty": 0.005}


def pairs(places: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in places)


def simulated(seed: int, *, reference: bool) -> Marking:
    """One examiner's marks of the known scene, each off by what is stated."""
    generator = np.random.default_rng(seed)
    marking = Marking(
        pairs(CORNERS + generator.normal(0, 1.0, (4, 2))),
        (3.5 + generator.normal(0, 0.02), 5.0 + generator.normal(0, 0.02)),
        pairs(ENDS + generator.normal(0, 1.5, (2, 2))),
        1.0, 1.5, 0.02,
    )  # fmt: skip
    if not reference:
        return marking
    return replace(
        marking,
        reference=pairs(KNOWN + generator.normal(0, 1.5, (2, 2))),
        reference_length=2.0 + generator.normal(0, 0.005),
        reference_length_u=0.005,
    )


@pytest.mark.parametrize("reference", [False, True])
def test_the_interval_holds_the_truth_in_95_of_100_measurements(reference, monkeypatch):
    monkeypatch.setattr(measurement, "TRIALS", 1000)
    found = [measure_distance(simulated(seed, reference=reference)) for seed in range(300)]
    held = np.mean([distance.low <= TRUTH <= distance.high for distance in found])
    assert 0.92 <= held <= 0.98, held
    first_order = np.mean([abs(distance.value - TRUTH) <= 1.96 * distance.u_linear for distance in found])
    assert 0.92 <= first_order <= 0.98
    scatter = np.std([distance.value for distance in found])
    assert np.mean([distance.u for distance in found]) == pytest.approx(scatter, rel=0.12)


def test_exact_marks_give_the_exact_distance_and_both_calculations_agree():
    exact = Marking(pairs(CORNERS), SIZE, pairs(ENDS), 1.0, 1.5, 0.02)
    found = measure_distance(exact)
    assert found.value == pytest.approx(TRUTH, abs=1e-9)
    assert found.linear_agrees and found.u == pytest.approx(found.u_linear, rel=0.03)
    assert sum(found.shares.values()) == pytest.approx(1.0) and found.usable == 1.0
    scaled = measure_distance(
        replace(exact, size=(1.75, 2.5), reference=pairs(KNOWN), reference_length=2.0, reference_length_u=0.005)
    )
    assert scaled.value == pytest.approx(TRUTH, abs=1e-9), "with a reference the rectangle gives the shape only"


def test_the_uncertainty_grows_with_the_marking_error_and_away_from_the_rectangle():
    exact = Marking(pairs(CORNERS), SIZE, pairs(ENDS), 1.0, 1.5, 0.02)
    assert measure_distance(replace(exact, points_u=3.0)).u > 1.5 * measure_distance(exact).u
    far = mapped_points(TO_PICTURE, np.array([[0.5, -8.0], [2.3, -4.8]]))
    assert measure_distance(replace(exact, points=pairs(far))).u > 4 * measure_distance(exact).u


def test_a_measurement_far_beyond_first_order_says_so():
    far = mapped_points(TO_PICTURE, np.array([[0.5, -14.0], [2.3, -10.8]]))
    found = measure_distance(Marking(pairs(CORNERS), SIZE, pairs(far), 3.0, 3.0, 0.02))
    assert not found.linear_agrees
    assert found.high - found.value > 1.2 * (found.value - found.low), "the interval is not symmetric"


def test_the_measurement_stands_on_the_record_with_its_interval_and_assumptions():
    record = catalogue.build("measure", {**VALUES, **REFERENCE}).record()
    canonical_json(record)
    measured = record["measured"]
    low, high = measured["interval_95"]
    assert low < measured["value"] < high and measured["unit"] == "m"
    assert measured["shown"].startswith(f"{measured['value']:.3f} m (95 %: {low:.3f} to {high:.3f})")
    assert len(measured["assumptions"]) == 5 and any("lens" in line for line in measured["assumptions"])
    assert set(measured["share_of_variance"]) == {
        "marking of the corners", "marking of the points", "size of the rectangle", "marking of the reference",
        "length of the reference",
    }  # fmt: skip


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10le", "yuv444p", "yuv411p", "gray", "rgb24"])
def test_it_is_drawn_and_noted_on_the_frames_asked_for_only(layout, working):
    stage = catalogue.build("measure", {**VALUES, "first_frame": 3, "last_frame": 4})
    drawn, note = stage.process_noted([working(960, 600, layout, index=3)], 0)
    clean = working(960, 600, layout, index=3)
    assert note["unit"] == "m" and note["interval_95"][0] < note["distance"] < note["interval_95"][1]
    changed = drawn.planes[0] != clean.planes[0]
    assert 0.001 < changed.mean() < 0.05
    x, y = ((ENDS[0] + ENDS[1]) / 2).round().astype(int)
    assert changed[y, x] and not changed[:200].any()
    left, note = stage.process_noted([working(960, 600, layout, index=5)], 0)
    assert note == {} and np.array_equal(left.planes[0], working(960, 600, layout, index=5).planes[0])


def test_marks_follow_a_change_of_size_where_it_is_said_on_what_they_were_made(working):
    stated = catalogue.build("measure", {**VALUES, "marked_on": [960, 600]})
    larger = Pipeline([catalogue.build("resize", {"scale": 2.0}), stated])
    made = larger.process_window([working(960, 600)], 0)
    clean = catalogue.build("resize", {"scale": 2.0}).process([working(960, 600)], 0)
    x, y = ((ENDS[0] + ENDS[1]) + 0.5).round().astype(int)
    assert made.planes[0][y, x] != clean.planes[0][y, x]
    assert stated.distance == catalogue.build("measure", VALUES).distance, "a larger picture measures no better"
    with pytest.raises(BadInput) as refusal:
        Pipeline([catalogue.build("resize", {"scale": 2.0}), catalogue.build("measure", VALUES)])
    assert refusal.value.code == "recipe.order"
    with pytest.raises(BadInput) as refusal:
        stated.output_geometry(working(700, 600).geometry)
    assert refusal.value.code == "stage.marked-on"
    with pytest.raises(BadInput):
        stated.after_crop(2, 2)
    moved = catalogue.build("measure", VALUES).after_crop(10, 20)
    assert moved.distance.value == pytest.approx(stated.distance.value)


@pytest.mark.parametrize(
    "change",
    [
        {"points": [[10, 10], [10.5, 10]]},
        {"points": [[400, -40], [500, -30]]},
        {"corners_uncertainty": 0.0},
        {"size": [0.0, 5.0]},
        {"reference": KNOWN.tolist()},
        {"reference_length": 2.0},
        {"unit": "furlong"},
        {"corners": [[300, 250], [302, 250], [302, 252], [300, 252]], "corners_uncertainty": 3.0},
    ],
)
def test_what_cannot_be_measured_is_refused(change):
    with pytest.raises(BadInput) as refusal:
        catalogue.build("measure", {**VALUES, **change})
    assert refusal.value.code == "stage.parameters"


def test_a_result_without_room_and_a_point_outside_are_refused(working):
    small = {key: (np.array(VALUES[key]) / 10).tolist() for key in ("corners", "points")}
    with pytest.raises(BadInput) as refusal:
        catalogue.build("measure", {**VALUES, **small}).output_geometry(working(90, 60).geometry)
    assert refusal.value.code == "stage.measure" and "room" in refusal.value.message
    with pytest.raises(BadInput) as refusal:
        catalogue.build("measure", VALUES).output_geometry(working(300, 300).geometry)
    assert refusal.value.code == "stage.measure" and "outside" in refusal.value.message
