"""Damage is located, decoding goes on, and the result is the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from forensic.media.reader import ExhibitReader
from forensic.media.scan import ScanResult, scan
from tests.media.conftest import ffmpeg, framehash


def examine(path: Path, folder: Path) -> tuple[ScanResult, bytes]:
    manifest = folder / "frames.jsonl"
    manifest.unlink(missing_ok=True)  # a manifest is never written over
    result = scan(path, manifest)
    return result, manifest.read_bytes()


@pytest.fixture
def stream(tmp_path: Path, street_clip: Path) -> Path:
    """Transport stream of real footage, as recorders write them."""
    path = tmp_path / "whole.ts"
    ffmpeg("-i", street_clip, "-c", "copy", "-an", path)
    return path


def test_one_flipped_bit_in_the_middle_is_located(tmp_path: Path, street_clip: Path) -> None:
    data = bytearray(street_clip.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "flipped.mp4"
    path.write_bytes(data)
    result, manifest = examine(path, tmp_path)
    assert result.frame_count == 250
    (damaged,) = [a for a in result.anomalies if a.kind == "damaged"]
    whole, clean = examine(street_clip, tmp_path)
    assert whole.anomaly_counts == {}
    differing = [
        number
        for number, (a, b) in enumerate(zip(clean.splitlines(), manifest.splitlines(), strict=True))
        if a.split(b'"sha256":')[1] != b.split(b'"sha256":')[1]
    ]
    # Every frame that came out otherwise is flagged, those shown before the damaged one included.
    assert damaged.frame in differing
    assert min(differing) < damaged.frame
    flagged = {n for n, row in enumerate(manifest.splitlines()) if b'"damaged"' in row or b'"after-damage"' in row}
    assert set(differing) <= flagged
    assert len(flagged) < 40


def test_overwritten_stretch(tmp_path: Path, street_clip: Path) -> None:
    data = bytearray(street_clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes((i * 31) % 256 for i in range(3000))
    path = tmp_path / "overwritten.mp4"
    path.write_bytes(data)
    result, manifest = examine(path, tmp_path)
    assert 240 < result.frame_count < 250
    counts = result.anomaly_counts
    assert counts["decode-error"] and counts["missing"] and counts["truncated"]
    lost = sum(int(a.detail.split()[0]) for a in result.anomalies if a.kind == "missing")
    assert result.frame_count + lost == 250
    assert all(a.pts is not None for a in result.anomalies if a.kind == "decode-error")
    assert examine(path, tmp_path) == (result, manifest)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 0.99])
def test_movie_cut_off_after_its_index(share: float, tmp_path: Path, street_clip: Path) -> None:
    whole = tmp_path / "whole.mp4"
    ffmpeg("-i", street_clip, "-c", "copy", "-movflags", "+faststart", whole)
    data = whole.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: int(len(data) * share)])
    result, _ = examine(path, tmp_path)
    assert 0 < result.frame_count < 250
    assert result.anomaly_counts["truncated"] == 1
    assert len(framehash(path, "yuv420p")) == result.frame_count


def test_transport_stream_cut_off(stream: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.ts"
    path.write_bytes(stream.read_bytes()[: stream.stat().st_size * 2 // 3 + 100])
    result, _ = examine(path, tmp_path)
    assert 0 < result.frame_count < 250
    assert result.anomaly_counts["damaged"] >= 1


def test_transport_stream_with_lost_packets(stream: Path, tmp_path: Path) -> None:
    data = stream.read_bytes()
    middle = len(data) // 2 // 188 * 188
    path = tmp_path / "lossy.ts"
    path.write_bytes(data[:middle] + data[middle + 1880 :])
    result, _ = examine(path, tmp_path)
    assert {"damaged", "missing", "container-warning"} <= set(result.anomaly_counts)


def test_stream_that_begins_between_key_frames_shows_its_damaged_frames(stream: Path, tmp_path: Path) -> None:
    data = stream.read_bytes()
    path = tmp_path / "late.ts"
    path.write_bytes(data[len(data) // 3 + 77 :])
    result, manifest = examine(path, tmp_path)
    plain = framehash(path, "yuv420p")
    everything = framehash(path, "yuv420p", "-flags", "+output_corrupt")
    rows = manifest.splitlines()
    assert len(plain) < result.frame_count == len(everything)
    damaged = [row for row in rows if b'"damaged"' in row]
    assert len(damaged) >= result.frame_count - len(plain)
    assert b'"damaged"' in rows[0]


def test_damage_gives_the_same_frames_every_time(tmp_path: Path, street_clip: Path) -> None:
    data = bytearray(street_clip.read_bytes())
    for place in range(40_000, len(data) - 40_000, 9_973):
        data[place] ^= 0x55
    path = tmp_path / "riddled.mp4"
    path.write_bytes(data)
    first = examine(path, tmp_path)
    assert first[0].anomaly_counts["damaged"] > 5
    assert examine(path, tmp_path) == first


def test_change_of_size_is_refused_frame_by_frame(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate(("64x48", "96x64")):
        part = tmp_path / f"{number}.h264"
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=10:duration=1", "-c:v", "libx264", "-bf", 0, part)
        parts.append(part.read_bytes())
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(parts))
    result, _ = examine(path, tmp_path)
    assert result.frame_count == 10
    assert result.anomaly_counts["geometry-change"] == 10
    assert result.statistics["frames_refused"] == 10


def test_frames_hidden_by_an_edit_list_are_counted(tmp_path: Path, street_clip: Path) -> None:
    path = tmp_path / "edited.mp4"
    # A stream copy from the middle of a group of pictures keeps the frames and hides them by an edit list.
    ffmpeg("-ss", "2.2", "-i", street_clip, "-c", "copy", "-an", path)
    result, _ = examine(path, tmp_path)
    assert len(framehash(path, "yuv420p")) == result.frame_count
    assert result.anomaly_counts["not-presented"] > 0
    assert "truncated" not in result.anomaly_counts


def test_reader_is_walked_once(street_clip: Path) -> None:
    from forensic.errors import InternalError

    with ExhibitReader(street_clip) as reader:
        next(reader.frames())
        with pytest.raises(InternalError):
            next(reader.frames())
