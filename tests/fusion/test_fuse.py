"""Fusion gains what it claims, makes no ghosts, and says what it did."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from forensic.errors import UsageError
from forensic.fusion.fuse import fuse, split_halves
from forensic.fusion.options import FusionOptions
from forensic.hashes import canonical_json
from forensic.simulation.degradation import MovingObject
from tests.fusion.recordings import bicubic, drawn, luma, psnr, recording, with_object

QUICK = {"detail": False}


@pytest.fixture(scope="module")
def jittered():
    return recording(drawn(192, 224), frames=9, noise=1.5)


def test_nine_frames_gain_far_more_than_one(jittered):
    frames, truth = luma(jittered), jittered.truth[4]
    plain = psnr(bicubic(frames[4], 4), truth)
    many = psnr(fuse(frames, 4).luma, truth)
    one = psnr(fuse(frames[4:5], 0).luma, truth)
    assert many > plain + 3.0
    assert plain + 0.5 < one < many - 1.0


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_every_scale_gains_over_interpolation(scale):
    made = recording(drawn(36 * scale + 32, 48 * scale + 32), frames=5, factor=scale, noise=3.0)
    frames, truth = luma(made), made.truth[2]
    fused = fuse(frames, 2, FusionOptions(scale=scale, **QUICK))
    assert fused.luma.shape == truth.shape and fused.luma.dtype == np.float32
    assert psnr(fused.luma, truth) > psnr(bicubic(frames[2], scale), truth) + 1.0


def test_a_blur_narrower_than_a_pixel_is_undone_at_the_recordings_own_size():
    """The scene is finer than the recording; the truth is its mean over each recorded pixel, without the blur."""
    made = recording(drawn(192, 224), frames=7, factor=2, noise=0.5)
    frames = luma(made)
    truth = cv2.resize(made.truth[3].astype(np.float32), frames[3].shape[::-1], interpolation=cv2.INTER_AREA)
    fused = fuse(frames, 3, FusionOptions(scale=1, **QUICK)).luma
    assert fused.shape == frames[3].shape
    assert psnr(fused, truth) > psnr(frames[3], truth) + 4.0
    twice = fuse(frames, 3, FusionOptions(scale=2, **QUICK)).luma.reshape(*frames[3].shape[:1], 2, -1, 2)
    assert np.abs(fused - twice.mean(axis=(1, 3))).max() < 1e-2


@pytest.mark.parametrize(("crf", "least"), [(24, 0.5), (35, -0.1)])
def test_with_strong_compression_the_gain_shrinks_to_nothing_and_not_far_below(crf, least):
    made = recording(drawn(160, 192), frames=7, noise=1.5, crf=crf)
    frames, truth = luma(made), made.truth[3]
    for quantisers in (made.qp, ()):
        fused = fuse(frames, 3, FusionOptions(quantisers=tuple(quantisers)))
        assert psnr(fused.luma, truth) > psnr(bicubic(frames[3], 4), truth) + least


def test_no_ghost_behind_a_moving_square():
    """Where the square is in other frames the result is as without it; where it is now it is whole."""
    scene = drawn(192, 224)
    thing = MovingObject(sprite=0, width=10, height=10, centre_x=0.5, centre_y=0.5, velocity_x=4.0, velocity_y=0.0)
    made = with_object(scene, thing, np.full((40, 40), 235.0, np.float32), frames=7)
    frames, truth = luma(made), made.truth[3]
    fused = fuse(frames, 3, FusionOptions(**QUICK))
    covered = np.max([cover for place, cover in enumerate(made.covers) if place != 3], axis=0) > 0.05
    beside = covered & (made.covers[3] < 0.01)
    alone = fuse(frames[3:4], 0, FusionOptions(**QUICK)).luma
    error, error_alone = fused.luma - truth, alone - truth
    assert np.sqrt(np.mean(error[beside] ** 2)) < 1.1 * np.sqrt(np.mean(error_alone[beside] ** 2))
    # A ghost of one frame of seven of a square 130 levels brighter would be a mean of 18.
    assert abs(float(error[beside].mean()) - float(error_alone[beside].mean())) < 1.5
    inner = cv2.erode((made.covers[3] > 0.99).astype(np.uint8), np.ones((17, 17), np.uint8)) > 0
    assert inner.sum() > 300 and np.abs(error[inner]).max() < 6.0
    middle = fused.effective[fused.effective.shape[0] // 2 - 2 : fused.effective.shape[0] // 2 + 2]
    assert middle[:, fused.effective.shape[1] // 2].max() < 1.5


def test_flat_stays_flat():
    flat = [np.full((40, 48), 101.25, np.float32) for _ in range(5)]
    fused = fuse(flat, 2)
    assert np.abs(fused.luma - 101.25).max() < 0.01


def test_a_mostly_empty_picture_is_no_less_a_number_than_any_other():
    """The sums of the noise estimate's filter may end just below zero beside texture: 6 to 8 % of them here."""
    for seed in (12, 14):
        picture = np.full((96, 128), 16, np.float32)
        picture[10:40, 20:50] = np.rint(np.random.default_rng(seed).uniform(0, 255, (96, 128)))[10:40, 20:50]
        assert np.isfinite(fuse([picture, picture], 0, FusionOptions(scale=2, detail=False)).luma).all()


def test_no_overshoot_at_an_edge():
    """Ringing-free: beside a step from 50 to 200 less overshoot than bicubic interpolation."""
    scene = np.full((192, 192), 50.0, np.float32)
    scene[:, 96:] = 200.0
    scene[120:150, 20:60] = 120.0  # something that fixes the vertical shift
    made = recording(scene, frames=7, noise=0.5)
    frames = luma(made)
    fused, plain = fuse(frames, 3).luma, bicubic(frames[3], 4)
    rows = slice(16, 90)
    overshoot = max(fused[rows, 16:-16].max() - 200, 50 - fused[rows, 16:-16].min())
    assert overshoot < max(plain[rows, 16:-16].max() - 200, 50 - plain[rows, 16:-16].min())


def test_one_frame_is_enough_and_says_so(jittered):
    fused = fuse(luma(jittered)[4:5], 0, FusionOptions(halves=True, **QUICK))
    assert fused.report["frames_used"] == 1 and fused.report["effective_frames"] == 1.0
    assert fused.report["single_frame_share"] == 1.0 and fused.halves is None
    assert fused.weights.shape == (1, 48 - 8, 56 - 8) and (fused.weights == 1.0).all()


def test_halves_are_independent_of_each_other_and_agree(jittered):
    frames, truth = luma(jittered), jittered.truth[4]
    fused = fuse(frames, 4, FusionOptions(halves=True, noise=1.5, **QUICK))
    even, odd = fused.halves
    changed = [frame + 30 * (place % 2) for place, frame in enumerate(frames)]
    again = fuse(changed, 4, FusionOptions(halves=True, noise=1.5, **QUICK))
    assert np.array_equal(again.halves[0], even)  # frames at odd distance do not bear on the even half
    assert psnr(even, truth) > 20 and psnr(odd, truth) > 20
    assert float(np.std(even - odd)) > 0.1


def test_halves_alone_are_those_that_come_with_the_picture(jittered):
    frames = luma(jittered)
    whole = fuse(frames, 4, FusionOptions(halves=True, **QUICK))
    alone = split_halves(frames, 4, FusionOptions(halves=True, **QUICK))
    assert all(np.array_equal(one, other) for one, other in zip(whole.halves, alone.halves, strict=True))
    assert np.array_equal(whole.weights, alone.weights) and np.array_equal(whole.effective, alone.effective)
    assert whole.report == alone.report and alone.why_none is None
    assert split_halves(frames[:1], 0, FusionOptions(halves=True, **QUICK)).why_none.startswith("no frame")
    assert split_halves(frames[:1], 0, FusionOptions(**QUICK)).why_none == "not asked for"


def test_a_frame_of_something_else_is_rejected_with_its_reason(jittered):
    frames = luma(jittered)
    frames[2] = drawn(*frames[0].shape, seed=77)
    fused = fuse(frames, 4, FusionOptions(**QUICK))
    assert fused.frames[2].rejected in ("no registration", "does not match", "shift too large")
    assert (fused.weights[2] == 0).all()
    assert all(report.rejected is None for report in fused.frames if report.place != 2)
    canonical_json(fused.report)


def test_a_frame_that_is_shifted_too_far_is_rejected(jittered):
    frames = luma(jittered)
    far = [frames[4], np.roll(frames[4], 9, 1)]
    fused = fuse(far, 0, FusionOptions(largest_shift=5.0, **QUICK))
    assert fused.frames[1].rejected == "shift too large"
    assert fused.frames[1].motion.displacement(frames[0].shape)[0] == pytest.approx(9.0, abs=0.1)


@pytest.mark.parametrize("scale", [1, 4])
def test_pieces_join_without_a_seam(scale):
    made = recording(drawn(4 * 72 + 32, 4 * 88 + 32), frames=3, noise=1.5)
    frames = luma(made)
    whole = fuse(frames, 1, FusionOptions(scale=scale, noise=1.5, **QUICK)).luma
    cut = fuse(frames, 1, FusionOptions(scale=scale, noise=1.5, tile=64, **QUICK)).luma
    assert cut.shape == (scale * frames[1].shape[0], scale * frames[1].shape[1])
    assert not np.array_equal(whole, cut)
    assert np.abs(whole - cut).max() < 6.0 and float(np.sqrt(np.mean((whole - cut) ** 2))) < 0.2


def test_turning_camera_is_fused(jittered):
    made = recording(drawn(192, 224), frames=7, noise=1.5, turn=0.4)
    frames, truth = luma(made), made.truth[3]
    fused = fuse(frames, 3, FusionOptions(**QUICK))
    assert psnr(fused.luma, truth) > psnr(bicubic(frames[3], 4), truth) + 2.0
    assert "matrix" in fused.report["frames"][0]


def test_blur_is_estimated_to_the_nearest_of_the_grid(jittered):
    fused = fuse(luma(jittered), 4, FusionOptions(psf_sigma=None, **QUICK))
    assert fused.report["psf_source"] == "estimated" and len(fused.report["psf_prediction_errors"]) == 7
    assert fused.report["psf_sigma_px"] in (0.275, 0.35, 0.45)  # truth: 0.35
    few = fuse(luma(jittered)[3:6], 1, FusionOptions(psf_sigma=None, **QUICK))
    assert few.report["psf_source"] == "default"


def test_noise_is_estimated_from_what_differs_between_frames():
    for noise in (1.0, 3.0):
        made = recording(drawn(192, 224), frames=7, noise=noise)
        fused = fuse(luma(made), 3, FusionOptions(scale=1, **QUICK))
        assert fused.report["noise"] == pytest.approx(float(np.hypot(noise, 0.29)), rel=0.25)


def test_the_same_frames_give_the_same_bytes(jittered):
    frames = luma(jittered)[2:5]
    assert fuse(frames, 1).luma.tobytes() == fuse([frame.copy() for frame in frames], 1).luma.tobytes()


@pytest.mark.parametrize(
    ("window", "at"),
    [
        ([], 0),
        ([np.zeros((20, 20), np.float32)], 1),
        ([np.zeros((20, 20), np.float64)], 0),
        ([np.zeros((20, 20), np.float32), np.zeros((20, 21), np.float32)], 0),
        ([np.zeros((7, 20), np.float32)], 0),
    ],
)
def test_a_window_that_cannot_be_fused_is_refused(window, at):
    with pytest.raises(UsageError) as refusal:
        fuse(window, at)
    assert refusal.value.code == "fusion.window"


@pytest.mark.parametrize(
    "values", [{"scale": 5}, {"psf_sigma": -1.0}, {"noise": 99.0}, {"registration": "guess"}, {"quantisers": (70.0,)}]
)
def test_options_outside_their_range_are_refused(values):
    with pytest.raises(UsageError) as refusal:
        FusionOptions(**values)
    assert refusal.value.code == "fusion.options"


def test_quantisers_must_be_given_for_every_frame():
    with pytest.raises(UsageError):
        fuse([np.zeros((20, 20), np.float32)], 0, FusionOptions(quantisers=(30.0, 30.0)))
