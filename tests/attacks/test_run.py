"""Attacks on a run under way, by somebody who may write to the workspace and has no key."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from forensic.case import enhance as enhancing
from forensic.case import issue as issuing
from forensic.case import written as writing
from forensic.case.attest import attest, build_predicate
from forensic.case.enhance import enhance, exhibit_for
from forensic.case.execution import execute
from forensic.case.layout import RunFolder
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.verification.workspaces import verify_workspace
from forensic.case.workspace import Workspace, open_workspace
from forensic.errors import StorageFailed, VerificationFailed
from forensic.hashes import sha256_file
from forensic.ledger.order import STARTED
from forensic.media.reader import ExhibitReader
from forensic.media.writer import MasterWriter
from forensic.report.document import build_pdf
from tests.case.conftest import Case, attacked, finished, flip  # noqa: F401 - fixtures

# pytest finds fixtures by name.
# ruff: noqa: F811

_REQUEST = EnhanceRequest(recipe="plain-lanczos", frames=(0, 2))

Tampering = Callable[[RunFolder], object]


@pytest.fixture
def workspace(attacked: Case) -> Iterator[Workspace]:
    with open_workspace(attacked.root, lambda: "") as opened:
        yield opened


def _folder(workspace: Workspace) -> RunFolder:
    run_id = list(workspace.ledger.entries(event=STARTED))[-1].run
    assert run_id is not None
    return workspace.layout.incomplete_run(run_id)


def _enhance(workspace: Workspace, case: Case) -> Any:
    return enhance(workspace, exhibit_for(workspace, case.predicate()["exhibit"]["id"], Silent()), _REQUEST, Silent())


def _disturbed(
    workspace: Workspace, case: Case, monkeypatch: pytest.MonkeyPatch, tampering: Tampering, *, early: bool = False
) -> str:
    """What a run says whose folder is tampered with when its pixels are done (``early``), or just before signing."""

    def tamper_early(*arguments: Any) -> Any:
        result = execute(*arguments)
        tampering(_folder(workspace))
        return result

    def tamper_late(*arguments: Any) -> Any:
        predicate = build_predicate(*arguments)
        tampering(_folder(workspace))
        return predicate

    if early:
        monkeypatch.setattr(enhancing, "execute", tamper_early)
    else:
        monkeypatch.setattr(enhancing, "build_predicate", tamper_late)
    with pytest.raises(VerificationFailed) as failed:
        _enhance(workspace, case)
    assert failed.value.code == "run.disturbed"
    last = list(workspace.ledger.entries())[-1]
    assert (last.event, last.data["code"]) == ("run.failed", "run.disturbed")
    folder = _folder(workspace)
    assert last.data["incomplete_folder"] == folder.root.name
    assert not folder.attestation.exists()
    assert not folder.report.exists()
    assert not workspace.layout.run(str(last.run)).root.exists()
    return failed.value.message


def _plant(folder: RunFolder) -> None:
    (folder.risk / "000009.risk.png").write_bytes(b"made up")


def _link_to_a_file(folder: RunFolder) -> None:
    (folder.root / "more.txt").symlink_to(folder.recipe)


def _link_to_a_folder(folder: RunFolder) -> None:
    moved = folder.root.parent.parent / "elsewhere"
    folder.risk.rename(moved)
    folder.risk.symlink_to(moved, target_is_directory=True)


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        (_plant, "added: 'risk/000009.risk.png'"),
        (_link_to_a_file, "added: 'more.txt'"),
        (_link_to_a_folder, "added: 'risk'; gone: "),
        (lambda folder: folder.manifest.write_text("made up"), "added: 'manifest.sha256'"),
        (lambda folder: folder.recipe.unlink(), "gone: 'recipe.toml'"),
    ],
    ids=["file", "link", "linked folder", "list", "removed"],
)
def test_a_file_is_slipped_into_a_run_under_way(
    workspace: Workspace, attacked: Case, monkeypatch: pytest.MonkeyPatch, tampering: Tampering, said: str
) -> None:
    assert said in _disturbed(workspace, attacked, monkeypatch, tampering)


def _first(folder: RunFolder, pattern: str) -> Path:
    return sorted(folder.root.glob(pattern))[0]


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("pattern", ["risk/*.risk.png", "risk/*.level.png", "risk/*.overlay.png", "stills/*.png"])
def test_maps_are_exchanged_before_signing(
    workspace: Workspace, attacked: Case, monkeypatch: pytest.MonkeyPatch, pattern: str, early: bool
) -> None:
    names = []

    def exchange(folder: RunFolder) -> None:
        names.append(folder.name(_first(folder, pattern)))
        flip(_first(folder, pattern))

    message = _disturbed(workspace, attacked, monkeypatch, exchange, early=early)
    assert f"(changed: '{names[0]}')" in message


@pytest.mark.parametrize("what", ["policy", "policy_schema", "recipe", "regions", "frames"])
def test_terms_and_tables_are_exchanged_before_signing(
    workspace: Workspace, attacked: Case, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    message = _disturbed(workspace, attacked, monkeypatch, lambda folder: flip(getattr(folder, what)))
    assert "(changed: '" in message


def _other_output(folder: RunFolder) -> None:
    """Another file under the name, with the same size and time of change."""
    before = folder.output.stat()
    other = folder.root.parent / "other.mkv"
    shutil.copyfile(folder.output, other)
    flip(other)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(folder.output)


def _same_output_changed(folder: RunFolder) -> None:
    before = folder.output.stat()
    flip(folder.output)
    os.utime(folder.output, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("exchange", [_other_output, _same_output_changed])
def test_the_output_is_exchanged_before_signing(
    workspace: Workspace,
    attacked: Case,
    monkeypatch: pytest.MonkeyPatch,
    exchange: Tampering,
    large: bool,
    early: bool,
) -> None:
    """Also where the output is so large that only its status is looked at."""
    if large:
        monkeypatch.setattr(writing, "_ALWAYS_HASHED", 0)
    message = _disturbed(workspace, attacked, monkeypatch, exchange, early=early)
    assert "(changed: 'output.mkv')" in message


def test_the_output_is_put_under_its_name_again_unchanged(
    workspace: Workspace, attacked: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file, the same bytes: what is signed is what was written, so the run stands."""
    monkeypatch.setattr(writing, "_ALWAYS_HASHED", 0)

    def attested(workspace: Workspace, *arguments: Any) -> Any:
        output = _folder(workspace).output
        shutil.copyfile(output, output.with_suffix(".copy"))
        output.with_suffix(".copy").replace(output)
        return attest(workspace, *arguments)

    monkeypatch.setattr(enhancing, "attest", attested)
    run = _enhance(workspace, attacked)
    assert run.predicate["output"]["sha256"] == sha256_file(run.folder / "output.mkv")


def test_a_file_slipped_in_after_signing_is_in_no_list(
    workspace: Workspace, attacked: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between record and list of digests: the list has what was written, so verification finds the other."""

    def typeset(predicate: Any, root: Path, *arguments: Any) -> bytes:
        pdf = build_pdf(predicate, root, *arguments)
        (root / "planted.txt").write_text("made up")
        return pdf

    monkeypatch.setattr(issuing, "build_pdf", typeset)
    run = _enhance(workspace, attacked)
    assert "planted" not in (run.folder / "manifest.sha256").read_text("utf-8")
    found = verify_workspace(workspace.layout.root)
    assert {check.number for check in found.checks if not check.passed} == {"M3"}


def test_what_is_planted_where_the_report_goes_is_neither_followed_nor_signed(
    workspace: Workspace, attacked: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links to an original and pages of somebody else's, under every name that a writer of the report might use."""
    original = tmp_path / "original.avi"
    original.write_bytes(b"evidence")
    names = (".report.pdf.partial", ".report.unsigned.pdf", ".report.signed.pdf", ".report.longterm.pdf", "report.pdf")

    def typeset(predicate: Any, root: Path, *arguments: Any) -> bytes:
        pdf = build_pdf(predicate, root, *arguments)
        for name in names:
            (root / name).symlink_to(original)
        return pdf

    monkeypatch.setattr(issuing, "build_pdf", typeset)
    run = _enhance(workspace, attacked)
    assert original.read_bytes() == b"evidence"
    report = run.folder / "report.pdf"
    assert not report.is_symlink()
    finished = next(iter(workspace.ledger.entries(event="run.finished", run=run.run_id)))
    assert finished.data["report_sha256"] == sha256_file(report)
    assert subprocess.run(["pdfsig", report], capture_output=True, text=True, check=True).stdout.count("is Valid.") == 1


def test_a_link_planted_under_the_outputs_name_empties_nothing(tmp_path: Path, real_clip: Path) -> None:
    original = tmp_path / "original.mp4"
    original.write_bytes(b"evidence")
    (tmp_path / "output.mkv").symlink_to(original)
    with ExhibitReader(real_clip) as reader, pytest.raises(StorageFailed):
        MasterWriter(tmp_path / "output.mkv", reader.geometry, reader.colour, reader.time_base).__enter__()
    assert original.read_bytes() == b"evidence"
