"""What frames taken apart say of a picture that was made of them: a reference without model, and what chance did."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from forensic.errors import InternalError
from forensic.frames.frame import CodedFrame, WorkingFrame
from forensic.fusion.conjugate_gradients import solve
from forensic.fusion.forward import ForwardModel
from forensic.fusion.options import SplitHalves
from forensic.risk.assessment import RiskAssessment, assess
from forensic.risk.measurement import FUSION, SUM_OF_FRAMES, TIKHONOV
from forensic.risk.regions import FRAMES, INJECTION

FORWARD = ForwardModel(2)
SPOT = (slice(96, 128), slice(160, 240))


def _halves(picture: np.ndarray, refined: bool, apart: float = 0.0) -> SplitHalves:
    """Two pictures that differ by ``apart`` from the middle each, in a part; all frames of nine count."""
    off = np.zeros_like(picture)
    off[SPOT] = apart
    small = (picture.shape[0] // 2, picture.shape[1] // 2)
    return SplitHalves(
        (picture + off, picture - off),
        None,
        np.ones((9, *small), np.float32),
        np.full(small, 9, np.float32),
        {},
        refined,
    )


@pytest.fixture
def seen(scenes: list[np.ndarray], coded: Any) -> tuple[WorkingFrame, np.ndarray]:
    """What one frame shows of a scene, and the scene, which all frames together show."""
    return coded(FORWARD.apply(scenes[0])).to_working(), scenes[0]


def _invisible(shape: tuple[int, ...]) -> np.ndarray:
    """Strokes within :data:`SPOT` that the forward model cannot see."""
    drawn = np.zeros(shape, np.uint8)
    cv2.putText(drawn, "K7", (164, 126), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 2, cv2.LINE_AA)
    strokes = np.float32(90.0) * drawn.astype(np.float32) / np.float32(255.0)
    return np.asarray(
        strokes - FORWARD.adjoint(solve(FORWARD.gram, FORWARD.apply(strokes), iterations=100, tolerance=1e-5).x)
    )


def _assessed(frame: WorkingFrame, output: CodedFrame, halves: SplitHalves | None) -> RiskAssessment:
    return assess(frame, output, FORWARD, halves=halves)


def test_what_the_frames_show_together_is_no_injection_of_the_model_that_refines_them(
    seen: tuple[WorkingFrame, np.ndarray], coded: Any
) -> None:
    frame, scene = seen
    output = coded(scene)
    against_one, against_all = (_assessed(frame, output, one) for one in (None, _halves(scene, refined=True)))
    assert against_one.facts["null_space_reference"] == TIKHONOV
    assert against_all.facts["null_space_reference"] == FUSION and against_all.facts["tikhonov_reference"] is None
    assert float(against_one.components[INJECTION].max()) > 4.0
    assert float(against_all.components[INJECTION].max()) < 1.0  # rounding


def test_strokes_that_the_model_adds_to_the_fusion_are_found_though_no_frame_contradicts_them(
    seen: tuple[WorkingFrame, np.ndarray], coded: Any
) -> None:
    frame, scene = seen
    planted = coded(scene + _invisible(scene.shape))
    found = _assessed(frame, planted, _halves(scene, refined=True))
    where = found.components[INJECTION]
    inside = np.zeros(scene.shape, bool)
    inside[80:144, 144:256] = True
    assert float(where[inside].max()) > 10.0 and float(where[~inside].max()) < 2.0
    assert found.risk is not None and float(found.risk[inside].max()) >= float(where[inside].max())


def test_where_the_halves_differ_the_risk_is_at_least_half_of_it(
    seen: tuple[WorkingFrame, np.ndarray], coded: Any
) -> None:
    frame, scene = seen
    alike, apart = (_assessed(frame, coded(scene), _halves(scene, refined=True, apart=one)) for one in (0.0, 20.0))
    assert alike.facts["split_half"]["max"] == 0.0 and apart.facts["split_half"]["max"] == pytest.approx(20.0, abs=0.1)
    assert apart.facts["combination"] == SUM_OF_FRAMES and apart.risk is not None and alike.risk is not None
    middle = apart.risk[104:120, 176:224]
    assert float(middle.min()) > 19.0 and float(alike.risk[104:120, 176:224].max()) < 5.0
    assert set(apart.components) - set(alike.components) == set() and FRAMES in apart.components
    assert apart.regions[0].worst_tile.driver == FRAMES


def test_a_fusion_without_a_model_is_not_its_own_reference(seen: tuple[WorkingFrame, np.ndarray], coded: Any) -> None:
    frame, scene = seen
    found = _assessed(frame, coded(scene), _halves(scene, refined=False))
    plain = _assessed(frame, coded(scene), None)
    assert found.facts["null_space_reference"] == TIKHONOV
    assert np.array_equal(found.components[INJECTION], plain.components[INJECTION])


def test_without_a_pair_of_halves_the_record_says_so(seen: tuple[WorkingFrame, np.ndarray], coded: Any) -> None:
    frame, scene = seen
    whole = _halves(scene, refined=True)
    none = SplitHalves(None, "no frame at odd distance could be used", whole.weights, whole.effective, {}, True)
    found = _assessed(frame, coded(scene), none)
    assert found.facts["split_half"] is None and found.facts["null_space_reference"] == TIKHONOV
    assert FRAMES not in found.components


def test_halves_of_another_size_stop_the_run(seen: tuple[WorkingFrame, np.ndarray], coded: Any) -> None:
    frame, scene = seen
    with pytest.raises(InternalError) as caught:
        _assessed(frame, coded(scene), _halves(scene[:-16], refined=True))
    assert caught.value.code == "risk.halves-shape"
