"""``make kills N=50``: real processes killed with SIGKILL at random moments, their runs then resumed.

Children are forked from a server that has imported the program once: a kill is a kill, only the imports are saved.
Each trial gets a fresh workspace, kills an ``enhance`` at a moment drawn evenly over the time that one takes (and
a little more), now and then kills the ``resume`` too, and lets the last one finish.

``python -m tests.kills [N] [--seed S]`` (``__main__``: the children must not import it as theirs).
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from forensic.case import journal
from forensic.case.acquire import acquire
from forensic.case.enhance import enhance
from forensic.case.exhibits import find_exhibit
from forensic.case.layout import INCOMING, INCOMPLETE, SCRATCH, WORKING, RunFolder
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.resume import resume, unfinished
from forensic.case.verification.workspaces import verify_workspace
from forensic.case.workspace import create_workspace, open_workspace
from forensic.ledger.order import INTERRUPTED, RESUMED, STARTED
from forensic.signing.statement import RUN_PREDICATE, verify_statement

RECIPE = """
name = "kills"
title = "Every kind of stage that matters here"
why = "Neighbouring frames, notes, a change of size."
[[stage]]
name = "temporal-average"
why = "looks at neighbours and notes their weights"
[stage.parameters]
frames = 5
[[stage]]
name = "resize"
why = "changes the size"
[stage.parameters]
scale = 2
"""
STATED_EVERY = 0.02  # seconds: short runs are to have many progress entries
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["tests.kills", "forensic.report.document", "forensic.report.signature", "pyhanko.sign"]
)


def start(action: Callable[..., None], *arguments: object) -> BaseProcess:
    """Run ``action`` in a process of its own."""
    process = _CONTEXT.Process(target=action, args=arguments)
    process.start()
    return process


def child_enhance(root: Path, exhibit_id: str, asked: dict[str, Any]) -> None:
    """In a child: one run."""
    journal.LEAST_SECONDS = STATED_EVERY
    with open_workspace(root, lambda: "") as work:
        exhibit = find_exhibit(work, exhibit_id)
        assert exhibit is not None
        enhance(work, exhibit, EnhanceRequest(**asked), Silent())


def child_resume(root: Path, run_id: str) -> None:
    """In a child: resume a run."""
    journal.LEAST_SECONDS = STATED_EVERY
    with open_workspace(root, lambda: "") as work:
        resume(work, run_id, Silent())


def child_acquire(root: Path, file: Path, exhibit_id: str) -> None:
    """In a child: one acquisition."""
    with open_workspace(root, lambda: "") as work:
        acquire(work, file, case="K", exhibit_id=exhibit_id, note=None, progress=Silent())


def contents(run: Path) -> dict[str, bytes]:
    """What must be the same to the byte: everything but signed documents, which name the run and the time."""
    folder = RunFolder(run)
    signed = (".json", ".pdf", ".sha256")
    return {
        folder.name(path): path.read_bytes()
        for path in folder.files()
        if path.suffix not in signed or path == folder.regions
    }


@dataclass
class Campaign:
    """A workspace to copy for every trial, the uninterrupted result, and what happened so far."""

    template: Path
    reference: dict[str, bytes]
    seconds: float
    acquiring: float
    asked: dict[str, Any]
    trials: int = 0
    kills: int = 0
    while_resuming: int = 0
    while_acquiring: int = 0
    before_the_start: int = 0
    after_the_end: int = 0
    frames_reused: int = 0
    lost: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line of figures."""
        return (
            f"{self.trials} trials, {self.kills} kills ({self.while_acquiring} while acquiring, "
            f"{self.while_resuming} while resuming, {self.before_the_start} before run.started, "
            f"{self.after_the_end} after run.finished), {self.frames_reused} frames taken over, "
            f"lost: {len(self.lost) or 'none'}"
        )

    def trial(self, scratch: Path, moment: random.Random, again: float = 0.5) -> None:
        """Kill, resume (killed too with probability ``again``, over and over), judge; findings go to ``lost``."""
        root = scratch / f"trial-{self.trials}"
        shutil.copytree(self.template, root)
        self.trials += 1
        killed = self._kill(start(child_enhance, root, "X", self.asked), moment, self.seconds)
        run_id = _only_run(root)
        if run_id is None:
            self.before_the_start += killed
            finish(start(child_enhance, root, "X", self.asked))
            run_id = _only_run(root)
        while run_id is not None and _open_runs(root) and moment.random() < again:
            killed = self._kill(start(child_resume, root, run_id), moment, self.seconds)
            self.while_resuming += killed
        if _open_runs(root):
            finish(start(child_resume, root, run_id))
        else:
            self.after_the_end += killed
        self.lost += [f"trial {self.trials}: {fault}" for fault in self._judge(root, run_id)]
        shutil.rmtree(root)

    def acquisition(self, scratch: Path, moment: random.Random, clip: Path) -> None:
        """Kill an acquisition; at the next opening it is on the record, and nothing of it is left."""
        root = scratch / f"trial-{self.trials}"
        shutil.copytree(self.template, root)
        self.trials += 1
        self.while_acquiring += self._kill(start(child_acquire, root, clip, "Y"), moment, self.acquiring)
        with open_workspace(root, lambda: "") as work:
            about = [e for e in work.ledger.entries(exhibit="Y") if e.event != "acquisition.started"]
            begun = list(work.ledger.entries(event="acquisition.started", exhibit="Y"))
            if [entry.data.get("started") for entry in about] != [entry.seq for entry in begun]:
                self.lost.append(f"trial {self.trials}: {[entry.event for entry in about]} after {len(begun)} starts")
        self.lost += [f"trial {self.trials}: {fault}" for fault in _unsound(root)]
        finish(start(child_acquire, root, clip, "Y"))
        shutil.rmtree(root)

    def _kill(self, process: BaseProcess, moment: random.Random, seconds: float) -> bool:
        """Kill ``process`` at a random moment; False if it had ended before."""
        process.join(moment.uniform(0.0, seconds * 1.1))
        process.kill()
        process.join()
        killed = process.exitcode == -signal.SIGKILL
        if not killed and process.exitcode:
            self.lost.append(f"trial {self.trials}: a process ended by itself with exit code {process.exitcode}")
        self.kills += killed
        return killed

    def _judge(self, root: Path, run_id: str | None) -> Iterator[str]:
        if run_id is None:
            yield "the run is not on the record"
            return
        with open_workspace(root, lambda: "") as work:
            events = [entry.event for entry in work.ledger.entries(run=run_id)]
            if events.count(STARTED) != 1 or events[-1] != "run.finished":
                yield f"history {events}"
            if events.count(INTERRUPTED) != events.count(RESUMED):
                yield f"interruptions and resumptions do not match: {events}"
            if unfinished(work):
                yield "a run is left open"
        run = root / "runs" / run_id
        if contents(run) != self.reference:
            found = contents(run)
            names = sorted(n for n in found.keys() | self.reference.keys() if found.get(n) != self.reference.get(n))
            yield f"differs from the uninterrupted run: {names}"
        statement, _ = verify_statement(RunFolder(run).attestation.read_bytes(), predicate_type=RUN_PREDICATE)
        self.frames_reused += statement.predicate["run"]["frames_reused"]
        yield from _unsound(root)


def _unsound(root: Path) -> Iterator[str]:
    verification = verify_workspace(root)
    failed = [f"{check.number} {check.detail}" for check in verification.checks if not check.passed]
    if failed or not verification.signed:
        yield f"does not verify: {failed}"
    with open_workspace(root, None) as work:
        known = {entry.data.get("attempt") or entry.run for entry in work.ledger.entries()}
    left = [path.name for folder in (root, root / "runs", root / "exhibits") for path in folder.iterdir()]
    left = [name for name in left if name.startswith((WORKING, SCRATCH, INCOMING)) or name.endswith(INCOMPLETE)]
    # Of a process killed before its first entry there may be a folder with a lock, for a minute.
    left = [name for name in left if not name.startswith(WORKING) or name.removeprefix(WORKING) in known]
    if left:
        yield f"left behind: {left}"


def _only_run(root: Path) -> str | None:
    with open_workspace(root, None) as work:
        found = [entry.run for entry in work.ledger.entries(event=STARTED)]
    return found[0] if found else None


def _open_runs(root: Path) -> bool:
    with open_workspace(root, None) as work:
        return bool(work.ledger.unfinished_runs())


def finish(process: BaseProcess) -> None:
    """Wait for a child that must succeed."""
    process.join(300)
    assert process.exitcode == 0, f"exit code {process.exitcode}"


@contextmanager
def campaign(clip: Path, frames: int = 12, recipe: str = RECIPE) -> Iterator[tuple[Campaign, Path]]:
    """A campaign on the first ``frames`` frames of ``clip``, and a folder to work in."""
    scratch = Path(tempfile.mkdtemp(prefix="forensic-kills-"))
    try:
        (scratch / "kills.toml").write_text(recipe)
        template = scratch / "template"
        asked = {"recipe": str(scratch / "kills.toml"), "frames": (1, 1 + frames), "workers": 2}
        finish(start(time.sleep, 0))  # the server's imports are not to be part of what is timed
        create_workspace(template, examiner="E", lab="L", passphrase=None, origin="kills").close()
        begun = time.monotonic()
        finish(start(child_acquire, template, clip, "X"))
        acquiring = time.monotonic() - begun
        whole = scratch / "whole"
        shutil.copytree(template, whole)
        begun = time.monotonic()
        finish(start(child_enhance, whole, "X", asked))
        seconds = time.monotonic() - begun
        (run,) = (whole / "runs").iterdir()
        yield Campaign(template, contents(run), seconds, acquiring, asked), scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
