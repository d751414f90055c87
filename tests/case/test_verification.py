"""Attacks on verification itself: smuggled files, camouflage, pipes, signed lies, ledgers that make no sense."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.case import enhance as enhance_module
from forensic.case.acquired import parse_acquired
from forensic.case.history import summary
from forensic.case.layout import RunFolder
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.verification.checks import Check, Verdict, Verification
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace, open_workspace
from forensic.errors import ForensicError, VerificationFailed
from forensic.ledger.store import Ledger
from forensic.signing.identity import load_identity
from forensic.signing.statement import RUN_PREDICATE, build_statement, sign_statement, verify_statement
from tests.case.conftest import Case, flip, forensic


def failures(verification: Verification) -> dict[str, Check]:
    """Failed checks by number; the verdict says FAILED exactly if there are any."""
    failed = {check.number: check for check in verification.checks if not check.passed}
    assert (verification.verdict is Verdict.FAILED) == bool(failed)
    return failed


def relist(run: Path) -> None:
    """Make ``manifest.sha256`` agree with what lies in the folder."""
    from forensic.case.filelist import write_manifest

    write_manifest(RunFolder(run))


def disclosed(case: Case, tmp_path: Path) -> Path:
    """The run folder alone, as a court gets it."""
    copy = tmp_path / "disclosure" / case.run_id
    shutil.copytree(case.run, copy)
    return copy


def test_sound_material_of_every_kind_is_signed(finished: Case) -> None:
    still = finished.run / "stills" / "000013.png"
    for path in (
        finished.root, finished.run, finished.run / "report.pdf", finished.run / "attestation.json", still,
        still.with_name("000013.png.json"),
    ):  # fmt: skip
        verification = verify(path)
        assert verification.verdict is Verdict.SIGNED, (path, failures(verification))
    assert {"A7", "C3"} <= {check.number for check in verify(finished.run).checks}


def test_verification_imports_no_heavy_library(finished: Case) -> None:
    code = (
        "import sys; from pathlib import Path; from forensic.case.verify import verify; verify(Path(sys.argv[1]));"
        "print(sorted({'torch', 'cv2', 'av', 'sqlalchemy', 'cedarpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, finished.root], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Smuggled files


@pytest.mark.parametrize(
    "name",
    [
        "report-superseded-1.pdf", "report-superseded-evil.mkv", "report-superseded-01.pdf",
        "report-superseded-1.pdf.exe", "report-superseded-x/evil.mkv", "stills/report-superseded-1.pdf",
    ],
)  # fmt: skip
def test_file_smuggled_in_as_a_superseded_report(attacked: Case, tmp_path: Path, name: str) -> None:
    run = disclosed(attacked, tmp_path)
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_bytes(b"%PDF-1.7 planted")
    relist(run)
    assert "A5" in failures(verify(run))


def test_report_of_another_run_as_a_superseded_one(attacked: Case, tmp_path: Path, real_clip: Path) -> None:
    done = forensic("enhance", real_clip, "-w", attacked.root, "--frames", "0:2", "--recipe", "plain-lanczos")
    run = disclosed(attacked, tmp_path)
    shutil.copy(Path(done.last_line) / "report.pdf", run / "report-superseded-1.pdf")
    relist(run)
    assert "A5" in failures(verify(run))


def test_superseded_report_of_this_run_is_accepted_and_held_against_the_ledger(attacked: Case, tmp_path: Path) -> None:
    assert forensic("report", attacked.run_id, "-w", attacked.root).code == 0
    assert verify(attacked.run).verdict is Verdict.SIGNED
    assert verify(disclosed(attacked, tmp_path)).verdict is Verdict.SIGNED
    old = attacked.run / "report-superseded-1.pdf"
    flip(old)
    relist(attacked.run)
    assert {"A5", "C2"} <= set(failures(verify(attacked.run)))


def test_a_report_alone_says_that_a_later_one_may_exist(finished: Case) -> None:
    assert any("later report" in line for line in verify(finished.run / "report.pdf").not_checked)


# Pipes, devices, links, oversized files


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
@pytest.mark.parametrize("name", ["attestation.json", "manifest.sha256", "report.pdf", "frames.jsonl"])
def test_a_pipe_in_a_disclosure_does_not_hang(attacked: Case, tmp_path: Path, name: str) -> None:
    run = disclosed(attacked, tmp_path)
    (run / name).unlink()
    os.mkfifo(run / name)
    assert forensic("verify", run).code == 1
    if name.endswith((".json", ".pdf")):
        assert forensic("verify", run / name).code == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
def test_pipes_beside_a_still_and_in_a_workspace_do_not_hang(attacked: Case) -> None:
    proof = attacked.run / "stills" / "000013.png.json"
    proof.unlink()
    os.mkfifo(proof)
    assert "S3" in failures(verify(proof.with_name("000013.png")))
    exhibit = attacked.root / "exhibits" / attacked.predicate()["exhibit"]["sha256"]
    (exhibit / "acquisition.json").unlink()
    os.mkfifo(exhibit / "acquisition.json")
    (attacked.run / "attestation.json").unlink()
    os.mkfifo(attacked.run / "attestation.json")
    assert {"W1", "M4"} <= set(failures(verify(attacked.root)))


def test_endless_json_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "attestation.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    assert "X1" in failures(verify(path))


# Camouflage in a workspace


def test_signed_run_planted_as_an_incomplete_one(attacked: Case) -> None:
    shutil.copytree(attacked.run, attacked.root / "runs" / "R-evil.incomplete")
    assert "R-evil.incomplete" in failures(verify(attacked.root))["W3"].detail


def test_incomplete_copy_beside_the_finished_run(attacked: Case) -> None:
    shutil.copytree(attacked.run, attacked.root / "runs" / f"{attacked.run_id}.incomplete")
    assert "W3" in failures(verify(attacked.root))


def test_stray_file_among_the_runs(attacked: Case) -> None:
    (attacked.root / "runs" / "evil.mkv").write_bytes(b"planted")
    assert "evil.mkv" in failures(verify(attacked.root))["W3"].detail


def test_run_folder_replaced_by_a_link(attacked: Case, tmp_path: Path) -> None:
    attacked.run.rename(tmp_path / "elsewhere")
    attacked.run.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert {"W2", "W3"} <= set(failures(verify(attacked.root)))


def test_exhibit_folder_replaced_by_a_link(attacked: Case, tmp_path: Path) -> None:
    folder = attacked.root / "exhibits" / attacked.predicate()["exhibit"]["sha256"]
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "W1" in failures(verify(attacked.root))


def test_folder_of_a_failed_run_is_tolerated_and_named(attacked: Case) -> None:
    with writing(attacked.root) as workspace:
        about = {"case": attacked.predicate()["case"]["id"], "exhibit": attacked.predicate()["exhibit"]["id"]}
        workspace.ledger.append("run.started", {}, run="R-failed", **about)
        workspace.ledger.append("run.failed", {"code": "x", "reason": "y"}, run="R-failed", **about)
    (attacked.root / "runs" / "R-failed.incomplete").mkdir()
    verification = verify(attacked.root)
    assert verification.verdict is Verdict.SIGNED, failures(verification)
    assert any("R-failed.incomplete" in line and "run.failed" in line for line in verification.not_checked)


def test_run_whose_last_rename_a_power_cut_prevented(attacked: Case) -> None:
    attacked.run.rename(attacked.run.with_name(attacked.run_id + ".incomplete"))
    verification = verify(attacked.root)
    assert verification.verdict is Verdict.SIGNED, failures(verification)
    assert any("rename interrupted" in line for line in verification.not_checked)
    flip(attacked.run.with_name(attacked.run_id + ".incomplete") / "output.mkv")
    assert "M5" in failures(verify(attacked.root))


def writing(root: Path) -> Workspace:
    """The workspace, open for writing with its unprotected key."""
    return open_workspace(root, lambda: "")


# Signed records that lie


def bend(predicate: dict[str, Any], path: str, value: object) -> None:
    """Put ``value`` where ``path`` (keys and places, with ``/``) leads."""
    *parents, last = path.split("/")
    target: Any = predicate
    for key in parents:
        target = target[int(key) if isinstance(target, list) else key]
    target[last] = value


def sign_again(case: Case, predicate: dict[str, Any]) -> None:
    """What a dishonest holder of the key can do: sign another record about the same files."""
    old, _ = verify_statement((case.run / "attestation.json").read_bytes(), predicate_type=RUN_PREDICATE)
    identity = load_identity(case.root / "identity", lambda: "")
    statement = build_statement(RUN_PREDICATE, old.subjects, predicate)
    (case.run / "attestation.json").write_bytes(sign_statement(statement, identity))
    relist(case.run)


def _no_report(*_: object, **__: object) -> str:
    return "0" * 64


@pytest.mark.parametrize(
    ("path", "value", "number"),
    [
        ("policy/allowed", False, "A7"),
        ("policy/stages/0/allowed", False, "A7"),
        ("policy/stages/0/stage", "denoise", "A7"),
        ("policy/stages/0/request/class", "presentation", "A7"),
        ("policy/context/mode", "creative", "A7"),
        ("policy/policy/sha256", "1" * 64, "A7"),
        ("policy/policy/schema_sha256", "1" * 64, "A7"),
        ("recipe/sha256", "2" * 64, "A7"),
        ("output/sha256", "3" * 64, "A7"),
        ("stills/0/sha256", "4" * 64, "A7"),
        ("stills/0/before_sha256", "4" * 64, "A7"),
        ("exhibit/stage_class", "generative", "A6"),
        ("exhibit/stage_class", "fidelity", "C3"),
        ("exhibit/id", "OTHER", "C3"),
        ("case/id", "OTHERCASE", "C3"),
        ("exhibit/sha256", "5" * 64, "C3"),
        ("exhibit/size", 1, "C3"),
        ("exhibit/frames/count", 1, "C3"),
        ("exhibit/frames/merkle_root", "6" * 64, "C3"),
        ("policy/engine", "another", "C3"),
    ],
)
def test_record_that_contradicts_itself_or_the_ledger(attacked: Case, path: str, value: object, number: str) -> None:
    predicate = attacked.predicate()
    bend(predicate, path, value)
    sign_again(attacked, predicate)
    assert number in failures(verify(attacked.run))


def test_the_same_record_signed_again_fails_for_its_digest_alone(attacked: Case) -> None:
    sign_again(attacked, attacked.predicate())
    assert set(failures(verify(attacked.run))) == {"C2"}


def test_ledger_that_says_something_else_about_the_output(attacked: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    lie = {"stage_class": "presentation", "frames": 1, "output_merkle_root": "0" * 64}
    honest = Ledger.append

    def bent(ledger: Ledger, event: str, data: dict[str, Any], **about: Any) -> Any:
        return honest(ledger, event, {**data, **lie} if event == "run.finished" else data, **about)

    monkeypatch.setattr(Ledger, "append", bent)
    monkeypatch.setattr(enhance_module, "issue_report", _no_report)
    with writing(attacked.root) as workspace:
        exhibit = enhance_module.exhibit_for(workspace, attacked.predicate()["exhibit"]["id"], Silent())
        request = EnhanceRequest(frames=(0, 2), recipe="plain-lanczos")
        folder = enhance_module.enhance(workspace, exhibit, request, Silent()).folder
    detail = failures(verify(folder))["C2"].detail
    assert all(word in detail for word in ("class", "number of frames", "Merkle root"))


# Ledgers that are signed but make no sense

_GOOD: dict[str, Any] = {
    "path": "/a.mp4", "note": None, "defaults": [], "file_name": "a.mp4", "suffix": ".mp4", "sha256": "a" * 64,
    "size": 5, "acquisition_sha256": "b" * 64, "time_base": "1/30000", "anomaly_counts": {"damaged": 1},
    "geometry": {"width": 4, "height": 4, "pixel_format": "yuv420p", "sample_aspect": None},
    "colour": {"matrix": 2, "primaries": 2, "transfer": 2, "full_range": None, "chroma_location": "left"},
    "frames": {"count": 1, "merkle_root": "c" * 64, "manifest_sha256": "d" * 64},
}  # fmt: skip
_ODD: list[dict[str, Any]] = [
    {},
    {**_GOOD, "sha256": 5},
    {**_GOOD, "sha256": "../../../../etc"},
    {**_GOOD, "sha256": "a\0b"},
    {**_GOOD, "suffix": "x/../../passwd"},
    {**_GOOD, "suffix": ".a/b"},
    {**_GOOD, "frames": []},
    {**_GOOD, "frames": {**_GOOD["frames"], "count": "many"}},
    {**_GOOD, "colour": {"matrix": 2}},
    {**_GOOD, "geometry": {**_GOOD["geometry"], "pixel_format": "evil"}},
    {**_GOOD, "time_base": "1/0"},
    {**_GOOD, "anomaly_counts": {"damaged": None}},
    {**_GOOD, "stage_class": "harmless"},
]


@pytest.mark.parametrize("data", _ODD, ids=range(len(_ODD)))
def test_hostile_exhibit_entry_is_a_failed_check_not_a_crash(tmp_path: Path, data: dict[str, Any]) -> None:
    root = tmp_path / "ws"
    with create_workspace(root, examiner="a", lab="b", passphrase=None, origin="test") as workspace:
        workspace.ledger.append("exhibit.acquired", data, case="C", exhibit="E")
    assert "W1" in failures(verify(root))
    with pytest.raises(VerificationFailed):
        parse_acquired(data)
    assert summary("exhibit.acquired", data)


def test_hostile_exhibit_entry_in_log_and_enhance(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    with create_workspace(root, examiner="a", lab="b", passphrase=None, origin="test") as workspace:
        workspace.ledger.append("exhibit.acquired", {"sha256": "../../etc", "frames": []}, case="C", exhibit="E")
    assert forensic("log", "-w", root).code == 0
    assert forensic("enhance", "E", "-w", root).code == 1
    assert forensic("verify", root).code == 1


_EVENTS = [
    "workspace.created", "exhibit.acquired", "acquisition.started", "policy.decided", "run.started", "run.finished",
    "reproduction.finished", "report.issued", "exhibit.changed", "run.failed",
]  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_KEYS = st.sampled_from(
    ["decision", "policy", "frames", "recipe", "anomaly_counts", "sha256", "file_name", "reason", "name", "examiner"]
)


@given(event=st.sampled_from(_EVENTS), data=st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_summary_of_any_data_is_a_line_of_text(event: str, data: dict[str, Any]) -> None:
    assert isinstance(summary(event, data), str)


@given(data=st.dictionaries(st.sampled_from(sorted(_GOOD)), _VALUES, max_size=3))
def test_exhibit_data_is_parsed_or_refused(data: dict[str, Any]) -> None:
    try:
        parsed = parse_acquired({**_GOOD, **data})
    except ForensicError as error:
        assert error.code.startswith("exhibit.")
    else:
        assert "/" not in parsed.suffix and len(parsed.sha256) == 64


# What kind of thing is it?


def test_damaged_still_is_a_failed_still(attacked: Case) -> None:
    still = attacked.run / "stills" / "000013.png"
    flip(still, 0)
    assert "S1" in failures(verify(still))
    still.write_bytes(b"")
    done = forensic("verify", still)
    assert done.code == 1 and "FAIL S1" in done.out


def test_run_folder_without_list_and_record_is_a_failed_run(attacked: Case, tmp_path: Path) -> None:
    run = disclosed(attacked, tmp_path)
    (run / "manifest.sha256").unlink()
    (run / "attestation.json").unlink()
    assert "M1" in failures(verify(run))


def test_workspace_without_its_ledger_is_a_failed_workspace(attacked: Case) -> None:
    for file in attacked.root.glob("ledger.sqlite*"):
        file.unlink()
    assert "C1" in failures(verify(attacked.root))


def test_unknown_file_does_not_hide_the_result_of_another(finished: Case, tmp_path: Path) -> None:
    other, bad = tmp_path / "notes.txt", tmp_path / "bad.pdf"
    other.write_text("not evidence")
    bad.write_bytes(b"x")
    done = forensic("verify", bad, other, "--json")
    assert done.code == 1
    assert [record["verdict"] for record in done.json] == ["FAILED", "FAILED"]
    done = forensic("verify", finished.run / "report.pdf", other, "--json")
    assert done.code == 1
    assert [record["verdict"] for record in done.json] == ["SIGNED", "FAILED"]
    assert done.json[1]["checks"][0]["number"] == "X1"
    assert forensic("verify", other).code == 2


def test_proof_of_a_still_alone_is_signed_and_says_what_it_does_not_show(finished: Case) -> None:
    verification = verify(finished.run / "stills" / "000013.png.json")
    assert [check.number for check in verification.checks] == ["S3"]
    assert any("picture" in line for line in verification.not_checked)


def test_exhibit_id_is_found_in_the_log_in_any_normal_form(tmp_path: Path, real_clip: Path) -> None:
    composed = unicodedata.normalize("NFC", "Zoë-1")
    decomposed = unicodedata.normalize("NFD", composed)
    root = tmp_path / "ws"
    assert forensic("acquire", real_clip, "--case", "C", "--exhibit", decomposed, "-w", root).code == 0
    for name in (composed, decomposed):
        entries = forensic("log", "--exhibit", name, "-w", root, "--json").json
        assert "exhibit.acquired" in {entry["name"] for entry in entries}
    assert json.dumps(composed) != json.dumps(decomposed)
