"""Intervals and verdicts: known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fidelity import document, scores, tables, targets
from tests.fidelity.scores import Score
from tests.fidelity.statistics import Estimate, bootstrap, difference, share_left


def test_the_interval_is_the_normal_one_for_many_scenes() -> None:
    values = np.random.default_rng(5).normal(2.0, 1.5, 400)
    found = bootstrap(values)
    half = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean()) and found.count == 400
    assert found.low == pytest.approx(values.mean() - half, abs=0.015)
    assert found.high == pytest.approx(values.mean() + half, abs=0.015)
    assert bootstrap(values) == found, "the same every time"
    assert bootstrap([1.0, np.nan, 1.0]) == Estimate(1.0, 1.0, 1.0, 2)
    with pytest.raises(ValueError, match="no value"):
        bootstrap([np.nan])


def test_differences_are_paired_by_scene() -> None:
    found = difference({"a": 30.0, "b": 20.0, "c": 5.0}, {"a": 29.0, "b": 19.0, "d": 0.0})
    assert found == Estimate(1.0, 1.0, 1.0, 2)
    assert difference({"a": 1.0}, {"b": 1.0}) is None
    left = share_left({"a": 1.0, "b": 3.0, "n": np.nan}, {"a": 10.0, "b": 30.0, "n": 1.0})
    assert left is not None and left.mean == pytest.approx(0.1) and left.count == 2
    assert share_left({"a": 1.0}, {"a": 0.0}) is None


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (Estimate(3.2, 3.0, 3.4, 20), "met"),
        (Estimate(3.2, 2.9, 3.4, 20), "met by the mean; the interval reaches below"),
        (Estimate(2.9, 2.7, 3.1, 20), "missed by the mean; the interval reaches it"),
        (Estimate(2.2, 2.0, 2.9, 20), "missed"),
        (Estimate(3.2, 3.1, 3.3, 19), "open: too few scenes"),
    ],
)
def test_verdicts_say_what_the_interval_leaves_open(estimate: Estimate, expected: str) -> None:
    assert targets.verdict(estimate, 3.0) == expected


def test_targets_without_scores_are_not_measured_and_with_scores_are_judged(tmp_path: Path) -> None:
    # INT8 is measured beside its model, not in the benchmark's cells.
    nothing = [each for each in targets.outcomes(tmp_path) if not each.target.startswith("INT8")]
    assert len(nothing) >= 25 and {each.verdict for each in nothing} == {targets.NOT_MEASURED}

    def rows(method: str, gain: float) -> list[Score]:
        return [
            Score(str(scene), method, "-", 25 + scene + gain, 0.5, 24, 1.0, 1.0, 1.0, float("nan"), 0.1)
            for scene in range(20)
        ]

    scores.write("x4-jitter-28", [*rows("bicubic", 0.0), *rows("fuse", 1.6), *rows("single", 0.9)], tmp_path)
    found = {each.target: each for each in targets.outcomes(tmp_path)}
    assert found["multi-frame recipe against bicubic, ×4, jitter, CRF 28: ≥ +1.50 dB"].verdict == "met"
    assert "+1.60 [+1.60, +1.60]" in found["multi-frame recipe against bicubic, ×4, jitter, CRF 28: ≥ +1.50 dB"].found
    assert found["single-frame joint model against bicubic, ×4, CRF 28: ≥ +1.00 dB"].verdict == "missed"
    scores.write("x4-jitter-28", [*rows("bicubic", 0.0), *rows("fuse", 1.6), *rows("multi", 1.4)], tmp_path)
    found = {each.target: each for each in targets.outcomes(tmp_path)}
    assert found["multi-frame recipe against bicubic, ×4, jitter, CRF 28: ≥ +1.50 dB"].verdict == "missed"
    assert "| fuse | +1.60 [+1.60, +1.60] |" in document.measured(tmp_path)


def test_tables_replace_rows_of_the_same_key(tmp_path: Path) -> None:
    columns = ("method", "value")
    tables.merge("t", columns, ("method",), [{"method": "a", "value": "1"}, {"method": "b", "value": "2"}], tmp_path)
    tables.merge("t", columns, ("method",), [{"method": "a", "value": "3"}], tmp_path)
    assert tables.read("t", tmp_path) == [{"method": "a", "value": "3"}, {"method": "b", "value": "2"}]
