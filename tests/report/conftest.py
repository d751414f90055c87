from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from forensic.signing.identity import Identity, create_identity
from tests.report.example_run import ExampleRun, build_run
from tests.report.files import build_pdf, sign_pdf

NOW = dt.datetime(2026, 3, 1, 12, 1, tzinfo=dt.UTC)
SIGNED = dt.datetime(2026, 3, 1, 12, 1, 30, tzinfo=dt.UTC)


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("signer") / "identity"
    return create_identity(folder, examiner="Ada Examiner", lab="Lab 7", passphrase=None, now=NOW)


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("stranger") / "identity"
    return create_identity(folder, examiner="Ada Examiner", lab="Lab 7", passphrase=None, now=NOW)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, identity: Identity) -> ExampleRun:
    """A plain run; read only."""
    return build_run(tmp_path_factory.mktemp("run"), identity)


@pytest.fixture(scope="session")
def unsigned(tmp_path_factory: pytest.TempPathFactory, run: ExampleRun) -> Path:
    out = tmp_path_factory.mktemp("pdf") / "unsigned.pdf"
    build_pdf(run.predicate, run.folder, run.attestation, out)
    return out


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory, unsigned: Path, identity: Identity) -> Path:
    """The signed report of :func:`run`; read only."""
    out = tmp_path_factory.mktemp("signed") / "report.pdf"
    sign_pdf(unsigned, out, identity, reason="Record of an enhancement run", when=SIGNED)
    return out


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[[bytes], Path]:
    """Write bytes as a file to be checked."""

    def write(data: bytes) -> Path:
        path = tmp_path / "damaged.pdf"
        path.write_bytes(data)
        return path

    return write
