"""Records that are signed and mean nothing, exhibits that come out shorter, certificates that ran out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forensic.case import execution
from forensic.case.enhance import enhance
from forensic.case.exhibits import find_exhibit
from forensic.case.layout import RunFolder
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.reproduce_disclosed import _again
from forensic.case.workspace import open_workspace
from forensic.errors import BadInput, UsageError, VerificationFailed
from forensic.frames.frame import CodedFrame
from forensic.media.sandbox.reader import SandboxedReader
from forensic.signing.credentials import embed_credentials
from forensic.signing.identity import create_identity
from tests.case.conftest import Case


@pytest.mark.parametrize("lost", [1, 5, 120])
def test_an_exhibit_that_decodes_to_fewer_frames_is_said_to_decode_differently(
    attacked: Case, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    whole = SandboxedReader.frames

    def short(self: SandboxedReader) -> Iterator[CodedFrame]:
        for number, frame in enumerate(whole(self)):
            if number < 120 - lost:
                yield frame

    with open_workspace(attacked.root, lambda: "") as workspace:
        exhibit = find_exhibit(workspace, attacked.predicate()["exhibit"]["id"])
        assert exhibit is not None
        assert exhibit.frame_count == 120
        monkeypatch.setattr(execution.SandboxedReader, "frames", short)
        with pytest.raises(VerificationFailed) as caught:
            enhance(workspace, exhibit, EnhanceRequest(recipe="plain-lanczos"), Silent())
        assert caught.value.code == "exhibit.decodes-differently"
        assert list(workspace.ledger.entries())[-1].event == "run.failed"


@pytest.mark.parametrize("section", ["policy", "selection", "recipe", "output"])
def test_a_signed_record_of_no_form_is_a_failed_check_and_no_crash(attacked: Case, section: str) -> None:
    with open_workspace(attacked.root, lambda: "") as workspace:
        exhibit = find_exhibit(workspace, attacked.predicate()["exhibit"]["id"])
    assert exhibit is not None
    hostile: dict[str, Any] = {**attacked.predicate(), section: {"context": {"approval": 7, "x": []}, "frames": 3}}
    with pytest.raises((BadInput, VerificationFailed)):
        _again(RunFolder(attacked.run), exhibit, hostile, Silent())


def test_an_expired_certificate_signs_no_content_credentials(tmp_path: Path) -> None:
    long_ago = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    identity = create_identity(tmp_path / "identity", examiner="Ada", lab="Lab", passphrase=None, now=long_ago)
    with pytest.raises(UsageError) as caught:
        embed_credentials(tmp_path / "in.png", "image/png", tmp_path / "out.png", {}, identity)
    assert caught.value.code == "export.expired"
