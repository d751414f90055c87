from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from pytest import RaisesExc

from forensic.errors import ForensicError
from forensic.ledger.entry import Head
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity, create_identity

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


def refused(kind: type[ForensicError], code: str) -> RaisesExc[ForensicError]:
    """Expect our own error with exactly this code (a regular expression)."""
    return pytest.raises(kind, match=rf"^\[{code}\]")


def make_identity(folder: Path, examiner: str = "Ada Examiner") -> Identity:
    return create_identity(folder, examiner=examiner, lab="Lab 7", passphrase=None, now=NOW)


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("signer") / "identity")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """Another key under the same name."""
    return make_identity(tmp_path_factory.mktemp("stranger") / "identity")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def write_history(path: Path, identity: Identity) -> Head:
    """A small but complete history: two runs, one refused, a name in another script."""
    with Ledger.create(path, identity, {"note": "test"}) as ledger:
        ledger.append("exhibit.acquired", {"file": "防犯カメラ.mp4", "bytes": 1 << 40}, case="C1", exhibit="E1")
        ledger.append("policy.decided", {"allowed": True}, case="C1", exhibit="E1", run="R1")
        ledger.append("run.started", {"recipe": "classic"}, case="C1", exhibit="E1", run="R1")
        ledger.append("run.progress", {"fraction": 0.5}, case="C1", exhibit="E1", run="R1")
        ledger.append("run.finished", {"frames": 120}, case="C1", exhibit="E1", run="R1")
        ledger.append("run.refused", {"rule": "default-deny"}, case="C1", exhibit="E1", run="R2")
        return ledger.append("report.issued", {"sha256": "0" * 64}, case="C1", exhibit="E1", run="R1").head


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory, identity: Identity) -> tuple[bytes, Head]:
    """The bytes of a closed ledger and its head, to be copied and attacked."""
    path = tmp_path_factory.mktemp("pristine") / "ledger.sqlite"
    head = write_history(path, identity)
    return path.read_bytes(), head


@pytest.fixture
def victim(path: Path, pristine: tuple[bytes, Head]) -> Path:
    """A fresh copy of the pristine ledger."""
    path.write_bytes(pristine[0])
    return path
