"""Bundles with the laboratory's validations: all of them or none, and both verifiers see what was done to them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from forensic.case.bundle import issuing
from forensic.case.bundle.issuing import BundleRequest
from forensic.case.bundle.selecting import scope_for
from forensic.case.progress import Silent
from forensic.case.validating.validate import FinishedValidation, ValidateRequest, validate
from forensic.case.verification.bundle_anchors import read_checkpoints
from forensic.case.verification.bundle_container import opened_bag
from forensic.case.verification.bundle_extract import read_extract
from forensic.case.verification.bundle_material import check_validations
from forensic.case.verification.bundleform.description import Disclosed
from forensic.case.verification.checks import Verification
from forensic.case.verification.trust import NOTHING
from forensic.case.workspace import open_workspace
from forensic.errors import UsageError, VerificationFailed
from tests.bundle_vectors.agreement import both_accept, both_refuse, examine
from tests.case.bundling import failures, predicate_of, reseal
from tests.case.conftest import Case, flip

MINI = Path(__file__).parents[1] / "validation" / "mini.toml"


@dataclass(frozen=True)
class Given:
    """A workspace with a run and two validations, one of them failed, and a bundle of the run with both."""

    root: Path
    run: str
    folder: Path
    seq: int
    validations: tuple[FinishedValidation, ...]


@pytest.fixture(scope="module")
def given(finished: Case, tmp_path_factory: pytest.TempPathFactory) -> Given:
    base = tmp_path_factory.mktemp("with-validations")
    root = base / "ws"
    shutil.copytree(finished.root, root)
    suite = base / "impossible.toml"
    suite.write_text(MINI.read_text("utf-8").replace("at_least = 10.0", "at_least = 200.0"), "utf-8")
    with open_workspace(root, lambda: "") as workspace:
        done = tuple(validate(workspace, ValidateRequest(suite=str(one)), Silent()) for one in (MINI, suite))
        scope = scope_for(workspace, finished.run.name)
        request = BundleRequest(base / "bundle", archive=False, validations=True)
        written = issuing.disclose(workspace, scope, request, Silent())
    return Given(root, finished.run.name, written.path, written.seq, done)


@pytest.fixture
def folder(given: Given, tmp_path: Path) -> Path:
    """A private copy of the bundle, as a folder of its own name."""
    return Path(shutil.copytree(given.folder, tmp_path / "bundle"))


def _place(folder: Path, given: Given, which: int = 0) -> Path:
    return folder / "data" / "validations" / given.validations[which].id


def test_every_completed_validation_goes_along_whatever_its_verdict(given: Given, tmp_path: Path) -> None:
    assert [one.passed for one in given.validations] == [True, False]
    both_accept(given.folder)
    listed = predicate_of(given.folder)["validations"]
    assert [one["id"] for one in listed] == [one.id for one in given.validations]
    for which, one in enumerate(given.validations):
        names = {path.name for path in _place(given.folder, given, which).iterdir()}
        assert names == {path.name for path in one.folder.iterdir()}
        assert one.id in (given.folder / "VERIFY.md").read_text("utf-8")
    with open_workspace(given.root, lambda: "") as workspace:
        archive = issuing.write_again(workspace, given.seq, BundleRequest(tmp_path / "b.zip"), Silent())
    both_accept(archive.path)


def test_without_the_option_nothing_of_them_is_disclosed(given: Given, tmp_path: Path) -> None:
    with open_workspace(given.root, lambda: "") as workspace:
        scope = scope_for(workspace, given.run)
        written = issuing.disclose(workspace, scope, BundleRequest(tmp_path / "b", archive=False), Silent())
    both_accept(written.path)
    assert not (written.path / "data" / "validations").exists()
    assert "validations" not in predicate_of(written.path)
    # That an earlier bundle had them is in the history; what they were about is not.
    assert "validation.registered" not in (written.path / "data/ledger/entries.jsonl").read_text("utf-8")


def test_there_must_be_one(finished: Case, tmp_path: Path) -> None:
    root = tmp_path / "ws"
    shutil.copytree(finished.root, root)
    with open_workspace(root, lambda: "") as workspace:
        with pytest.raises(UsageError) as refused:
            request = BundleRequest(tmp_path / "b", validations=True)
            issuing.disclose(workspace, scope_for(workspace, finished.run.name), request, Silent())
        assert refused.value.code == "bundle.no-validation"
        assert [entry.event for entry in workspace.ledger.entries()][-1] == "bundle.failed"


@pytest.mark.parametrize("name", ["result.json", "report.pdf", "attestation.json", "manifest.sha256"])
def test_a_changed_validation_is_found_by_both(folder: Path, given: Given, name: str) -> None:
    flip(_place(folder, given) / name, 0.5)
    reseal(folder, given.root)  # whoever has the key lists it anew
    both_refuse(folder, name)


def test_the_failed_one_cannot_be_left_out(folder: Path, given: Given) -> None:
    shutil.rmtree(_place(folder, given, 1))
    reseal(folder, given.root)
    assert "B21" in failures(folder)
    both_refuse(folder)
    predicate = predicate_of(folder)
    predicate["validations"] = predicate["validations"][:1]
    reseal(folder, given.root, predicate)
    assert {"B14", "B21"} <= failures(folder).keys()
    both_refuse(folder)


def test_validations_exchanged_or_of_another_name_are_found(folder: Path, given: Given) -> None:
    first, second = (_place(folder, given, which) for which in (0, 1))
    aside = folder.parent / "aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    reseal(folder, given.root)
    both_refuse(folder)


def test_what_no_entry_lists_has_no_place(folder: Path, given: Given) -> None:
    shutil.copytree(_place(folder, given), folder / "data" / "validations" / "V-20260101T000000Z-abcdef")
    reseal(folder, given.root)
    assert {"B19", "B21"} <= failures(folder).keys()
    assert examine(folder)[0] == 1


def test_a_validation_that_has_changed_in_the_workspace_is_not_disclosed(given: Given, tmp_path: Path) -> None:
    root = tmp_path / "ws"
    shutil.copytree(given.root, root)
    (root / "validations" / given.validations[0].id / "more.txt").write_text("more")
    request = BundleRequest(tmp_path / "b", archive=False)
    with open_workspace(root, lambda: "") as workspace, pytest.raises(VerificationFailed) as refused:
        issuing.write_again(workspace, given.seq, request, Silent())
    assert refused.value.code == "bundle.source-changed"


def test_the_command_takes_the_option(given: Given, tmp_path: Path, capsys: Any) -> None:
    from forensic.cli.main import run

    told = ["-w", str(given.root), "--out", str(tmp_path / "c"), "--folder", "--with-validations", "--quiet"]
    assert run(["bundle", given.run, *told]) == 0
    assert (tmp_path / "c" / "data" / "validations").is_dir()
    assert run(["bundle", "--again", str(given.seq), "--with-validations", "-w", str(given.root)]) == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    "change",
    [
        lambda listed: [*listed, "no validation"],
        lambda listed: [listed[0], {**listed[1], "verdict": "PASS"}],
        lambda listed: [listed[0], {**listed[1], "registered": float(listed[1]["registered"]) + 0.5}],
        lambda listed: [listed[0], {key: value for key, value in listed[1].items() if key != "completed"}],
        lambda listed: {"0": listed[0], "1": listed[1]},
    ],
)
def test_the_list_in_the_ledger_is_taken_literally(given: Given, change: Any) -> None:
    """The signer of the last entry adds what no other program would look at."""
    with opened_bag(given.folder, None) as bag:
        extract = read_extract(bag, read_checkpoints(bag).notes, ("exhibit", predicate_of(given.folder)["exhibit"]))
        issued = extract.issued
        assert issued is not None
        for data, numbers in ((issued.data["validations"], set()), (change(issued.data["validations"]), {"B21"})):
            odd = replace(issued, data={**issued.data, "validations": data})
            found = Verification("bundle", "bundle")
            check_validations(found, bag, Disclosed.of(odd, extract.custody, frozenset()), extract, NOTHING)
            assert {one.number for one in found.checks if not one.passed} == numbers
            told = any("all validations of the workspace" in line for line in found.not_checked)
            assert told or numbers
