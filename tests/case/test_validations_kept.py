"""What becomes of validations: ones that end badly look like none, whole workspaces are verified with theirs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from forensic.case.layout import INCOMPLETE, ValidationFolder, WorkspaceLayout
from forensic.case.progress import Silent
from forensic.case.storage import create_file
from forensic.case.timestamping import fetch_pending, pending
from forensic.case.validating import keeping, measuring
from forensic.case.validating import validate as validating
from forensic.case.validating.bench import Original
from forensic.case.validating.masters import master_of
from forensic.case.validating.validate import FinishedValidation, ValidateRequest, validate
from forensic.case.verification import validations
from forensic.case.verification.checks import Verdict
from forensic.case.verification.custody import Custody
from forensic.case.verification.trust import Trust
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace, open_workspace
from forensic.errors import Interrupted, StorageFailed, UsageError
from forensic.hashes import sha256_file
from forensic.ledger.store import Ledger
from forensic.registry.cards import load_card
from forensic.validation import perceptual
from forensic.validation.suite import load_suite
from tests.case.conftest import flip
from tests.tsa import LocalTsa

MINI = Path(__file__).parents[1] / "validation" / "mini.toml"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FinishedValidation]:
    """A workspace with one small validation that passed. Do not change it: copy it."""
    root = tmp_path_factory.mktemp("kept") / "ws"
    with create_workspace(root, examiner="Q. Manager", lab="Lab", passphrase=None, origin="test") as workspace:
        return root, validate(workspace, ValidateRequest(suite=str(MINI)), Silent())


@pytest.fixture
def copied(made: tuple[Path, FinishedValidation], tmp_path: Path) -> tuple[Path, ValidationFolder]:
    """A private copy of the workspace, and the validation in it."""
    root = tmp_path / "ws"
    shutil.copytree(made[0], root)
    return root, ValidationFolder(root / "validations" / made[1].folder.name)


def _opened(root: Path) -> Workspace:
    return open_workspace(root, lambda: "")


def _failed(target: Path) -> set[str]:
    return {check.number for check in verify(target).checks if not check.passed}


def _last(workspace: Workspace) -> tuple[str, dict[str, Any]]:
    entry = list(workspace.ledger.entries())[-1]
    return entry.event, dict(entry.data)


# --- ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "event"),
    [
        (KeyboardInterrupt(), "validation.cancelled"),
        (StorageFailed("storage.disk-full", "No space."), "validation.failed"),
    ],
)
@pytest.mark.parametrize("out", ["elsewhere", "among the others", ""])
def test_an_end_after_the_signing_leaves_nothing_that_looks_signed(
    copied: tuple[Path, ValidationFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any, event: str,
    out: str,
) -> None:  # fmt: skip
    root, _ = copied
    asked = {"elsewhere": tmp_path / "out", "among the others": root / "validations" / "january"}.get(out)
    whole = Ledger.append
    seen: list[set[str]] = []

    def append(self: Ledger, name: str, *args: Any, **more: Any) -> Any:
        if name == "validation.completed":
            folder = next(iter([*root.glob(f"validations/*{INCOMPLETE}"), *tmp_path.glob(f"*{INCOMPLETE}")]))
            seen.append({path.name for path in folder.iterdir()})
            raise stop
        return whole(self, name, *args, **more)

    monkeypatch.setattr(Ledger, "append", append)
    request = ValidateRequest(suite=str(MINI), keep_master=tmp_path / "master.json", out=asked, new_master=True)
    with _opened(root) as workspace:
        with pytest.raises((Interrupted, StorageFailed)):
            validate(workspace, request, Silent())
        ended, data = _last(workspace)
    assert ended == event
    assert {"attestation.json", "report.pdf", "manifest.sha256", "result.json"} <= seen[0]  # it had been signed
    assert data["removed"] == ["manifest.sha256", "report.pdf", "attestation.json"]
    left = (root / "validations" if asked is None else asked.parent) / data["incomplete_folder"]
    assert {path.name for path in left.iterdir()} == {"result.json", "suite.toml"}
    assert data["result"] == sha256_file(left / "result.json")  # what was measured stays, and is named
    assert verify(left).verdict is Verdict.FAILED
    assert not (tmp_path / "master.json").exists()
    assert not left.with_name(left.name.removesuffix(INCOMPLETE)).exists()
    monkeypatch.undo()
    told = verify(root)
    assert told.verdict >= Verdict.SIGNED
    assert any("not evidence" in line for line in told.not_checked) is (out != "elsewhere")


def test_a_kill_after_the_signing_leaves_what_no_check_takes_for_finished(
    copied: tuple[Path, ValidationFolder], tmp_path: Path
) -> None:
    """As after SIGKILL: everything is signed, the folder is called incomplete, and no ledger says completed."""
    root, folder = copied
    alone = tmp_path / f"{folder.root.name}{INCOMPLETE}"
    shutil.copytree(folder.root, alone)
    assert _failed(alone) == {"V5"}
    # In its workspace, where the ledger does say so, it is the rename that is missing.
    folder.root.rename(folder.root.with_name(f"{folder.root.name}{INCOMPLETE}"))
    told = verify(folder.root.with_name(f"{folder.root.name}{INCOMPLETE}"))
    assert told.verdict >= Verdict.SIGNED
    assert any("rename interrupted" in line for line in told.not_checked)
    assert verify(root).verdict >= Verdict.SIGNED


def test_another_folder_of_the_same_name_is_not_touched(copied: tuple[Path, ValidationFolder], tmp_path: Path) -> None:
    """Somebody makes the folder while the suite runs: it is not written into, and nothing in it is removed."""
    root, folder = copied

    def planted(*_: Any) -> Any:
        shutil.copytree(folder.root, tmp_path / f"out{INCOMPLETE}")
        return []

    with _opened(root) as workspace, pytest.MonkeyPatch.context() as patch:
        patch.setattr(validating, "carry_out", planted)
        with pytest.raises(StorageFailed):
            validate(workspace, ValidateRequest(suite=str(MINI), out=tmp_path / "out", new_master=True), Silent())
        assert "removed" not in _last(workspace)[1]
    assert (tmp_path / f"out{INCOMPLETE}" / "attestation.json").exists()


def test_a_master_is_kept_only_of_what_the_ledger_completed(
    copied: tuple[Path, ValidationFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = copied
    wanted = tmp_path / "master.json"
    whole = create_file

    def full(path: Path) -> BinaryIO:
        if path == wanted:
            raise StorageFailed("storage.disk-full", "No space left.")
        return whole(path)

    monkeypatch.setattr(keeping, "create_file", full)
    with _opened(root) as workspace:
        with pytest.raises(StorageFailed):
            validate(workspace, ValidateRequest(suite=str(MINI), keep_master=wanted), Silent())
        events = [entry.event for entry in workspace.ledger.entries()][-2:]
        assert events == ["validation.completed", "validation.master-not-kept"]
        data = _last(workspace)[1]
    assert data["code"] == "storage.disk-full"
    assert verify(root / "validations" / data["validation"]).verdict >= Verdict.SIGNED  # it stands all the same


def test_an_original_that_is_gone_is_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"video")
    original = Original(path, sha256_file(path), path.stat(), "V001")
    assert original.differences() == []
    path.unlink()
    assert original.differences() == ["gone"]
    path.mkdir()
    assert original.differences() == ["no longer a regular file"]


# --- whole workspaces ------------------------------------------------------------------------------------------


def test_a_workspace_is_verified_with_its_validations(copied: tuple[Path, ValidationFolder]) -> None:
    root, folder = copied
    told = verify(root)
    assert told.verdict >= Verdict.SIGNED
    assert {"V1", "V2", "V3", "V4", "W5"} <= {check.number for check in told.checks}
    flip(folder.result, 0.5)
    assert "M5" in _failed(root)


def test_a_validation_that_is_gone_is_told(copied: tuple[Path, ValidationFolder]) -> None:
    root, folder = copied
    shutil.rmtree(folder.root)
    assert _failed(root) == {"W4"}
    shutil.rmtree(root / "validations")
    assert _failed(root) == {"W4"}
    (root / "validations").mkdir()
    folder.root.symlink_to(root)
    assert {"W4", "W5"} <= _failed(root)


@pytest.mark.parametrize("name", ["V-20260101T000000Z-abcdef", "V-20260101T000000Z-abcdef.incomplete", "notes.txt"])
def test_what_the_ledger_does_not_know_among_the_validations_fails(
    copied: tuple[Path, ValidationFolder], name: str
) -> None:
    """A validation of another workspace, genuine in itself, put where it would lend credit."""
    root, folder = copied
    if name.startswith("V-"):
        shutil.copytree(folder.root, folder.root.with_name(name))
    else:
        folder.root.with_name(name).write_text("all well")
    assert "W5" in _failed(root)


def test_a_record_signed_by_another_than_who_completed_it_is_found(copied: tuple[Path, ValidationFolder]) -> None:
    """The entry is genuine; what it names was signed with a key that nobody introduced."""
    root, folder = copied
    custody = Custody.read(WorkspaceLayout(root).ledger)
    record = json.loads(folder.result.read_bytes())
    entries = custody.validations[record["validation"]["id"]]
    assert validations._ledger_faults(entries, folder, record) == []
    record["examiner"]["identity"]["key_id"] = "0" * 64
    assert validations._ledger_faults(entries, folder, record) == ["signer is not as completed"]


def test_validations_exchanged_with_each_other_are_found(copied: tuple[Path, ValidationFolder]) -> None:
    root, folder = copied
    with _opened(root) as workspace:
        other = validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
    aside = root / "aside"
    folder.root.rename(aside)
    other.folder.rename(folder.root)
    aside.rename(other.folder)
    assert "W4" in _failed(root)


def test_entries_that_name_folders_absolutely_are_read(copied: tuple[Path, ValidationFolder], tmp_path: Path) -> None:
    """As the first validations of 0.3.0 wrote them; the workspace has moved since."""
    root, folder = copied
    layout = WorkspaceLayout(root)
    assert layout.validation_named(f"/nowhere/ws/validations/{folder.root.name}") == folder.root
    assert layout.validation_named(f"validations/{folder.root.name}") == folder.root
    assert layout.validation_named("/nowhere/own-name") == Path("/nowhere/own-name")
    cut = tmp_path / "archive" / "validations" / folder.root.name  # cut off before its last renaming, elsewhere
    cut.with_name(f"{cut.name}{INCOMPLETE}").mkdir(parents=True)
    assert layout.validation_named(str(cut)) == cut
    assert layout.name(folder.root) == f"validations/{folder.root.name}"
    assert layout.name(root.parent / "elsewhere") == str(root.parent / "elsewhere")
    with _opened(root) as workspace:
        assert master_of(workspace, load_suite(str(MINI))) is not None


def test_a_validation_filed_elsewhere_is_named(copied: tuple[Path, ValidationFolder], tmp_path: Path) -> None:
    root, _ = copied
    with _opened(root) as workspace:
        done = validate(workspace, ValidateRequest(suite=str(MINI), out=tmp_path / "filed"), Silent())
    told = verify(root)
    assert told.verdict >= Verdict.SIGNED
    assert any(done.id in line and "lies elsewhere" in line for line in told.not_checked)


# --- timestamps ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTsa]:
    with LocalTsa(tmp_path_factory.mktemp("tsa") / "tsa") as server:
        yield server


def test_the_report_of_a_validation_gets_the_timestamp_that_it_lacks(
    copied: tuple[Path, ValidationFolder], tsa: LocalTsa
) -> None:
    root, folder = copied
    trust = Trust(tsa_roots=(tsa.root_pem.read_bytes(),))
    assert verify(folder.root, trust=trust).verdict is Verdict.SIGNED
    with _opened(root) as workspace:
        assert [item.name for item in pending(workspace)] == [f"report.pdf of validation {folder.root.name}"]
        (fetched,) = fetch_pending(workspace, tsa.url)
        assert fetched.of == "report"
        assert list(pending(workspace)) == []
    digest = hashlib.sha256(folder.report.read_bytes()).hexdigest()
    token = WorkspaceLayout(root).document_timestamp(digest)
    assert fetched.file == token
    told = verify(folder.root, trust=trust)
    assert told.verdict is Verdict.TIMESTAMPED
    assert "T2" in {check.number for check in told.checks}
    whole = verify(root, trust=trust)
    assert whole.verdict >= Verdict.SIGNED
    assert not any("knows no such report" in line for line in whole.not_checked)
    flip(token, 0.5)
    assert "T2" in _failed(folder.root)
    assert "T5" in _failed(root)
    with _opened(root) as workspace:  # another report than the one on record gets none
        flip(folder.report, 0.5)
        assert list(pending(workspace)) == []


# --- a metric with weights that are fetched --------------------------------------------------------------------


def _suite_with_lpips(folder: Path) -> Path:
    text = MINI.read_text("utf-8").replace('metric = "psnr-y"', 'metric = "lpips"', 1)
    text = text.replace("at_least = 10.0", "at_most = 2.0").replace("psnr-y =", "lpips =")
    path = folder / "lpips.toml"
    path.write_text(text, "utf-8")
    return path


def test_lpips_is_measured_where_its_weights_are_and_else_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(tmp_path / "empty"))
    suite = _suite_with_lpips(tmp_path)
    with create_workspace(tmp_path / "ws", examiner="Q", lab="L", passphrase=None, origin="test") as workspace:
        done = validate(workspace, ValidateRequest(suite=str(suite)), Silent())
        (missing,) = [one for one in done.predicate["results"] if one["verdict"] == "NOT RUN"]
        assert missing["not_run"].startswith("model.pack-not-fetched")
        assert done.predicate["verdict"] == "INCOMPLETE"
        monkeypatch.setattr(measuring, "verify_card", lambda card: None)
        monkeypatch.setattr(perceptual, "lpips", lambda result, truth: 0.25)
        done = validate(workspace, ValidateRequest(suite=str(suite)), Silent())
        assert done.passed
    (measured,) = [one for one in done.predicate["results"] if one["id"] == missing["id"]]
    (case,) = measured["cases"]
    card = load_card("lpips-alex")
    assert case["value"] == 0.25
    assert case["detail"] == {"model": card.id, "weights_sha256": card.weights.sha256}
    assert verify(done.folder).verdict >= Verdict.SIGNED


@pytest.mark.parametrize(
    "places",
    [{"out": "validations/2026/january"}, {"out": "other"}, {"keep_master": "validations/m.json"}, {"keep_bench": "b"}],
)
def test_nothing_is_put_where_the_workspace_would_not_be_verified(
    copied: tuple[Path, ValidationFolder], places: dict[str, str]
) -> None:
    root, _ = copied
    asked = ValidateRequest(suite=str(MINI), **{key: root / value for key, value in places.items()})
    with _opened(root) as workspace, pytest.raises(UsageError) as refused:
        validate(workspace, asked, Silent())
    assert refused.value.code == "validation.place"
    assert verify(root).verdict >= Verdict.SIGNED
