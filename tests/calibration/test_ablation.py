"""Which heads the ablation fits, what its two candidates measure, and that docs/risk-map.md tells what was found."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import BlockQuantisers, CodedFrame, Coding, FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from tests.calibration.ablation import CANDIDATES, blockiness, documented, motion, variants
from tests.calibration.learning import FEATURES


def _frame(plane: np.ndarray, left: int = 0, top: int = 0) -> WorkingFrame:
    """A recorded frame that begins ``left`` columns and ``top`` rows into the coded picture."""
    samples = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    coding = Coding("P", "h264", 30.0, blocks=BlockQuantisers(16, bytes([30]) * 256, left, top))
    geometry = Geometry(plane.shape[1], plane.shape[0], LAYOUTS["gray"])
    timing = FrameTiming(0, 0, Fraction(1, 25))
    return CodedFrame((samples,), geometry, ColourSpec(), timing, StageClass.PRESENTATION, coding).to_working()


def _scene() -> np.ndarray:
    grain = np.random.default_rng(3).uniform(0, 255, (96, 112)).astype(np.float32)
    return cv2.GaussianBlur(grain, (0, 0), 2.5) * 4.0 - 380.0


def test_every_feature_is_left_out_once_by_itself_and_every_candidate_is_tried() -> None:
    found = variants()
    alone = Counter(
        name for one in found.values() if len(one) == len(FEATURES) - 1 for name in set(FEATURES) - set(one)
    )
    assert alone == Counter(FEATURES)
    assert {name for one in found.values() for name in one} == {*FEATURES, *CANDIDATES}
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (3, 6)])
def test_blockiness_is_of_the_blocks_where_the_coding_has_them(left: int, top: int) -> None:
    scene = _scene()
    blocks = 6.0 * np.indices((scene.shape[0] // 8, scene.shape[1] // 8)).sum(axis=0) % 12.0
    blocky = (scene + np.kron(blocks, np.ones((8, 8))))[top:, left:]
    there = blockiness(_frame(blocky, left, top))
    assert there > 2.0
    assert blockiness(_frame(blocky, left + 4, top + 4)) < there / 2.0
    assert blockiness(_frame(scene[top:, left:], left, top)) < there / 2.0


def test_motion_is_the_mean_length_of_the_shifts_and_none_of_a_camera_at_rest() -> None:
    scene = _scene()
    middle = scene[16:80, 16:96]
    window = [_frame(part) for part in (scene[15:79, 16:96], middle, scene[16:80, 14:94])]
    assert motion(window) == pytest.approx(1.5, abs=0.1)
    assert motion([_frame(middle)] * 3) == 0.0


def test_the_document_tells_what_the_table_holds() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "risk-map.md").read_text("utf-8").splitlines()
    rows = list(documented("light-x2"))
    assert len(rows) == len(variants())
    first = lines.index(rows[0])
    assert lines[first : first + len(rows)] == rows
