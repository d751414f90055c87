"""A generative run of release 0.2.0 stays what it was: verified, and computed again with the label of its time.

``generative-bundle.zip.xz`` is a disclosure of one run on a test pattern tagged as generative, made by 0.2.0
in creative mode with a second person's approval. That release knew no acknowledgement, called the output
``output.mkv`` and labelled the edges alone. It is never made anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from forensic.case.progress import Silent
from forensic.case.reproduce_disclosed import reproduce_disclosed
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.policy.acknowledgement import SECOND_SCHEMA_SHA256
from tests.compat.test_frozen_bundles import HERE, SCRIPT

FROZEN = HERE / "0.2.0" / "generative-bundle.zip.xz"
DIGEST = "96bc1ab83e0ef3b0e6f550cc8a7997a60ff85b67b04a6732d4e56142a1f25312"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    packed = FROZEN.read_bytes()
    assert hashlib.sha256(packed).hexdigest() == DIGEST, "the frozen file was changed"
    with zipfile.ZipFile(io.BytesIO(lzma.decompress(packed))) as archive:
        archive.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    return folder


def test_a_generative_run_from_before_is_verified_and_repeated_as_it_was(bundle: Path) -> None:
    (run,) = (bundle / "data" / "runs").iterdir()
    assert (run / "output.mkv").is_file()
    verification, (outcome,) = reproduce_disclosed(bundle, Silent())
    assert [check for check in verification.checks if not check.passed] == []
    assert verification.verdict in (Verdict.SIGNED, Verdict.REPRODUCED)
    assert (outcome.frames, outcome.identical) == (2, 2)
    schema = hashlib.sha256((run / "policy.cedarschema").read_bytes()).hexdigest()
    assert schema == SECOND_SCHEMA_SHA256


def test_the_independent_verifier_agrees(bundle: Path) -> None:
    done = subprocess.run([sys.executable, "-I", SCRIPT, bundle], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1].split()[0]) == (0, "OK"), done.stdout[-2000:]


def test_its_output_under_the_new_name_is_no_file_of_the_record(bundle: Path) -> None:
    (run,) = (bundle / "data" / "runs").iterdir()
    assert json.loads((bundle / "bundle.json").read_text("utf-8"))
    (run / "output.mkv").rename(run / "output.AI-GENERATED-NOT-EVIDENCE.mkv")
    assert verify(run).verdict is Verdict.FAILED
