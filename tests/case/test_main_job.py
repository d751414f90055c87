"""The main job from the command line, on real footage."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.case.conftest import Case, forensic


def test_one_command_with_nothing_set_up_ends_in_a_verified_run(finished: Case) -> None:
    assert finished.run.parent == finished.root / "runs"
    for name in ("output.mkv", "report.pdf", "attestation.json", "manifest.sha256", "risk/regions.json"):
        assert (finished.run / name).is_file(), name
    verified = forensic("verify", finished.run)
    assert verified.code == 0, verified.out
    assert "VERDICT: SIGNED" in verified.out
    assert "UNCALIBRATED" in verified.out  # among what is not proved


def test_the_original_is_untouched_and_the_copy_is_read_only(tmp_path: Path, real_clip: Path) -> None:
    original = tmp_path / "evidence.mp4"
    shutil.copy(real_clip, original)
    before = (original.stat().st_mtime_ns, original.stat().st_ino, hashlib.sha256(original.read_bytes()).hexdigest())
    done = forensic("acquire", original, "--case", "C-1", "--exhibit", "X-1", "-w", tmp_path / "ws")
    assert done.code == 0, done.err
    assert (
        original.stat().st_mtime_ns, original.stat().st_ino, hashlib.sha256(original.read_bytes()).hexdigest()
    ) == before  # fmt: skip
    (copy,) = (tmp_path / "ws" / "exhibits" / before[2]).glob("original*")
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == before[2]
    assert not copy.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


def test_manifest_is_checkable_by_sha256sum(finished: Case) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "manifest.sha256"], cwd=finished.run, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_ffmpeg_reads_the_output_back_to_the_recorded_frame_hashes_and_times(finished: Case) -> None:
    rows = [json.loads(line) for line in (finished.run / "frames.jsonl").read_text().splitlines()]
    hashes = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", finished.run / "output.mkv", "-map", "0:v", "-fps_mode", "passthrough",
         "-f", "framehash", "-hash", "sha256", "-"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [line.split(",")[-1].strip() for line in hashes.stdout.splitlines() if not line.startswith("#")]
    assert found == [row["sha256"] for row in rows]
    times = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0",
         finished.run / "output.mkv"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    shown = [float(line.strip(",")) for line in times.stdout.split()]
    predicate = finished.predicate()
    ticks, _, per = predicate["exhibit"]["time_base"].partition("/")
    assert shown == pytest.approx([row["pts"] * int(ticks) / int(per or 1) for row in rows], abs=1e-6)


def test_pdfsig_finds_a_valid_signature_over_the_whole_report(finished: Case) -> None:
    done = subprocess.run(["pdfsig", "-nocert", finished.run / "report.pdf"], capture_output=True, text=True)
    assert "Signature is Valid" in done.stdout
    assert "Total document signed" in done.stdout


def test_the_report_carries_the_record(finished: Case, tmp_path: Path) -> None:
    subprocess.run(["pdfdetach", "-saveall", "-o", tmp_path, finished.run / "report.pdf"], check=True)
    assert (tmp_path / "attestation.json").read_bytes() == (finished.run / "attestation.json").read_bytes()


def test_everything_defaulted_is_on_the_record(finished: Case) -> None:
    defaults = " | ".join(finished.predicate()["defaults"])
    for what in ("examiner", "laboratory", "case", "exhibit id", "recipe", "workers", "purpose", "policy"):
        assert what in defaults, what


def test_identity_of_a_one_command_workspace_is_called_unprotected(finished: Case) -> None:
    predicate = finished.predicate()
    assert predicate["examiner"]["identity"]["protection"] == "none"
    assert predicate["examiner"]["identity"]["kind"] == "self-issued"
    assert any("not protected by a passphrase" in warning for warning in predicate["warnings"])
    assert stat.S_IMODE((finished.root / "identity" / "key.pem").stat().st_mode) == 0o600


def test_mapped_frames_have_the_contracted_files(finished: Case) -> None:
    mapped = finished.predicate()["selection"]["mapped"]
    assert 13 in mapped
    assert len(mapped) >= 8
    for number in mapped:
        for name in (f"risk/{number:06d}.{kind}.png" for kind in ("risk", "level", "overlay")):
            assert (finished.run / name).is_file(), name
        assert (finished.run / f"stills/{number:06d}.png").is_file()


def test_risk_is_called_uncalibrated(finished: Case) -> None:
    assert finished.predicate()["risk"]["status"] == "UNCALIBRATED"
    assert json.loads((finished.run / "risk" / "regions.json").read_bytes())["status"] == "UNCALIBRATED"


def test_still_verifies_alone_and_without_its_run(finished: Case, tmp_path: Path) -> None:
    for name in ("000013.png", "000013.png.json"):
        shutil.copy(finished.run / "stills" / name, tmp_path / name)
    done = forensic("verify", tmp_path / "000013.png")
    assert done.code == 0, done.out
    assert "VERDICT: SIGNED" in done.out
    (tmp_path / "000013.png.json").unlink()
    done = forensic("verify", tmp_path / "000013.png")
    assert done.code == 0
    assert "VERDICT: INTEGRITY ONLY" in done.out


def test_workspace_verifies(finished: Case) -> None:
    done = forensic("verify", finished.root, "--json")
    assert done.code == 0, done.out
    assert done.json["verdict"] == "SIGNED"


def test_reproduce_gives_the_same_bytes(attacked: Case) -> None:
    done = forensic("reproduce", attacked.run_id, "-w", attacked.root, "--json", "--quiet")
    assert done.code == 0, done.err
    assert done.json["identical"] == done.json["frames"] == 20
    assert done.json["file_identical"] is True
    log = forensic("log", "-w", attacked.root, "--run", attacked.run_id, "--json").json
    assert log[-1]["name"] == "reproduction.finished"


@pytest.mark.parametrize("recipe", ["classic", "learned", "plain-lanczos"])
def test_output_bytes_do_not_depend_on_workers(tmp_path: Path, real_clip: Path, recipe: str) -> None:
    digests = set()
    for workers in (1, 2, 5):
        done = forensic(
            "enhance", real_clip, "-w", tmp_path / "ws", "--recipe", recipe, "--frames", "40:46",
            "--workers", workers, "--json", "--quiet",
        )  # fmt: skip
        assert done.code == 0, done.err
        digests.add(done.json["output"]["sha256"])
    assert len(digests) == 1


def test_a_frame_does_not_depend_on_the_selected_range(tmp_path: Path, real_clip: Path) -> None:
    roots = []
    for frames in ("20:24", "22:26"):
        done = forensic("enhance", real_clip, "-w", tmp_path / "ws", "--frames", frames, "--json", "--quiet")
        run = Path(done.json["folder"])
        rows = [json.loads(line) for line in (run / "frames.jsonl").read_text().splitlines()]
        roots.append({row["frame"]: row["sha256"] for row in rows})
    assert roots[0][22] == roots[1][22]
    assert roots[0][23] == roots[1][23]


def test_report_is_issued_again_and_the_old_one_kept(attacked: Case) -> None:
    old = (attacked.run / "report.pdf").read_bytes()
    done = forensic("report", attacked.run_id, "-w", attacked.root)
    assert done.code == 0, done.err
    assert (attacked.run / "report-superseded-1.pdf").read_bytes() == old
    verified = forensic("verify", attacked.root)
    assert verified.code == 0, verified.out


def test_log_tells_the_custody_history(finished: Case) -> None:
    names = [entry["name"] for entry in forensic("log", "-w", finished.root, "--json").json]
    assert names == [
        "workspace.created", "acquisition.started", "exhibit.acquired", "policy.decided", "run.started", "run.finished",
    ]  # fmt: skip
    readable = forensic("log", "-w", finished.root).out
    assert "carphone_pristine.mp4" in readable


def test_help_needs_neither_torch_nor_cv2_nor_av() -> None:
    code = (
        "import sys; from forensic.cli.main import run; run(['--help']);"
        "bad = {'torch', 'cv2', 'av', 'sqlalchemy', 'reportlab'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_verify_imports_neither_torch_nor_cv2_nor_av(finished: Case) -> None:
    for target in (finished.run, finished.root, finished.run / "report.pdf", finished.run / "stills" / "000013.png"):
        code = (
            f"import sys; from forensic.cli.main import run; code = run(['verify', {str(target)!r}]);"
            "bad = {'torch', 'cv2', 'av'} & set(sys.modules); assert not bad, bad; assert code == 0, code"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_lists_have_name_and_class() -> None:
    for what in ("stages", "models", "policy"):
        items = forensic(what, "list", "--json").json
        assert items
        for item in items:
            assert item["name"] and item["class"], item


def test_shared_cctv_clips_run_clean(cctv_clips: list[Path], street_clip: Path, tmp_path: Path) -> None:
    for clip in cctv_clips or [street_clip]:
        done = forensic(
            "enhance", clip, "-w", tmp_path / "ws", "--recipe", "plain-lanczos", "--frames", "0:4", "--quiet"
        )
        assert done.code == 0, (clip, done.err)
        assert forensic("verify", done.last_line).code == 0


def test_ledger_is_an_ordinary_sqlite_file(finished: Case) -> None:
    uri = f"file:{finished.root / 'ledger.sqlite'}?mode=ro"
    with sqlite3.connect(uri, uri=True) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
