"""What earlier releases made is verified by this one, as it was then, for ever.

``0.1.0/workspace.tar.xz`` is a workspace of release 0.1.0 (ledger of format version 1, one exhibit, one
run, a reissued report); its private key was removed. It is never made anew.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.ledger.audit import audit
from forensic.ledger.store import Ledger
from tests.unpacking import unpack

HERE = Path(__file__).parent
FROZEN = {"0.1.0": "ea7631bd0510ebccb9e54409bb3a66a6ee81f537d7d2cf9927e29753fc934707"}


@pytest.fixture(params=sorted(FROZEN))
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    archive = HERE / request.param / "workspace.tar.xz"
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == FROZEN[request.param], "the frozen file was changed"
    with tarfile.open(archive) as packed:
        unpack(packed, tmp_path)
    return tmp_path / "ws"


def _state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_frozen_workspace_is_signed_and_left_as_it_is(workspace: Path) -> None:
    before = _state(workspace)
    verification = verify(workspace)
    assert [check for check in verification.checks if not check.passed] == []
    assert verification.verdict is Verdict.SIGNED
    run = next((workspace / "runs").iterdir())
    for part in (run, run / "report.pdf", run / "report-superseded-1.pdf", run / "attestation.json"):
        assert verify(part).verdict is Verdict.SIGNED, part.name
    assert _state(workspace) == before


def test_the_command_line_says_so(workspace: Path) -> None:
    command = [sys.executable, "-m", "forensic.cli.main", "verify", str(workspace)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[1])
    assert done.returncode == 0, done.stderr
    assert "VERDICT: SIGNED" in done.stdout


def test_a_frozen_ledger_is_audited_and_read(workspace: Path) -> None:
    path = workspace / "ledger.sqlite"
    result = audit(path)
    assert (result.ok, result.entries) == (True, 10)
    with Ledger.open(path) as ledger:
        assert [entry.seq for entry in ledger.entries()] == list(range(1, 11))
        assert all(entry.version == 1 for entry in ledger.entries())


def test_a_changed_frozen_workspace_fails(workspace: Path) -> None:
    run = next((workspace / "runs").iterdir())
    output = run / "output.mkv"
    data = bytearray(output.read_bytes())
    data[-1] ^= 1
    output.write_bytes(data)
    assert verify(workspace).verdict is Verdict.FAILED
