"""``forensic validate`` about LOW: a map that keeps its promises passes, and every way of breaking one fails."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forensic.case.progress import Silent
from forensic.case.validating import carrying, mapping
from forensic.case.validating.bench import Bench
from forensic.case.validating.validate import ValidateRequest, validate
from forensic.case.verification.checks import Verdict as Rung
from forensic.case.verify import verify
from forensic.case.workspace import create_workspace
from forensic.risk.assessment import assess
from forensic.risk.tiles import Level
from forensic.validation.suite import load_suite
from forensic.validation.verdicts import Case, NoCase, Result, Verdict

FILE = Path(__file__).parents[1] / "validation" / "low.toml"
SUITE = load_suite(str(FILE))
REQUIREMENTS = {one.id: one for one in SUITE.requirements}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("low") / "bench", SUITE, ())
    yield made
    made.close()


def _result(bench: Bench, number: str) -> Result:
    return carrying._result(bench, REQUIREMENTS[number])


def _verdict(result: Result) -> Verdict:
    return result.judged(SUITE.confidence).verdict


def _with_levels(monkeypatch: pytest.MonkeyPatch, level: Level) -> None:
    """Every tile of the maps that runs left is ``level``; what their records say stays."""
    found = mapping._map

    def other(*asked: Any) -> Any:
        one = found(*asked)
        return replace(one, levels=np.full_like(one.levels, level))

    monkeypatch.setattr(mapping, "_map", other)


@pytest.mark.parametrize("number", list(REQUIREMENTS))
def test_the_shipped_map_passes(bench: Bench, number: str) -> None:
    result = _result(bench, number)
    assert result.error is None
    assert _verdict(result) is Verdict.PASS, result.cases
    assert len(result.cases) == 1 and result.no_case == ()


def test_strokes_were_planted_where_the_run_had_low(bench: Bench) -> None:
    (case,) = _result(bench, "RM-03").cases
    assert 1 <= case.detail["LOW before"] <= case.detail["planted tiles"]
    assert case.detail["control"] == "the run's map"


def test_a_map_that_calls_planted_detail_low_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    honest: list[Any] = []

    def blind(reference: Any, output: Any, **given: Any) -> Any:
        """The map of the picture as it was: what was planted is not seen."""
        honest.append(output)
        return assess(reference, honest[0], **given)

    monkeypatch.setattr(mapping, "assess", blind)
    result = _result(bench, "RM-03")
    (case,) = result.cases
    assert case.value == case.detail["LOW before"] >= 1
    assert _verdict(result) is Verdict.FAIL


def test_a_map_made_otherwise_than_the_run_made_it_shows_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(reference: Any, output: Any, **_: Any) -> Any:
        return assess(reference, output)  # without the calibration

    monkeypatch.setattr(mapping, "assess", other)
    result = _result(bench, "RM-03")
    assert np.isnan(result.cases[0].value)
    assert _verdict(result) is Verdict.FAIL


def test_a_map_that_calls_everything_low_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_levels(monkeypatch, Level.LOW)
    result = _result(bench, "RM-02")
    assert _verdict(result) is Verdict.FAIL
    assert "edges" in result.cases[0].detail["claims failed"]
    assert _verdict(_result(bench, "RM-04")) is Verdict.FAIL  # LOW outside the domain
    assert _verdict(_result(bench, "RM-05")) is Verdict.PASS  # nothing is claimed of it there


def test_a_map_without_low_is_told_and_never_passes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_levels(monkeypatch, Level.MEDIUM)
    assert _verdict(_result(bench, "RM-01")) is Verdict.FAIL
    for number in ("RM-02", "RM-03"):
        result = _result(bench, number)
        assert (result.cases, result.no_case) == ((), (NoCase("leaves 1000", "its map has no LOW"),))
        assert _verdict(result) is Verdict.FAIL


def test_a_map_that_claims_what_was_not_calibrated_fails(bench: Bench) -> None:
    """Both expectations, put to a map of the other kind."""
    calibrated = REQUIREMENTS["RM-04"].method.model_copy(update={"expect": "no-claim"})
    none = REQUIREMENTS["RM-05"].method.model_copy(update={"expect": "no-low"})
    claimed = none.model_copy(update={"recipe": "light"})
    for method in (calibrated, none, claimed, claimed.model_copy(update={"expect": "no-claim"})):
        (case,) = mapping.low_withheld(bench, method)
        assert isinstance(case, Case) and case.value == 0.0


def test_the_report_says_what_was_no_case_and_that_no_rate_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(*_: Any) -> Sequence[Case | NoCase]:
        return [Case("leaves 1000", 0.0), NoCase("leaves 1001", "its map has no LOW")]

    def held(*_: Any) -> Sequence[Case | NoCase]:
        return [Case("leaves 1000", 1.0)]

    for kind in ("low-present", "low-kept", "low-withheld"):
        monkeypatch.setitem(carrying._METHODS, kind, held)
    monkeypatch.setitem(carrying._METHODS, "low-planted", some)
    with create_workspace(tmp_path / "ws", examiner="Q", lab="L", passphrase=None, origin="test") as workspace:
        done = validate(workspace, ValidateRequest(suite=str(FILE)), Silent())
    assert done.passed
    assert done.predicate["results"][2]["no_case"] == [{"name": "leaves 1001", "why": "its map has no LOW"}]
    assert verify(done.folder).verdict >= Rung.SIGNED
    report = done.folder / "report.pdf"
    text = subprocess.run(["pdftotext", "-raw", report, "-"], capture_output=True, text=True, check=True).stdout
    words = " ".join(text.split())
    for said in ("Risk map", "1 without a case", "its map has no LOW", "proves no error rate", "region 54,46,80,56",
                 "cites no calibration and says"):  # fmt: skip
        assert said in words, said
