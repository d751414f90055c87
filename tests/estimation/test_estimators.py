"""Every estimator finds what was done to a recording, and does not find what was not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from forensic.estimation.duplicates import DuplicateFinder
from forensic.estimation.estimate import Estimate, NotDetermined
from forensic.estimation.grid import estimate_grid
from forensic.estimation.halo import estimate_halo
from forensic.estimation.interlace import estimate_interlacing, wilson
from forensic.estimation.noise import estimate_noise
from forensic.estimation.pointspread import estimate_point_spread
from forensic.estimation.quantiser import QuantiserLog, from_statistics, ijg_quality, step_of
from forensic.estimation.resolution import estimate_resolution
from forensic.estimation.sampling import Group, Observation
from forensic.media.encoding import transcode
from forensic.media.quantisers import FrameCoding
from forensic.simulation.degradation import Codec, Motion, Optics, Recorder, Sensor
from tests.estimation.clips import drawn_scene, observed, record
from tests.estimation.measure import ideal_halo

_SCENES = [drawn_scene(seed) for seed in range(4)]
_PANNED = Motion(jitter=0.1, pan_x=0.6)


def _groups(frames: list[Observation]) -> list[Group]:
    return [tuple(frames[place : place + 3]) for place in range(0, len(frames) - 2, 3)] or [tuple(frames)]


@pytest.mark.parametrize(("gain", "read"), [(0.0, 1.0), (0.0, 4.0), (0.05, 2.0), (0.2, 1.0)])
def test_noise_of_an_uncoded_recording_is_within_its_interval(gain: float, read: float) -> None:
    for seed, scene in enumerate(_SCENES):
        found = estimate_noise(_groups(observed(record(scene, seed, sensor=Sensor(gain=gain, read_noise=read)))))
        truth = np.sqrt(read**2 + gain * found.level)
        assert isinstance(found.sigma, Estimate) and found.sigma.low <= truth <= found.sigma.high
        assert found.sigma.value == pytest.approx(truth, rel=0.15)


def test_gain_is_told_from_read_noise() -> None:
    for seed, scene in enumerate(_SCENES):
        rows = {gain: record(scene, seed, sensor=Sensor(gain=gain, read_noise=2.0)) for gain in (0.0, 0.2)}
        found = {gain: estimate_noise(_groups(observed(recording))).gain for gain, recording in rows.items()}
        assert all(isinstance(answer, Estimate) for answer in found.values())
        assert found[0.0].low == 0.0 and found[0.2].low > 0.1  # type: ignore[union-attr]


def test_noise_below_the_quantisers_step_is_only_bounded() -> None:
    recording = record(_SCENES[0], codec=Codec("h264", crf=30.0), sensor=Sensor(read_noise=2.0))
    step = step_of("h264", float(np.mean([q for q in recording.qp if q is not None])))
    found = estimate_noise(_groups(observed(recording)), step, True, "h264").sigma
    assert isinstance(found, Estimate) and found.bound == "lower"
    assert found.low <= 2.0 <= found.high


def test_noise_of_pictures_coded_by_an_unknown_step_is_not_determined_but_what_is_left_is() -> None:
    found = estimate_noise(_groups(observed(record(_SCENES[0], sensor=Sensor(read_noise=3.0)))), coded=True)
    assert isinstance(found.sigma, NotDetermined) and isinstance(found.gain, NotDetermined)
    assert isinstance(found.left, Estimate) and not found.left.calibrated


def test_a_flat_clipped_picture_has_no_noise_to_measure() -> None:
    found = estimate_noise(_groups([Observation(n, np.full((96, 96), 255, np.uint8)) for n in range(3)]))
    assert isinstance(found.sigma, NotDetermined)


@pytest.mark.parametrize("sigma", [0.9, 1.5, 2.5])
def test_width_of_a_round_blur(sigma: float) -> None:
    for seed, scene in enumerate(_SCENES):
        found = estimate_point_spread(
            _groups(observed(record(scene, seed, 3, optics=Optics("gaussian", sigma_x=sigma, sigma_y=sigma)))), 1.0
        )
        assert isinstance(found.width, Estimate)
        assert found.width.value == pytest.approx(np.hypot(sigma, 12**-0.5), rel=0.25)


def test_blur_across_columns_is_told_from_blur_across_rows() -> None:
    optics = Optics("gaussian", sigma_x=2.2, sigma_y=0.7)
    found = estimate_point_spread(_groups(observed(record(_SCENES[1], optics=optics))), 1.0)
    assert isinstance(found.across_x, Estimate) and isinstance(found.across_y, Estimate)
    assert found.across_x.value > 1.5 * found.across_y.value


@pytest.mark.parametrize(("length", "angle"), [(11.0, 25.0), (17.0, 120.0)])
def test_length_and_direction_of_a_motion(length: float, angle: float) -> None:
    hits = 0
    for seed, scene in enumerate(_SCENES):
        optics = Optics("motion", length=length, angle=angle)
        found = estimate_point_spread(_groups(observed(record(scene, seed, 3, optics=optics))), 1.0)
        if found.shape == "motion":
            assert isinstance(found.length, Estimate) and isinstance(found.angle, Estimate)
            assert found.length.value == pytest.approx(length, abs=1.0)
            assert found.angle.value == pytest.approx(angle, abs=5.0)
            hits += 1
    assert hits >= 3


def test_radius_of_a_defocus() -> None:
    for seed, scene in enumerate(_SCENES):
        found = estimate_point_spread(
            _groups(observed(record(scene, seed, 3, optics=Optics("defocus", radius=3.5)))), 1.0
        )
        assert found.shape == "defocus" and isinstance(found.radius, Estimate)
        assert found.radius.value == pytest.approx(3.5, rel=0.1)


def test_no_motion_and_no_defocus_is_said_of_a_round_blur() -> None:
    alarms = 0
    for seed, scene in enumerate(_SCENES):
        for sigma in (0.4, 1.0, 2.0):
            optics = Optics("gaussian", sigma_x=sigma, sigma_y=sigma)
            found = estimate_point_spread(_groups(observed(record(scene, seed, 3, optics=optics))), 1.0)
            alarms += found.shape in ("motion", "defocus")
    assert alarms == 0


@pytest.mark.parametrize("codec", [Codec(), Codec("h264", crf=26.0)])
def test_halos_of_a_sharpening_camera_are_found_with_their_width(codec: Codec) -> None:
    for seed, scene in enumerate(_SCENES):
        recorder = Recorder(sharpen=1.0, sharpen_sigma=1.8)
        found = estimate_halo(_groups(observed(record(scene, seed, codec=codec, recorder=recorder))), 1.0)
        overshoot, width = ideal_halo(1.0, 1.8)
        assert isinstance(found.overshoot, Estimate) and found.overshoot.bound is None
        assert found.overshoot.low <= overshoot <= found.overshoot.high
        assert isinstance(found.width, Estimate) and found.width.low <= width <= found.width.high


def test_stronger_sharpening_makes_a_larger_halo() -> None:
    for seed, scene in enumerate(_SCENES):
        values = []
        for sharpen in (0.0, 0.5, 1.0, 2.0):
            groups = _groups(observed(record(scene, seed, recorder=Recorder(sharpen=sharpen))))
            answer = estimate_halo(groups, 1.0).overshoot
            assert isinstance(answer, Estimate)
            values.append(answer.value)
        assert values == sorted(values) and values[-1] > values[0] + 10.0


def test_no_halo_is_said_of_pictures_that_were_not_sharpened() -> None:
    for seed, scene in enumerate(_SCENES):
        for sigma in (0.35, 1.2):
            optics = Optics("gaussian", sigma_x=sigma, sigma_y=sigma)
            found = estimate_halo(_groups(observed(record(scene, seed, optics=optics))), 1.0)
            assert not isinstance(found.overshoot, Estimate) or found.overshoot.low == 0.0
            assert isinstance(found.width, NotDetermined)


def test_halos_are_not_determined_where_no_edge_is_sharp() -> None:
    optics = Optics("gaussian", sigma_x=2.5, sigma_y=2.5)
    found = estimate_halo(_groups(observed(record(_SCENES[0], 1, optics=optics))), 1.0)
    assert isinstance(found.overshoot, NotDetermined)


@pytest.mark.parametrize("share", [0.85, 0.7])
def test_an_enlargement_is_traced(share: float) -> None:
    right = 0
    for seed, scene in enumerate(_SCENES):
        recording = record(scene, seed, 3, 1, recorder=Recorder(resize_x=share, resize_y=share))
        groups = _groups(observed(recording))
        spread = estimate_point_spread(groups, 0.5)
        factor = estimate_resolution(groups, 0.5, spread.across_x, spread.across_y).enlarged
        truth = recording.frames[0].shape[1] / round(recording.frames[0].shape[1] * share)
        right += factor is not None and abs(factor - truth) < 0.01
        assert factor is None or abs(factor - truth) < 0.01
    assert right >= 2


def test_a_picture_twice_as_large_as_its_detail_holds_half() -> None:
    for seed, scene in enumerate(_SCENES):
        groups = _groups(observed(record(scene, seed, 3, 1, recorder=Recorder(resize_x=0.5, resize_y=0.5))))
        spread = estimate_point_spread(groups, 0.5)
        found = estimate_resolution(groups, 0.5, spread.across_x, spread.across_y)
        assert isinstance(found.y.held, Estimate)
        assert (
            found.y.held.value < 0.75 * found.y.samples and found.y.held.low <= found.y.samples / 2 <= found.y.held.high
        )


def test_no_enlargement_is_traced_in_pictures_of_native_size() -> None:
    for seed, scene in enumerate(_SCENES):
        for codec in (Codec(), Codec("h264", crf=26.0), Codec("mjpeg", quality=5)):
            groups = _groups(observed(record(scene, seed, 3, 1, codec=codec)))
            found = estimate_resolution(groups, 0.5, blocks=estimate_grid(groups).found)
            assert found.enlarged is None


def test_the_block_grid_of_jpeg_is_found_and_moves_with_a_crop() -> None:
    for seed, scene in enumerate(_SCENES):
        frames = observed(record(scene, seed, 3, 1, codec=Codec("mjpeg", quality=6)))
        whole = estimate_grid(_groups(frames))
        assert [(one.period, one.offset) for one in (whole.x[0], whole.y[0])] == [(8.0, 0.0)] * 2
        assert not whole.scaled and not whole.shifted
        cropped = estimate_grid(_groups([Observation(f.index, f.luma[3:, 5:]) for f in frames]))
        assert (cropped.x[0].offset, cropped.y[0].offset) == (3.0, 5.0) and cropped.shifted


def test_a_grid_that_was_enlarged_with_the_picture_is_found() -> None:
    hits = 0
    for seed, scene in enumerate(_SCENES):
        frames = record(scene, seed, 3, 1, codec=Codec("mjpeg", quality=8)).frames
        large = [cv2.resize(f, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_LINEAR) for f in frames]
        grid = estimate_grid(
            _groups([Observation(n, np.clip(f, 0, 255).astype(np.uint8)) for n, f in enumerate(large)])
        )
        hits += grid.scaled and any(abs(one.period - 12.0) < 0.1 for one in (*grid.x, *grid.y))
    assert hits >= 3


def test_no_grid_is_found_where_nothing_was_coded() -> None:
    for seed, scene in enumerate(_SCENES):
        assert not estimate_grid(_groups(observed(record(scene, seed, 3, 1)))).found


@pytest.mark.parametrize(("kind", "order"), [("tff", "top"), ("bff", "bottom")])
@pytest.mark.parametrize("codec", [Codec(), Codec("h264", crf=24.0)])
def test_interlacing_and_its_field_order_are_found(kind: str, order: str, codec: Codec) -> None:
    for seed, scene in enumerate(_SCENES[:2]):
        motion = Motion(jitter=0.1, pan_x=4.0)
        recording = record(scene, seed, 6, 1, recorder=Recorder(interlace=kind), motion=motion, margin=32, codec=codec)
        found = estimate_interlacing(_groups(observed(recording)), "progressive")
        assert found.interlaced is True and found.order == order and found.agrees is False


def test_no_interlacing_is_said_of_moving_progressive_pictures() -> None:
    for seed, scene in enumerate(_SCENES):
        recording = record(scene, seed, 6, 1, motion=Motion(jitter=0.3, pan_x=4.0, pan_y=2.0), margin=32)
        found = estimate_interlacing(_groups(observed(recording)), "tt")
        assert found.interlaced is False and found.agrees is False


def test_nothing_is_said_of_interlacing_where_nothing_moves() -> None:
    still = observed(record(_SCENES[0], 1, 6, 1, motion=Motion()))
    assert estimate_interlacing(_groups(still), "tt").interlaced is None


@pytest.mark.parametrize("crf", [None, 22.0])
def test_repeated_frames_are_listed(crf: float | None) -> None:
    clean = [frame.astype(np.uint8) for frame in record(_SCENES[2], 1, 16, 2, motion=_PANNED, margin=24).frames]
    shown = [luma for place, luma in enumerate(clean) for _ in range(2 if place % 4 == 1 else 1)]
    repeats = [place for place in range(1, len(shown)) if shown[place] is shown[place - 1]]
    if crf is not None:
        grey = np.full((shown[0].shape[0] // 2, shown[0].shape[1] // 2), 128, np.uint8)
        coded = transcode([(luma, grey, grey) for luma in shown], codec="h264", crf=crf)
        shown = [planes[0] for planes in coded.frames]
    finder = DuplicateFinder()
    for place, luma in enumerate(shown):
        finder.offer(Observation(place, luma))
    found = finder.finish()
    assert sorted((*found.exact, *found.near)) == repeats
    assert found.period == 5
    assert (list(found.exact) == repeats) == (crf is None)


def test_no_repeats_are_listed_where_there_are_none() -> None:
    finder = DuplicateFinder()
    for one in observed(record(_SCENES[3], 5, 16, 2, motion=_PANNED, margin=24, codec=Codec("h264", crf=24.0))):
        finder.offer(one)
    found = finder.finish()
    assert (found.exact, found.near, found.share) == ((), (), 0.0)


@pytest.mark.parametrize(("codec", "truth"), [(Codec("mpeg4", quality=3), 6.0), (Codec("mpeg4", quality=6), 12.0)])
def test_the_step_of_mpeg4_is_read_off_the_pictures(codec: Codec, truth: float) -> None:
    for seed, scene in enumerate(_SCENES):
        answer, _ = from_statistics(_groups(observed(record(scene, seed, 3, 1, codec=codec))))
        assert isinstance(answer, Estimate) and answer.value == pytest.approx(truth, abs=0.1)
        assert answer.low <= truth <= answer.high


@pytest.mark.parametrize("quality", [40, 75, 88])
def test_the_quality_of_a_decoded_jpeg_is_read_off_the_picture(quality: int) -> None:
    for seed, scene in enumerate(_SCENES):
        recording = record(scene, seed, 1, 1)
        done, data = cv2.imencode(".jpg", recording.frames[0], [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done
        decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        answer, found = from_statistics(_groups([Observation(0, np.asarray(decoded))]))
        assert isinstance(answer, Estimate) and found is not None and abs(found - quality) <= 2


@pytest.mark.parametrize("codec", [Codec(), Codec("h264", crf=26.0)])
def test_no_step_is_read_off_pictures_without_a_lattice(codec: Codec) -> None:
    for seed, scene in enumerate(_SCENES):
        answer, quality = from_statistics(_groups(observed(record(scene, seed, 3, 1, codec=codec), told=False)))
        assert isinstance(answer, NotDetermined) and quality is None


def test_quantisers_of_the_bitstream_are_averaged_by_frame_and_type() -> None:
    log = QuantiserLog()
    for kind, counts in (("I", ((20, 100),)), ("P", ((30, 100), (34, 300))), ("P", ((31, 400),))):
        log.offer(FrameCoding(kind, "h264", counts))
    found = log.finish([])
    assert isinstance(found.mean, Estimate) and found.mean.value == pytest.approx((20 + 33 + 31) / 3)
    assert found.per_frame == (20.0, 33.0, 31.0) and found.by_type == {"I": 20.0, "P": 32.0}
    assert (found.least, found.most, found.inter_coded, found.source) == (20, 34, True, "bitstream")


def test_jpeg_qualities_are_told_by_their_table() -> None:
    assert ijg_quality([1] * 64) == 100
    assert ijg_quality([2] * 63 + [3]) is None


@pytest.mark.parametrize(("hits", "count"), [(0, 40), (20, 40), (40, 40)])
def test_wilsons_interval_holds_the_share(hits: int, count: int) -> None:
    share, low, high = wilson(hits, count)
    assert 0.0 <= low <= share <= high <= 1.0 and high - low < 0.3
