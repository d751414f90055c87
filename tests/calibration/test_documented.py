"""What docs/calibration.md tells of every shipped calibration is what was measured, the worst of it too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.calibration import documented

LINES = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text("utf-8").splitlines()


@pytest.mark.parametrize("model", documented.models())
def test_thresholds_and_what_was_held_out_are_told_of_every_model(model: str) -> None:
    rows = [*documented.calibrated(model), *documented.held_out(model)]
    told = [line for line in LINES if line.startswith(f"| {model} | ")]  # tables of other things follow
    assert len(rows) == 6 and told[:6] == rows


@pytest.mark.parametrize("kind", ["edge", "text-like"])
@pytest.mark.parametrize("model", documented.models())
def test_the_failures_by_kind_of_area_are_told_of_every_model_and_not_of_the_mildest_alone(
    model: str, kind: str
) -> None:
    assert documented.by_area(model, kind) in LINES


@pytest.mark.parametrize("kind", ["edge", "text-like"])
def test_the_worst_of_all_models_is_told_in_words(kind: str) -> None:
    text = " ".join(" ".join(LINES).split())
    told = [*documented.worst(kind), *documented.worst_by_brightness(kind)]
    assert [one for one in told if one not in text] == []


@pytest.mark.parametrize("model", documented.models())
def test_what_was_planted_and_what_was_unfamiliar_is_told_of_every_model(model: str) -> None:
    rows = [documented.planted(model, kinds) for kinds in (documented.KINDS, documented.IN_LOW)]
    rows.append(documented.unfamiliar(model))
    assert [one for one in rows if one not in LINES] == []


def test_the_limits_of_the_rates_of_unfamiliar_material_are_told() -> None:
    assert documented.unfamiliar_limits() in " ".join(LINES)


def test_leads_over_the_best_baseline_and_rankings_by_part_are_told() -> None:
    rows = [*map(documented.leads, documented.models()), *documented.rankings()]
    assert [one for one in rows if one not in LINES] == []


@pytest.mark.parametrize("model", documented.several())
def test_what_became_of_moving_things_and_the_self_ensemble_is_told_of_every_model_of_several_frames(
    model: str,
) -> None:
    rows = [*documented.moving(model), documented.dispersed(model)]
    assert [one for one in rows if one not in LINES] == []
    assert documented.moving_in_all(model) in " ".join(LINES)


def test_something_was_moved_through_every_model_of_several_frames() -> None:
    assert documented.several() == [model for model in documented.models() if model.startswith("multi-")]
