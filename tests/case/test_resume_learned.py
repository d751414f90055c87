"""Runs of learned recipes that were broken off: resumed with other workers they are the uninterrupted ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from forensic.case.progress import Silent
from forensic.case.resume import resume
from forensic.case.verification.workspaces import verify_workspace
from forensic.case.workspace import open_workspace
from tests.case.threeframes import THREE_FRAMES
from tests.kills import child_enhance, contents, finish, start
from tests.kills.breaking import Broken, acquired, break_off  # noqa: F401 - fixtures

# pytest finds fixtures by name.
# ruff: noqa: F811

#: By model: many frames for one, by a sibling; integers in another engine; a learned stage before one that looks at
#: neighbours. ``multi`` takes nine frames, which is slow: its stage with three is as good here.
RECIPES = {"multi-x2": None, "light-x4-int8": "light-int8", "light-x4": "light-steady"}


@pytest.mark.parametrize("model", RECIPES)
def test_resumed_run_of_a_learned_recipe_is_the_uninterrupted_one(acquired: Path, model: str, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"recipe": RECIPES[model], "frames": (1, 5), "roi": (32, 24, 32, 24), "workers": 2}
    if model == "multi-x2":
        three = tmp_path / "three.toml"
        three.write_text(THREE_FRAMES)
        asked |= {"recipe": str(three), "scale": 2}
    whole, root = tmp_path / "whole", tmp_path / "ws"
    for place in (whole, root):
        shutil.copytree(acquired, place)
    finish(start(child_enhance, whole, "X", asked))
    break_off(3, child_enhance, root, "X", asked)
    with open_workspace(root, None) as work:
        (begun,) = work.ledger.unfinished_runs()
    broken = Broken(root, begun.run or "")
    with broken.open() as work:
        run = resume(work, broken.run_id, Silent(), workers=1)
    (undisturbed,) = (whole / "runs").iterdir()
    assert contents(run.folder) == contents(undisturbed)
    assert run.predicate["run"]["frames_reused"] == 1 and len(run.predicate["run"]["interruptions"]) == 1
    assert [one["id"] for one in run.predicate["models"]] == [model]
    assert not [check for check in verify_workspace(root).checks if not check.passed]
