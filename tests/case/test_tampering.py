"""Attacks on what a run leaves behind. Every one must be found, none may end in a traceback."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.case.verification.checks import Verdict
from forensic.case.verification.trust import Trust
from forensic.case.verify import verify
from tests.case.conftest import Case, flip, forensic


def found(target: Path, fingerprint: str | None = None) -> set[str]:
    """The attack on ``target`` is found; returns the numbers of the checks that failed."""
    verification = verify(target, trust=Trust(fingerprint=fingerprint))
    assert verification.verdict is Verdict.FAILED
    return {check.number for check in verification.checks if not check.passed}


def test_found_tampering_is_exit_code_1(attacked: Case) -> None:
    flip(attacked.run / "output.mkv")
    done = forensic("verify", attacked.run)
    assert done.code == 1
    assert "VERDICT: FAILED" in done.out


@pytest.mark.parametrize(
    "name",
    [
        "output.mkv", "report.pdf", "attestation.json", "manifest.sha256", "frames.jsonl", "risk/regions.json",
        "risk/000013.risk.png", "risk/000013.level.png", "risk/000013.overlay.png", "stills/000013.png",
        "stills/000013.png.json", "stills/000013.source.png", "policy.cedar", "recipe.toml",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", [0.1, 0.9])
def test_flipped_bit_in_a_file_of_the_run(attacked: Case, name: str, place: float) -> None:
    flip(attacked.run / name, place)
    found(attacked.run)


def _rewrite_manifest(run: Path) -> None:
    """What an attacker does next: make ``manifest.sha256`` agree again."""
    from forensic.case.filelist import write_manifest
    from forensic.case.layout import RunFolder

    write_manifest(RunFolder(run))


@pytest.mark.parametrize(
    "name",
    ["output.mkv", "report.pdf", "attestation.json", "frames.jsonl", "risk/000013.overlay.png", "stills/000013.png"],
)
def test_flipped_bit_with_the_manifest_made_to_agree(attacked: Case, name: str) -> None:
    flip(attacked.run / name, 0.6)
    _rewrite_manifest(attacked.run)
    found(attacked.run)


def test_file_added(attacked: Case) -> None:
    (attacked.run / "stills" / "000099.png").write_bytes(b"planted")
    assert "M3" in found(attacked.run)
    _rewrite_manifest(attacked.run)
    found(attacked.run)


def test_a_file_that_is_called_as_the_list_is_added_in_a_subfolder(attacked: Case) -> None:
    (attacked.run / "stills" / "manifest.sha256").write_bytes(b"planted")
    assert "M3" in found(attacked.run)


def test_file_removed(attacked: Case) -> None:
    (attacked.run / "risk" / "000013.overlay.png").unlink()
    assert "M2" in found(attacked.run)
    _rewrite_manifest(attacked.run)
    found(attacked.run)


def test_file_replaced_by_a_link(attacked: Case, tmp_path: Path) -> None:
    target = attacked.run / "output.mkv"
    target.rename(tmp_path / "elsewhere.mkv")
    target.symlink_to(tmp_path / "elsewhere.mkv")
    assert "M4" in found(attacked.run)


def test_run_passed_off_under_another_id(attacked: Case) -> None:
    other = attacked.run.with_name("R-20200101T000000Z-000000")
    attacked.run.rename(other)
    assert "A3" in found(other)


def test_report_of_another_run_put_in(attacked: Case, real_clip: Path) -> None:
    done = forensic("enhance", real_clip, "-w", attacked.root, "--frames", "0:2", "--recipe", "plain-lanczos")
    shutil.copy(Path(done.last_line) / "report.pdf", attacked.run / "report.pdf")
    _rewrite_manifest(attacked.run)
    assert "R3" in found(attacked.run)


def test_still_of_another_frame_under_this_frames_name(attacked: Case) -> None:
    stills = attacked.run / "stills"
    for suffix in ("", ".json"):
        shutil.copy(stills / f"000010.png{suffix}", stills / f"000013.png{suffix}")
    found(attacked.run)


def test_whole_run_signed_again_with_another_key(attacked: Case, tmp_path: Path, real_clip: Path) -> None:
    genuine = forensic("verify", attacked.run, "--json").json["signers"][0]["sha256"]
    done = forensic("enhance", real_clip, "-w", tmp_path / "forger", "--frames", "10:30")
    forged = Path(done.last_line)
    assert forensic("verify", forged).code == 0  # nothing in it contradicts itself ...
    assert "K1" in found(forged, genuine)  # ... but it is not the laboratory's key
    assert forensic("verify", attacked.run, "--fingerprint", genuine).code == 0


def test_ledger_row_changed(attacked: Case) -> None:
    with sqlite3.connect(attacked.root / "ledger.sqlite") as connection:
        triggers = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'")]
        for name in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM entries WHERE seq = 4")
    assert "C1" in found(attacked.root)
    found(attacked.run)


def test_ledger_cut_off_before_the_head_that_the_run_cites(attacked: Case) -> None:
    with sqlite3.connect(attacked.root / "ledger.sqlite") as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type='trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM entries WHERE seq >= 4")
        for _, statement in triggers:
            connection.execute(statement)
    assert "C1" in found(attacked.root)


def test_exhibit_changed_blocks_the_next_run_and_is_recorded(attacked: Case) -> None:
    predicate = attacked.predicate()
    (copy,) = (attacked.root / "exhibits" / predicate["exhibit"]["sha256"]).glob("original*")
    flip(copy)
    found(attacked.root)
    done = forensic("enhance", predicate["exhibit"]["id"], "-w", attacked.root)
    assert done.code == 1
    events = [entry["name"] for entry in forensic("log", "-w", attacked.root, "--json").json]
    assert events[-2:] == ["exhibit.changed", "run.refused"]
    assert forensic("reproduce", attacked.run_id, "-w", attacked.root).code == 1


def test_run_folder_deleted(attacked: Case) -> None:
    shutil.rmtree(attacked.run)
    assert "W2" in found(attacked.root)


def test_run_folder_planted(attacked: Case) -> None:
    shutil.copytree(attacked.run, attacked.root / "runs" / "R-planted")
    assert "W3" in found(attacked.root)


def test_a_frame_cut_out_of_the_manifest(attacked: Case) -> None:
    frames = attacked.run / "frames.jsonl"
    lines = frames.read_bytes().splitlines(keepends=True)
    frames.write_bytes(b"".join(lines[:5] + lines[6:]))
    _rewrite_manifest(attacked.run)
    assert "F1" in found(attacked.run)


def _swapped_model_tree(tmp_path: Path) -> Path:
    """A copy of the checkout's shipped data in which the weights are another net's."""
    from forensic.resources import data_root

    tree = tmp_path / "data"
    for name in ("models", "policies", "reports"):
        shutil.copytree(data_root() / name, tree / name)
    return tree


def test_flipped_bit_in_the_weights_is_refused_before_a_pixel_is_touched(
    tmp_path: Path, real_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensic import resources
    from forensic.cli.main import run

    tree = _swapped_model_tree(tmp_path)
    weights = tree / "models" / "luma-residual-x2" / "weights.safetensors"
    flip(weights, 0.7)
    monkeypatch.setattr(resources, "data_root", lambda: tree)
    code = run(["enhance", str(real_clip), "-w", str(tmp_path / "ws"), "--recipe", "learned", "--quiet"])
    assert code == 3
    events = [entry["name"] for entry in forensic("log", "-w", tmp_path / "ws", "--json").json]
    assert events[-1] == "run.refused"
    assert not list((tmp_path / "ws" / "runs").iterdir())


def test_policy_changed_after_the_run_does_not_change_the_record(attacked: Case) -> None:
    record = attacked.predicate()["policy"]["policy"]
    import hashlib

    assert hashlib.sha256((attacked.run / "policy.cedar").read_bytes()).hexdigest() == record["sha256"]


@settings(max_examples=60)
@given(data=st.data())
def test_any_flipped_bit_in_a_report_is_found(finished: Case, tmp_path: Path, data: st.DataObject) -> None:
    original = (finished.run / "report.pdf").read_bytes()
    changed = bytearray(original)
    changed[data.draw(st.integers(0, len(original) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    target = tmp_path / "report.pdf"
    target.write_bytes(changed)
    assert verify(target).verdict is Verdict.FAILED


@settings(max_examples=100)
@given(data=st.data())
def test_any_flipped_bit_in_a_record_is_found(finished: Case, tmp_path: Path, data: st.DataObject) -> None:
    original = (finished.run / "attestation.json").read_bytes()
    changed = bytearray(original)
    changed[data.draw(st.integers(0, len(original) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    target = tmp_path / "attestation.json"
    target.write_bytes(changed)
    assert verify(target).verdict is Verdict.FAILED


def test_verify_needs_no_write_permission(finished: Case, tmp_path: Path) -> None:
    root = tmp_path / "ws"
    shutil.copytree(finished.root, root)
    before = sorted((p.relative_to(root).as_posix(), p.stat().st_mtime_ns) for p in root.rglob("*"))
    assert forensic("verify", root).code == 0
    assert sorted((p.relative_to(root).as_posix(), p.stat().st_mtime_ns) for p in root.rglob("*")) == before


def test_garbage_in_every_place_ends_in_a_verdict_not_a_traceback(attacked: Case) -> None:
    for path in sorted(attacked.run.rglob("*")):
        if path.is_file():
            kept = path.read_bytes()
            path.chmod(0o644)
            for garbage in (b"", b"\x00" * 64, os.urandom(256), json.dumps([1]).encode()):
                path.write_bytes(garbage)
                assert verify(attacked.run).verdict is Verdict.FAILED, path
            path.write_bytes(kept)
