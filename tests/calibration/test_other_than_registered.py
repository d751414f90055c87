"""A calibration whose artefact says otherwise than its signed record, its registration or the program that verifies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensic.case.calibrating import calibrate as calibrating
from forensic.case.calibrating import record
from forensic.case.calibrating.calibrate import CalibrateRequest, FinishedCalibration, calibrate
from forensic.case.calibrating.citing import own_calibration
from forensic.case.layout import CalibrationFolder
from forensic.case.progress import Silent
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import open_workspace
from forensic.errors import VerificationFailed
from forensic.hashes import canonical_json, sha256_bytes
from forensic.risk.calibration import fitting
from forensic.risk.calibration.artefact import Calibration, parse_calibration
from forensic.risk.calibration.evidence import contradictions
from forensic.risk.calibration.software import versions_of
from forensic.risk.calibration.strata import CLAIMS, fit
from forensic.stages.recipe import load_recipe
from tests.calibration import laboratory

SHARE, EDGES, AREA = CLAIMS
#: More is claimed of the share, something else of the others.
STRONGER = (
    SHARE.model_copy(update={"beta": 0.001}),
    EDGES.model_copy(update={"beta": 0.0005, "cap": 0.5}),
    AREA.model_copy(update={"cap": 0.01}),
)


def _made(root: Path, pairs: int) -> FinishedCalibration:
    """A calibration of made-up pairs, in a workspace of its own."""
    with pytest.MonkeyPatch.context() as patched, laboratory.workspace(root / "ws") as workspace:
        laboratory.made_up(patched, fails_from=9.0)
        request = CalibrateRequest(laboratory.manifest(root / "pairs", pairs), "Charts", score="sum", workers=1)
        return calibrate(workspace, request, Silent())


def _failed(folder: Path) -> dict[str, str]:
    """Failed checks about the artefact, and why."""
    return {one.number: one.detail for one in verify(folder).checks if not one.passed}


def _refused(done: FinishedCalibration) -> str:
    """Code of the error with which no run is judged by it."""
    with open_workspace(done.folder.parents[1], lambda: "") as workspace, pytest.raises(VerificationFailed) as refused:
        own_calibration(workspace, done.folder, load_recipe("light").bind().stages)
    return refused.value.code


def _altered(monkeypatch: pytest.MonkeyPatch, change: Callable[[Calibration], Calibration]) -> None:
    """A program that is honest but for the artefact, which it changes before it is signed."""
    monkeypatch.setattr(calibrating, "calibration_of", lambda *a, **b: change(fitting.calibration_of(*a, **b)))


def _laboratory_changed(changes: dict[str, Any]) -> Callable[[Calibration], Calibration]:
    def change(made: Calibration) -> Calibration:
        assert made.laboratory is not None
        return made.model_copy(update={"laboratory": made.laboratory.model_copy(update=changes)})

    return change


@pytest.mark.parametrize("retold", [False, True])
def test_stronger_claims_than_the_program_tests_are_found_though_registration_and_artefact_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retold: bool
) -> None:
    monkeypatch.setattr(record, "CLAIMS", STRONGER)
    monkeypatch.setattr(fitting, "CLAIMS", STRONGER)
    if retold:  # the counts are tested by the program's own claims, and only the words are stronger
        monkeypatch.setattr(fitting, "fit", lambda groups, scale, *_: fit(groups, scale))
    done = _made(tmp_path, 80)
    assert done.calibration.claims[0].beta == 0.001 and done.calibration.has_low
    assert _failed(done.folder) == {"E2": "claims of it are not those of this program"}
    assert _refused(done) == "calibration.unsound"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> FinishedCalibration:
    """With LOW. Do not change it."""
    return _made(tmp_path_factory.mktemp("honest"), 80)


def test_an_honest_one_passes(honest: FinishedCalibration) -> None:
    assert honest.calibration.has_low and verify(honest.folder).verdict >= Verdict.SIGNED


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"claims": [SHARE, EDGES]}, "claims"),
        ({"claims": [SHARE.model_copy(update={"tolerance": 7}), EDGES, AREA]}, "claims"),
        ({"claims": [SHARE.model_copy(update={"beta": 0.5}), EDGES, AREA]}, "claims"),
        ({"epsilon": 0.04}, "epsilon"),
        ({"delta": 0.049, "delta_each": 0.049}, "delta"),
        ({"epsilon": 0.04, "delta": 0.049, "delta_each": 0.049}, "epsilon and delta"),
    ],
)
def test_other_numbers_than_the_program_s_are_told_wherever_they_are_registered(
    honest: FinishedCalibration, changes: dict[str, Any], told: str
) -> None:
    files = CalibrationFolder(honest.folder)
    plan, said = json.loads(files.registration.read_bytes()), honest.calibration.model_copy(update=changes)
    shown = said.model_dump(mode="json", by_alias=True)
    registration = canonical_json(plan | {name: shown[name] for name in ("claims", "epsilon", "delta")})
    said = said.model_copy(update={"scenes_sha256": sha256_bytes(registration)})
    rows = files.recordings.read_bytes()
    assert contradictions(said, registration, rows) == [f"{told} of it are not those of this program"]


def test_a_level_that_was_not_divided_by_the_strata_is_told(honest: FinishedCalibration) -> None:
    files = CalibrationFolder(honest.folder)
    said = parse_calibration(files.calibration.read_bytes()).model_copy(update={"delta_each": 0.04})
    told = contradictions(said, files.registration.read_bytes(), files.recordings.read_bytes())
    assert told == ["delta_each is not delta divided by the number of strata"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "National Metrology Institute"}, {"E1": "laboratory of record and artefact differ"}),
        ({"examiner": "Prof. X"}, {"E1": "examiner of record and artefact differ"}),
        ({"remarks": ["Accredited to ISO/IEC 17025."]}, {"E2": "remarks is not as registered"}),
    ],
)
def test_an_artefact_that_names_another_laboratory_or_adds_remarks_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], told: dict[str, str]
) -> None:
    _altered(monkeypatch, _laboratory_changed(changes))
    done = _made(tmp_path, 4)
    assert _failed(done.folder) == told
    assert _refused(done) == "calibration.unsound"


def test_an_artefact_that_names_other_software_than_was_there_when_it_was_registered_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(made: Calibration) -> Calibration:
        return made.model_copy(update={"software": {**made.software, "torch": "9.9"}})

    _altered(monkeypatch, change)
    done = _made(tmp_path, 4)
    plan = json.loads(CalibrationFolder(done.folder).registration.read_bytes())
    assert plan["score_software"] == versions_of("sum/1", "fp32") | {"forensic": plan["software"]["forensic"]}
    assert _failed(done.folder) == {"E2": "software is not as registered"}
    assert _refused(done) == "calibration.unsound"
