"""What each measure sees and what it is blind to, on pictures whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from forensic.fusion.forward import ForwardModel
from forensic.fusion.projection import noise_weight, soft_projection
from forensic.risk.assessment import assess
from forensic.risk.noise import QUANTISATION_SIGMA, estimate_sigma
from forensic.risk.nullspace import local_rms, nullspace_injection, tikhonov_reference
from forensic.risk.regions import CONFLICT, INJECTION
from forensic.risk.tiles import TILE, Level

PLANT = (slice(96, 160), slice(128, 256))  # whole tiles, in output pixels


def _upscaled(y: np.ndarray, scale: int = 2) -> np.ndarray:
    return np.clip(cv2.resize(y, None, fx=scale, fy=scale, interpolation=cv2.INTER_LANCZOS4), 0, 255)


def _strokes(shape: tuple[int, int]) -> np.ndarray:
    """Invented writing, two-pixel strokes, inside PLANT only."""
    detail = np.zeros(shape, np.uint8)
    cv2.putText(detail, "XK7 B31", (136, 145), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 90, 2, cv2.LINE_8)
    return detail.astype(np.float32)


def _planted_tiles(levels: np.ndarray) -> np.ndarray:
    return levels[PLANT[0].start // TILE : PLANT[0].stop // TILE, PLANT[1].start // TILE : PLANT[1].stop // TILE]


def test_detail_in_the_null_space_is_invisible_to_the_conflict_and_found_by_the_injection(scenes, invisible):
    forward = ForwardModel(2)
    for scene in scenes:
        y = forward.apply(scene)
        honest = _upscaled(y)
        invented = honest + invisible(_strokes(honest.shape), forward)
        assert np.abs(forward.apply(invented) - forward.apply(honest)).max() < 0.02  # consistent to the data
        strength = float(np.sqrt(np.mean((invented - honest)[PLANT] ** 2)))
        assert strength > 8.0
        tau = noise_weight(estimate_sigma(y))
        before, after = (soft_projection(picture, y, forward, tau) for picture in (honest, invented))
        np.testing.assert_allclose(after.conflict, before.conflict, atol=0.02)
        clean = nullspace_injection(before, y, forward, tau).rms
        found = nullspace_injection(after, y, forward, tau).rms
        assert found[PLANT].max() > clean[PLANT].max() + 8.0
        far = np.ones(found.shape, bool)
        far[60:200, 90:300] = False
        np.testing.assert_allclose(found[far], clean[far], atol=0.5)


def test_invented_detail_that_agrees_with_the_data_makes_high_tiles(smooth_scene, coded, invisible):
    forward = ForwardModel(2)
    y = coded(forward.apply(smooth_scene(288, 384)))
    honest = _upscaled(y.to_working().luma)
    invented = honest + 1.5 * invisible(_strokes(honest.shape), forward)
    result = assess(y.to_working(), coded(invented), forward)
    assert np.count_nonzero(_planted_tiles(result.levels) == Level.HIGH) >= 10
    assert result.regions[0].level == Level.HIGH
    assert result.regions[0].worst_tile.driver == INJECTION
    assert result.components[CONFLICT].max() < result.thresholds.medium


def test_a_swapped_region_is_found_by_the_conflict(smooth_scene, coded):
    y = coded(ForwardModel(2).apply(smooth_scene(288, 384)))
    output = _upscaled(y.to_working().luma)
    output[PLANT] = output[PLANT][::-1, ::-1] + 60
    result = assess(y.to_working(), coded(output))
    assert (_planted_tiles(result.levels) == Level.HIGH).all()
    assert result.regions[0].worst_tile.driver == CONFLICT
    outside = result.levels.copy()
    _planted_tiles(outside)[...] = Level.LOW
    assert np.count_nonzero(outside == Level.HIGH) <= 24  # at most the ring of tiles around it


@pytest.mark.parametrize("interpolation", [cv2.INTER_CUBIC, cv2.INTER_LANCZOS4])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_plain_interpolation_of_a_smooth_scene_is_low(smooth_scene, coded, scale, interpolation):
    y = coded(ForwardModel(scale).apply(smooth_scene(96 * scale, 128 * scale)))
    output = cv2.resize(y.to_working().luma, None, fx=scale, fy=scale, interpolation=interpolation)
    shares = assess(y.to_working(), coded(output)).summary()["levels"]
    assert shares["LOW"]["share"] > 0.98


def test_an_untouched_picture_has_no_risk(scenes, coded):
    for scene in scenes:
        frame = coded(np.clip(scene, 5, 250))
        result = assess(frame.to_working(), frame)
        assert result.risk is not None
        assert result.risk.max() < 0.5
        assert (result.conflict == 0).all()


def test_projection_removes_the_conflict_as_far_as_the_noise_allows(scenes):
    forward = ForwardModel(2)
    y = forward.apply(scenes[0])
    wrong = _upscaled(y) + 12 * np.sin(np.arange(384) / 9).astype(np.float32)
    conflict = {}
    for tau in (1e-4, 0.05, 5.0, 500.0):
        projection = soft_projection(wrong, y, forward, tau)
        np.testing.assert_allclose(projection.conflict, y - forward.apply(wrong), atol=1e-3)
        assert projection.solution.relative_residual <= 1e-3
        conflict[tau] = float(np.sqrt(np.mean((y - forward.apply(projection.projected)) ** 2)))
    before = float(np.sqrt(np.mean((y - forward.apply(wrong)) ** 2)))
    assert conflict[1e-4] < 0.02 * before
    assert conflict[1e-4] < conflict[0.05] < conflict[5.0] < conflict[500.0]
    assert conflict[500.0] == pytest.approx(before, rel=0.01)


def test_tikhonov_reference_minimises_its_functional(scenes):
    forward = ForwardModel(2)
    y = forward.apply(scenes[0])
    reference, _ = tikhonov_reference(y, forward)

    def functional(x: np.ndarray) -> float:
        data = np.sum((y - forward.apply(x)).astype(np.float64) ** 2)
        gradient = np.sum(np.diff(x.astype(np.float64), axis=0) ** 2) + np.sum(
            np.diff(x.astype(np.float64), axis=1) ** 2
        )
        return float(data + 0.05 / 4 * gradient)

    least = functional(reference)
    random = np.random.default_rng(5)
    for size in (0.3, 3.0):
        for _ in range(4):
            step = cv2.GaussianBlur(
                random.normal(0, size, reference.shape).astype(np.float32), (0, 0), random.uniform(0.4, 6)
            )
            assert functional(reference + step) > least
    assert functional(_upscaled(y)) > least
    assert functional(forward.interpolate(y)) > least


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_noise_is_estimated_through_edges_and_text(scenes, sigma):
    scene = scenes[0]
    noisy = scene + np.random.default_rng(2).normal(0, sigma, scene.shape).astype(np.float32)
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.12)


def test_noise_is_never_below_that_of_rounding():
    assert estimate_sigma(np.full((40, 40), 100, np.float32)) == QUANTISATION_SIGMA
    assert estimate_sigma(np.zeros((2, 300), np.float32)) == QUANTISATION_SIGMA


def test_clipped_samples_do_not_hide_the_noise():
    picture = np.full((120, 120), 128, np.float32) + np.random.default_rng(4).normal(0, 4, (120, 120)).astype(
        np.float32
    )
    picture[:80] = 255.0
    assert estimate_sigma(picture) < 1.0
    assert estimate_sigma(picture, picture >= 255) == pytest.approx(4.0, rel=0.15)


def test_removing_noise_well_is_no_conflict(smooth_scene, coded):
    truth = smooth_scene(144, 192)
    noisy = coded(truth + np.random.default_rng(6).normal(0, 3, truth.shape))
    clean, noise = coded(truth), noisy.to_working()
    assert assess(noise, clean).summary()["levels"]["LOW"]["share"] > 0.9
    shifted = coded(truth + 12)
    assert assess(noise, shifted).summary()["levels"]["HIGH"]["share"] > 0.9


def test_local_rms_is_the_mean_over_its_window():
    values = np.random.default_rng(8).normal(0, 5, (30, 30)).astype(np.float32)
    assert local_rms(values, 9)[15, 12] == pytest.approx(np.sqrt(np.mean(values[11:20, 8:17] ** 2)), rel=1e-4)
