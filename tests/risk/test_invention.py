"""Where a generative output invents: DeSRA's indicator as published, clean marks, spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import InternalError
from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.risk.assessment import assess
from forensic.risk.dihedral import Dispersion
from forensic.risk.files import RiskPaths, write_maps
from forensic.risk.invention import (
    BY_CONTRAST,
    BY_SPREAD,
    CONSTANT,
    cleaned,
    contrast_alike,
    invention,
    measured,
)
from forensic.risk.seeds import SEEDS, draws_lots, seed_dispersion, seeds_of
from forensic.stages.catalogue import build
from forensic.stages.parameters import NoParameters, Parameters, parameter
from forensic.stages.stage import Stage, StageCard
from tests.generative.making import gray

_CARD = StageCard("For tests.", ("Everything.",), ("None.",))


def _noise(shape: tuple[int, int], deviation: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(128, deviation, shape)


def test_contrast_is_the_published_indicator() -> None:
    """Against the definition, summed window by window."""
    output, beside = _noise((24, 30), 30), _noise((24, 30), 6, 1)
    kernel = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(kernel, kernel) / kernel.sum() ** 2

    def deviation(plane: np.ndarray, row: int, column: int) -> float:
        part = plane[row - 5 : row + 6, column - 5 : column + 6]
        mean = (window * part).sum()
        return float(np.sqrt((window * part * part).sum() - mean * mean))

    found = contrast_alike(output, beside)
    for row, column in ((5, 5), (11, 17), (18, 24)):
        x, b = deviation(output, row, column), deviation(beside, row, column)
        assert found[row, column] == pytest.approx((2 * x * b + CONSTANT) / (x * x + b * b + CONSTANT), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 60), st.floats(0, 60))
def test_contrast_is_symmetric_and_one_for_equal_pictures(seed: int, first: float, second: float) -> None:
    output, beside = _noise((20, 20), first, seed), _noise((20, 20), second, seed + 1)
    found = contrast_alike(output, beside)
    assert np.array_equal(found, contrast_alike(beside, output))
    assert (found > 0).all() and (found <= 1 + 1e-12).all()
    assert np.allclose(contrast_alike(output, output), 1.0)


def test_texture_drawn_on_a_plain_wall_is_marked_there_and_nowhere_else() -> None:
    beside = np.full((96, 128), 120.0)
    output = beside.copy()
    output[32:64, 32:80] += np.random.default_rng(0).normal(0, 25, (32, 48))
    found = measured(output, beside, None)
    assert (found.marks[34:62, 34:78] == BY_CONTRAST).all() and not found.marks[:16].any()
    assert found.facts["contrast"]["share_with_more_contrast"] > 0 and found.facts["spread"] is None
    (region,) = found.facts["regions"]
    assert (region["x"], region["y"]) == (16, 16) and region["spread_p90"] is None


def test_what_was_taken_away_is_marked_too_but_told_apart() -> None:
    recorded = _noise((96, 96), 25)
    found = measured(np.full((96, 96), 128.0), recorded, None)
    assert found.facts["contrast"]["share"] == 1.0 and found.facts["contrast"]["share_with_more_contrast"] == 0.0


def test_spread_alone_marks_what_no_contrast_shows() -> None:
    picture = _noise((64, 64), 20)
    spread = np.zeros((64, 64), np.float32)
    spread[16:32, 16:48] = 12
    found = measured(picture, picture, spread, ("seed 0", "seed 1"))
    assert (found.marks[20:28, 20:44] == BY_SPREAD).all() and not (found.marks == BY_CONTRAST).any()
    assert found.facts["spread"]["variants"] == ["seed 0", "seed 1"]
    assert found.facts["regions"][0]["spread_p90"] == 12.0


def test_specks_go_holes_are_filled_and_small_areas_dropped() -> None:
    mask = np.zeros((80, 80), bool)
    mask[5, 5] = mask[70:73, 70:73] = True  # specks
    mask[20:50, 20:50] = True
    mask[33:36, 33:36] = False  # a hole
    found = cleaned(mask)
    assert found[20:50, 20:50].all() and not found[:12, :12].any() and not found[60:, 60:].any()
    assert not cleaned(mask, 80 * 80).any() and not cleaned(np.zeros((9, 9), bool)).any()
    assert cleaned(np.ones((9, 9), bool), 1).all()


def test_pictures_of_two_frames_are_not_compared() -> None:
    one, other = gray(_noise((32, 32), 5)).quantise(), gray(_noise((32, 32), 5), 1).quantise()
    with pytest.raises(InternalError, match=r"risk\.frame-mismatch"):
        invention(one, other, None)
    with pytest.raises(InternalError, match=r"risk\.frame-mismatch"):
        invention(one, gray(_noise((32, 40), 5)).quantise(), None)


class _Seeded(Parameters):
    seed: int = parameter(2, title="Seed", unit="number", ge=0, description="Lots.")


class _Lots(Stage[_Seeded]):
    name, title, stage_class, card, parameter_model = "t-lots", "T", StageClass.GENERATIVE, _CARD, _Seeded

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> tuple[np.ndarray, ...]:
        luma = window[at].luma.copy()
        luma[:, :8] += np.float32(self.parameters.seed)
        return (luma,)


class _Deaf(_Lots):
    name, heeds_seed = "t-deaf", False


class _Fidelity(_Lots):
    name, stage_class = "t-noise", StageClass.FIDELITY


class _Seedless(Stage[NoParameters]):
    name, title, stage_class, card, parameter_model = "t-plain", "T", StageClass.GENERATIVE, _CARD, NoParameters

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> tuple[np.ndarray, ...]:
        return window[at].planes


def test_spread_is_over_eight_seeds_the_own_one_first() -> None:
    stage = _Lots.create({})
    assert seeds_of(stage) == (2, 0, 1, 3, 4, 5, 6, 7) and len(seeds_of(_Lots.create({"seed": 99}))) == SEEDS
    doubled = build("resize", {"scale": 2.0, "kernel": "nearest"})
    found = seed_dispersion([stage, doubled], [gray(np.full((16, 16), 100.0))], 0)
    assert found.transforms[0] == "seed 2" and "t-lots" in str(found.note)
    assert np.allclose(found.deviation[:, :16], np.std(range(8), ddof=1)) and not found.deviation[:, 16:].any()


def test_only_generative_stages_with_a_seed_draw_lots() -> None:
    assert draws_lots(_Lots.create({}))
    assert not draws_lots(_Deaf.create({}))
    assert not draws_lots(_Fidelity.create({})) and not draws_lots(_Seedless.create({}))
    with pytest.raises(InternalError):
        seed_dispersion([_Seedless.create({})], [gray(np.zeros((8, 8)))], 0)


def test_map_file_says_what_its_samples_mean(tmp_path, coded) -> None:  # type: ignore[no-untyped-def]
    output = coded(_noise((48, 64), 10), stage_class=StageClass.GENERATIVE)
    assessment = assess(output.to_working(), output)
    rows, columns = assessment.shape
    spread = Dispersion(np.full((rows, columns), 20, np.float32), ("seed 0",))
    found = invention(output, output, spread)
    paths = RiskPaths(*(tmp_path / f"7.{kind}.png" for kind in ("risk", "level", "overlay", "invented")))
    assert paths.invented in write_maps(paths, assessment, output, found)
    data = paths.invented.read_bytes()  # type: ignore[union-attr]
    assert b"UNCALIBRATED MAP OF INVENTED DETAIL" in data and b"170 spread" in data
    marks = cv2.imread(str(paths.invented), cv2.IMREAD_UNCHANGED)
    assert marks.dtype == np.uint8 and np.array_equal(marks, found.marks) and (marks == BY_SPREAD).all()
    with pytest.raises(InternalError, match=r"risk\.frame-mismatch"):
        write_maps(replace(paths, invented=None), assessment, output, found)
