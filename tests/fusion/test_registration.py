"""Known motion is found, to a few hundredths of a pixel; what cannot be found is not invented."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.fusion.agreement import agreement
from forensic.fusion.flow import dense
from forensic.fusion.interpolation import sampled, shifted
from forensic.fusion.motion import Motion
from forensic.fusion.registration import register
from forensic.simulation.trajectory import on_low_resolution
from tests.fusion.recordings import drawn, luma, recording


def corners(shape: tuple[int, int]) -> np.ndarray:
    return np.array([[4, 4], [shape[1] - 5, 4], [4, shape[0] - 5], [shape[1] - 5, shape[0] - 5]], np.float64)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shifts_of_a_static_scene_are_known_to_a_twentieth_of_a_pixel(seed):
    made = recording(drawn(224, 288, seed), frames=9, noise=2.0, seed=seed, jitter=1.0)
    frames = luma(made)
    for place, frame in enumerate(frames):
        found = register(frames[made.reference], frame, "translation")
        assert found is not None
        assert np.abs(np.subtract(found.motion.displacement(frame.shape), made.shifts[place])).max() <= 0.05


def test_turn_and_zoom_are_known_to_a_tenth_of_a_pixel_at_the_corners():
    made = recording(drawn(224, 288), frames=5, noise=1.0, jitter=0.5, turn=0.4, zoom=0.004)
    frames = luma(made)
    points = corners(frames[0].shape)
    for model in ("affine", "homography"):
        for place in (0, 4):
            found = register(frames[2], frames[place], model)
            truth = Motion(on_low_resolution(made.homographies[place], 4))
            assert found is not None and found.motion.as_shift(frames[0].shape) is None
            assert np.abs(found.motion.of(points) - truth.of(points)).max() < 0.1


def test_a_steady_camera_is_not_given_a_motion():
    made = recording(drawn(160, 192), frames=3, noise=2.0, jitter=0.0)
    frames = luma(made)
    found = register(frames[1], frames[0], "homography")
    assert found is not None and found.motion.as_shift(frames[0].shape) is not None
    assert max(map(abs, found.motion.displacement(frames[0].shape))) < 0.03


def test_large_shifts_are_found():
    scene = drawn(160, 200)
    found = register(scene, np.roll(scene, (9, -14), (0, 1)), "translation")
    assert found is not None
    assert np.abs(np.subtract(found.motion.displacement(scene.shape), (-14, 9))).max() < 0.05


def test_pictures_of_different_things_are_not_registered_as_the_same():
    first, second = drawn(96, 128, 1), np.ascontiguousarray(255 - drawn(96, 128, 2)[::-1])
    found = register(first, second, "affine")
    assert found is None or agreement(first, second, found.motion, 0.0).share < 0.3


def test_stripes_have_no_shift_along_them():
    stripes = np.tile(100 + 50 * np.sin(np.arange(96) / 3.0), (64, 1)).astype(np.float32)
    assert register(stripes, shifted(stripes, 0.4, 0.0), "translation") is None


def test_a_picture_of_a_few_rows_is_registered_too():
    """It was once taken to be at rest, and fused with itself displaced."""
    made = recording(drawn(224, 288), frames=5, noise=1.0, jitter=0.7)
    rows, columns = slice(20, 32), slice(15, 55)
    frames = [np.ascontiguousarray(frame[rows, columns]) for frame in luma(made)]
    for place in (0, 1, 3, 4):
        found = register(frames[2], frames[place], "translation")
        assert found is not None
        assert np.abs(np.subtract(found.motion.displacement(frames[2].shape), made.shifts[place])).max() <= 0.1


def test_a_flat_picture_is_at_rest():
    flat = np.full((40, 40), 90.0, np.float32)
    found = register(flat, flat + 3, "affine")
    assert found is not None and found.motion.displacement(flat.shape) == (0.0, 0.0)


def test_shifting_and_sampling_agree():
    picture = drawn(60, 70)
    motion = Motion.shift(1.3, -0.6)
    there = sampled(picture, *motion.places_in_frame(picture.shape))
    np.testing.assert_allclose(shifted(picture, 1.3, -0.6)[4:-4, 4:-4], there[4:-4, 4:-4], atol=1e-2)


def test_a_moved_square_does_not_agree_and_the_rest_does():
    scene = drawn(96, 128)
    first, second = scene.copy(), scene.copy()
    first[30:50, 30:50], second[30:50, 70:90] = 240.0, 240.0
    match = agreement(first, second, Motion.shift(0.0, 0.0), 0.0)
    assert match.weight[30:50, 30:50].max() == 0.0 and match.weight[30:50, 70:90].max() == 0.0
    assert match.weight[60:, :].min() == 1.0


def test_a_change_of_light_is_taken_out_and_noted():
    scene = drawn(96, 128)
    match = agreement(scene, 0.9 * scene - 8, Motion.shift(0.0, 0.0), 0.0)
    assert match.light.gain == pytest.approx(1 / 0.9, abs=0.01)
    assert np.abs(match.light.applied(0.9 * scene - 8) - scene).max() < 1.0 and match.share > 0.95
    assert not agreement(scene, scene + 0.3, Motion.shift(0.0, 0.0), 0.0).light.changed


def test_dense_motion_follows_a_moving_thing_and_distrusts_what_it_covers():
    scene, thing = drawn(120, 160, 4), drawn(40, 40, 9)
    first, second = scene.copy(), scene.copy()
    first[40:80, 50:90], second[40:80, 53:93] = thing, thing
    motion = dense(first, second, Motion.shift(0.0, 0.0))
    columns, _ = motion.places_in_reference(first.shape)
    inner = (slice(50, 70), slice(63, 83))
    grid = np.arange(160, dtype=np.float32)[None, :]
    assert np.median((columns - grid)[inner]) == pytest.approx(-3.0, abs=0.2)
    assert motion.trust is not None and motion.trust[inner].mean() > 0.8
    assert np.median(np.abs((columns - grid)[90:, 10:])) < 0.05
