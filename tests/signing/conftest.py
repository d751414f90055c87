from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from forensic.signing.identity import Identity, create_identity

NOW = dt.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("signer") / "identity"
    return create_identity(folder, examiner="Ada Examiner", lab="Lab 7", passphrase=None, now=NOW)


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("stranger") / "identity"
    return create_identity(folder, examiner="Ada Examiner", lab="Lab 7", passphrase=None, now=NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "identity"
