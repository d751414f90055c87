"""A run broken off at an exact point, made once and copied for every test; and the same run undisturbed."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forensic.case import journal
from forensic.case.exhibits import find_exhibit
from forensic.case.journal import FrameLine, Journal
from forensic.case.layout import RunFolder, WorkingFolder, WorkspaceLayout
from forensic.case.workspace import Workspace, create_workspace, open_workspace
from forensic.ledger.entry import LedgerEntry
from tests.kills import RECIPE, child_acquire, child_enhance, child_resume, contents, finish, start

FRAMES = 5
BROKEN_AFTER = 3
ON_DISK = 2
"""The muxer holds back one frame: that one is made again. So is the first, for comparison."""


@dataclass(frozen=True)
class Broken:
    """A workspace with one unfinished run, nobody working on it."""

    root: Path
    run_id: str

    @property
    def folder(self) -> RunFolder:
        """The run's folder while it is incomplete."""
        return WorkspaceLayout(self.root).incomplete_run(self.run_id)

    @property
    def finished(self) -> Path:
        """The run's folder once it is finished."""
        return WorkspaceLayout(self.root).run(self.run_id).root

    @property
    def working(self) -> WorkingFolder:
        """Lock, journal and so on."""
        return WorkspaceLayout(self.root).working(self.run_id)

    def open(self) -> Workspace:
        """The workspace, for work."""
        return open_workspace(self.root, lambda: "")

    def entries(self) -> list[LedgerEntry]:
        """Ledger entries of the run."""
        with open_workspace(self.root, None) as work:
            return list(work.ledger.entries(run=self.run_id))

    def events(self) -> list[str]:
        """Names of the entries of the run, but for routine progress."""
        return [entry.event for entry in self.entries() if entry.event != journal.PROGRESS]


def dying_after(frames: int, action: Callable[..., None], *arguments: Any) -> None:
    """In a child: do ``action``, state the progress after each frame, and be killed after ``frames`` of them."""
    plain, count = Journal.frame, 0

    def frame(self: Journal, line: FrameLine) -> None:
        nonlocal count
        plain(self, line)
        self.complete()
        count += 1
        if count == frames:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.frame = frame  # type: ignore[method-assign]
    journal.LEAST_SECONDS = 0.0
    action(*arguments)


def break_off(frames: int, action: Callable[..., None], *arguments: Any) -> None:
    """Run ``action`` in a child that is killed after ``frames`` frames."""
    process = start(dying_after, frames, action, *arguments)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The request of the run."""
    recipe = tmp_path_factory.mktemp("recipe") / "kills.toml"
    recipe.write_text(RECIPE)
    return {"recipe": str(recipe), "frames": (1, 1 + FRAMES), "workers": 2}


@pytest.fixture(scope="session")
def acquired(tmp_path_factory: pytest.TempPathFactory, real_clip: Path) -> Path:
    """A workspace with exhibit X and no run. Copy it."""
    root = tmp_path_factory.mktemp("acquired") / "ws"
    create_workspace(root, examiner="E", lab="L", passphrase=None, origin="test").close()
    finish(start(child_acquire, root, real_clip, "X"))
    with open_workspace(root, None) as work:
        assert find_exhibit(work, "X") is not None
    return root


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, acquired: Path, asked: dict[str, Any]) -> dict[str, bytes]:
    """Files of the run as it comes out when nothing happens."""
    root = tmp_path_factory.mktemp("undisturbed") / "ws"
    shutil.copytree(acquired, root)
    finish(start(child_enhance, root, "X", asked))
    (run,) = (root / "runs").iterdir()
    return contents(run)


@pytest.fixture(scope="session")
def _broken(tmp_path_factory: pytest.TempPathFactory, acquired: Path, asked: dict[str, Any]) -> Broken:
    root = tmp_path_factory.mktemp("broken") / "ws"
    shutil.copytree(acquired, root)
    break_off(BROKEN_AFTER, child_enhance, root, "X", asked)
    with open_workspace(root, None) as work:
        (begun,) = work.ledger.unfinished_runs()
    return Broken(root, begun.run or "")


@pytest.fixture
def broken(_broken: Broken, tmp_path: Path) -> Broken:
    """A private copy of a workspace whose run was killed after three of its five frames."""
    root = tmp_path / "broken"
    shutil.copytree(_broken.root, root)
    return Broken(root, _broken.run_id)


def resume_whole(broken: Broken) -> None:
    """Resume the run in a child, to its end."""
    finish(start(child_resume, broken.root, broken.run_id))
