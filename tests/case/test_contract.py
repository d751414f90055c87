"""The contract of the command where it is easiest to break: odd arguments, lost ledgers, JSON on errors."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.case.conftest import Case, forensic


def test_deleted_ledger_is_not_silently_begun_anew(attacked: Case, real_clip: Path) -> None:
    for path in attacked.root.glob("ledger.sqlite*"):
        path.unlink()
    before = sorted(p.relative_to(attacked.root).as_posix() for p in attacked.root.rglob("*"))
    for command in (["enhance", real_clip], ["acquire", real_clip, "--case", "C", "--exhibit", "X"], ["init"]):
        done = forensic(*command, "-w", attacked.root)
        assert done.code == 1, done.err
        assert "workspace.ledger-missing" in done.err
    assert sorted(p.relative_to(attacked.root).as_posix() for p in attacked.root.rglob("*")) == before


def test_key_left_by_a_crash_is_set_aside_and_the_named_examiner_gets_a_certificate(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    assert forensic("init", "-w", root, "--examiner", "First").code == 0
    for path in root.glob("ledger.sqlite*"):
        path.unlink()
    done = forensic("init", "-w", root, "--examiner", "Second", "--json")
    assert done.code == 0, done.err
    assert "Second" in done.json["identity"]["subject"]
    assert (root / "identity-unused-1" / "key.pem").is_file()


@pytest.mark.parametrize("option", ["--reason", "--question", "--recipe", "--policy"])
def test_bytes_that_are_no_text_are_a_usage_error(option: str, tmp_path: Path, real_clip: Path) -> None:
    done = forensic("enhance", real_clip, "-w", tmp_path / "ws", option, os.fsdecode(b"bad\xff"))
    assert done.code == 2, done.err


def test_overlong_and_oversized_arguments_are_usage_errors(tmp_path: Path, real_clip: Path) -> None:
    for arguments in (["--question", "x" * 5000], ["--frames", "0:" + "9" * 30], ["--stills", "9" * 30]):
        assert forensic("enhance", real_clip, "-w", tmp_path / "ws", *arguments).code == 2
    assert forensic("enhance", "n" * 300, "-w", tmp_path / "ws").code == 2


def test_errors_are_json_too(tmp_path: Path) -> None:
    done = forensic("enhance", "no-such-file", "-w", tmp_path / "ws", "--json")
    assert done.code == 2
    assert done.json["error"]["code"] == "exhibit.unknown"
    done = forensic("enhance", "--json")
    assert done.code == 2
    assert done.json["error"]["code"] == "usage"


def test_termination_at_any_moment_is_exit_code_5(tmp_path: Path, street_clip: Path) -> None:
    assert forensic("acquire", street_clip, "--case", "C", "--exhibit", "X", "-w", tmp_path / "ws").code == 0
    for delay in (0.35, 0.6, 0.9, 1.3, 2.0):
        process = subprocess.Popen(
            [sys.executable, "-m", "forensic", "enhance", "X", "-w", str(tmp_path / "ws"), "--quiet"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (5, -signal.SIGTERM), (delay, process.returncode, err)
        assert "Traceback" not in err, err
    assert forensic("verify", tmp_path / "ws").code == 0


def test_init_with_an_impossible_name_leaves_nothing_behind(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    assert forensic("init", "-w", root, "--examiner", "bad\x07name").code == 2
    assert not (root / "exhibits").exists()
    shutil.rmtree(root, ignore_errors=True)


def test_workspace_that_cannot_be_a_folder_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert forensic("init", "-w", tmp_path / "file").code == 2
    assert forensic("init", "-w", tmp_path / "file" / "below").code == 2
