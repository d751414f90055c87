"""By what held-out numbers are broken down: brightness of the recording, kind of area of the truth."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.risk.calibration.breakdown import (
    AREAS,
    EDGE,
    brightness_class,
    brightness_of,
    content_from,
    content_of,
    kinds_of,
)
from forensic.risk.calibration.criteria import THRESHOLDS, TOLERANCES
from forensic.risk.calibration.evaluating import held_out, shown
from forensic.risk.calibration.losses import EDGE as COUNTED_EDGE
from forensic.risk.calibration.losses import truth_edges
from forensic.risk.calibration.strata import CLAIMS, Group, Recording, Worst, fit
from tests.risk.calibrations import recording

FLAT, ON_EDGE, TEXT = range(3)


def _frame(level: int, layout: str = "gray", full: bool | None = True) -> WorkingFrame:
    geometry = Geometry(16, 16, LAYOUTS[layout])
    planes = tuple(np.full(shape, level, np.uint8) for shape in geometry.plane_shapes)
    timing = FrameTiming(0, 0, Fraction(1, 25))
    return CodedFrame(planes, geometry, ColourSpec(full_range=full), timing, StageClass.PRESENTATION).to_working()


def test_brightness_is_the_same_whatever_the_range() -> None:
    assert brightness_of(_frame(0)) == 0.0 and brightness_of(_frame(255)) == 255.0
    assert brightness_of(_frame(16, full=False)) == 0.0 and brightness_of(_frame(235, full=False)) == 255.0
    assert brightness_of(_frame(0, full=False)) == 0.0  # footroom is black, and no less
    assert brightness_of(_frame(126, "yuv420p", False)) == pytest.approx(110 * 255 / 219, abs=1e-3)
    assert [brightness_class(one) for one in (0.0, 79.9, 80.0, 143.9, 144.0, 255.0)] == [
        "dark", "dark", "normal", "normal", "bright", "bright",
    ]  # fmt: skip


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_writing_an_edge_and_a_plain_wall_are_told_apart(scale: int) -> None:
    truth = np.full((64 * scale, 96 * scale), 200, np.uint8)
    cv2.putText(truth, "AB 47", (4 * scale, 24 * scale), 0, 0.5 * scale, 30, max(1, scale), cv2.LINE_AA)
    truth[48 * scale :] = 60
    truth[:, 80 * scale :] = np.linspace(200, 230, 16 * scale).astype(np.uint8)  # shading
    kinds = kinds_of(truth.astype(np.float32), scale)
    strokes = truth[: 30 * scale, : 60 * scale] < 100
    assert np.mean(kinds[: 30 * scale, : 60 * scale][strokes] == TEXT) > 0.9
    along = kinds[48 * scale - 1 : 48 * scale + 1, 12 * scale : 68 * scale]
    assert np.all(along == ON_EDGE)
    assert np.all(kinds[32 * scale : 44 * scale, 4 * scale : 76 * scale] == FLAT)
    assert np.all(kinds[8 * scale : 40 * scale, 86 * scale :] == FLAT)


def test_every_edge_pixel_that_the_claims_count_is_an_edge_or_text() -> None:
    truth = np.kron(np.random.default_rng(1).uniform(40, 200, (12, 16)), np.ones((8, 8))).astype(np.float32)
    assert EDGE == COUNTED_EDGE
    assert not np.any(kinds_of(truth, 4)[truth_edges(truth, 4)] == FLAT)


def test_counts_add_up_and_come_back_from_their_cells() -> None:
    rng = np.random.default_rng(2)
    kinds = rng.integers(0, 3, (20, 30)).astype(np.uint8)
    error = rng.uniform(0, 60, (20, 30)).astype(np.float32)
    low = {one: rng.random((20, 30)) < one / 30 for one in THRESHOLDS}
    content = content_of(100.0, kinds, low, error)
    assert content_from(content.cells()) == content
    assert sum(one.pixels for one in content.areas.values()) == 600
    for threshold, mask in low.items():
        assert sum(one.low[threshold] for one in content.areas.values()) == np.count_nonzero(mask)
        for tolerance in TOLERANCES:
            total = sum(one.wrong[tolerance][threshold] for one in content.areas.values())
            assert total == np.count_nonzero(mask & (error > tolerance))
    for name, cell in (("brightness", "300"), ("low_flat", "1 2"), ("pixels_edge", "x"), ("low_edge", "-1 " * 16)):
        with pytest.raises(ValueError):
            content_from(content.cells() | {name: cell})


def _recording(number: int, brightness: float, wrong_text: bool) -> Recording:
    """A third of its pixels is text-like; there all of LOW is wrong, or none."""
    kinds = np.arange(900).reshape(30, 30) % 3
    low = {one: np.ones((30, 30), bool) for one in THRESHOLDS}
    error = np.where((kinds == TEXT) & wrong_text, 40.0, 0.0).astype(np.float32)
    found = recording(number=number)
    return replace(found, content=content_of(brightness, kinds.astype(np.uint8), low, error))


def test_a_part_can_fail_where_the_whole_does_not() -> None:
    recordings = [_recording(one, (40.0, 100.0)[one % 2], one % 10 == 0) for one in range(40)]
    rows = {(one.name, one.tolerance): one for one in shown(recordings, CLAIMS, 8.0, 2)}
    assert rows["dark", None].n == rows["normal", None].n == 20 and rows["bright", None].n == 0
    assert rows["bright", None].low_area is None and rows["dark", None].failed.failures == 0
    assert (rows["text-like", 16].failed.failures, rows["text-like", 16].failed.n) == (4, 40)
    assert rows["flat", 16].failed.failures == 0 and rows["flat", 16].low_area == 1.0
    assert [name for name, _ in rows] == ["dark", "normal", "bright", *(kind for kind in AREAS for _ in TOLERANCES)]


def test_of_several_frames_any_fails_and_the_mean_brightness_counts() -> None:
    frames = [_recording(1, 60.0, True), _recording(1, 120.0, False)]  # 90 in the mean
    rows = {(one.name, one.tolerance): one for one in shown([Worst.of(frames)], CLAIMS, 8.0, 2)}
    assert (rows["dark", None].n, rows["normal", None].n) == (0, 1)
    assert rows["text-like", 32].failed.failures == 1 and rows["text-like", 32].low_area == 1.0


def test_where_there_is_no_threshold_nothing_is_broken_down() -> None:
    few = [_recording(one, 100.0, False) for one in range(10)]
    _, strata = fit([Group("all", None, None, few)], 2)
    (tested,) = held_out(strata, CLAIMS, 2, [Group("all", None, None, few)])
    assert tested.shown == [] and tested.low_area is None and tested.any_claim.n == 0 and tested.any_claim.high == 1.0
