"""A camera at rest: frames that repeat samples and coding errors are not counted as so many witnesses."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.fusion import fuse as fusing
from forensic.fusion.crops import Frame
from forensic.fusion.fuse import fuse, repeated, repeated_evenly
from forensic.fusion.motion import Motion
from forensic.fusion.options import FusionOptions
from forensic.simulation.degradation import MovingObject
from tests.fusion.recordings import bicubic, drawn, luma, psnr, recording

SHAPE = (20, 24)


def _frame(distance: int, dx: float, dy: float, weight: float = 1.0) -> Frame:
    return Frame(
        distance, distance, np.zeros(SHAPE, np.float32), Motion.shift(dx, dy), np.full(SHAPE, weight, np.float32), 0.0
    )


@pytest.mark.parametrize(
    ("shifts", "expected"),
    [
        ([(0.0, 0.0), (0.0, 0.0)], 2.0),
        ([(3.0, -2.0)], 1.0),
        ([(0.5, 0.0), (0.0, 0.5)], 0.0),
        ([(0.125, 0.0)], 0.5),
        ([], 0.0),
    ],
)
def test_frames_at_the_same_places_of_the_scene_are_repeats(shifts: list[tuple[float, float]], expected: float) -> None:
    frames = [_frame(0, 0.0, 0.0), *(_frame(n, *shift) for n, shift in enumerate(shifts, 1))]
    found = repeated(frames, SHAPE)
    assert found.dtype == np.float32
    assert found.shape == SHAPE
    assert found[4:-4, 4:-4] == pytest.approx(expected, abs=1e-3)
    assert repeated_evenly(frames, SHAPE) == pytest.approx(expected, abs=1e-3)


def test_a_frame_that_does_not_match_repeats_nothing() -> None:
    seen = repeated([_frame(0, 0.0, 0.0), _frame(1, 0.0, 0.0, weight=0.25)], SHAPE)
    assert seen == pytest.approx(0.25)


def test_a_thing_that_moves_before_a_camera_at_rest_is_repeated_by_no_frame() -> None:
    other = _frame(1, 0.0, 0.0)
    other.weight[:, 12:] = 0.0
    found = repeated([_frame(0, 0.0, 0.0), other], SHAPE)
    assert found[:, :10] == pytest.approx(1.0)
    assert found[:, 14:] == pytest.approx(0.0)


def test_within_a_thing_that_moves_before_a_camera_at_rest_fusion_is_no_worse_than_interpolation() -> None:
    thing = MovingObject(width=24.0, height=20.0, velocity_x=1.6, velocity_y=0.3)
    made = recording(drawn(192, 256), frames=9, factor=4, noise=1.4, jitter=0.0, crf=28, objects=(thing,))
    frames, truth, within = luma(made), made.truth[4], made.covers[4] > 0.5
    found = fuse(frames, 4, FusionOptions(scale=4, quantisers=tuple(made.qp)))
    error, plain = ((picture - truth)[within] for picture in (found.luma, bicubic(frames[4], 4)))
    assert np.mean(error**2) < np.mean(plain**2)


@pytest.mark.parametrize("crf", [16, 26])
def test_a_coded_recording_at_rest_gains_by_not_counting_its_errors_again(
    crf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recording(drawn(128, 160), frames=9, factor=2, noise=1.0, jitter=0.0, crf=crf)
    frames, truth = luma(made), made.truth[4]
    options = FusionOptions(scale=2, detail=False, quantisers=(float(np.mean(made.qp)),) * 9)
    told = fuse(frames, 4, options)
    assert told.report["repeating_frames"] > 5
    counted = psnr(told.luma, truth)
    monkeypatch.setattr(fusing, "repeated", lambda _, shape: np.zeros(shape, np.float32))
    assert counted > psnr(fuse(frames, 4, options).luma, truth) + 0.15
    assert counted > psnr(bicubic(frames[4], 2), truth) + 1.0
