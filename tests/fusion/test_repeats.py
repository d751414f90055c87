"""A camera at rest: frames that repeat samples and coding errors are not counted as so many witnesses."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.fusion import fuse as fusing
from forensic.fusion.crops import Frame
from forensic.fusion.fuse import fuse, repeated
from forensic.fusion.motion import Motion
from forensic.fusion.options import FusionOptions
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
    assert repeated(frames, SHAPE) == pytest.approx(expected, abs=1e-3)


def test_a_frame_that_does_not_match_repeats_nothing() -> None:
    assert repeated([_frame(0, 0.0, 0.0), _frame(1, 0.0, 0.0, weight=0.25)], SHAPE) == pytest.approx(0.25)


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
    monkeypatch.setattr(fusing, "repeated", lambda *_: 0.0)
    assert counted > psnr(fuse(frames, 4, options).luma, truth) + 0.15
    assert counted > psnr(bicubic(frames[4], 2), truth) + 1.0
