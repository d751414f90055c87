"""The scan's record, and how to check it with other people's tools."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forensic.errors import StorageFailed
from forensic.frames.manifest import read_manifest
from forensic.hashes import canonical_json, inclusion_proof, leaf_hash, merkle_root, verify_inclusion
from forensic.media import software_facts
from forensic.media.scan import scan
from tests.media.conftest import ffmpeg, framehash

_DOC = Path(__file__).resolve().parents[2] / "docs" / "formats" / "frames.md"


def test_manifest_is_what_ffmpeg_hashes_and_its_root_is_the_tree_of_its_lines(tmp_path: Path, real_clip: Path) -> None:
    manifest = tmp_path / "frames.jsonl"
    seen: list[tuple[int, int | None]] = []
    result = scan(real_clip, manifest, lambda done, claimed: seen.append((done, claimed)))
    rows = list(read_manifest(manifest))
    assert [row.sha256 for row in rows] == framehash(real_clip, "yuv420p")
    lines = manifest.read_bytes().splitlines()
    assert result.merkle_root == merkle_root(lines).hex()
    assert result.frame_count == len(rows) == 120
    assert (result.first_pts, result.last_pts) == (rows[0].pts, rows[-1].pts)
    assert seen[-1] == (120, 120)
    proof = inclusion_proof([leaf_hash(line) for line in lines], 77)
    assert verify_inclusion(lines[77], 77, 120, proof, bytes.fromhex(result.merkle_root))
    assert not result.vfr
    assert result.intervals["nominal"] == 1001
    canonical_json(result.facts.to_record())  # fits the ledger
    canonical_json([result.intervals, result.statistics, [a.to_record() for a in result.anomalies]])


def test_the_documented_checks_work_as_written(tmp_path: Path, real_clip: Path) -> None:
    """Runs the shell and Python snippets of docs/formats/frames.md on a real manifest."""
    result = scan(real_clip, tmp_path / "frames.jsonl")
    (tmp_path / "exhibit.mp4").write_bytes(real_clip.read_bytes())
    text = _DOC.read_text("utf-8")
    (shell,) = re.findall(r"```sh check-frames\n(.*?)```", text, re.S)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "same" in done.stdout
    (code,) = re.findall(r"```python merkle-root\n(.*?)```", text, re.S)
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, "frames.jsonl"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == result.merkle_root


def test_the_documented_check_of_a_still_works_as_written(tmp_path: Path, real_clip: Path) -> None:
    from forensic.media.reader import ExhibitReader
    from forensic.media.stills import write_still

    with ExhibitReader(real_clip) as reader:
        frame = next(reader.frames())
    write_still(tmp_path / "000000.png", frame)
    (code,) = re.findall(r"```python still-planes\n(.*?)```", _DOC.read_text("utf-8"), re.S)
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, "000000.png"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[0] == frame.sha256


def test_streams_are_chosen_by_a_stated_rule(tmp_path: Path) -> None:
    clip = tmp_path / "two.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:duration=0.2", "-f", "lavfi", "-i",
           "testsrc2=size=80x60:duration=0.2", "-map", 0, "-map", 1, "-c:v", "ffv1",
           "-disposition:v:0", "0", "-disposition:v:1", "default", clip)  # fmt: skip
    facts = scan(clip, tmp_path / "frames.jsonl").facts
    assert facts.video_stream == 1
    assert facts.geometry.width == 80
    assert [item["index"] for item in facts.ignored] == [0]
    assert "chosen" in facts.ignored[0]["reason"]


def test_rotation_is_recorded_and_not_applied(tmp_path: Path, real_clip: Path) -> None:
    clip = tmp_path / "turned.mp4"
    ffmpeg("-i", real_clip, "-c", "copy", "-metadata:s:v", "rotate=90", clip)
    result = scan(clip, tmp_path / "frames.jsonl")
    assert result.facts.rotation == "90.00"
    assert (result.geometry.width, result.geometry.height) == (176, 144)


def test_full_disk_is_named(real_clip: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(StorageFailed) as caught:
            scan(real_clip, tmp_path / "frames.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.code == "media.disk-full"


def test_manifest_that_is_there_is_not_overwritten(real_clip: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "frames.jsonl"
    manifest.write_bytes(b"kept")
    with pytest.raises(StorageFailed):
        scan(real_clip, manifest)
    assert manifest.read_bytes() == b"kept"


def test_software_facts_name_the_decoder() -> None:
    facts = software_facts()
    assert {"pyav", "ffmpeg", "libraries", "configuration", "licence"} <= set(facts)
    assert "libavcodec" in facts["libraries"]
    json.dumps(facts)


def test_verification_needs_no_media_library(tmp_path: Path) -> None:
    code = (
        "import sys, forensic.frames.still, forensic.media, forensic.frames.manifest\n"
        "bad = {'av', 'cv2', 'torch', 'PIL'} & set(sys.modules)\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
