"""What docs/calibration.md tells of edges and writing is what was measured, of every shipped calibration."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from forensic.resources import models_dir
from tests.calibration import recordings

DOCUMENT = Path(__file__).parents[2] / "docs" / "calibration.md"


@pytest.mark.parametrize("kind", ["edge", "text-like"])
@pytest.mark.parametrize(
    ("model", "label"), [("light-x4", ""), ("light-x4-int8", "light-x4-int8: "), ("single-x4", "single-x4: ")]
)
def test_the_failures_by_kind_of_area_are_told_of_every_model_and_not_of_the_mildest_alone(
    model: str, label: str, kind: str
) -> None:
    with (models_dir() / model / "evaluation.csv").open(encoding="utf-8", newline="") as file:
        found = {(row["stratum"], row["what"]): row["value"] for row in csv.DictReader(file)}
    strata = [one.name for one in recordings.STRATA]
    area = " / ".join(f"{100 * float(found[one, f'LOW area, area {kind}, in the domain']):.1f} %" for one in strata)
    failed = {
        tolerance: ", ".join(
            found[one, f"share {tolerance} failed, area {kind}, in the domain with LOW"] for one in strata
        )
        for tolerance in (16, 32)
    }
    row = f"| {label}area {kind} | {area} | share at 16: {failed[16]}; at 32: {failed[32]} |"
    assert row in DOCUMENT.read_text("utf-8").splitlines()
