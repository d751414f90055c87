"""Resuming a run: the result of an uninterrupted one, byte for byte, and the interruption on the record."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from forensic.case import resume as resuming
from forensic.case.enhance import FinishedRun
from forensic.case.journal import FrameLine
from forensic.case.progress import Silent
from forensic.case.resume import resume
from forensic.errors import Interrupted, UsageError, VerificationFailed
from forensic.ledger.order import INTERRUPTED, RESUMED, STARTED
from tests.case.conftest import Case, forensic
from tests.kills import child_enhance, child_resume, contents, start
from tests.kills.breaking import (  # noqa: F401 - fixtures
    BROKEN_AFTER,
    FRAMES,
    ON_DISK,
    Broken,
    _broken,
    acquired,
    asked,
    break_off,
    broken,
    dying_after,
    undisturbed,
)

# pytest finds fixtures by name.
# ruff: noqa: F811


def _resumed(broken: Broken, **options: Any) -> FinishedRun:
    with broken.open() as work:
        return resume(work, broken.run_id, Silent(), **options)


def test_resumed_run_is_the_uninterrupted_one(broken: Broken, undisturbed: dict[str, bytes]) -> None:
    listed = forensic("resume", "-w", broken.root, "--json").json
    assert [(one["run"], one["frames_stated"], one["in_use"]) for one in listed] == [
        (broken.run_id, BROKEN_AFTER, False)
    ]
    assert "3 of 5 frames" in forensic("resume", "-w", broken.root).out
    done = forensic("resume", broken.run_id, "-w", broken.root)
    assert done.code == 0, done.err
    assert Path(done.last_line) == broken.finished
    assert contents(broken.finished) == undisturbed
    record = Case(broken.root, broken.finished).predicate()["run"]
    assert record["frames_reused"] == ON_DISK - 1
    (told,) = record["interruptions"]
    assert told["code"] == "run.killed"
    assert told["found"]["frames_stated"] == BROKEN_AFTER
    assert told["found"]["output_bytes"] > 0
    entries = {entry.event: entry for entry in broken.entries()}
    assert (told["seq"], told["resumed_seq"]) == (entries[INTERRUPTED].seq, entries[RESUMED].seq)
    printed = " ".join(page.extract_text() for page in PdfReader(broken.finished / "report.pdf").pages)
    assert "The process ended without a word" in " ".join(printed.split())
    assert f"{ON_DISK - 1} of {FRAMES} frames from before the interruption" in " ".join(printed.split())
    assert broken.events() == ["policy.decided", STARTED, INTERRUPTED, RESUMED, "run.finished"]
    assert not broken.working.root.exists()
    verified = forensic("verify", broken.root)
    assert verified.code == 0, verified.out
    assert forensic("reproduce", broken.run_id, "-w", broken.root).code == 0
    assert forensic("resume", "-w", broken.root).out == ""


def test_other_number_of_workers(broken: Broken, undisturbed: dict[str, bytes]) -> None:
    run = _resumed(broken, workers=1)
    assert run.predicate["run"]["workers"] == 1
    assert contents(run.folder) == undisturbed


def test_nothing_is_taken_over_from_another_platform(
    broken: Broken, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "platform_digest", lambda engines: "0" * 64)
    run = _resumed(broken)
    assert run.predicate["run"]["frames_reused"] == 0
    assert contents(run.folder) == undisturbed


def test_everything_is_made_again_on_request(broken: Broken, undisturbed: dict[str, bytes]) -> None:
    run = _resumed(broken, recompute=True)
    assert run.predicate["run"]["frames_reused"] == 0
    assert contents(run.folder) == undisturbed


@pytest.mark.parametrize("frames", [1, ON_DISK, BROKEN_AFTER, FRAMES])
def test_killed_again_while_resuming(broken: Broken, undisturbed: dict[str, bytes], frames: int) -> None:
    """While frames are written again the earlier output stays; afterwards the new one takes its place."""
    break_off(frames, child_resume, broken.root, broken.run_id)
    assert broken.working.earlier.exists() == (frames <= ON_DISK)
    run = _resumed(broken)
    assert run.predicate["run"]["frames_reused"] == max(frames - 1, ON_DISK) - 1
    assert len(run.predicate["run"]["interruptions"]) == 2
    assert contents(run.folder) == undisturbed


def test_run_without_any_statement_of_progress_is_made_anew(broken: Broken, undisturbed: dict[str, bytes]) -> None:
    """As if it had been killed in its first seconds: there is a partial output, and nothing vouches for it."""
    shutil.rmtree(broken.working.root)
    run = _resumed(broken)
    assert run.predicate["run"]["frames_reused"] == 0
    assert contents(run.folder) == undisturbed


def test_run_folder_is_gone(broken: Broken, undisturbed: dict[str, bytes]) -> None:
    shutil.rmtree(broken.folder.root)
    run = _resumed(broken)
    assert run.predicate["run"]["frames_reused"] == 0
    assert contents(run.folder) == undisturbed


def _states_another_frame(root: Path, request: dict[str, Any]) -> None:
    """In a child: a machine that computes frame 3 otherwise than it will tomorrow."""
    plain = FrameLine.to_line

    def bent(self: FrameLine) -> bytes:
        line = plain(self)
        return line.replace(self.row.sha256.encode(), b"0" * 64) if self.row.frame == 3 else line

    FrameLine.to_line = bent  # type: ignore[method-assign]
    dying_after(BROKEN_AFTER, child_enhance, root, "X", request)


def test_frames_that_come_out_otherwise_stop_the_run(
    acquired: Path, asked: dict[str, Any], undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    root = tmp_path / "ws"
    shutil.copytree(acquired, root)
    start(_states_another_frame, root, asked).join(120)
    run_id = forensic("resume", "-w", root, "--json").json[0]["run"]
    done = forensic("resume", run_id, "-w", root)
    assert done.code == 5
    assert "resume.differs" in done.err
    assert "--recompute" in done.err
    again = forensic("resume", run_id, "-w", root, "--recompute")
    assert again.code == 0, again.err
    assert contents(root / "runs" / run_id) == undisturbed
    told = Case(root, root / "runs" / run_id).predicate()["run"]["interruptions"]
    assert [one["code"] for one in told] == ["run.killed", "resume.differs"]


# --- what cannot be resumed --------------------------------------------------------------------


def test_unknown_and_ended_runs_cannot_be_resumed(finished: Case) -> None:
    unknown = forensic("resume", "R-none", "-w", finished.root)
    assert (unknown.code, "run.unknown" in unknown.err) == (2, True)
    ended = forensic("resume", finished.run_id, "-w", finished.root)
    assert (ended.code, "run.ended" in ended.err) == (2, True)
    assert not list(finished.root.glob(".working-*"))


def test_cancelled_run_stays_cancelled(broken: Broken) -> None:
    with broken.open() as work:
        entry = next(iter(work.ledger.entries(event=STARTED)))
        identity = {"case": entry.case, "exhibit": entry.exhibit, "run": broken.run_id}
        work.ledger.append("run.cancelled", {"code": "user.interrupt", "reason": "Ctrl-C"}, **identity)
    with pytest.raises(UsageError) as refused, broken.open() as work:
        resume(work, broken.run_id, Silent())
    assert refused.value.code == "run.ended"
    assert not broken.working.root.exists()  # removed when the workspace was opened


def test_run_that_a_living_process_works_on(acquired: Path, asked: dict[str, Any], tmp_path: Path) -> None:
    root = tmp_path / "ws"
    shutil.copytree(acquired, root)
    (root / "pause").touch()
    process = start(_paused, root, asked)
    try:
        while not (root / "paused").exists():
            process.join(0.02)
            assert process.is_alive()
        (one,) = forensic("resume", "-w", root, "--json").json
        assert one["in_use"]
        refused = forensic("resume", one["run"], "-w", root)
        assert (refused.code, "run.in-use" in refused.err) == (2, True)
    finally:
        (root / "pause").unlink()
    process.join(120)
    assert process.exitcode == 0
    events = [entry["name"] for entry in forensic("log", "-w", root, "--json").json]
    assert INTERRUPTED not in events
    assert events[-1] == "run.finished"


def _paused(root: Path, request: dict[str, Any]) -> None:
    """In a child: a run that waits after its first frame as long as the file ``pause`` is there."""
    from forensic.case.journal import Journal

    plain = Journal.frame

    def frame(self: Journal, line: FrameLine) -> None:
        import time

        plain(self, line)
        (root / "paused").touch()
        while (root / "pause").exists():
            time.sleep(0.02)

    Journal.frame = frame  # type: ignore[method-assign]
    child_enhance(root, "X", request)


def test_two_processes_resume_the_same_run(broken: Broken, undisturbed: dict[str, bytes]) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "forensic", "resume", broken.run_id, "-w", str(broken.root), "--quiet"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        )
        for _ in range(2)
    ]  # fmt: skip
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in both]
    assert sorted(code for _, code in ended) == [0, 2], ended
    assert any("run.in-use" in said or "run.ended" in said for said, code in ended if code)
    assert contents(broken.finished) == undisturbed
    assert broken.events().count(RESUMED) == 1


def test_only_whoever_began_the_run_can_go_on_with_it(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    with broken.open() as work:
        monkeypatch.setattr(type(work.signer), "key_id", property(lambda self: "0" * 64))
        with pytest.raises(UsageError) as refused:
            resuming._require_same_key(work, next(iter(work.ledger.entries(event=STARTED))))
    assert refused.value.code == "run.other-key"


# --- recipe and policy -------------------------------------------------------------------------


def test_recipe_and_policy_are_those_of_the_beginning(
    broken: Broken, asked: dict[str, Any], undisturbed: dict[str, bytes]
) -> None:
    """The recipe's file may be edited meanwhile; neither that nor what lies in the workspace changes the run."""
    recipe = Path(asked["recipe"])
    text = recipe.read_text()
    try:
        recipe.write_text(text.replace("scale = 2", "scale = 3"))
        run = _resumed(broken)
    finally:
        recipe.write_text(text)
    assert contents(run.folder) == undisturbed


@pytest.mark.parametrize("what", ["changed", "gone"])
def test_texts_that_the_run_was_decided_on_are_nowhere(broken: Broken, asked: dict[str, Any], what: str) -> None:
    recipe = Path(asked["recipe"])
    text = recipe.read_text()
    if what == "gone":
        broken.working.terms.unlink()
    else:
        terms = broken.working.terms
        terms.write_text(terms.read_text().replace("scale = 2", "scale = 3"))
    try:
        recipe.write_text(text.replace("scale = 2", "scale = 3"))
        with pytest.raises(VerificationFailed) as refused:
            _resumed(broken)
    finally:
        recipe.write_text(text)
    assert refused.value.code == "run.terms"
    assert broken.events()[-2:] == [INTERRUPTED, "resume.refused"]
    run = _resumed(broken)  # with the recipe's file as it was
    assert [one["code"] for one in run.predicate["run"]["interruptions"]] == ["run.killed"]


def test_stages_of_another_program_version_are_refused(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    from forensic.stages.resize import Resize

    monkeypatch.setattr(Resize, "title", "Another resize")
    with pytest.raises(VerificationFailed) as refused:
        _resumed(broken)
    assert refused.value.code == "run.record-invalid"


def test_changing_frames_are_an_interruption_for_the_caller_too() -> None:
    from forensic.case.ending import can_go_on

    assert can_go_on(Interrupted("resume.differs", ""))
    assert not can_go_on(Interrupted("run.cancelled", ""))
    assert not can_go_on(ValueError())
