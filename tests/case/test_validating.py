"""``forensic validate`` end to end, and attacks on what it leaves."""

from __future__ import annotations

import base64
import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensic.case.ending import Terminated
from forensic.case.layout import ValidationFolder
from forensic.case.progress import Silent
from forensic.case.validating import carrying, masters
from forensic.case.validating.bench import Bench
from forensic.case.validating.validate import FinishedValidation, ValidateRequest, validate
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace, open_workspace
from forensic.cli.main import run
from forensic.errors import ForensicError, Interrupted, StorageFailed, UsageError
from forensic.hashes import canonical_json
from forensic.signing.statement import VALIDATION_PREDICATE, Subject, build_statement, sign_statement
from forensic.validation.suite import load_suite
from tests.case.conftest import flip

MINI = Path(__file__).parents[1] / "validation" / "mini.toml"


def _workspace(root: Path) -> Workspace:
    return create_workspace(root, examiner="Q. Manager", lab="Lab", passphrase=None, origin="test")


def _events(workspace: Workspace) -> list[str]:
    return [entry.event for entry in workspace.ledger.entries()]


def _failed(target: Path) -> set[str]:
    verification = verify(target)
    assert verification.verdict is Verdict.FAILED
    return {check.number for check in verification.checks if not check.passed}


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FinishedValidation]:
    """A workspace with one small validation that passed. Do not change it: copy it."""
    root = tmp_path_factory.mktemp("validated") / "ws"
    with _workspace(root) as workspace:
        return root, validate(workspace, ValidateRequest(suite=str(MINI)), Silent())


@pytest.fixture
def copied(mini: tuple[Path, FinishedValidation], tmp_path: Path) -> tuple[Path, ValidationFolder]:
    """A private copy of the workspace, and the validation in it."""
    root = tmp_path / "ws"
    shutil.copytree(mini[0], root)
    return root, ValidationFolder(root / "validations" / mini[1].folder.name)


def test_the_quick_suite_passes_here(tmp_path: Path) -> None:
    with _workspace(tmp_path / "ws") as workspace:
        request = ValidateRequest(suite="quick", deviations=(("FI-02", "few scenes"),))
        done = validate(workspace, request, Silent())
        assert _events(workspace)[-2:] == ["validation.registered", "validation.completed"]
    found = {one["id"]: (one["verdict"], one["reason"]) for one in done.predicate["results"]}
    assert {one for one in found.values() if one[0] != "PASS"} == set(), found
    assert done.passed
    assert verify(done.folder).verdict >= Verdict.SIGNED
    said = subprocess.run(["pdfsig", done.folder / "report.pdf"], capture_output=True, text=True, check=True).stdout
    assert "Signature is Valid" in said
    assert "Total document signed" in said
    text = subprocess.run(
        ["pdftotext", "-layout", done.folder / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert text.index("Requirements and acceptance criteria") < text.index("Results")
    assert "few scenes" in text


def test_requirements_are_on_record_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    with _workspace(tmp_path / "ws") as workspace:

        def carry_out(bench: Bench, *_: Any) -> list[Any]:
            seen.append(_events(workspace))
            raise KeyboardInterrupt

        monkeypatch.setattr("forensic.case.validating.validate.carry_out", carry_out)
        with pytest.raises(Interrupted):
            validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
        assert seen == [["workspace.created", "validation.registered"]]
        registered = next(iter(workspace.ledger.entries(event="validation.registered"))).data
        assert [one["id"] for one in registered["requirements"]] == ["ES-01", "FI-01", "RE-01"]
        assert registered["requirements"][1]["accept"] == {"rule": "every", "at_least": 10.0}
        cancelled = next(iter(workspace.ledger.entries(event="validation.cancelled"))).data
        assert cancelled["registered"] == 2
        assert list(workspace.layout.root.glob(".scratch-*")) == []
        monkeypatch.undo()
        done = validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
        assert done.passed
        assert [one["end"] for one in done.predicate["earlier"]] == ["cancelled"]
        # A kill between the last entry and the rename: the next command completes it.
        done.folder.rename(done.folder.with_name(f"{done.folder.name}.incomplete"))
        with pytest.raises(UsageError):
            validate(workspace, ValidateRequest(suite="no such suite"), Silent())
        assert verify(done.folder).verdict >= Verdict.SIGNED
        # It is this workspace's master now: exchanged or gone it is missed, not passed over.
        flip(done.folder / "attestation.json", 0.9)
        with pytest.raises(ForensicError) as refused:
            validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
        assert _events(workspace)[-1] == "validation.refused"
        (done.folder / "attestation.json").unlink()
        with pytest.raises(UsageError) as refused:
            validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
        assert refused.value.code == "validation.master-missing"


def test_a_requirement_that_is_not_met_fails_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "impossible.toml"
    suite.write_text(MINI.read_text("utf-8").replace("at_least = 10.0", "at_least = 200.0"), "utf-8")
    code = run(["validate", "--suite", str(suite), "-w", str(tmp_path / "ws"), "--quiet", "--json",
                "--keep-master", str(tmp_path / "master.json")])  # fmt: skip
    assert code == 1
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "FAIL"
    assert {one["id"]: one["verdict"] for one in told["results"]} == {"ES-01": "PASS", "FI-01": "FAIL", "RE-01": "PASS"}
    assert not (tmp_path / "master.json").exists()
    assert verify(Path(told["folder"])).verdict >= Verdict.SIGNED  # a failure is as well signed as a success


@pytest.mark.parametrize(
    ("stop", "event", "code"),
    [
        (Interrupted("run.cancelled", "Run R was cancelled.", "…"), "validation.cancelled", "run.cancelled"),
        (Terminated(), "validation.failed", "system.terminated"),
        (StorageFailed("storage.disk-full", "No space.", "resume R"), "validation.failed", "storage.disk-full"),
        (ZeroDivisionError("ours"), "validation.failed", "internal.unexpected"),
    ],
)
def test_whatever_ends_a_validation_is_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException, event: str, code: str
) -> None:
    def carry_out(*_: Any) -> list[Any]:
        raise stop

    monkeypatch.setattr("forensic.case.validating.validate.carry_out", carry_out)
    with _workspace(tmp_path / "ws") as workspace:
        with pytest.raises((Interrupted, ZeroDivisionError)) as ended:
            validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
        assert "resume" not in getattr(ended.value, "remedy", "")
        last = list(workspace.ledger.entries())[-1]
        assert (last.event, last.data["code"], last.data["registered"]) == (event, code, 2)


def test_what_cannot_be_measured_here_is_not_run_and_never_passes(tmp_path: Path) -> None:
    suite = tmp_path / "own.toml"
    suite.write_text(MINI.read_text("utf-8").replace('scene = "chart"', 'scene = "own"'), "utf-8")
    with _workspace(tmp_path / "ws") as workspace:
        done = validate(workspace, ValidateRequest(suite=str(suite)), Silent())
    verdicts = {one["id"]: one["verdict"] for one in done.predicate["results"]}
    assert verdicts == {"ES-01": "NOT RUN", "FI-01": "NOT RUN", "RE-01": "PASS"}
    assert done.predicate["verdict"] == "INCOMPLETE"
    assert not done.passed
    assert "--scenes" in done.predicate["results"][0]["not_run"]


def test_a_second_validation_is_compared_with_the_first_and_agrees(copied: tuple[Path, ValidationFolder]) -> None:
    root, first = copied
    with open_workspace(root, lambda: "") as workspace:
        entry = next(iter(workspace.ledger.entries(event="validation.completed")))
        assert entry.data["folder"] == f"validations/{first.root.name}"  # so that the master is found in a copy
        done = validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
    master = done.predicate["master"]
    assert master["agrees"]
    assert master["same_platform"]
    assert master["hashes_compared"] == master["hashes_equal"] == 2
    assert done.passed
    assert verify(done.folder).verdict >= Verdict.SIGNED
    assert (done.folder / "master.json").read_bytes() == first.attestation.read_bytes()


def _forged_master(root: Path, first: ValidationFolder, change: Callable[[dict[str, Any]], None], file: Path) -> Path:
    """A master that was properly signed, and says something else than the real one."""
    predicate = json.loads(first.result.read_bytes())
    change(predicate)
    with open_workspace(root, lambda: "") as workspace:
        statement = build_statement(VALIDATION_PREDICATE, [Subject("result.json", "0" * 64)], predicate)
        file.write_bytes(sign_statement(statement, workspace.signer))
    return file


def _other_pixels(record: dict[str, Any]) -> None:
    record["outputs"][0]["merkle_root"] = "f" * 64


def _other_platform(record: dict[str, Any]) -> None:
    _other_pixels(record)
    record["environment"]["processor"] = "another"
    record["results"][1]["cases"][0]["value"] += 0.01


@pytest.mark.parametrize(("change", "agrees"), [(_other_pixels, False), (_other_platform, True)])
def test_masters_with_other_pixels(
    copied: tuple[Path, ValidationFolder], tmp_path: Path, change: Callable[[dict[str, Any]], None], agrees: bool
) -> None:
    root, first = copied
    forged = _forged_master(root, first, change, tmp_path / "master.json")
    master = masters.read_master(forged, "test")
    found = master.compared(load_suite(str(MINI)), json.loads(first.result.read_bytes()))
    assert found["agrees"] is agrees
    assert found["same_platform"] is not agrees
    told = found["notes"] if agrees else found["differences"]
    assert "other pixels" in {one["why"] for one in told}


def test_a_master_that_is_named_and_gone_is_not_passed_over(copied: tuple[Path, ValidationFolder]) -> None:
    root, _ = copied
    with open_workspace(root, lambda: "") as workspace:
        entry = next(iter(workspace.ledger.entries(event="validation.completed")))
        assert entry.data["master_here"] is True
        with pytest.raises(UsageError) as refused:
            validate(workspace, ValidateRequest(suite=str(MINI), master=root / "gone.json"), Silent())
        assert refused.value.code == "validation.master-missing"
        assert _events(workspace)[-1] == "validation.refused"


@pytest.mark.parametrize("name", ["result.json", "attestation.json", "report.pdf", "suite.toml", "manifest.sha256"])
def test_one_bit_changed_is_found(copied: tuple[Path, ValidationFolder], name: str) -> None:
    _, folder = copied
    assert verify(folder.root).verdict >= Verdict.SIGNED
    flip(folder.root / name, 0.4)
    _failed(folder.root)


def test_a_result_made_up_and_signed_again_is_found(copied: tuple[Path, ValidationFolder]) -> None:
    """Whoever has the key writes another value, and makes list and record agree: verdict and ledger do not."""
    root, folder = copied
    record = json.loads(folder.result.read_bytes())
    record["results"][1]["cases"][0]["value"] = 3.0
    folder.result.write_bytes(canonical_json(record))
    with open_workspace(root, lambda: "") as workspace:
        envelope = json.loads(folder.attestation.read_bytes())
        statement = json.loads(base64.b64decode(envelope["payload"]))
        subjects = [Subject(one["name"], one["digest"]["sha256"]) for one in statement["subject"]]
        data = build_statement(VALIDATION_PREDICATE, subjects, record)
        folder.attestation.write_bytes(sign_statement(data, workspace.signer))
    assert {"V2", "V4", "R3", "M5", "A4"} <= _failed(folder.root)


def test_files_added_and_removed_are_found(copied: tuple[Path, ValidationFolder]) -> None:
    _, folder = copied
    (folder.root / "more.txt").write_text("more")
    assert "M3" in _failed(folder.root)
    (folder.root / "more.txt").unlink()
    folder.suite.unlink()
    assert "M2" in _failed(folder.root)


def test_record_and_report_verify_by_themselves(
    copied: tuple[Path, ValidationFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = copied
    for path in (folder.attestation, folder.report):
        alone = tmp_path / path.name
        shutil.copy(path, alone)
        verification = verify(alone)
        assert verification.verdict >= Verdict.SIGNED
        assert "validation" in verification.kind
    assert run(["verify", str(folder.root)]) == 0
    assert "V2" in capsys.readouterr().out


@pytest.mark.parametrize(
    "places",
    [
        {"out": "there"}, {"out": "begun"}, {"out": "link"}, {"out": "new", "keep_bench": "new"},
        {"out": "new", "keep_master": "new/master.json"}, {"keep_master": "there"},
    ],
)  # fmt: skip
def test_nothing_is_written_over_or_into_what_is_there(
    copied: tuple[Path, ValidationFolder], tmp_path: Path, places: dict[str, str]
) -> None:
    root, _ = copied
    for name in ("there", "begun.incomplete"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    asked = ValidateRequest(suite=str(MINI), **{key: tmp_path / value for key, value in places.items()})
    with open_workspace(root, lambda: "") as workspace, pytest.raises(UsageError) as refused:
        validate(workspace, asked, Silent())
    assert refused.value.code == "validation.exists"
    assert list((tmp_path / "begun.incomplete").iterdir()) == [] == list((tmp_path / "there").iterdir())


def test_a_place_in_the_workspace_is_one_through_a_link(copied: tuple[Path, ValidationFolder], tmp_path: Path) -> None:
    root, _ = copied
    (tmp_path / "link").symlink_to(root)
    for places in ({"out": "link/mine"}, {"out": "new", "keep_bench": "link/../link/bench"}):
        asked = ValidateRequest(suite=str(MINI), **{key: tmp_path / value for key, value in places.items()})
        with open_workspace(root, lambda: "") as workspace, pytest.raises(UsageError) as refused:
            validate(workspace, asked, Silent())
        assert refused.value.code == "validation.place"
    with open_workspace(tmp_path / "link", lambda: "") as workspace:
        assert workspace.layout.name(root / "validations" / "mine") == "validations/mine"


def test_deviations_are_about_requirements_that_exist(copied: tuple[Path, ValidationFolder]) -> None:
    root, _ = copied
    with open_workspace(root, lambda: "") as workspace, pytest.raises(UsageError) as refused:
        validate(workspace, ValidateRequest(suite=str(MINI), deviations=(("XX-99", "no"),)), Silent())
    assert refused.value.code == "validation.deviation"


def test_an_error_within_a_requirement_fails_it_and_not_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise UsageError("test.broken", "It does not work.")

    monkeypatch.setitem(carrying._METHODS, "fidelity", broken)
    with _workspace(tmp_path / "ws") as workspace:
        done = validate(workspace, ValidateRequest(suite=str(MINI)), Silent())
    result = copy.deepcopy(done.predicate["results"][1])
    assert (result["verdict"], result["error"]) == ("FAIL", "test.broken: It does not work.")
    assert done.predicate["verdict"] == "FAIL"
