"""The numbers of the evaluation, on scores whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.calibration.ranking import Ranked, spearman

RNG = np.random.default_rng(4)


def test_a_perfect_a_reversed_and_an_idle_score() -> None:
    error = RNG.uniform(0, 60, (64, 64)).astype(np.float32)
    best = Ranked.of(error, error)
    assert best.auroc() > 0.995 and best.auprc() > 0.99 and best.ause(best) == 0.0
    assert Ranked.of(60.0 - error, error).auroc() < 0.01
    idle = Ranked.of(np.zeros_like(error), error)
    assert idle.auroc() == 0.5 and idle.auprc() == pytest.approx(float((error > 16).mean()))
    assert idle.ause(best) > 0.2


def test_the_area_is_that_of_all_pairs() -> None:
    score, error = RNG.uniform(0, 30, 400), RNG.uniform(0, 30, 400)
    wrong = error > 16
    pairs = np.mean(score[wrong][:, None] > score[~wrong][None])
    assert Ranked.of(score, error).auroc() == pytest.approx(float(pairs), abs=0.02)


def test_recordings_add_up() -> None:
    score, error = RNG.uniform(0, 30, (2, 500)), RNG.uniform(0, 30, (2, 500))
    both = Ranked.of(score[0], error[0]) + Ranked.of(score[1], error[1])
    assert both.auroc() == Ranked.of(score, error).auroc()


def test_rank_correlation_of_tiles() -> None:
    error = np.kron(RNG.uniform(0, 60, (4, 5)), np.ones((16, 16))).astype(np.float32)
    assert spearman(error, error) == pytest.approx(1.0) and spearman(60.0 - error, error) == pytest.approx(-1.0)
    assert spearman(np.zeros_like(error), error) == 0.0
