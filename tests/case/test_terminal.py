"""At a real terminal (a pseudo-terminal): passphrases are asked for, progress is shown, results stay clean."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from tests.case.conftest import forensic

PASSPHRASE = "correct horse battery"


def at_a_terminal(arguments: list[object], answers: list[tuple[str, str]], result: Path) -> tuple[int, str]:
    """Run the command with stdin and stderr on a terminal; answer prompts; stdout goes to ``result``."""
    master, slave = pty.openpty()
    with result.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "forensic", *map(str, arguments)],
            stdin=slave, stdout=out, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        )  # fmt: skip
    os.close(slave)
    shown, waiting = "", list(answers)
    while True:
        try:
            block = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        shown += block.decode("utf-8", "replace")
        if waiting and waiting[0][0] in shown.rpartition("\x00")[2]:
            _prompt, answer = waiting.pop(0)
            shown += "\x00"  # what was shown before this mark has been answered
            os.write(master, answer.encode() + b"\n")
    os.close(master)
    assert not waiting, (waiting, shown)
    return process.wait(timeout=120), shown


def test_init_asks_for_a_passphrase_and_the_key_is_protected_by_it(tmp_path: Path, real_clip: Path) -> None:
    root = tmp_path / "ws"
    code, shown = at_a_terminal(
        ["init", "--examiner", "A. Miner", "--lab", "Lab", "-w", root],
        [("Passphrase for the signing key", PASSPHRASE), ("Repeat", PASSPHRASE)],
        tmp_path / "init.out",
    )
    assert code == 0, shown
    assert PASSPHRASE not in shown
    assert (tmp_path / "init.out").read_text().strip() == str(root)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in (root / "identity" / "key.pem").read_bytes()

    code, shown = at_a_terminal(
        ["enhance", real_clip, "-w", root, "--frames", "0:6", "--recipe", "plain-lanczos"],
        [("Passphrase of the signing key", PASSPHRASE)],
        tmp_path / "enhance.out",
    )
    assert code == 0, shown
    assert PASSPHRASE not in shown
    assert re.search(r"Enhancing.*\d+/\d+", shown)  # a progress bar with its count
    out = (tmp_path / "enhance.out").read_text()
    assert "\x1b" not in out
    run = Path(out.rstrip("\n").rpartition("\n")[2])
    verified = forensic("verify", run)
    assert verified.code == 0, verified.out

    code, shown = at_a_terminal(
        ["enhance", real_clip, "-w", root, "--frames", "0:2"],
        [("Passphrase of the signing key", "wrong")],
        tmp_path / "wrong.out",
    )
    assert code != 0
    assert "identity.passphrase" in shown
    assert (tmp_path / "wrong.out").read_text() == ""
