"""A generative run that was broken off: it stays labelled, and uses the approval of its beginning."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from forensic.case.enhance import enhance
from forensic.case.exhibits import find_exhibit
from forensic.case.layout import GENERATIVE_OUTPUT
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.resume import resume
from forensic.case.verification.workspaces import verify_workspace
from forensic.case.workspace import open_workspace
from forensic.errors import PolicyRefused
from forensic.media.label import is_labelled
from forensic.media.reader import ExhibitReader
from forensic.policy.acknowledgement import SENTENCE
from forensic.stages.catalogue import registered
from tests.case.reviewing import approve
from tests.case.test_generative_gate import _RECIPE, Invention
from tests.kills import child_enhance, contents, finish, start
from tests.kills.breaking import Broken, acquired, break_off  # noqa: F401 - fixtures

# pytest finds fixtures by name.
# ruff: noqa: F811


def _inventing(root: Path, exhibit_id: str, request: dict[str, Any]) -> None:
    """In a child: ``enhance`` with the stage of the test."""
    with registered(Invention):
        child_enhance(root, exhibit_id, request)


@pytest.fixture
def request_(tmp_path: Path) -> dict[str, Any]:
    """What is asked for."""
    recipe = tmp_path / "inventive.toml"
    recipe.write_text(_RECIPE)
    return {
        "recipe": str(recipe), "mode": "creative", "frames": (0, 5), "purpose": "illustration",
        "reason": "Poster for the training room, not evidence", "acknowledgement": SENTENCE,
    }  # fmt: skip


def _approved(root: Path, request: dict[str, Any]) -> None:
    with registered(Invention), open_workspace(root, lambda: "") as work:
        exhibit = find_exhibit(work, "X")
        assert exhibit is not None
        approve(work, exhibit, EnhanceRequest(**request))


def test_resumed_generative_run_is_labelled_and_uses_its_approval(
    acquired: Path, request_: dict[str, Any], tmp_path: Path
) -> None:
    whole, root = tmp_path / "whole", tmp_path / "ws"
    for place in (whole, root):
        shutil.copytree(acquired, place)
        _approved(place, request_)
    finish(start(_inventing, whole, "X", request_))
    break_off(4, _inventing, root, "X", request_)
    with open_workspace(root, None) as work:
        (begun,) = work.ledger.unfinished_runs()
    broken = Broken(root, begun.run or "")
    with registered(Invention), broken.open() as work:
        run = resume(work, broken.run_id, Silent())
    (undisturbed,) = (whole / "runs").iterdir()
    assert contents(run.folder) == contents(undisturbed)
    assert run.predicate["run"]["frames_reused"] == 2
    assert run.predicate["output"]["stage_class"] == "generative"
    assert run.predicate["output"]["labelled"] is True
    assert run.predicate["run"]["approval"]["by"] == "B. Other"
    with ExhibitReader(run.folder / GENERATIVE_OUTPUT) as reader:
        assert all(is_labelled(frame) for frame in reader.frames())
    verification = verify_workspace(root)
    assert not [check for check in verification.checks if not check.passed]
    with registered(Invention), pytest.raises(PolicyRefused), broken.open() as work:
        exhibit = find_exhibit(work, "X")
        assert exhibit is not None
        enhance(work, exhibit, EnhanceRequest(**request_), Silent())  # the approval is used up
