"""A finished run on real footage, made once through the command line and copied for every attack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as the one JSON value that it must be."""
        return json.loads(self.out)

    @property
    def last_line(self) -> str:
        """Last line of the result."""
        return self.out.rstrip("\n").rpartition("\n")[2]


def forensic(*arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> Done:
    """Run the real command in a process of its own, without a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "forensic", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Case:
    """A workspace with one finished run."""

    root: Path
    run: Path

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.run.name

    def predicate(self) -> dict[str, Any]:
        """The run's record."""
        import base64

        envelope = json.loads((self.run / "attestation.json").read_bytes())
        predicate: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
        return predicate


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, real_clip: Path) -> Case:
    """One run of the default recipe on 20 frames of a real clip. Do not change it: copy it."""
    root = tmp_path_factory.mktemp("casework") / "ws"
    done = forensic(
        "enhance", real_clip, "-w", root, "--frames", "10:30", "--stills", "13",
        "--question", "What is the registration of the car?",
    )  # fmt: skip
    assert done.code == 0, done.err
    return Case(root, Path(done.last_line))


@pytest.fixture
def attacked(finished: Case, tmp_path: Path) -> Case:
    """A private copy of the finished run's workspace, free to be tampered with."""
    root = tmp_path / "ws"
    shutil.copytree(finished.root, root)
    return Case(root, root / "runs" / finished.run_id)


def flip(path: Path, place: float = 0.5, bit: int = 0) -> None:
    """Flip one bit of ``path`` at a share of its length."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[min(int(len(data) * place), len(data) - 1)] ^= 1 << bit
    path.write_bytes(data)
