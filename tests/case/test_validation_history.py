"""What a validation says of those before it, what it leaves, and where its master goes: attacks and accidents."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forensic.case.layout import INCOMPLETE, ValidationFolder, WorkspaceLayout
from forensic.case.progress import Silent
from forensic.case.validating import validate as validating
from forensic.case.validating.record import build_record
from forensic.case.validating.validate import FinishedValidation, ValidateRequest, validate
from forensic.case.verification import validationfolders
from forensic.case.verification.checks import Verdict, Verification
from forensic.case.verification.custody import Custody
from forensic.case.verification.trust import NOTHING
from forensic.case.verification.validations import verify_validation
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace, open_workspace
from forensic.errors import ForensicError, Interrupted, StorageFailed, UsageError
from forensic.hashes import sha256_file
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.store import Ledger
from forensic.report.validation.document import build_validation_pdf
from tests.case.conftest import flip

MINI = Path(__file__).parents[1] / "validation" / "mini.toml"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FinishedValidation]:
    """A workspace with a refused, a failed and a passed validation. Do not change it: copy it."""
    root = tmp_path_factory.mktemp("history") / "ws"
    patch = pytest.MonkeyPatch()
    with create_workspace(root, examiner="Q. Manager", lab="Lab", passphrase=None, origin="test") as workspace:
        with pytest.raises(UsageError):
            validate(workspace, ValidateRequest(suite="no such suite"), Silent())
        patch.setattr(validating, "build_validation_pdf", _stopped)
        with pytest.raises(StorageFailed):
            validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
        patch.undo()
        return root, validate(workspace, ValidateRequest(suite=str(MINI)), Silent())


@pytest.fixture
def copied(made: tuple[Path, FinishedValidation], tmp_path: Path) -> tuple[Path, ValidationFolder]:
    """A private copy of the workspace, and the passed validation in it."""
    root = tmp_path / "ws"
    shutil.copytree(made[0], root)
    return root, ValidationFolder(root / "validations" / made[1].folder.name)


def _stopped(*_: Any) -> bytes:
    raise StorageFailed("storage.disk-full", "No space.")


def _opened(root: Path) -> Workspace:
    return open_workspace(root, lambda: "")


def _failed(target: Path) -> set[str]:
    return {check.number for check in verify(target).checks if not check.passed}


def _entries(root: Path) -> list[LedgerEntry]:
    with _opened(root) as workspace:
        return list(workspace.ledger.entries())


def test_all_that_was_tried_before_is_told(made: tuple[Path, FinishedValidation]) -> None:
    root, done = made
    assert [one["end"] for one in done.predicate["earlier"]] == ["refused", "failed"]
    assert verify(root).verdict >= Verdict.SIGNED


@pytest.mark.parametrize("how", ["a failure left out", "a verdict embellished", "one that never was"])
def test_a_record_that_tells_another_history_than_the_ledger_is_found(
    copied: tuple[Path, ValidationFolder], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The laboratory itself leaves a failure out of its signed record, by a changed program."""
    root, _ = copied
    honest = build_record

    def forged(*args: Any) -> dict[str, Any]:
        record = honest(*args)
        earlier = record["earlier"]
        if how == "a failure left out":
            del earlier[1]
        elif how == "a verdict embellished":
            earlier[1] |= {"end": "completed", "verdict": "PASS", "reason": None}
        else:
            earlier.append({**earlier[0], "validation": "V-20260101T000000Z-abcdef"})
        return record

    monkeypatch.setattr(validating, "build_record", forged)
    with _opened(root) as workspace:
        done = validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
    assert _failed(done.folder) == {"V4"}
    assert _failed(root) == {"V4"}
    (fault,) = [check.detail for check in verify(done.folder).checks if check.number == "V4"]
    assert "earlier" in fault


def test_what_another_process_registers_meanwhile_is_told_too(
    copied: tuple[Path, ValidationFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that comes between the look at the ledger and the registration."""
    root, _ = copied
    whole = Ledger.append

    def append(self: Ledger, name: str, *args: Any, **more: Any) -> Any:
        if name == "validation.registered":
            whole(self, "validation.refused", {"validation": "V-20260101T000000Z-abcdef", "code": "c", "reason": "r"})
        return whole(self, name, *args, **more)

    monkeypatch.setattr(Ledger, "append", append)
    with _opened(root) as workspace:
        done = validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
    assert "V-20260101T000000Z-abcdef" in [one["validation"] for one in done.predicate["earlier"]]
    assert verify(done.folder).verdict >= Verdict.SIGNED


def test_an_extract_says_what_of_the_history_cannot_be_told_from_it(copied: tuple[Path, ValidationFolder]) -> None:
    """In a bundle are the entries of completed validations alone; of those the record must tell the truth."""
    root, folder = copied
    whole = Custody.read(WorkspaceLayout(root).ledger)
    completed = json.loads(folder.result.read_bytes())["validation"]["id"]
    extract = Custody(validations={completed: whole.validations[completed]}, complete=False)
    told = verify_validation(folder.root, ledger=extract)
    assert told.verdict >= Verdict.SIGNED
    (line,) = [one for one in told.not_checked if "all validations of the workspace" in one]
    assert "not in bundles" in line
    # One that the extract does know is held against the record.
    (earlier,) = [about for about in whole.validations.values() if about[-1].event == "validation.failed"]
    known = Custody(validations={"V": earlier, completed: whole.validations[completed]}, complete=False)
    assert verify_validation(folder.root, ledger=known).verdict >= Verdict.SIGNED
    lying = [earlier[0]]  # as if it had never ended
    known = Custody(validations={"V": lying, completed: whole.validations[completed]}, complete=False)
    assert {one.number for one in verify_validation(folder.root, ledger=known).checks if not one.passed} == {"V4"}


def _left(root: Path) -> Path:
    (folder,) = (root / "validations").glob(f"*{INCOMPLETE}")
    return folder


def test_the_measurements_that_are_left_are_those_that_the_ledger_names(copied: tuple[Path, ValidationFolder]) -> None:
    root, _ = copied
    left = _left(root)
    assert any("not evidence" in line for line in verify(root).not_checked)
    kept = (left / "result.json").read_bytes()
    (left / "result.json").write_bytes(kept.replace(b'"PASS"', b'"FAIL"', 1))
    assert _failed(root) == {"W5"}
    (left / "result.json").unlink()
    assert _failed(root) == {"W5"}
    (left / "result.json").write_bytes(kept)
    assert verify(root).verdict >= Verdict.SIGNED
    flip(left / "suite.toml", 0.5)
    assert _failed(root) == {"W5"}


@pytest.mark.parametrize("name", ["report.pdf", "attestation.json", "notes.txt"])
def test_what_is_put_among_the_left_measurements_is_found(copied: tuple[Path, ValidationFolder], name: str) -> None:
    """A report that looks signed, in the folder of a validation that failed."""
    root, folder = copied
    source = folder.root / name
    (_left(root) / name).write_bytes(source.read_bytes() if source.exists() else b"all well")
    assert _failed(root) == {"W5"}


def test_a_refused_validation_explains_no_folder(copied: tuple[Path, ValidationFolder]) -> None:
    root, folder = copied
    (refused,) = [one for one in _entries(root) if one.event == "validation.refused"]
    shutil.copytree(folder.root, root / "validations" / f"{refused.data['validation']}{INCOMPLETE}")
    assert _failed(root) == {"W5"}


def test_a_killed_validation_with_a_name_of_its_own_is_known(
    copied: tuple[Path, ValidationFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = copied
    monkeypatch.setattr(validating, "build_validation_pdf", _stopped)
    monkeypatch.setattr(validating, "record_end", lambda *_: False)  # as a kill: nothing more is written
    monkeypatch.setattr(validating, "unsigned", lambda *_: {})
    with _opened(root) as workspace, pytest.raises(StorageFailed):
        validate(workspace, ValidateRequest(suite=str(MINI), out=root / "validations" / "january"), Silent())
    assert (root / "validations" / f"january{INCOMPLETE}").is_dir()
    told = verify(root)
    assert told.verdict >= Verdict.SIGNED
    assert any("january" in line and "not evidence" in line for line in told.not_checked)


def test_a_signed_file_that_cannot_be_removed_is_named_and_the_others_go(
    copied: tuple[Path, ValidationFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = copied
    whole, unlink = Ledger.append, Path.unlink

    def append(self: Ledger, name: str, *args: Any, **more: Any) -> Any:
        if name == "validation.completed":
            raise StorageFailed("storage.disk-full", "No space.")
        return whole(self, name, *args, **more)

    def stuck(self: Path, missing_ok: bool = False) -> None:
        if self.name == "manifest.sha256":
            raise PermissionError(13, "Permission denied")
        unlink(self, missing_ok)

    monkeypatch.setattr(Ledger, "append", append)
    monkeypatch.setattr(Path, "unlink", stuck)
    with _opened(root) as workspace, pytest.raises(StorageFailed):
        validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
    monkeypatch.undo()
    data = _entries(root)[-1].data
    left = root / "validations" / data["incomplete_folder"]
    assert data["not_removed"] == ["manifest.sha256: Permission denied"]
    assert data["removed"] == ["report.pdf", "attestation.json"]
    assert data["result"] == sha256_file(left / "result.json")
    assert {path.name for path in left.iterdir()} == {"manifest.sha256", "result.json", "suite.toml", "master.json"}
    assert verify(root).verdict >= Verdict.SIGNED  # the ledger says why it is there


def _named(root: Path, place: str) -> Verification:
    """What is found where the entry on the completed validation calls its folder ``place``, as early 0.3.0 did."""
    layout, found = WorkspaceLayout(root), Verification(str(root), "workspace")
    custody = Custody.read(layout.ledger)
    for about in custody.validations.values():
        for number, entry in enumerate(about):
            others = {key: value for key, value in entry.data.items() if key != "folder"}
            named = {"folder": place} if entry.event == "validation.completed" else {}
            about[number] = replace(entry, data={**others, **named})
    validationfolders.check_validation_folders(found, layout, custody, lambda _: None, NOTHING)
    return found


def test_a_validation_named_absolutely_in_this_workspace_that_is_gone_is_missed(
    copied: tuple[Path, ValidationFolder],
) -> None:
    root, folder = copied
    january = folder.root.rename(folder.root.with_name("january"))
    found = _named(root, str(january))
    assert all(check.passed for check in found.checks)
    shutil.rmtree(january)
    found = _named(root, str(january))
    assert [check.number for check in found.checks if not check.passed] == ["W4"]
    assert not any("lies elsewhere" in line for line in found.not_checked)
    # The workspace has moved: what is called as the validation itself can only have been made in it.
    found = _named(root, f"/nowhere/ws/validations/{folder.root.name}")
    assert [check.number for check in found.checks if not check.passed] == ["W4"]
    found = _named(root, "/nowhere/ws/validations/february")
    assert all(check.passed for check in found.checks)
    assert any("lies elsewhere" in line for line in found.not_checked)


def test_a_folder_of_the_same_name_elsewhere_is_not_taken_for_one_here(
    copied: tuple[Path, ValidationFolder], tmp_path: Path
) -> None:
    """``--out`` in another folder called validations, under a name that a folder of this workspace has too."""
    root, folder = copied
    elsewhere = tmp_path / "archive" / "validations" / "january"
    with _opened(root) as workspace:
        request = ValidateRequest(suite=str(MINI), out=elsewhere)
        done = validate(workspace, request, Silent())
        again = validate(workspace, ValidateRequest(suite=str(MINI), out=root / "validations" / "january"), Silent())
    told = verify(root)
    assert told.verdict >= Verdict.SIGNED, [check for check in told.checks if not check.passed]
    assert any(done.id in line and "lies elsewhere" in line for line in told.not_checked)
    shutil.rmtree(again.folder)
    assert _failed(root) == {"W4"}
    assert folder.root.exists()


def test_a_folder_that_somebody_put_in_its_place_is_not_replaced(
    copied: tuple[Path, ValidationFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Between the check of the places and the last renaming; an empty folder would vanish without a word."""
    root, _ = copied
    out, master = tmp_path / "out", tmp_path / "master.json"
    whole = build_validation_pdf

    def planted(*args: Any) -> bytes:
        out.mkdir()
        return whole(*args)

    monkeypatch.setattr(validating, "build_validation_pdf", planted)
    with _opened(root) as workspace, pytest.raises(UsageError) as refused:
        validate(workspace, ValidateRequest(suite=str(MINI), out=out, keep_master=master), Silent())
    assert refused.value.code == "validation.exists"
    assert any("is completed" in note for note in refused.value.__notes__)
    assert list(out.iterdir()) == []
    last, data = [(one.event, one.data) for one in _entries(root)][-1]
    assert (last, data["code"]) == ("validation.master-not-kept", "validation.exists")
    assert not master.exists()
    left = out.with_name(f"out{INCOMPLETE}")
    assert (left / "attestation.json").exists()
    out.rmdir()
    with _opened(root) as workspace, pytest.raises(UsageError):
        validate(workspace, ValidateRequest(suite="no such suite"), Silent())
    assert verify(out).verdict >= Verdict.SIGNED  # the next command names it


def test_a_master_overwrites_nothing_that_has_come_there_meanwhile(
    copied: tuple[Path, ValidationFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root, _ = copied
    original, master = tmp_path / "original.mkv", tmp_path / "master.json"
    original.write_bytes(b"sacred")
    whole = build_validation_pdf

    def planted(*args: Any) -> bytes:
        os.link(original, master)
        return whole(*args)

    monkeypatch.setattr(validating, "build_validation_pdf", planted)
    with _opened(root) as workspace, pytest.raises(ForensicError) as refused:
        validate(workspace, ValidateRequest(suite=str(MINI), keep_master=master), Silent())
    assert refused.value.code == "validation.exists"
    assert master.read_bytes() == original.read_bytes() == b"sacred"
    assert [one.event for one in _entries(root)][-2:] == ["validation.completed", "validation.master-not-kept"]


def test_a_master_that_is_kept_is_not_denied_by_an_interrupt(
    copied: tuple[Path, ValidationFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root, folder = copied
    whole = Ledger.append

    def append(self: Ledger, name: str, *args: Any, **more: Any) -> Any:
        entry = whole(self, name, *args, **more)
        if name == "validation.master-kept":
            raise KeyboardInterrupt
        return entry

    monkeypatch.setattr(Ledger, "append", append)
    master = tmp_path / "master.json"
    with _opened(root) as workspace:
        done = validate(workspace, ValidateRequest(suite=str(MINI), keep_master=master), Silent())
    assert master.read_bytes() == (done.folder / "attestation.json").read_bytes()
    assert [one.event for one in _entries(root)][-2:] == ["validation.completed", "validation.master-kept"]
    assert folder.root.exists()


def test_a_master_that_the_ledger_cannot_tell_of_is_not_left(
    copied: tuple[Path, ValidationFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root, _ = copied
    whole = Ledger.append

    def append(self: Ledger, name: str, *args: Any, **more: Any) -> Any:
        if name == "validation.master-kept":
            raise StorageFailed("storage.disk-full", "No space.")
        return whole(self, name, *args, **more)

    monkeypatch.setattr(Ledger, "append", append)
    master = tmp_path / "master.json"
    with _opened(root) as workspace, pytest.raises((StorageFailed, Interrupted)):
        validate(workspace, ValidateRequest(suite=str(MINI), keep_master=master), Silent())
    assert [one.event for one in _entries(root)][-2:] == ["validation.completed", "validation.master-not-kept"]
    assert not master.exists()


def test_a_verdict_that_makes_no_master_is_on_record(copied: tuple[Path, ValidationFolder], tmp_path: Path) -> None:
    root, _ = copied
    suite, master = tmp_path / "impossible.toml", tmp_path / "master.json"
    suite.write_text(MINI.read_text("utf-8").replace("at_least = 10.0", "at_least = 200.0"), "utf-8")
    with _opened(root) as workspace:
        done = validate(workspace, ValidateRequest(suite=str(suite), keep_master=master), Silent())
    assert not done.passed and not master.exists()
    last = _entries(root)[-1]
    assert (last.event, last.data["code"]) == ("validation.master-not-kept", "validation.verdict")
    assert "FAIL" in last.data["reason"]
    assert verify(root).verdict >= Verdict.SIGNED


def test_an_interrupt_just_after_the_registration_is_no_refusal(
    copied: tuple[Path, ValidationFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = copied
    whole = Ledger.append

    def append(self: Ledger, name: str, *args: Any, **more: Any) -> Any:
        entry = whole(self, name, *args, **more)
        if name == "validation.registered":
            raise KeyboardInterrupt
        return entry

    monkeypatch.setattr(Ledger, "append", append)
    with _opened(root) as workspace, pytest.raises(Interrupted):
        validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
    registered, ended = _entries(root)[-2:]
    assert (ended.event, ended.data["registered"]) == ("validation.cancelled", registered.seq)
    assert verify(root).verdict >= Verdict.SIGNED
