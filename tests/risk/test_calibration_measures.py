"""Losses of a recording and measures of its domain, on pictures whose answers are known."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import Coding, FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.risk.calibration.criteria import area_failed, edges_failed, share_failed
from forensic.risk.calibration.domain import MEASURES, Range, envelope, measured, outside
from forensic.risk.calibration.losses import counts, truth_edges
from forensic.risk.noise import estimate_sigma
from forensic.risk.tiles import in_groups


def test_low_pixels_and_wrong_ones_are_counted_by_tile() -> None:
    error = np.zeros((32, 48), np.float32)
    error[0:4, 0:4] = 20.0  # in the first tile: one group of 16 pixels
    error[20, 40] = 100.0  # in the last tile, which is barred
    error[5, 5] = 16.0  # not more than 16
    risk = np.array([[1.0, 1.0, 3.0], [3.0, 9.0, 1.0]], np.float32)
    barred = np.array([[False, False, False], [False, False, True]])
    edges = np.zeros(error.shape, bool)
    edges[:, 0] = True
    strict, lax = counts(risk, barred, error, edges, thresholds=(2.0, 4.0), tolerances=(16, 32), least=1)
    assert (strict.low, strict.edge_low) == (512, 16) and (lax.low, lax.edge_low) == (1024, 32)
    assert strict.wrong == lax.wrong == (16, 0)
    assert strict.largest == (16, 0) and strict.edge_wrong == (4, 0)


def test_groups_hang_together_over_corners_and_stop_at_the_border_of_low() -> None:
    error = np.zeros((16, 32), np.float32)
    error[3, 3] = error[4, 4] = error[5, 5] = 50.0
    error[8, 8:24] = 50.0  # half of it in the second tile, which is not LOW
    (one,) = counts(
        np.array([[1.0, 9.0]], np.float32),
        np.zeros((1, 2), bool),
        error,
        error > 0,
        thresholds=(2.0,),
        tolerances=(16,),
        least=1,
    )
    assert one.wrong == (11,) and one.largest == (8,)


def test_the_losses_hold_at_their_limits() -> None:
    assert not share_failed(5, 100) and share_failed(6, 100)
    assert not share_failed(0, 0)  # no LOW pixel is no failure
    assert edges_failed(145, 1000, 9.0, 4) and not edges_failed(144, 1000, 9.0, 4)  # 9 recorded pixels of 4 x 4
    assert not edges_failed(500, 10_000, 9.0, 4)  # 5 %
    assert not area_failed(144, 9.0, 4) and area_failed(145, 9.0, 4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_low_grows_with_the_threshold_and_wrong_falls_with_the_tolerance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    risk, error = rng.uniform(0, 12, (2, 3)).astype(np.float32), rng.uniform(0, 60, (32, 48)).astype(np.float32)
    found = list(counts(risk, rng.random((2, 3)) < 0.3, error, error > 30, least=1))
    assert all(a.low <= b.low and a.wrong <= b.wrong for a, b in pairwise(found))
    assert all(one.wrong[1] <= one.wrong[0] <= one.low and one.largest[0] <= one.wrong[0] for one in found)


def test_low_tiles_in_small_groups_are_not_low() -> None:
    low = np.zeros((10, 12), bool)
    low[0:4, 0:4] = True  # sixteen
    low[4:7, 4:9] = True  # fifteen, which touch the sixteen at a corner only
    low[9, :] = True
    kept = in_groups(low)
    assert kept[0:4, 0:4].all() and int(kept.sum()) == 16
    assert int(in_groups(low, 12).sum()) == 16 + 15 + 12 and not in_groups(low & False).any()


def test_edges_are_where_the_truth_changes_fast() -> None:
    truth = np.zeros((16, 16), np.float32)
    truth[:, 8:] = 60.0
    edges = truth_edges(truth, 4)
    assert edges[:, 7:9].all() and not edges[:, :6].any() and not edges[:, 10:].any()
    assert not truth_edges(np.tile(np.arange(16, dtype=np.float32), (16, 1)), 4).any()


def _scene() -> np.ndarray:
    rng = np.random.default_rng(1)
    return cv2.GaussianBlur(rng.uniform(0, 255, (64, 64)).astype(np.float32), (0, 0), 1.0) * 2


def _measures(y: np.ndarray, residual: np.ndarray, coding: Coding | None = None) -> dict[str, float | None]:
    return measured(_frame(y, coding), residual, estimate_sigma(y))


def _frame(
    y: np.ndarray, coding: Coding | None = None, *, full_range: bool = True, layout: str = "gray"
) -> WorkingFrame:
    geometry = Geometry(y.shape[1], y.shape[0], LAYOUTS[layout])
    timing = FrameTiming(0, 0, Fraction(1, 25))
    planes = (y,) * len(geometry.plane_shapes)
    return WorkingFrame(planes, geometry, ColourSpec(full_range=full_range), timing, StageClass.PRESENTATION, coding)


def test_size_depth_and_range_of_the_picture_are_measures() -> None:
    y = _scene()[:48]
    found = measured(_frame(y), np.zeros_like(y), 1.0)
    assert [found[name] for name in ("short", "long", "depth", "range", "features")] == [48.0, 64.0, 8.0, 1.0, None]
    limited = measured(_frame(y, full_range=False, layout="gray10le"), np.zeros_like(y), 1.0)
    assert [limited[name] for name in ("depth", "range", "features")] == [10.0, 0.0, None]
    rgb = next(name for name, form in LAYOUTS.items() if form.family == "rgb" and form.bits == 8)
    assert measured(_frame(y, layout=rgb), np.zeros_like(y), 1.0)["depth"] is None


def test_a_white_residual_is_told_from_one_that_hangs_together() -> None:
    white = np.random.default_rng(2).normal(0, 2, (64, 64)).astype(np.float32)
    found = _measures(_scene(), white)
    smooth = _measures(_scene(), cv2.GaussianBlur(white, (0, 0), 1.5))
    assert abs(found["whiteness"] or 0.0) < 0.05 and found["residual"] == pytest.approx(2.0, abs=0.1)
    assert (smooth["whiteness"] or 0.0) > 0.7
    assert _measures(_scene(), np.zeros((64, 64), np.float32))["whiteness"] is None


def test_blur_raises_the_measure_of_blur_and_noise_that_of_noise() -> None:
    nothing = np.zeros((64, 64), np.float32)
    sharp, blurred = _scene(), cv2.GaussianBlur(_scene(), (0, 0), 1.5)
    assert (_measures(blurred, nothing)["blur"] or 0.0) > (_measures(sharp, nothing)["blur"] or 0.0) + 0.3
    noisy = blurred + np.random.default_rng(3).normal(0, 5, sharp.shape).astype(np.float32)
    assert (_measures(noisy, nothing)["noise"] or 0.0) > (_measures(blurred, nothing)["noise"] or 0.0) + 2.0


def test_only_a_quantiser_on_the_scale_of_h264_counts() -> None:
    y = np.zeros((8, 8), np.float32)
    assert _measures(y, y, Coding("P", "h264", 27.123456))["quantiser"] == 27.1235
    for coding in (None, Coding("I", "jpeg", 27.0), Coding("P", None, None, "not exported")):
        assert _measures(y, y, coding)["quantiser"] is None


def test_the_envelope_leaves_out_a_hundredth_at_either_end() -> None:
    recordings: list[dict[str, float | None]] = [dict.fromkeys(MEASURES, float(number)) for number in range(201)]
    recordings[7]["blur"] = None
    found = envelope(recordings)
    assert found["noise"] == Range(2.0, 198.0) and found["blur"].absent
    one = envelope(recordings[:1])["noise"]
    assert (one.low, one.high) == (0.0, 0.0)


def test_what_was_never_measured_is_outside_too() -> None:
    ranges = {name: Range(0.0, 1.0) for name in MEASURES if name != "quantiser"}
    inside: dict[str, float | None] = dict.fromkeys(MEASURES, 0.5)
    assert [one["measure"] for one in outside(ranges, inside)] == ["quantiser"]
    assert outside(ranges, inside | {"quantiser": None}) == []
    (told,) = outside(ranges, inside | {"quantiser": None, "noise": 1.25})
    assert told == {"measure": "noise", "value": 1.25, "low": 0.0, "high": 1.0, "beyond": 0.25}
