"""Ctrl-C, kill, full and read-only disks: the ledger stays valid and tells what happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from forensic.case import acquire as acquiring
from forensic.case.ending import Terminated
from forensic.case.exporting import export
from forensic.case.holding import under_way
from forensic.case.progress import Silent
from forensic.case.workspace import create_workspace, open_workspace
from forensic.errors import Interrupted, StorageFailed, UsageError
from forensic.hashes import sha256_file
from forensic.ledger.store import Ledger
from tests.case.conftest import Case, forensic


def _start(root: Path, clip: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "forensic", "enhance", str(clip), "-w", str(root), "--quiet"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )  # fmt: skip


def _wait_until_writing(root: Path) -> None:
    for _ in range(600):
        if any(path.stat().st_size > 0 for path in (root / "runs").glob("*.incomplete/output.mkv")):
            return
        time.sleep(0.05)
    raise AssertionError("the run never began to write")


@pytest.mark.parametrize(("how", "event"), [(signal.SIGINT, "run.cancelled"), (signal.SIGTERM, "run.interrupted")])
def test_stopped_run_is_recorded(how: signal.Signals, event: str, tmp_path: Path, street_clip: Path) -> None:
    """Ctrl-C is a decision against the run; SIGTERM is what every process gets when the system shuts down."""
    root = tmp_path / "ws"
    process = _start(root, street_clip)
    _wait_until_writing(root)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    assert "Traceback" not in err
    assert out == ""
    events = [entry["name"] for entry in forensic("log", "-w", root, "--json").json]
    assert events[-1] == event
    assert ("forensic resume" in err) is (how is signal.SIGTERM)
    assert forensic("verify", root).code == 0


def test_an_acquisition_ended_by_the_system_is_not_called_a_decision_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, street_clip: Path
) -> None:
    def shut_down(*_: object) -> None:
        raise Terminated

    with create_workspace(tmp_path / "ws", examiner="Ada", lab="L", passphrase=None, origin="test") as workspace:
        monkeypatch.setattr(acquiring, "_store", shut_down)
        with pytest.raises(Interrupted, match="SIGTERM"):
            acquiring.acquire(workspace, street_clip, case="C", exhibit_id="X", note=None, progress=Silent())
        last = list(workspace.ledger.entries())[-1]
        assert (last.event, last.data["code"]) == ("acquisition.cancelled", "system.terminated")


def test_a_refusal_that_the_disk_does_not_take_is_shown_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Case
) -> None:
    """What is shown is the refusal, not the disk; and that it is not on the record is said."""
    root = tmp_path / "ws"
    shutil.copytree(finished.root, root)
    append = Ledger.append

    def full(self: Ledger, event: str, data: Any, **ids: Any) -> Any:
        if event == "export.failed":
            raise StorageFailed("ledger.disk-full", "The disk is full.")
        return append(self, event, data, **ids)

    monkeypatch.setattr(Ledger, "append", full)
    with open_workspace(root, lambda: "") as workspace:
        with pytest.raises(UsageError) as caught:
            export(workspace, finished.run_id, tmp_path / "x.gif", frame=None, credentials=False)
        assert caught.value.code == "export.kind"
        assert "could not be put on the record" in caught.value.__notes__[0]


def test_killed_run_is_started_not_finished_and_the_next_report_says_so(tmp_path: Path, street_clip: Path) -> None:
    root = tmp_path / "ws"
    process = _start(root, street_clip)
    _wait_until_writing(root)
    process.kill()
    process.communicate(timeout=60)
    verified = forensic("verify", root)
    assert verified.code == 0, verified.out
    assert "started, not finished" in verified.out
    again = forensic("enhance", street_clip, "-w", root, "--frames", "0:3", "--recipe", "plain-lanczos")
    assert again.code == 0, again.err
    told = Case(root, Path(again.last_line)).predicate()["failed_attempts"]
    assert [attempt["event"] for attempt in told] == ["started, not finished"]


def test_workspace_on_a_read_only_disk(tmp_path: Path, finished: Case) -> None:
    """A real read-only mount, because permissions mean nothing to root."""
    root = tmp_path / "ws"
    shutil.copytree(finished.root, root)
    exhibit = finished.predicate()["exhibit"]["id"]
    script = (
        f"mount --bind {root} {root} && mount -o remount,ro,bind {root} && "
        f"{sys.executable} -m forensic enhance {exhibit} -w {root} --frames 0:2; code=$?; "
        f"{sys.executable} -m forensic verify {root} > {tmp_path}/verified; echo $code $?"
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    code, verified = done.stdout.split()[-2:]
    assert code in ("2", "5"), (done.stdout, done.stderr)
    assert verified == "0", (tmp_path / "verified").read_text()


@pytest.mark.parametrize(
    ("size", "ends"), [(600, {"acquisition.failed"}), (750, {"acquisition.failed", "run.refused", "run.interrupted"})]
)
def test_disk_full_before_a_run_can_begin(tmp_path: Path, street_clip: Path, size: int, ends: set[str]) -> None:
    """A real file system too small for the copy, or for anything after it: that is on the record, and all is sound."""
    root = tmp_path / "small"
    root.mkdir()
    python = sys.executable
    script = (
        f"mount -t tmpfs -o size={size}k none {root} && "
        f"{python} -m forensic enhance {street_clip} -w {root}/ws --recipe plain-lanczos --quiet; "
        f"echo code $?; "
        f"{python} -m forensic verify {root}/ws > {tmp_path}/verified; echo verified $?; "
        f"{python} -m forensic log -w {root}/ws --json > {tmp_path}/log; ls -a {root}/ws {root}/ws/exhibits"
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=240)
    assert "Traceback" not in done.stderr, done.stderr
    assert "code 5" in done.stdout, (done.stdout, done.stderr)
    assert "verified 0" in done.stdout, (tmp_path / "verified").read_text()
    events = [entry["name"] for entry in json.loads((tmp_path / "log").read_text())]
    assert events[-1] in ends
    assert ".incoming-" not in done.stdout


def test_no_passphrase_and_no_terminal_is_a_clean_usage_error(tmp_path: Path, real_clip: Path) -> None:
    root = tmp_path / "ws"
    create_workspace(root, examiner="A. Miner", lab="Lab", passphrase="correct horse", origin="test").close()
    done = forensic("acquire", real_clip, "--case", "C", "--exhibit", "X", "-w", root)
    assert done.code == 2
    assert "identity.passphrase-needed" in done.err
    assert forensic("verify", root).code == 0


def test_two_processes_use_one_workspace_at_the_same_time(tmp_path: Path, real_clip: Path) -> None:
    root = tmp_path / "ws"
    assert forensic("acquire", real_clip, "--case", "C", "--exhibit", "X", "-w", root).code == 0
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "forensic", "enhance", "X", "-w", str(root), "--frames", "0:4", "--quiet"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in running:
        _, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
    assert forensic("verify", root).code == 0
    finished = [e for e in forensic("log", "-w", root, "--json").json if e["name"] == "run.finished"]
    assert len(finished) == 3


_INSTRUMENTED = """
import os, sys
from pathlib import Path
from forensic.case import enhance, recovery, reissue, reproduce
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.workspace import open_workspace

def die(*_, **__):
    os._exit(9)

point, root, exhibit, run = sys.argv[1:]
work = open_workspace(Path(root), lambda: "")
append = work.ledger.append

def before(event):
    def watched(name, *arguments, **identity):
        return die() if name == event else append(name, *arguments, **identity)
    work.ledger.append = watched

if point in ("before-finished", "before-rename", "after-rename"):
    if point == "before-finished":
        before("run.finished")
    elif point == "before-rename":
        enhance.settle_run = die
    else:
        recovery.sync_folder = die
    enhance.enhance(work, enhance.exhibit_for(work, exhibit, Silent()),
                    EnhanceRequest(recipe="plain-lanczos", frames=(0, 2)), Silent())
elif point == "reproducing":
    reproduce._measure = reproduce.platform_key = die
    reproduce.reproduce(work, run, Silent())
else:
    if point == "report-kept":
        reissue._list_again = die
    elif point == "report-typeset":
        reissue._copy_aside = die
    else:
        before("report.issued")
    reissue.reissue(work, run)
raise SystemExit("the instrumented point was never reached")
"""


def _killed_at(point: str, case: Case) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INSTRUMENTED, point, str(case.root), case.predicate()["exhibit"]["id"], case.run_id],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 9, done.stderr


@pytest.mark.parametrize(
    ("point", "state"),
    [("before-finished", "started, not finished"), ("before-rename", None), ("after-rename", None)],
)
def test_killed_at_the_end_of_a_run(attacked: Case, point: str, state: str | None) -> None:
    """No instant at which a kill leaves a workspace that fails for ever, or a run that nobody knows."""
    _killed_at(point, attacked)
    with open_workspace(attacked.root, lambda: ""):
        pass
    folders = {path.name for path in (attacked.root / "runs").iterdir()} - {attacked.run_id}
    assert len(folders) == 1
    assert folders.pop().endswith(".incomplete") is (state is not None)
    verified = forensic("verify", attacked.root)
    assert verified.code == 0, verified.out
    assert state is None or state in verified.out
    if state is not None:
        resumed = forensic("resume", folders_of(attacked)[0], "-w", attacked.root)
        assert resumed.code == 0, resumed.err
        assert forensic("verify", attacked.root).code == 0


def folders_of(case: Case) -> list[str]:
    """Ids of the runs in the workspace besides the finished one."""
    return [
        path.name.removesuffix(".incomplete") for path in (case.root / "runs").iterdir() if path.name != case.run_id
    ]


def test_killed_acquisition_is_on_the_record_at_the_next_opening(tmp_path: Path, street_clip: Path) -> None:
    """It counts among the attempts on these bytes, and its files are gone."""
    root = tmp_path / "ws"
    with create_workspace(root, examiner="E", lab="L", passphrase=None, origin="test"):
        pass
    script = (
        "import os, sys; from pathlib import Path; from forensic.case import acquire; "
        "from forensic.case.workspace import open_workspace; from forensic.case.progress import Silent\n"
        "acquire._place = lambda *_: os._exit(9)\n"
        "work = open_workspace(Path(sys.argv[1]), lambda: '')\n"
        "acquire.acquire(work, Path(sys.argv[2]), case='C', exhibit_id='X', note=None, progress=Silent())"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(root), str(street_clip)], timeout=120)
    assert killed.returncode == 9
    assert len(list((root / "exhibits").glob(".incoming-*"))) == len(list(root.glob(".working-*"))) == 1
    for _ in range(2):  # the second opening finds nothing more to record
        with open_workspace(root, lambda: "") as work:
            found = list(work.ledger.entries(exhibit="X"))
    assert [entry.event for entry in found] == ["acquisition.started", "acquisition.failed"]
    assert found[1].data["code"] == "acquisition.interrupted"
    assert found[1].data["started"] == found[0].seq
    assert found[1].data["sha256"] == sha256_file(street_clip)
    assert not list((root / "exhibits").glob(".incoming-*"))
    assert not list(root.glob(".working-*"))
    again = forensic("enhance", street_clip, "-w", root, "--frames", "0:2", "--recipe", "plain-lanczos")
    assert again.code == 0, again.err
    told = Case(root, Path(again.last_line)).predicate()["failed_attempts"]
    assert "acquisition.failed" in [attempt["event"] for attempt in told]
    assert forensic("verify", root).code == 0


def test_acquisition_under_way_is_left_alone(tmp_path: Path, street_clip: Path) -> None:
    root = tmp_path / "ws"
    with (
        create_workspace(root, examiner="E", lab="L", passphrase=None, origin="test") as work,
        under_way(work.layout, "A-0000000000000000") as holding,
    ):
        begun = {"path": str(street_clip), "note": None, "defaults": [], "attempt": "A-0000000000000000"}
        work.ledger.append("acquisition.started", begun, case="C", exhibit="X")
        work.layout.incoming("A-0000000000000000").root.mkdir()
        script = "import sys; from pathlib import Path; from forensic.case.workspace import open_workspace; "
        script += "open_workspace(Path(sys.argv[1]), lambda: '').close()"
        subprocess.run([sys.executable, "-c", script, str(root)], check=True, timeout=60)
        assert holding.folder.root.exists()
        assert work.layout.incoming("A-0000000000000000").root.exists()
        assert [entry.event for entry in work.ledger.entries(exhibit="X")] == ["acquisition.started"]


def test_killed_while_reproducing_leaves_nothing_after_the_next_opening(attacked: Case) -> None:
    _killed_at("reproducing", attacked)
    assert forensic("verify", attacked.root).code == 0
    assert len(list(attacked.root.glob(".scratch-*"))) == 1
    with open_workspace(attacked.root, lambda: ""):
        pass
    assert not list(attacked.root.glob(".scratch-*"))


@pytest.mark.parametrize("point", ["report-typeset", "report-kept", "report-unrecorded"])
def test_killed_while_issuing_the_report_again(attacked: Case, point: str) -> None:
    """Before the folder is touched nothing has changed; after that, issuing it again repairs it."""
    issued = (attacked.run / "report.pdf").read_bytes()
    _killed_at(point, attacked)
    if point == "report-typeset":
        assert forensic("verify", attacked.root).code == 0
    again = forensic("report", attacked.run_id, "-w", attacked.root)
    assert again.code == 0, again.err
    assert (attacked.run / "report-superseded-1.pdf").read_bytes() == issued
    assert not (attacked.run / "report-superseded-2.pdf").exists()
    verified = forensic("verify", attacked.root)
    assert verified.code == 0, verified.out
