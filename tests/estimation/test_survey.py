"""The survey: one pass, bounded memory, the same answer each time, everything JSON-able; and what is proposed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import UsageError
from forensic.estimation.estimate import Estimate
from forensic.estimation.grid import AxisGrid, BlockGrid
from forensic.estimation.proposal import RECIPES, propose
from forensic.estimation.sampling import GROUP, GroupSampler, Observation, observations_of
from forensic.estimation.survey import Survey, survey
from forensic.estimation.wording import in_words
from forensic.media.sandbox.reader import SandboxedReader
from forensic.simulation.degradation import Codec, Motion, Recorder, Sensor
from tests.estimation.clips import drawn_scene, observed, record

_SCENE = drawn_scene(9)


@pytest.fixture(scope="module")
def plain() -> Survey:
    return survey(observed(record(_SCENE, 3, 9, 2, codec=Codec("h264", crf=22.0))))


@given(st.integers(0, 400), st.integers(3, 40), st.one_of(st.none(), st.integers(0, 10**9)))
def test_the_frames_chosen_are_even_bounded_and_whole_groups(frames: int, limit: int, claimed: int | None) -> None:
    sampler = GroupSampler(limit, claimed)
    luma = np.zeros((4, 4), np.uint8)
    for index in range(frames):
        sampler.offer(Observation(index, luma))
        assert sum(map(len, sampler.groups)) <= max(limit, 2 * GROUP)
    groups = sampler.groups
    starts = [group[0].index for group in groups]
    assert starts == [number * sampler.stride for number in range(len(starts))]
    assert all([one.index - group[0].index for one in group] == list(range(len(group))) for group in groups)
    assert bool(groups) == bool(frames)
    if frames >= GROUP:
        assert all(len(group) == GROUP for group in groups)
    json.dumps(sampler.to_record())


def test_frames_are_walked_once_and_not_kept() -> None:
    alive = 0
    most = 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            if self.base is None or not isinstance(self.base, Counted):
                alive -= 1

    def frames() -> Iterator[np.ndarray]:
        nonlocal alive, most
        rng = np.random.default_rng(1)
        for _ in range(300):
            one = rng.integers(0, 255, (48, 64), dtype=np.uint8).view(Counted)
            alive += 1
            most = max(most, alive)
            yield one
            del one

    survey(frames(), limit=9)
    assert most <= 24


def test_the_same_frames_give_the_same_record(plain: Survey) -> None:
    again = survey(observed(record(_SCENE, 3, 9, 2, codec=Codec("h264", crf=22.0))))
    assert json.dumps(again.to_record(), sort_keys=True, allow_nan=False) == json.dumps(
        plain.to_record(), sort_keys=True, allow_nan=False
    )
    assert propose(again) == propose(plain)


def test_an_exhibit_is_surveyed_through_the_confined_decoder(real_clip: Path) -> None:
    with SandboxedReader(real_clip, coding=True) as reader:
        found = survey(observations_of(reader), reader.facts)
    assert found.codec == "h264" and found.quantiser.source == "bitstream" and found.lossless is False
    assert isinstance(found.quantiser.mean, Estimate) and 0 < found.quantiser.mean.value < 52
    assert found.frames["frames_seen"] == 120 and len(found.quantiser.per_frame) == 120
    json.dumps(found.to_record(), allow_nan=False)
    json.dumps(propose(found).to_record(), allow_nan=False)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (16, 16), (40, 31), (200, 17)])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_pictures_of_any_size_get_an_answer(shape: tuple[int, int], count: int) -> None:
    rng = np.random.default_rng(0)
    for frames in (
        [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)],
        [np.zeros(shape, np.uint8)] * count,
        [np.full(shape, 128.5, np.float32)] * count,
    ):
        found = survey(frames)
        json.dumps(found.to_record(), allow_nan=False)
        assert propose(found).recipe in RECIPES


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 70), st.integers(1, 70), st.integers(1, 5), st.sampled_from([0, 3, 255])
)
@settings(max_examples=25)
def test_arbitrary_pictures_never_crash(seed: int, rows: int, columns: int, count: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    found = survey([rng.integers(0, spread + 1, (rows, columns)).astype(np.uint8) for _ in range(count)])
    json.dumps(propose(found).to_record(), allow_nan=False)


def test_no_frames_and_changing_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="no frame"):
        survey([])
    with pytest.raises(UsageError, match="another size"):
        survey([np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8)])
    with pytest.raises(UsageError, match="must be looked at"):
        survey([np.zeros((8, 8), np.uint8)], limit=2)


def test_interlaced_pictures_are_measured_by_field_and_deinterlaced_first() -> None:
    motion = Motion(jitter=0.1, pan_x=4.0)
    recording = record(_SCENE, 3, 6, 1, recorder=Recorder(interlace="tff"), motion=motion, margin=32)
    found = survey(observed(recording))
    assert found.interlacing.interlaced and not isinstance(found.resolution.y.held, Estimate)
    assert not isinstance(found.point_spread.across_y, Estimate)
    assert propose(found).first == ("deinterlace",)


def test_few_frames_are_not_fused_and_many_fine_ones_are(plain: Survey) -> None:
    assert propose(replace(plain, is_image=True)).recipe == "single"
    assert propose(replace(plain, frames={**plain.frames, "frames_seen": 2})).recipe == "single"
    fine = replace(plain, quantiser=replace(plain.quantiser, step=4.0))
    coarse = replace(plain, quantiser=replace(plain.quantiser, step=40.0))
    assert propose(fine).recipe == "fuse" and propose(coarse).recipe == "multi"
    limited = propose(coarse, ("classic", "light"))
    assert limited.recipe == "light" and any("not available" in reason for reason in limited.reasons)
    assert propose(fine, ()).recipe == "classic"
    other = propose(coarse, ("classic", "fuse", "single"), 2)
    assert other.recipe == "single" and any("not available at --scale 2" in reason for reason in other.reasons)


def test_a_blur_that_was_measured_becomes_the_forward_operator(plain: Survey) -> None:
    width = Estimate(1.5, 1.2, 1.9, "pixels", "edges", 100)
    found = propose(replace(plain, point_spread=replace(plain.point_spread, width=width)))
    assert found.psf_sigma == pytest.approx(np.sqrt(1.5**2 - 1 / 12)) and "psf_sigma_px" not in found.defaults


def test_restoring_recipes_are_not_proposed_for_what_a_camera_has_sharpened_strongly(plain: Survey) -> None:
    recorder = Recorder(sharpen=1.5, sharpen_sigma=1.5)
    sharpened = survey(observed(record(_SCENE, 3, 9, 2, codec=Codec("h264", crf=22.0), recorder=recorder)))
    found = propose(sharpened)
    assert found.recipe == "plain-lanczos" and any("sharpened the pictures strongly" in one for one in found.reasons)
    assert propose(sharpened, ("classic", "light", "single")).recipe == "classic"
    assert propose(replace(sharpened, is_image=True)).recipe == "plain-lanczos"
    assert propose(plain).recipe == "fuse" and not any("sharpened" in one for one in propose(plain).cautions)
    told = dict(in_words(sharpened.to_record()))
    assert "percent of the step" in told["sharpening: overshoot"] and "pixels" in told["sharpening: halo width"]


def test_a_weak_halo_is_a_caution_and_changes_no_recipe(plain: Survey) -> None:
    weak = Estimate(10.0, 2.0, 20.0, "percent of the step", "swing", 500)
    found = propose(replace(plain, halo=replace(plain.halo, overshoot=weak)))
    assert found.recipe == propose(plain).recipe and any("has sharpened" in one for one in found.cautions)


def test_a_shifted_grid_is_no_sign_of_a_crop_where_a_loop_filter_can_make_one(plain: Survey) -> None:
    grid = BlockGrid((AxisGrid(8.0, 2.0, 0.1, 10.0),), (), 1000)
    said = {codec: propose(replace(plain, grid=grid, codec=codec)).cautions for codec in ("h264", "mjpeg")}
    assert not any("cropped" in caution for caution in said["h264"])
    assert any("cropped" in caution for caution in said["mjpeg"])


def test_noise_of_a_lossless_recording_is_what_is_weighed_with() -> None:
    found = propose(survey(observed(record(_SCENE, 4, 6, sensor=Sensor(read_noise=5.0)))))
    assert found.noise_sigma == pytest.approx(5.0, rel=0.1)
