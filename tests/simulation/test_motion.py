"""Known motion: what the record says is what the pictures do."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.simulation.draw import Degradation, Motion, MovingObject, Optics, Sampling
from forensic.simulation.simulator import simulate
from tests.simulation.scenes import centroid, measured_shift, smooth_scene, spot


def _place(homography: np.ndarray, x: float, y: float) -> tuple[float, float]:
    mapped = homography @ np.array([x, y, 1.0])
    return float(mapped[0] / mapped[2]), float(mapped[1] / mapped[2])


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_recorded_shifts_are_recovered_by_cross_correlation_to_a_fiftieth_of_a_pixel(factor: int) -> None:
    scene = smooth_scene(96 * factor + 64, 96 * factor + 64, seed=4, finest=7.0 * factor)
    how = Degradation(
        optics=Optics("gaussian", sigma_x=0.5, sigma_y=0.5),
        sampling=Sampling(factor),
        motion=Motion(jitter=1.2, pan_x=0.3),
    )
    made = simulate(scene, how, 6, 21, margin=32)
    assert np.ptp(made.shifts, axis=0).min() > 1.0
    for frame in range(6):
        measured = measured_shift(made.frames[frame].astype(float), made.frames[made.reference].astype(float))
        assert measured == pytest.approx(tuple(made.shifts[frame]), abs=0.02)


def test_shifts_and_homographies_tell_the_same() -> None:
    made = simulate(
        smooth_scene(160, 160),
        Degradation(sampling=Sampling(2), motion=Motion(jitter=0.7, turn=0.4, zoom=0.01)),
        5,
        9,
        margin=16,
    )
    middle = (64 - 0.5, 64 - 0.5)
    for frame in range(5):
        x, y = _place(made.homographies[frame], *middle)
        assert ((x - middle[0]) / 2, (y - middle[1]) / 2) == pytest.approx(tuple(made.shifts[frame]), abs=1e-9)
    assert np.array_equal(made.homographies[made.reference], np.eye(3))
    assert np.array_equal(made.truth[made.reference], smooth_scene(160, 160)[16:-16, 16:-16])


def test_turn_zoom_and_jitter_move_a_spot_where_the_homography_says() -> None:
    place = (150.0, 60.0)
    how = Degradation(sampling=Sampling(4), motion=Motion(jitter=0.8, jitter_turn=0.5, turn=2.0, zoom=0.02, pan_y=0.5))
    made = simulate(spot(192, 224, *place).astype(np.float32), how, 5, 5)
    low = made.low_resolution_homographies()
    low_place = ((place[0] + 0.5) / 4 - 0.5, (place[1] + 0.5) / 4 - 0.5)
    for frame in range(5):
        assert centroid(made.truth[frame]) == pytest.approx(_place(made.homographies[frame], *place), abs=0.03)
        assert centroid(made.frames[frame]) == pytest.approx(_place(low[frame], *low_place), abs=0.03)
    # Counter-clockwise on the screen: right of the middle goes up (rows count downwards).
    turning = simulate(
        spot(192, 224, *place).astype(np.float32), Degradation(motion=Motion(turn=5.0)), 2, 0, reference=0
    )
    assert centroid(turning.truth[1])[1] < place[1]


def test_a_whole_pixel_of_pan_moves_the_recording_by_exactly_one_pixel() -> None:
    made = simulate(
        smooth_scene(192, 192), Degradation(motion=Motion(pan_x=1.0, pan_y=-1.0)), 3, 0, margin=16, reference=0
    )
    assert np.array_equal(made.frames[1][:-1, 1:], made.frames[0][1:, :-1])
    assert np.array_equal(made.frames[2][:-2, 2:], made.frames[0][2:, :-2])


def test_sub_pixel_shift_of_the_truth_is_exact_in_phase() -> None:
    y, x = np.mgrid[0:160, 0:160].astype(np.float64)

    def wave(dx: float, dy: float) -> np.ndarray:
        return (
            128 + 50 * np.sin(2 * np.pi * (0.11 * (x - dx) + 0.06 * (y - dy))) + 40 * np.cos(2 * np.pi * 0.2 * (x - dx))
        )

    made = simulate(wave(0, 0).astype(np.float32), Degradation(motion=Motion(jitter=0.9)), 5, 2, margin=16)
    for frame in range(5):
        dx, dy = made.shifts[frame] * 4
        assert np.abs(made.truth[frame] - wave(dx, dy)[16:-16, 16:-16]).max() < 0.4


def test_objects_go_where_their_homographies_say_and_cover_the_scene() -> None:
    thing = MovingObject(0.35, 0.5, 16.0, 12.0, velocity_x=2.3, velocity_y=-0.6, turn=3.0, zoom=0.02, sprite=0)
    how = Degradation(sampling=Sampling(4), motion=Motion(jitter=0.5, objects=(thing,)))
    sprite = spot(48, 64, 20.0, 30.0)
    made = simulate(np.zeros((192, 256), np.float32), how, 6, 8, sprites=[sprite.astype(np.float32)])
    assert made.covers is not None
    start = centroid(made.truth[made.reference])
    for frame in range(6):
        expected = _place(made.object_homographies[0][frame], *start)
        assert centroid(made.truth[frame]) == pytest.approx(expected, abs=0.06)
        corners = made.object_corners[0][frame]
        area = 0.5 * abs(
            sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True))
        )
        assert made.covers[frame].sum() == pytest.approx(area, rel=0.02)
    # The camera's own motion is on the scene, the object's on top of it.
    assert made.object_homographies[0][0][0, 2] != made.homographies[0][0, 2]


def test_an_object_without_sprite_shows_a_part_of_the_scene() -> None:
    how = Degradation(sampling=Sampling(2), motion=Motion(objects=(MovingObject(width=20.0, height=20.0),)))
    scene = smooth_scene(128, 128)
    made = simulate(scene, how, 1, 3)
    assert made.covers is not None
    covered = made.covers[0] == 1
    assert covered.sum() == pytest.approx(1600, abs=200)
    assert np.abs(made.truth[0] - scene)[covered].mean() > 5
    assert np.array_equal(made.truth[0][made.covers[0] == 0], scene[made.covers[0] == 0])


def test_jitter_has_the_stated_spread() -> None:
    how = Degradation(motion=Motion(jitter=0.5))
    shifts = np.concatenate(
        [np.diff(simulate(np.zeros((64, 64), np.float32), how, 40, seed).shifts, axis=0) for seed in range(10)]
    )
    assert shifts.std() == pytest.approx(0.5 * np.sqrt(2), rel=0.08)
