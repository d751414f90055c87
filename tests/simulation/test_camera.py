"""Sampling, noise, colour filter array and the recorder's processing, each against its own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.simulation import recorder as chain
from forensic.simulation import sensor as photosites
from forensic.simulation.draw import Codec, Degradation, Motion, Optics, Recorder, Sampling, Sensor
from forensic.simulation.simulator import Recording, cropped_to_fit, simulate
from tests.simulation.scenes import coloured_scene, smooth_scene


def _flat(level: float, how: Degradation, frames: int = 4, side: int = 128, seed: int = 3) -> Recording:
    return simulate(np.full((side, side), level, np.float32), how, frames, seed)


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_a_low_resolution_pixel_is_the_mean_of_its_block(factor: int) -> None:
    scene = cropped_to_fit(smooth_scene(97, 101), Degradation(sampling=Sampling(factor)))
    made = simulate(scene, Degradation(sampling=Sampling(factor)), 1, 0)
    height, width = scene.shape
    blocks = scene.astype(np.float64).reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))
    assert np.abs(made.frames[0] - blocks).max() <= 0.5001
    assert np.array_equal(made.truth[0], scene)


@pytest.mark.parametrize(
    ("gain", "read", "level"), [(0.5, 0.0, 60.0), (0.05, 3.0, 120.0), (0.0, 4.0, 90.0), (2.0, 1.0, 70.0)]
)
def test_noise_variance_is_gain_times_level_plus_read_noise_squared(gain: float, read: float, level: float) -> None:
    rng = np.random.default_rng(11)
    sample = photosites.noisy(np.full((400, 400), level, np.float32), Sensor(gain, read), None, rng)
    expected = gain * level + read**2
    count = sample.size
    assert sample.mean() == pytest.approx(level, abs=5 * np.sqrt(expected / count))
    assert sample.var() == pytest.approx(expected, rel=5 * np.sqrt(2 / count) + gain / 100)


def test_recorded_noise_has_the_rounding_on_top_and_differs_from_frame_to_frame() -> None:
    made = _flat(100.0, Degradation(sampling=Sampling(2), sensor=Sensor(gain=0.1, read_noise=2.0)), side=256)
    stack = np.stack(made.frames)
    assert stack.var() == pytest.approx(0.1 * 100 + 4 + 1 / 12, rel=0.03)
    for one in range(3):
        correlation = np.corrcoef(stack[one].ravel(), stack[one + 1].ravel())[0, 1]
        assert abs(correlation) < 5 / np.sqrt(stack[0].size)


def test_shot_noise_is_poisson() -> None:
    rng = np.random.default_rng(2)
    gain = 4.0
    sample = photosites.noisy(np.full((500, 500), 20.0, np.float32), Sensor(gain=gain), None, rng) / gain
    # Five photoelectrons on average; whole numbers; skewness 1 / sqrt(5).
    assert np.array_equal(sample, np.rint(sample))
    centred = sample - sample.mean()
    assert (centred**3).mean() / (centred**2).mean() ** 1.5 == pytest.approx(1 / np.sqrt(5), abs=0.02)


def test_fixed_pattern_stays_and_noise_does_not() -> None:
    how = Degradation(sampling=Sampling(1), sensor=Sensor(read_noise=2.0, fixed_pattern=3.0, column_pattern=2.0))
    made = _flat(128.0, how, frames=16)
    mean = np.stack(made.frames).mean(axis=0)
    columns = mean.mean(axis=0)
    assert columns.std() == pytest.approx(2.0, rel=0.25)
    assert (mean - columns).std() == pytest.approx(np.sqrt(9 + 4 / 16), rel=0.05)


def test_demosaicing_gives_flat_colours_and_grey_ramps_back() -> None:
    flat = np.broadcast_to(np.array([200, 90, 30], np.float32), (16, 20, 3)).copy()
    assert np.allclose(photosites.demosaic(photosites.mosaic(flat)), flat, atol=1e-3)
    y, x = np.mgrid[0:24, 0:30].astype(np.float32)
    ramp = np.repeat((3 * x + 2 * y + 20)[..., None], 3, axis=-1)
    inner = (slice(3, -3), slice(3, -3))
    assert np.allclose(photosites.demosaic(photosites.mosaic(ramp))[inner], ramp[inner], atol=1e-3)


def test_mosaic_is_red_first() -> None:
    picture = np.zeros((4, 4, 3), np.float32)
    picture[..., 0], picture[..., 1], picture[..., 2] = 1, 2, 3
    assert photosites.mosaic(picture).tolist() == [[1, 2, 1, 2], [2, 3, 2, 3], [1, 2, 1, 2], [2, 3, 2, 3]]


def test_demosaiced_noise_is_correlated_between_neighbours() -> None:
    how = Degradation(sampling=Sampling(1, bayer=True), sensor=Sensor(read_noise=6.0))
    noise = _flat(128.0, how, frames=1, side=256).frames[0] - 128
    neighbour = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
    assert neighbour > 0.1


def test_bayer_sensor_keeps_a_smooth_coloured_scene() -> None:
    scene = coloured_scene(128, 128)
    plain = simulate(scene, Degradation(sampling=Sampling(2)), 1, 0)
    bayer = simulate(scene, Degradation(sampling=Sampling(2, bayer=True)), 1, 0)
    difference = (plain.frames[0] - bayer.frames[0])[2:-2, 2:-2]
    assert 0 < np.sqrt((difference**2).mean()) < 2.5


def test_sharpening_leaves_halos_of_the_stated_height_at_a_step() -> None:
    step = np.full((32, 64), 60.0, np.float32)
    step[:, 32:] = 180.0
    sharpened = chain.processed((step,), Recorder(sharpen=1.0, sharpen_sigma=1.2))[0][16]
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.2) ** 2)
    taps /= taps.sum()
    # Beside the step the blur has taken in all taps beyond it.
    overshoot = 120.0 * taps[6:].sum()
    assert sharpened.max() == pytest.approx(180 + overshoot, abs=0.01)
    assert sharpened.min() == pytest.approx(60 - overshoot, abs=0.01)


def test_range_compression_maps_black_and_white_and_the_truth_with_it() -> None:
    scene = np.zeros((64, 64), np.float32)
    scene[:, 32:] = 255.0
    made = simulate(scene, Degradation(sampling=Sampling(2), recorder=Recorder(black=16.0, white=235.0)), 1, 0)
    assert set(np.unique(made.frames[0])) == {16.0, 235.0}
    assert (made.truth[0].min(), made.truth[0].max()) == (16.0, 235.0)


def test_resizing_removes_what_the_stored_size_cannot_hold() -> None:
    y, x = np.mgrid[0:128, 0:128]
    fine = (128 + 80 * np.sin(2 * np.pi * x * 0.4) + 40 * np.sin(2 * np.pi * y * 0.05)).astype(np.float32)
    made = simulate(fine, Degradation(sampling=Sampling(1), recorder=Recorder(resize_x=0.5)), 1, 0)
    power = np.abs(np.fft.rfft2(made.frames[0] - made.frames[0].mean())) ** 2
    before = np.abs(np.fft.rfft2(fine - fine.mean())) ** 2
    assert made.frames[0].shape == (128, 128)
    assert power[:, 48:56].sum() < 0.06 * before[:, 48:56].sum()  # around 0.4 cycles per pixel
    assert power[4:9, 0].sum() > 0.9 * before[4:9, 0].sum()


@pytest.mark.parametrize(("order", "early"), [("tff", 0), ("bff", 1)])
def test_fields_are_half_a_frame_apart(order: str, early: int) -> None:
    scene = smooth_scene(256, 320, finest=24.0)
    motion = Motion(pan_x=4.0)
    plain = Degradation(sampling=Sampling(2), motion=motion)
    fields = Degradation(sampling=Sampling(2), motion=motion, recorder=Recorder(interlace=order))
    double = Degradation(sampling=Sampling(2), motion=Motion(pan_x=2.0))
    made = simulate(scene, fields, 3, 0, margin=32, reference=0)
    whole = simulate(scene, plain, 3, 0, margin=32, reference=0)
    halves = simulate(scene, double, 6, 0, margin=32, reference=0)
    for frame in range(3):
        assert np.array_equal(made.frames[frame][early::2], whole.frames[frame][early::2])
        assert np.array_equal(made.frames[frame][1 - early :: 2], halves.frames[2 * frame + 1][1 - early :: 2])


def test_text_is_where_the_record_says_and_nowhere_else() -> None:
    scene = smooth_scene(240, 320)
    plain = simulate(scene, Degradation(sampling=Sampling(1)), 1, 0)
    with_text = simulate(
        scene, Degradation(sampling=Sampling(1), recorder=Recorder(text="CAM 3 12:00", text_corner="top-right")), 1, 0
    )
    changed = plain.frames[0] != with_text.frames[0]
    assert with_text.text_box is not None and plain.text_box is None
    left, top, width, height = with_text.text_box
    assert left > 160 and top < 20
    assert changed[top : top + height, left : left + width].any()
    changed[top : top + height, left : left + width] = False
    assert not changed.any()
    assert {16.0, 235.0} <= set(np.unique(with_text.frames[0][top : top + height, left : left + width]))


@pytest.mark.parametrize(("centred", "offset"), [(False, 0.0), (True, 0.5)])
def test_halved_chroma_lies_where_the_codec_puts_it(centred: bool, offset: float) -> None:
    y, x = np.mgrid[0:16, 0:24].astype(np.float32)
    half = chain.halved_chroma(100 + 2 * x + 3 * y, False, centred)
    rows, columns = np.mgrid[0:8, 0:12]
    expected = 100 + 2 * (2 * columns + offset) + 3 * (2 * rows + 0.5)
    assert np.allclose(half[:, 1:], expected[:, 1:], atol=1e-4)


def test_interlaced_chroma_does_not_mix_fields() -> None:
    plane = np.zeros((16, 16), np.float32)
    plane[1::2] = 200.0
    half = chain.halved_chroma(plane, True, False)
    assert set(np.unique(half[0::2])) == {0.0} and set(np.unique(half[1::2])) == {200.0}


def test_luma_and_chroma_follow_bt601() -> None:
    scene = np.zeros((32, 32, 3), np.float32)
    scene[...] = (255, 0, 0)
    made = simulate(scene, Degradation(sampling=Sampling(2), recorder=Recorder(chroma_420=False)), 1, 0)
    assert made.chroma is not None
    assert made.frames[0][0, 0] == 76  # 0.299 * 255
    assert made.chroma[0][0][0, 0] == 85  # 128 - 0.299 / 1.772 * 255
    assert made.chroma[0][1][0, 0] == 255  # 128 + 127.5, clipped
    assert made.chroma[0][0].shape == made.frames[0].shape


def test_blur_comes_before_sampling() -> None:
    scene = smooth_scene(128, 128, finest=3.0)
    sharp = simulate(scene, Degradation(sampling=Sampling(2)), 1, 0)
    soft = simulate(scene, Degradation(sampling=Sampling(2), optics=Optics("defocus", radius=1.5)), 1, 0)
    assert soft.frames[0].std() < 0.8 * sharp.frames[0].std()
    assert np.array_equal(soft.truth[0], sharp.truth[0])


def test_codec_needs_even_sides_and_the_simulator_says_so_first() -> None:
    scene = smooth_scene(130, 130)
    how = Degradation(sampling=Sampling(4), codec=Codec("h264", crf=23))
    fitted = cropped_to_fit(scene, how)
    assert fitted.shape == (128, 128)
    assert simulate(fitted, how, 2, 0).frames[0].shape == (32, 32)
