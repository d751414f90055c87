"""Levels, tiles and regions: the semantics that the record and the report rely on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import InternalError
from forensic.frames.stageclass import StageClass
from forensic.fusion.forward import ForwardModel
from forensic.hashes import canonical_json
from forensic.risk.assessment import FORCED, assess
from forensic.risk.dihedral import Dispersion
from forensic.risk.regions import CLIPPED, DISPERSION, GENERATIVE, LISTED, TileMeasurements, find_regions
from forensic.risk.tiles import Level, Thresholds, grid_shape, tile_levels, tile_percentile, tile_share


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_tile_statistics_agree_with_the_definition_on_border_tiles_too(rows, columns, seed):
    random = np.random.default_rng(seed)
    values = random.gamma(1.0, 5.0, (rows, columns)).astype(np.float32)
    mask = random.random((rows, columns)) < 0.3
    percentile, share = tile_percentile(values), tile_share(mask)
    assert percentile.shape == share.shape == grid_shape((rows, columns))
    for row in range(percentile.shape[0]):
        for column in range(percentile.shape[1]):
            where = slice(16 * row, 16 * row + 16), slice(16 * column, 16 * column + 16)
            tile = np.sort(values[where].ravel())
            assert percentile[row, column] == tile[int(np.ceil(0.9 * tile.size - 1e-9)) - 1]
            assert share[row, column] == pytest.approx(mask[where].mean())


def test_levels_begin_exactly_at_their_thresholds():
    limits = Thresholds(medium=4.0, high=10.0, clipped_share=0.1)
    below = np.nextafter(np.float32(4), np.float32(0))
    risk = np.array([[0, below, 4, 9.99, 10, 300]], np.float32)
    expected = [[Level.LOW, Level.LOW, Level.MEDIUM, Level.MEDIUM, Level.HIGH, Level.HIGH]]
    np.testing.assert_array_equal(tile_levels(risk, np.zeros_like(risk), limits), expected)
    assert tile_levels(np.zeros((1, 1)), np.full((1, 1), 0.1), limits)[0, 0] == Level.HIGH
    assert tile_levels(np.zeros((1, 1)), np.full((1, 1), 0.09), limits)[0, 0] == Level.LOW


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1), st.floats(0.05, 0.6))
def test_regions_account_for_every_marked_tile(rows, columns, seed, density):
    random = np.random.default_rng(seed)
    levels = random.choice([0, 1, 2], p=[1 - density, density / 2, density / 2], size=(rows, columns)).astype(np.uint8)
    risk = (levels * 6 + random.random((rows, columns)) * 3).astype(np.float32)
    shape = (rows * 16 - random.integers(0, 16), columns * 16 - random.integers(0, 16))
    component = {"range conflict": np.ones(shape, np.float32)}
    regions, omitted = find_regions(TileMeasurements(levels, risk, component, 10.0, False), shape)
    assert [region.number for region in regions] == list(range(1, len(regions) + 1))
    assert len(regions) <= LISTED
    for level in (Level.HIGH, Level.MEDIUM):
        listed = sum(region.tiles for region in regions if region.level == level)
        assert listed + omitted.get(level.label, {"tiles": 0})["tiles"] == np.count_nonzero(levels == level)
        total, _ = cv2.connectedComponents((levels == level).astype(np.uint8), connectivity=8)
        count = sum(region.level == level for region in regions)
        assert count + omitted.get(level.label, {"regions": 0})["regions"] == total - 1
    for region in regions:
        assert 0 <= region.x < region.x + region.w <= shape[1]
        assert 0 <= region.y < region.y + region.h <= shape[0]
        worst = region.worst_tile
        assert region.x <= worst.x < region.x + region.w
        assert region.y <= worst.y < region.y + region.h
        assert levels[worst.y // 16, worst.x // 16] == region.level
    order = [(-region.level, -(region.worst_tile.risk_p90 or 0)) for region in regions]
    assert order == sorted(order)


def _pair(smooth_scene, coded, **options):
    y = coded(ForwardModel(2).apply(smooth_scene(96, 128)), stage_class=StageClass.PRESENTATION)
    output = cv2.resize(y.to_working().luma, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return y.to_working(), coded(output, **options)


def test_risk_is_never_below_any_of_its_parts(smooth_scene, coded):
    reference, output = _pair(smooth_scene, coded)
    spread = np.random.default_rng(1).gamma(1, 3, (96, 128)).astype(np.float32)
    result = assess(reference, output, dispersion=Dispersion(spread, ("0", "90")))
    total = sum(component.astype(np.float64) ** 2 for component in result.components.values())
    np.testing.assert_allclose(result.risk, np.sqrt(total), rtol=1e-5)
    for component in result.components.values():
        assert (result.risk >= component * (1 - 1e-6)).all()
    assert result.summary()["dispersion"]["transforms"] == ["0", "90"]


def test_dispersion_alone_can_drive_a_region(smooth_scene, coded):
    reference, output = _pair(smooth_scene, coded)
    spread = np.zeros((96, 128), np.float32)
    spread[32:64, 48:80] = 30
    result = assess(reference, output, dispersion=Dispersion(spread, ("0", "90")))
    (region,) = result.regions
    assert (region.x, region.y, region.w, region.h, region.tiles) == (48, 32, 32, 32, 4)
    assert region.worst_tile.driver == DISPERSION


@pytest.mark.parametrize("which", ["reference", "output"])
def test_generative_class_forces_every_tile_high_whatever_was_measured(smooth_scene, coded, which):
    source = coded(ForwardModel(2).apply(smooth_scene(96, 128)), stage_class=StageClass.GENERATIVE)
    reference, output = _pair(smooth_scene, coded)
    if which == "reference":
        reference = source.to_working()
    else:
        reference, output = _pair(smooth_scene, coded, stage_class=StageClass.GENERATIVE)
    result = assess(reference, output)
    assert (result.levels == Level.HIGH).all()
    facts = result.summary()
    assert facts["forced"] == FORCED
    assert facts["class"] == "generative"
    assert facts["levels_before_forcing"]["LOW"]["share"] > 0.9
    assert [region.worst_tile.driver for region in result.regions] == [GENERATIVE]


def test_generative_class_is_high_even_where_nothing_can_be_measured(smooth_scene, coded):
    reference = coded(smooth_scene(64, 64)).to_working()
    output = coded(smooth_scene(96, 96), stage_class=StageClass.GENERATIVE)
    result = assess(reference, output)
    assert not result.assessed
    assert (result.levels == Level.HIGH).all()
    assert sum(region.tiles for region in result.regions) == 36
    canonical_json(result.to_record())


@pytest.mark.parametrize("case", ["fraction", "shrunk", "one-way", "family", "range", "wrong-model"])
def test_pictures_that_cannot_be_compared_are_not_assessed_with_a_reason(smooth_scene, coded, case):
    scene = smooth_scene(64, 64)
    reference = coded(scene).to_working()
    output, forward = coded(smooth_scene(128, 128)), None
    if case == "fraction":
        output = coded(smooth_scene(96, 96))
    elif case == "shrunk":
        output = coded(smooth_scene(32, 32))
    elif case == "one-way":
        output = coded(smooth_scene(64, 128))
    elif case == "family":
        output = coded(smooth_scene(128, 128), "rgb24")
    elif case == "range":
        output = coded(smooth_scene(128, 128), full_range=False)
    else:
        forward = ForwardModel(4)
    result = assess(reference, output, forward)
    assert not result.assessed
    assert result.reason
    assert result.risk is None
    assert (result.levels == Level.NOT_ASSESSED).all()
    facts = result.summary()
    assert facts["reason_not_assessed"] == result.reason
    assert facts["levels"]["NOT ASSESSED"]["share"] == 1.0
    assert facts["levels"]["LOW"]["tiles"] == 0
    canonical_json(result.to_record())


def test_clipped_input_is_high_and_named_so(smooth_scene, coded):
    luma = np.clip(smooth_scene(96, 128), 30, 200)
    luma[32:64, 32:80] = 255
    frame = coded(luma)
    result = assess(frame.to_working(), frame)
    (region,) = result.regions
    assert (region.x, region.y, region.w, region.h) == (32, 32, 48, 32)
    assert region.worst_tile.driver == CLIPPED
    assert (region.level, result.summary()["clipped_input"]["white_level"]) == (Level.HIGH, 255)


def test_limited_range_clips_at_235_unless_the_headroom_is_in_use(coded):
    ramp = np.tile(np.linspace(60, 200, 128), (96, 1))
    clipped, headroom = ramp.copy(), ramp.copy()
    clipped[:32, :32] = 235
    headroom[:32, :32] = np.linspace(230, 252, 32)
    for luma, white, level in ((clipped, 235.0, Level.HIGH), (headroom, 255.0, Level.LOW)):
        frame = coded(luma, full_range=False)
        result = assess(frame.to_working(), frame)
        assert result.summary()["clipped_input"]["white_level"] == white
        assert result.levels[0, 0] == level


def test_ten_bits_give_the_risk_of_eight(smooth_scene, coded):
    forward = ForwardModel(2)
    y = np.rint(forward.apply(smooth_scene(96, 128)))
    x = np.rint(cv2.resize(y, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)) + 3
    eight = assess(coded(y).to_working(), coded(x))
    ten = assess(coded(y, "yuv420p10le").to_working(), coded(x, "yuv420p10le"))
    np.testing.assert_array_equal(eight.risk, ten.risk)


def test_reference_beyond_the_code_range_is_limited_as_the_output_was(smooth_scene, coded):
    frame = coded(np.clip(smooth_scene(64, 64), 0, 250)).to_working()
    brighter = frame.touched(StageClass.PRESENTATION, (frame.planes[0] + np.float32(150), *frame.planes[1:]))
    result = assess(brighter, brighter.quantise())
    assert np.abs(result.conflict).max() <= 0.5


def test_assessing_against_another_frame_is_an_error(smooth_scene, coded):
    with pytest.raises(InternalError) as caught:
        assess(coded(smooth_scene(32, 32), index=1).to_working(), coded(smooth_scene(32, 32), index=2))
    assert caught.value.code == "risk.frame-mismatch"


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 17), (16, 16), (17, 33)])
def test_very_small_pictures_are_assessed(coded, shape):
    luma = np.random.default_rng(0).integers(20, 230, shape)
    result = assess(coded(luma).to_working(), coded(luma.repeat(2, 0).repeat(2, 1)))
    assert result.assessed
    assert result.levels.shape == grid_shape((shape[0] * 2, shape[1] * 2))
    assert np.isfinite(result.risk).all()


@pytest.mark.parametrize("layout", ["gray", "rgb24", "yuv422p", "yuv444p12le", "gray16le", "rgb48le"])
def test_every_kind_of_layout_is_assessed(smooth_scene, coded, layout):
    y = ForwardModel(2).apply(smooth_scene(64, 96))
    output = cv2.resize(y, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    result = assess(coded(y, layout).to_working(), coded(output, layout))
    assert result.assessed
    assert result.summary()["levels"]["LOW"]["share"] > 0.95


def test_summary_states_all_that_the_levels_rest_on(smooth_scene, coded):
    reference, output = _pair(smooth_scene, coded)
    facts = assess(reference, output).summary()
    assert facts["status"] == "UNCALIBRATED"
    assert facts["forward_model"]["psf_source"] == "default, not measured"
    assert facts["thresholds"]["status"].startswith("UNCALIBRATED")
    assert facts["tau"] == pytest.approx((facts["noise_sigma"] / facts["prior_sigma"]) ** 2, rel=1e-3)
    assert {"combination", "worst_tiles", "windows", "projection", "range_conflict"} <= set(facts)
    assert sum(level["tiles"] for level in facts["levels"].values()) == facts["tiles"]
    assert facts["dispersion"] is None


def test_the_result_does_not_depend_on_opencv_threads(scenes, coded):
    frame = coded(scenes[0]).to_working()
    output = coded(cv2.resize(frame.luma, None, fx=2, fy=2, interpolation=cv2.INTER_LANCZOS4))
    before, results = cv2.getNumThreads(), []
    try:
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            result = assess(frame, output)
            results.append((result.risk.tobytes(), canonical_json(result.to_record())))
    finally:
        cv2.setNumThreads(before)
    assert results[0] == results[1] == results[2]
