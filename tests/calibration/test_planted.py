"""What is planted in LOW: where it lies, how faint it is, and how far it is weakened until the gate is silent."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.risk.calibration.judging import CALIBRATED, OUTSIDE
from tests.calibration import planted
from tests.calibration.recordings import STRATA, Enlarged, recorded


def _scenes() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    noise = (rng.uniform(40, 215, (321, 481)).astype(np.float32) for _ in range(3))
    return [cv2.GaussianBlur(one, (0, 0), 2.0) * 3 - 255 for one in noise]


@pytest.mark.parametrize(("number", "scale"), [(0, 1), (1, 2), (2, 4)])
def test_a_region_begins_in_the_scene_where_it_says(number: int, scale: int) -> None:
    scenes = [np.clip(one, 0.0, 255.0) for one in _scenes()]
    found = recorded(scenes, number, STRATA[0], "tune", scale, centred=True)
    assert found is not None
    _, most, _, at = cv2.minMaxLoc(cv2.matchTemplate(scenes[number], found.truth, cv2.TM_CCOEFF_NORMED))
    assert most > 0.9 and max(abs(one - own) for one, own in zip(at, found.corner, strict=True)) <= 1  # it may shake


@pytest.mark.parametrize("what", ["K7", "M3", "stain"])
@pytest.mark.parametrize("level", [3.0, 120.0, 254.0])
def test_what_is_planted_in_low_is_faint_and_lies_where_it_is_to(what: str, level: float) -> None:
    scene = np.full((200, 300), level, np.float32)
    shown = planted._soft(scene, what, (140, 90))
    off = np.abs(shown - scene)
    assert planted.FAINT / 2 < off.max() <= planted.FAINT and shown.min() >= 0.0 and shown.max() <= 255.0
    there = off > 1.0
    assert not there[:40].any() and not there[140:].any() and not there[:, :60].any() and not there[:, 220:].any()
    rows, columns = np.nonzero(there)
    assert abs(rows.mean() - 90) < 8 and abs(columns.mean() - 140) < 8


def _frame(level: int) -> CodedFrame:
    plane = np.full((32, 48), level, np.uint8)
    timing = FrameTiming(0, 0, Fraction(1, 25))
    return CodedFrame((plane,), Geometry(48, 32, LAYOUTS["gray"]), ColourSpec(True), timing, StageClass.FIDELITY)


@pytest.mark.parametrize(("bears", "left"), [(100, 30), (25, 24), (3, 3), (2, 0), (-1, 0)])
def test_a_change_is_weakened_by_tenths_until_the_gate_is_silent(
    monkeypatch: pytest.MonkeyPatch, bears: int, left: int
) -> None:
    """The gate speaks where a level differs by more than ``bears``; a tenth of the change is 3 levels."""

    def gate(_: Any, output: CodedFrame, **__: Any) -> SimpleNamespace:
        change = int(output.planes[0].max()) - 100
        return SimpleNamespace(status=CALIBRATED if change <= bears else OUTSIDE)

    monkeypatch.setattr(planted, "assess", gate)
    calibration: Any = SimpleNamespace(subject=SimpleNamespace(scale=1))
    output = _frame(100)
    made = Enlarged(_frame(100).to_working(), output, output.planes[0], None)
    luma = output.to_working().luma + np.float32(30.0)
    found = planted._silenced(made, luma, calibration)
    assert np.allclose(found - output.to_working().luma, left)
