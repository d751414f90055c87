"""Overshoot, block steps and mosquito energy of pictures whose artefacts are known by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from forensic.errors import UsageError
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, resample
from forensic.validation import artefacts


def _step(height: int = 64, width: int = 64, low: float = 50, high: float = 200) -> np.ndarray:
    plane = np.full((height, width), low)
    plane[:, width // 2 :] = high
    return plane


def _enlarged(kernel: str, factor: int):  # type: ignore[no-untyped-def]
    from fractions import Fraction

    def enlarge(plane: np.ndarray) -> np.ndarray:
        step = Fraction(1, factor)
        rows, columns = (AxisMap(side * factor, step, (step - 1) / 2) for side in plane.shape)
        return resample(plane, rows, columns, KERNELS[kernel])

    return enlarge


def _keys(t: float) -> float:
    t = abs(t)
    return 1.5 * t**3 - 2.5 * t**2 + 1 if t <= 1 else (-0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0)


def test_edges_are_where_the_truth_rises() -> None:
    found = artefacts.edges(_step(low=100, high=112), factor=4)
    assert found[:, 30:34].all() and not found[:, :30].any() and not found[:, 34:].any()
    assert not artefacts.edges(_step(low=100, high=111), factor=4).any()


def test_overshoot_is_what_lies_beyond_the_truth_s_range() -> None:
    truth = _step()
    haloed = truth.copy()
    haloed[:, 34] = 207  # 7 above
    haloed[:, 29] = 45  # 5 below
    assert artefacts.edge_overshoot(haloed, truth, 4) == pytest.approx(12.0)
    assert artefacts.edge_overshoot(truth, truth, 4) == 0.0
    softer = np.clip(truth, 70, 180)
    assert artefacts.edge_overshoot(softer, truth, 4) == 0.0, "blur is not overshoot"
    assert math.isnan(artefacts.edge_overshoot(truth, np.full_like(truth, 9), 4)), "no edge, no measurement"


def test_step_overshoot_of_interpolation_has_a_closed_form() -> None:
    for kernel in ("nearest", "bilinear"):
        assert artefacts.step_overshoot(_enlarged(kernel, 4), 4) == (0.0, 0.0)
    # Bicubic x2 of an aligned step: a sample 5/4 pixels past the last dark one takes weight w(5/4) from it,
    # one 3/4 past takes w(3/4) + w(7/4); the second step lies in the middle of a recorded pixel of 125.
    aligned = -150 * min(_keys(1.25), _keys(1.75))
    middle = [150 * (-_keys(d + 1) - 0.5 * _keys(d)) for d in (0.75, 1.25, 1.75)]
    mean, largest = artefacts.step_overshoot(_enlarged("bicubic", 2), 2)
    assert largest == pytest.approx(max(aligned, *middle), abs=1e-3)
    assert mean == pytest.approx((aligned + max(middle)) / 2, abs=1e-3)


def test_lanczos_overshoots_more_than_bicubic() -> None:
    lanczos, bicubic = (artefacts.step_overshoot(_enlarged(kernel, 4), 4) for kernel in ("lanczos", "bicubic"))
    assert lanczos[0] > bicubic[0] and lanczos[1] > bicubic[1]


def test_block_steps_measure_the_step_and_not_the_scene() -> None:
    rng = np.random.default_rng(3)
    truth = np.indices((192, 192)).sum(axis=0) * 0.2
    rows, columns = np.indices(truth.shape) // 32
    false = np.where((rows + columns) % 2, 3.0, -3.0)
    assert artefacts.block_steps(truth + false, truth, 4) == pytest.approx(36.0, rel=1e-4)
    shifted = np.roll(false, (5, 2), axis=(0, 1))
    assert artefacts.block_steps(truth + shifted, truth, 4, phase=(5, 2)) == pytest.approx(36.0, rel=1e-4)
    assert artefacts.block_steps(truth + false, truth, 2, block=16) == pytest.approx(36.0, rel=1e-4)
    assert artefacts.block_steps(truth + 40, truth, 4) == pytest.approx(0.0, abs=1e-6), "a constant is no step"
    noise = rng.normal(0, 5, truth.shape)
    assert abs(artefacts.block_steps(truth + noise, truth, 4)) < 10, "noise has none on average"
    lively = truth + rng.choice([0.0, 60.0], truth.shape)
    assert math.isnan(artefacts.block_steps(lively + false, lively, 4)), "no flat place, no measurement"
    half = truth.copy()
    half[:, :96] += rng.choice([0.0, 60.0], (192, 96))
    spoilt = half + false
    spoilt[:, :88] += rng.normal(0, 30, (192, 88))
    assert artefacts.block_steps(spoilt, half, 4) == pytest.approx(36.0, rel=1e-4), "lost detail does not count"
    with pytest.raises(UsageError):
        artefacts.block_steps(truth[:60], truth[:60], 4)


def test_mosquito_energy_counts_beside_edges_only() -> None:
    truth = _step(96, 96)
    checks = np.where(np.indices(truth.shape).sum(axis=0) % 2, 4.0, -4.0)
    beside, on, far = np.zeros_like(truth), np.zeros_like(truth), np.zeros_like(truth)
    beside[:, 53:64] = checks[:, 53:64]  # edge pixels are 46 to 49; 7 to 16 pixels from them
    on[:, 46:50] = checks[:, 46:50]
    far[:, 80:] = checks[:, 80:]
    whole = artefacts.mosquito_energy(truth + checks, truth, 4)
    assert whole == pytest.approx(16.0, rel=0.02), "the mean of 12 x 12 of the pattern is nothing"
    assert 0.3 * whole < artefacts.mosquito_energy(truth + beside, truth, 4) < 0.7 * whole
    assert artefacts.mosquito_energy(truth + on, truth, 4) < 0.01 * whole
    assert artefacts.mosquito_energy(truth + far, truth, 4) < 0.01 * whole
    assert math.isnan(artefacts.mosquito_energy(np.zeros((64, 64)), np.zeros((64, 64)), 4))


def test_optics_soften_the_step_before_it_is_recorded() -> None:
    sharp, soft = (artefacts.step_overshoot(_enlarged("lanczos", 4), 4, optics=sigma) for sigma in (0.0, 0.35))
    assert soft[0] < 0.6 * sharp[0] and soft[1] < sharp[1]
