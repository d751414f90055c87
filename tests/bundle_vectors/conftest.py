"""Two real bundles, made once with the real program."""

from __future__ import annotations

from pathlib import Path

import pytest

from forensic.case.acquire import acquire
from forensic.case.enhance import enhance
from forensic.case.exhibits import find_exhibit
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.workspace import create_workspace, open_workspace
from tests.case.bundling import Disclosure, disclose, prepare
from tests.case.conftest import Case
from tests.ledger.forging import write_chain


@pytest.fixture(scope="session")
def disclosure(tmp_path_factory: pytest.TempPathFactory, real_clip: Path, footage: Path) -> Disclosure:
    folder = tmp_path_factory.mktemp("independent")
    case = prepare(folder / "ws", real_clip, footage / "carphone_distorted.mp4")
    return disclose(case, case.run_id, folder)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory, footage: Path) -> Disclosure:
    """Of another laboratory, whose ledger was begun with version 0.1.0."""
    folder = tmp_path_factory.mktemp("early")
    root, clip = folder / "ws", footage / "carphone_distorted.mp4"
    with create_workspace(root, examiner="A", lab="L", passphrase=None, origin="test") as opened:
        acquire(opened, clip, case="C", exhibit_id="E", note=None, progress=Silent())
        acquire(opened, clip, case="other", exhibit_id="F", note=None, progress=Silent())
        identity, told = (
            opened.signer,
            [
                {
                    "event": entry.event,
                    "data": entry.data,
                    "case": entry.case,
                    "exhibit": entry.exhibit,
                    "run": entry.run,
                }
                for entry in opened.ledger.entries()
            ],
        )
    for file in root.glob("ledger.sqlite*"):
        file.unlink()
    write_chain(root / "ledger.sqlite", [told[0], told[3], told[1], told[4], told[2]], identity)
    with open_workspace(root, lambda: "") as opened:
        exhibit = find_exhibit(opened, "E")
        assert exhibit is not None
        run = enhance(opened, exhibit, EnhanceRequest(frames=(0, 1), recipe="plain-lanczos"), Silent())
    return disclose(Case(root, run.folder), run.run_id, folder)


@pytest.fixture
def bag(disclosure: Disclosure, tmp_path: Path) -> Path:
    return disclosure.copy(tmp_path / "bundle")


@pytest.fixture
def root(disclosure: Disclosure) -> Path:
    """The workspace, for its keys."""
    return disclosure.case.root
