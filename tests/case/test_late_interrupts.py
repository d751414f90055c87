"""An interrupt or a fault after an entry took effect: the act stands, its files stay, and nothing denies it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensic.case.bundle.issuing import BundleRequest, disclose
from forensic.case.bundle.selecting import scope_for
from forensic.case.copyout import export
from forensic.case.custody import Circumstances
from forensic.case.exporting import export as export_run
from forensic.case.progress import Silent
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, open_workspace
from forensic.errors import Interrupted, StorageFailed
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.store import Ledger
from tests.case.conftest import Case

Strike = Callable[[str, BaseException, bool], None]


@pytest.fixture
def strike(monkeypatch: pytest.MonkeyPatch) -> Strike:
    """Make the next append of an event raise, before it has taken effect or after."""

    def arm(event: str, error: BaseException, persisted: bool) -> None:
        append, armed = Ledger.append, [True]

        def struck(self: Ledger, name: str, data: dict[str, Any], **ids: Any) -> LedgerEntry:
            if name != event or not armed:
                return append(self, name, data, **ids)
            armed.clear()
            if persisted:
                append(self, name, data, **ids)
            raise error

        monkeypatch.setattr(Ledger, "append", struck)

    return arm


def _workspace(attacked: Case) -> Workspace:
    return open_workspace(attacked.root, lambda: "")


def _events(workspace: Workspace) -> list[str]:
    return [entry.event for entry in workspace.ledger.entries()]


def test_a_copy_that_is_on_record_stays_when_the_interrupt_comes_late(
    attacked: Case, tmp_path: Path, strike: Strike
) -> None:
    copy = tmp_path / "copy.mkv"
    with _workspace(attacked) as workspace:
        strike("custody.exported", KeyboardInterrupt(), True)
        exhibit = str(attacked.predicate()["exhibit"]["id"])
        with pytest.raises(Interrupted, match="stands"):
            export(workspace, exhibit, copy, Circumstances(reason="x"), Silent())
        assert copy.is_file()
        last = list(workspace.ledger.entries())[-2:]
        assert [entry.event for entry in last] == ["custody.exported", "custody.failed"]
        assert last[1].data["recorded_seq"] == last[0].seq
    assert verify(attacked.root).verdict is not Verdict.FAILED


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StorageFailed("storage.failed", "fsync")])
def test_a_viewing_copy_is_there_or_denied_but_never_both(
    attacked: Case, tmp_path: Path, strike: Strike, error: BaseException
) -> None:
    with _workspace(attacked) as workspace:
        kept, gone = tmp_path / "kept.png", tmp_path / "gone.png"
        strike("export.written", error, True)
        export_run(workspace, attacked.run_id, kept, frame=0, credentials=False)
        strike("export.written", error, False)
        with pytest.raises(type(error)):
            export_run(workspace, attacked.run_id, gone, frame=0, credentials=False)
        assert kept.is_file()
        assert not gone.exists()
        assert _events(workspace)[-4:] == ["export.started", "export.written", "export.started", "export.failed"]


@pytest.mark.parametrize("archive", [True, False])
def test_a_bundle_is_there_or_denied_but_never_both(
    attacked: Case, tmp_path: Path, strike: Strike, archive: bool
) -> None:
    with _workspace(attacked) as workspace:
        scope = scope_for(workspace, attacked.run_id)
        strike("bundle.written", KeyboardInterrupt(), True)
        written = disclose(workspace, scope, BundleRequest(tmp_path / "kept", archive, "hash-only"), Silent())
        assert written.path.exists()
        strike("bundle.written", KeyboardInterrupt(), False)
        with pytest.raises(KeyboardInterrupt):
            disclose(workspace, scope, BundleRequest(tmp_path / "gone", archive, "hash-only"), Silent())
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("gone", ".gone"))] == []
        assert _events(workspace)[-3:] == ["bundle.issued", "checkpoint.issued", "bundle.failed"]
