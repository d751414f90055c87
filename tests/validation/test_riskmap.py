"""LOW held against the truth, and strokes that the forward model cannot see."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.fusion.forward import ForwardModel
from forensic.risk.calibration.artefact import Claim
from forensic.validation.riskmap import inside_low, kept, planted, planted_tiles

SCALE = 4
CLAIMS = (
    Claim(kind="share", tolerance=16, beta=0.05),
    Claim(kind="edges", tolerance=32, beta=0.05, cap=9.0),
    Claim(kind="area", tolerance=32, cap=9.0),
)
TRUTH = np.tile(np.where(np.arange(128) < 64, np.float32(60.0), np.float32(180.0)), (128, 1))
ALL = np.ones((8, 8), bool)


def _changed(columns: slice, rows: slice, by: float) -> np.ndarray:
    luma = TRUTH.copy()
    luma[rows, columns] += np.float32(by)
    return luma


@pytest.mark.parametrize(
    ("luma", "failed"),
    [
        (TRUTH, ()),
        (_changed(slice(0, 40), slice(0, 40), 20.0), ("share",)),  # a tenth of the picture, by more than 16
        (_changed(slice(0, 12), slice(0, 12), 40.0), ()),  # 9 recorded pixels
        (_changed(slice(0, 12), slice(0, 13), 40.0), ("area",)),
        (_changed(slice(62, 66), slice(0, 60), 40.0), ("edges", "area")),
        (_changed(slice(0, 128), slice(0, 128), 40.0), ("share", "edges", "area")),
    ],
)
def test_each_claim_fails_by_what_it_is_about(luma: np.ndarray, failed: tuple[str, ...]) -> None:
    assert kept(ALL, luma, TRUTH, CLAIMS, SCALE).failed == failed


def test_what_is_not_low_is_not_held_against_it() -> None:
    luma, low = _changed(slice(0, 40), slice(0, 40), 40.0), ALL.copy()
    low[:3, :3] = False
    found = kept(low, luma, TRUTH, CLAIMS, SCALE)
    assert (found.failed, found.wrong, found.largest) == ((), {16: 0, 32: 0}, 0)
    assert found.low == 128 * 128 - 48 * 48
    low[2, 2] = True  # 8 x 8 pixels of it are wrong: 4 recorded ones
    found = kept(low, luma, TRUTH, CLAIMS, SCALE)
    assert (found.failed, found.wrong, found.largest) == ((), {16: 64, 32: 64}, 64)


def test_the_place_for_strokes_is_the_deepest_in_low() -> None:
    low = np.zeros((9, 20), bool)
    assert inside_low(low) is None
    low[2:7, 10:15] = True
    assert inside_low(low) == (12 * 16 + 8, 4 * 16 + 8)


def _frame(layout: str, width: int, height: int) -> CodedFrame:
    geometry, colour = Geometry(width, height, LAYOUTS[layout]), ColourSpec(full_range=True)
    level = 120 * LAYOUTS[layout].grey_scale
    planes = tuple(np.full(shape, level, geometry.layout.dtype) for shape in geometry.plane_shapes)
    return CodedFrame(planes, geometry, colour, FrameTiming(0, 0, Fraction(1, 25)), StageClass.PRESENTATION)


@pytest.mark.parametrize("layout", ["gray", "yuv420p", "yuv420p10le"])
def test_planted_strokes_are_there_and_the_forward_model_does_not_see_them(layout: str) -> None:
    honest, recorded = _frame(layout, 320, 224), _frame(layout, 80, 56).geometry
    false = planted(honest, recorded, (160, 112))
    difference = false.to_working().luma - honest.to_working().luma
    assert np.abs(difference).max() > 40.0
    assert np.abs(ForwardModel.between(recorded, honest.geometry).apply(difference)).max() < 0.5  # rounding
    tiles = planted_tiles(honest, false)
    assert 3 <= tiles.sum() <= 40
    assert not tiles[:4].any() and not tiles[-4:].any()  # around the place that was named
    assert not planted_tiles(honest, honest).any()
    assert all(np.array_equal(*pair) for pair in zip(false.planes[1:], honest.planes[1:], strict=True))
