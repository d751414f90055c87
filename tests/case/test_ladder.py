"""The whole way of a disclosure: enhance, bundle, timestamp, witness, and somebody else who computes it again."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from tests.case.conftest import Case, Done, forensic
from tests.tsa import LocalTsa


def _ok(*arguments: object) -> Done:
    done = forensic(*arguments)
    assert done.code == 0, done.err
    return done


@pytest.fixture
def disclosed(attacked: Case, tmp_path: Path) -> tuple[Path, tuple[object, ...]]:
    """An unpacked bundle that was timestamped and witnessed, and what its recipient trusts."""
    issued = _ok("bundle", attacked.run_id, "-w", attacked.root, "--json").json
    with LocalTsa(tmp_path / "tsa") as tsa:
        _ok("anchor", "-w", attacked.root, "--tsa", tsa.url, "--quiet")
    other = tmp_path / "other"
    _ok("init", "-w", other, "--examiner", "Wim Witness", "--lab", "Other laboratory", "--quiet")
    log_key = _ok("anchor", "-w", attacked.root, "--offline", "--json").json["log_keys"][-1]
    witness = _ok("witness", "--key", "-w", other).last_line
    request, answer = tmp_path / "request", tmp_path / "answer"
    _ok("anchor", "-w", attacked.root, "--offline", "--export", request)
    _ok("witness", request, "--log-key", log_key, "--out", answer, "-w", other)
    _ok("anchor", "-w", attacked.root, "--offline", "--import", answer, "--witness-key", witness)
    _ok("bundle", "--again", issued["issued"], "-w", attacked.root, "--out", bundle := tmp_path / "again.zip")
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "received")
    folder = next((tmp_path / "received").iterdir())
    return folder, ("--tsa-root", tsa.root_pem, "--witness", witness, "--log-key", log_key)


def test_every_rung_is_climbed_only_with_what_the_recipient_trusts(disclosed: tuple[Path, tuple[object, ...]]) -> None:
    folder, trust = disclosed
    for some, verdict in (((), "SIGNED"), (trust[:2], "TIMESTAMPED"), (trust[2:], "SIGNED"), (trust, "WITNESSED")):
        assert _ok("verify", folder, *some, "--json").json["verdict"] == verdict, some
    again = _ok("reproduce", folder, *trust, "--json").json
    assert (again["verdict"], len(again["reproductions"])) == ("REPRODUCED", 1)
    assert again["reproductions"][0]["file_identical"] is True
    plain = _ok("reproduce", folder, "--json").json
    assert plain["verdict"] == "SIGNED"
    assert "REPRODUCED" in plain["reached"]


def test_a_bundle_without_its_original_cannot_be_computed_again(attacked: Case, tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    _ok("bundle", attacked.run_id, "-w", attacked.root, "--folder", "--originals", "hash-only", "--out", target)
    done = _ok("reproduce", target, "--json").json
    assert done["reproductions"] == []
    assert "REPRODUCED" not in done["reached"]
    assert any("not computed again" in line for line in done["not_checked"])


def test_an_archive_is_not_computed_again_and_says_why(attacked: Case, tmp_path: Path) -> None:
    archive = tmp_path / "bundle.zip"
    _ok("bundle", attacked.run_id, "-w", attacked.root, "--out", archive)
    done = forensic("reproduce", archive)
    assert (done.code, "reproduce.archive" in done.err) == (2, True)


def test_a_changed_bundle_is_not_computed_again(attacked: Case, tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    _ok("bundle", attacked.run_id, "-w", attacked.root, "--folder", "--out", target)
    changed = tmp_path / "changed"
    shutil.copytree(target, changed)
    output = changed / "data" / "runs" / attacked.run_id / "output.mkv"
    output.write_bytes(output.read_bytes()[:-1] + b"x")
    done = forensic("reproduce", changed, "--json")
    assert done.code == 1
    assert (done.json["verdict"], done.json["reproductions"]) == ("FAILED", [])
