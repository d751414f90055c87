"""Bundles and anchored workspaces of earlier releases climb the same rungs in this one, for ever.

``0.2.0``: a run on a test pattern, a refused run, a timestamp by a local authority, a cosignature by another
workspace. Private keys were removed. It is never made anew.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from forensic.case.verification.checks import Verdict
from forensic.case.verification.trust import NOTHING, Trust
from forensic.case.verify import verify
from tests.unpacking import unpack

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "docs" / "formats" / "verify_bundle.py"
FROZEN = {
    "0.2.0": {
        "workspace.tar.xz": "0752cd02e93c39f0d7cd750be848469b8e689778d070ee1dfbf62dae822e3ede",
        "bundle.zip.xz": "98ef4b13bd1d1f4a24729f7d51aa6997f9cd9ceba2437f5921f3073e78f4bd81",
    }
}


def _trust(folder: Path) -> Trust:
    kept = json.loads((folder / "trust.json").read_text("utf-8"))
    root = (folder / "tsa-root.pem").read_bytes()
    return Trust(tsa_roots=(root,), witnesses=(kept["witness"],), log_keys=(kept["log_key"],))


@pytest.fixture(params=sorted(FROZEN))
def frozen(request: pytest.FixtureRequest) -> Path:
    folder = HERE / request.param
    for name, digest in FROZEN[request.param].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, f"the frozen {name} was changed"
    return folder


@pytest.fixture
def bundle(frozen: Path, tmp_path: Path) -> Path:
    path = tmp_path / "bundle.zip"
    path.write_bytes(lzma.decompress((frozen / "bundle.zip.xz").read_bytes()))
    return path


def test_a_frozen_bundle_is_witnessed_with_the_trust_of_its_time_and_signed_without(frozen: Path, bundle: Path) -> None:
    for trust, verdict in ((NOTHING, Verdict.SIGNED), (_trust(frozen), Verdict.WITNESSED)):
        verification = verify(bundle, trust=trust)
        assert [check for check in verification.checks if not check.passed] == []
        assert verification.verdict is verdict


def test_the_independent_verifier_agrees_on_a_frozen_bundle(bundle: Path) -> None:
    done = subprocess.run([sys.executable, "-I", SCRIPT, bundle], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1].split()[0]) == (0, "OK"), done.stdout[-2000:]


def test_a_frozen_workspace_is_witnessed(frozen: Path, tmp_path: Path) -> None:
    with tarfile.open(frozen / "workspace.tar.xz") as packed:
        unpack(packed, tmp_path)
    verification = verify(tmp_path / "ws", trust=_trust(frozen))
    assert [check for check in verification.checks if not check.passed] == []
    assert verification.verdict is Verdict.WITNESSED
