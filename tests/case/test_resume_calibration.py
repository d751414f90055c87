"""The calibration belongs to what a run began with: on record from the start, and not exchanged on the way."""

from __future__ import annotations

import pytest

from forensic.case.enhance import FinishedRun
from forensic.case.layout import RunFolder, WorkspaceLayout
from forensic.case.progress import Silent
from forensic.case.resume import resume
from forensic.case.verification.checks import Verdict
from forensic.case.verification.custody import Custody, end_differences
from forensic.case.verify import verify
from forensic.errors import VerificationFailed
from forensic.ledger.order import STARTED
from forensic.risk.calibration import shelf
from tests.kills.breaking import Broken, _broken, acquired, asked, broken  # noqa: F401 - fixtures
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
