"""The calibration belongs to what a run began with: on record from the start, and not exchanged on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from forensic.case.calibrating.calibrate import CalibrateRequest, calibrate
from forensic.case.enhance import FinishedRun
from forensic.case.layout import RunFolder, WorkspaceLayout
from forensic.case.progress import Silent
from forensic.case.resume import resume
from forensic.case.verification.checks import Verdict
from forensic.case.verification.custody import Custody, end_differences
from forensic.case.verify import verify
from forensic.case.workspace import open_workspace
from forensic.errors import UsageError, VerificationFailed
from forensic.ledger.order import STARTED
from forensic.risk.calibration import shelf
from tests.calibration import laboratory
from tests.calibration.pairs import make_pair
from tests.kills import child_acquire, child_enhance, finish, start
from tests.kills.breaking import Broken, _broken, acquired, asked, break_off, broken  # noqa: F401 - fixtures
from tests.risk.calibrations import calibration

# pytest finds fixtures by name.
# ruff: noqa: F811


def _resumed(broken: Broken) -> FinishedRun:
    with broken.open() as work:
        return resume(work, broken.run_id, Silent())


def test_another_calibration_than_at_the_beginning_is_refused(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = next(entry for entry in broken.entries() if entry.event == STARTED)
    assert begun.data["calibration"] is None
    monkeypatch.setattr(shelf, "shipped_for", lambda stages: calibration())
    with pytest.raises(VerificationFailed) as refused:
        _resumed(broken)
    assert refused.value.code == "resume.calibration"
    last = list(broken.entries())[-1]
    assert (last.event, last.data["code"]) == ("resume.refused", "resume.calibration")
    monkeypatch.undo()
    assert verify(_resumed(broken).folder).verdict >= Verdict.SIGNED


def test_a_record_that_cites_another_calibration_than_the_start_is_found(broken: Broken) -> None:
    done = _resumed(broken)
    custody = Custody.read(WorkspaceLayout(broken.root).ledger)
    folder = RunFolder(done.folder)
    assert end_differences(custody, folder, done.predicate) == []
    forged = {**done.predicate, "risk": {**done.predicate["risk"], "calibration": {"sha256": "ab" * 32}}}
    assert end_differences(custody, folder, forged) == ["calibration"]


def test_a_run_by_the_laboratory_s_own_calibration_goes_on_by_that_very_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, root = make_pair(tmp_path / "clip", 1, columns=32, rows=32)[1], tmp_path / "ws"
    with monkeypatch.context() as patched, laboratory.workspace(root) as work:
        laboratory.made_up(patched, fails_from=9.0)
        request = CalibrateRequest(laboratory.manifest(tmp_path / "pairs", 80), "Charts", workers=1)
        folder = calibrate(work, request, Silent()).folder
    finish(start(child_acquire, root, clip, "X"))
    asked = {"recipe": "light", "frames": (2, 7), "workers": 1, "calibration": str(folder)}
    break_off(3, child_enhance, root, "X", asked)
    with open_workspace(root, None) as work:
        (begun,) = work.ledger.unfinished_runs()
    broken, away = Broken(root, begun.run or ""), folder.with_name("elsewhere")
    folder.rename(away)
    with pytest.raises(UsageError) as refused:
        _resumed(broken)
    assert refused.value.code == "calibration.unknown" and broken.events()[-1] == "resume.refused"
    away.rename(folder)
    done = _resumed(broken)
    cited = done.predicate["risk"]["calibration"]
    assert cited["artefact"]["origin"] == "laboratory" and cited["sha256"] == begun.data["calibration"]
    assert done.predicate["run"]["frames_reused"] == 1 and len(done.predicate["run"]["interruptions"]) == 1
    verification = verify(done.folder)
    assert verification.verdict >= Verdict.SIGNED and "A8" in {check.number for check in verification.checks}
    assert (done.folder / "calibration" / "report.pdf").read_bytes() == (folder / "report.pdf").read_bytes()
