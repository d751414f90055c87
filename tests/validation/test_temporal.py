"""Measures of time against synthetic clips whose answers are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from forensic.errors import UsageError
from forensic.validation import temporal


def scene(height: int = 120, width: int = 160, seed: int = 3) -> np.ndarray:
    """Smooth periodic texture, so that a Fourier shift is exact everywhere."""
    noise = np.fft.fft2(np.random.default_rng(seed).normal(0, 1, (height, width)))
    v, u = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    texture = np.fft.ifft2(noise * np.exp(-2 * np.pi**2 * 2.0**2 * (u * u + v * v))).real
    return (120 + 30 * texture / texture.std()).clip(0, 255).astype(np.float32)


def shifted(picture: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """Content moved right by dx and down by dy, exactly (Fourier; the picture is taken as periodic)."""
    v, u = np.meshgrid(np.fft.fftfreq(picture.shape[0]), np.fft.fftfreq(picture.shape[1]), indexing="ij")
    return np.fft.ifft2(np.fft.fft2(picture) * np.exp(-2j * np.pi * (u * dx + v * dy))).real.astype(np.float32)


def test_flow_finds_a_known_shift():
    flow = temporal.dense_flow(scene(), shifted(scene(), 1.5, -0.75))[12:-12, 12:-12]
    assert abs(np.median(flow[..., 0]) - 1.5) < 0.08 and abs(np.median(flow[..., 1]) + 0.75) < 0.08


def test_t_of_is_nothing_for_the_truth_and_the_missing_motion_for_a_frozen_clip():
    truth = [shifted(scene(), 0.8 * i, 0) for i in range(5)]
    assert temporal.t_of(truth, truth) == 0.0
    assert temporal.t_of([truth[0]] * 5, truth) == pytest.approx(0.8, abs=0.12)


def test_t_of_uses_the_flow_that_it_is_given():
    still, moving = np.zeros((20, 20, 2), np.float32), np.full((20, 20, 2), (3, 4), np.float32)
    clip = [np.full((20, 20), level, np.float32) for level in (0, 0, 9, 9)]

    def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return moving if first[0, 0] != second[0, 0] else still

    assert temporal.t_of(clip, [clip[0]] * 4, flow) == pytest.approx(5 / 3)


def test_warping_error_follows_the_scene_and_sees_flicker_only():
    path = [(1.2 * i, 0.4 * i) for i in range(5)]
    clean = [shifted(scene(), *place) for place in path]
    flows = [np.tile(np.float32([1.2, 0.4]), (120, 160, 1))] * 4
    gains = (0, 3, -3, 3, -3)
    flickering = [plane + gain for plane, gain in zip(clean, gains, strict=True)]
    known = math.sqrt(np.mean(np.diff(gains) ** 2.0))
    by_known = temporal.warping_error([np.clip(p, -300, 300) for p in flickering], flows)
    assert by_known.rms == pytest.approx(known, rel=0.03) and 0.9 < by_known.share < 1.0
    assert temporal.warping_error(clean, flows).rms < 0.5
    assert temporal.warping_error(flickering, clean).rms == pytest.approx(known, rel=0.06)
    assert by_known.normalised == pytest.approx((by_known.rms / 255) ** 2)


def test_what_is_uncovered_is_not_compared():
    """A square moves over a still picture: both it and the background it uncovers are new."""
    ground, patch = scene(), scene(40, 40, 9) - 60
    clip = []
    for i in range(4):
        plane = ground.copy()
        plane[40:80, 20 + 8 * i : 60 + 8 * i] = patch
        clip.append(plane)
    plain = math.sqrt(np.mean([np.mean((a - b) ** 2) for a, b in itertools.pairwise(clip)]))
    found = temporal.warping_error(clip)
    assert found.rms < 0.15 * plain and found.share > 0.7


def test_the_mask_leaves_out_a_flow_that_does_not_come_back():
    forward = np.zeros((40, 40, 2), np.float32)
    backward = np.zeros((40, 40, 2), np.float32)
    backward[10:20, 10:20, 0] = 5
    trusted = temporal.followed(forward, backward)
    assert not trusted[12:18, 12:18].any() and trusted[25:35, 25:35].all()


def test_flicker_of_known_noise_and_of_a_known_lamp():
    generator = np.random.default_rng(0)
    ground = scene()
    noisy = [ground + generator.normal(0, 2.0, ground.shape) for _ in range(40)]
    found = temporal.flicker(noisy)
    assert found.deviation == pytest.approx(2.0 * math.sqrt(39 / 40), rel=0.01)
    assert found.step == pytest.approx(2.0 * math.sqrt(2) * math.sqrt(2 / math.pi), rel=0.01)  # mean |N(0, 2s^2)|
    assert found.common < 0.05
    lamp = [ground + 4 * (-1) ** i for i in range(10)]
    assert temporal.flicker(lamp).common == pytest.approx(4.0) and temporal.flicker(lamp).step == pytest.approx(8.0)
    assert found.above(temporal.flicker([ground] * 3)) == found.step


def test_the_static_region_holds_no_moving_thing_and_most_of_the_rest():
    ground = scene()
    clip = []
    for i in range(8):
        plane = ground + np.random.default_rng(i).normal(0, 2, ground.shape)
        plane[50:60, 10 + 6 * i : 22 + 6 * i] += 60
        clip.append(plane.astype(np.float32))
    still = temporal.static_region(clip)
    assert not still[50:60, 10:64].any() and still.mean() > 0.7
    assert temporal.flicker(clip, still).deviation < 0.5 * temporal.flicker(clip).deviation


def test_jitter_of_known_paths():
    time = np.arange(200.0)
    assert temporal.jitter(np.stack([2 * time, -time], 1)).step == pytest.approx(0, abs=1e-9)
    shaking = np.random.default_rng(1).normal(0, 0.7, (4000, 2))
    found = temporal.jitter(shaking)
    assert found.step == pytest.approx(0.7 * 2, rel=0.03) and found.place == pytest.approx(0.7 * math.sqrt(2), rel=0.03)
    assert temporal.reduction(2.0, 0.1) == pytest.approx(0.95) and math.isnan(temporal.reduction(0.0, 0.0))


def test_residual_jitter_is_the_motion_that_was_put_in():
    ground = scene()
    path = np.random.default_rng(2).normal(0, 1.5, (12, 2))
    clip = [shifted(ground, *place) + np.random.default_rng(9).normal(0, 1, ground.shape) for place in path]
    places = np.array([temporal.displacement(ground, plane) for plane in clip])
    assert np.abs(places - path).max() < 0.03
    assert temporal.residual_jitter(ground, clip).step == pytest.approx(temporal.jitter(path).step, rel=0.01)


def test_what_shows_no_recording_does_not_pull_the_registration():
    ground = scene()
    plane, valid = shifted(ground, 2.3, 0), np.ones(ground.shape, bool)
    plane[:, :20], valid[:, :20] = 16, False
    assert np.allclose(temporal.displacement(ground, plane, valid), (2.3, 0), atol=0.03)


@pytest.mark.parametrize(
    "clip", [[], [scene()], [scene(), scene(80, 80)], [np.zeros((4, 4))] * 3, [np.zeros((20, 20, 3))] * 3]
)
def test_what_is_no_clip_is_refused(clip):
    with pytest.raises(UsageError) as refusal:
        temporal.flicker(clip)
    assert refusal.value.code == "temporal.clip"


def test_a_region_without_pixels_and_unrelated_pictures_are_refused():
    with pytest.raises(UsageError) as refusal:
        temporal.flicker([scene()] * 3, np.zeros((120, 160), bool))
    assert refusal.value.code == "temporal.nothing-static"
    with pytest.raises(UsageError) as refusal:
        temporal.displacement(scene(), np.zeros((120, 160), np.float32))
    assert refusal.value.code == "temporal.displacement"


def test_equal_clips_give_equal_figures():
    clip = [shifted(scene(), 0.7 * i, 0.2 * i) for i in range(4)]
    assert len({temporal.warping_error(clip).rms for _ in range(3)}) == 1
