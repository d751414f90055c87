"""What a file says beside its samples: assumed matrix, interlaced frames, side data."""

from __future__ import annotations

from pathlib import Path

import pytest

from forensic.media.reader import ExhibitReader
from forensic.stages.recipe import load_recipe
from tests.media.conftest import ffmpeg


def clip(path: Path, *options: str, size: str = "96x64") -> Path:
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration=0.2", *options, path)
    return path


@pytest.mark.parametrize(("rows", "matrix"), [(480, 6), (720, 1)])
def test_enlarging_does_not_change_the_matrix_of_a_silent_file(rows: int, matrix: int, tmp_path: Path) -> None:
    path = clip(tmp_path / "a.avi", "-pix_fmt", "yuv420p", "-c:v", "mpeg4", size=f"64x{rows}")
    with ExhibitReader(path) as reader:
        assert (reader.colour.matrix, reader.colour.display_matrix) == (2, matrix)
        assert sum("does not name its colour matrix" in remark for remark in reader.facts.remarks) == 1
        assert reader.anomaly_counts.get("colour-matrix", 0) == 0
        frame = next(reader.frames()).to_working()
    pipeline = load_recipe("plain-lanczos").bind(scale=2).pipeline
    large = pipeline.process_window([frame], 0)
    assert large.colour.assumed_matrix(large.geometry.height) == matrix
    small = load_recipe("plain-lanczos").bind(scale=1, roi=(0, 0, 64, 64)).pipeline.process_window([frame], 0)
    assert small.colour.assumed_matrix(small.geometry.height) == matrix


def test_a_matrix_that_is_not_converted_is_a_finding(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-x264-params", "colormatrix=YCgCo")
    with ExhibitReader(path) as reader:
        (finding,) = [finding for finding in reader.anomalies if finding.kind == "colour-matrix"]
        assert "matrix 8" in finding.detail and "BT.601" in finding.detail


def test_interlaced_frames_of_a_silent_header_are_counted(tmp_path: Path) -> None:
    path = clip(
        tmp_path / "a.avi", "-pix_fmt", "yuv420p", "-c:v", "mpeg4", "-flags", "+ildct+ilme", "-vf", "setfield=tff"
    )
    with ExhibitReader(path) as reader:
        count = len(list(reader.frames()))
        assert reader.facts.field_order == "unknown"
        assert reader.statistics["interlaced_frames"] == count == 5
        (finding,) = [finding for finding in reader.anomalies if finding.kind == "interlaced-frames"]
        assert "5 of 5" in finding.detail


def test_progressive_frames_are_no_finding_and_user_data_is_listed_as_not_carried(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-metadata", "title=Yard")
    with ExhibitReader(path) as reader:
        list(reader.frames())
        assert reader.anomaly_counts.get("interlaced-frames", 0) == 0
        found = reader.statistics["side_data"]
        assert found.get("SEI_UNREGISTERED", 0) >= 1
        listed = reader.facts.not_carried_metadata(found)
    words = " ".join(item["what"] for item in listed)
    assert "SEI_UNREGISTERED" in words and "tags of the container" in words and "title" in words


def test_a_wish_for_a_turn_is_listed_as_not_carried(tmp_path: Path) -> None:
    plain = clip(tmp_path / "a.mp4", "-pix_fmt", "yuv420p", "-c:v", "libx264")
    turned = tmp_path / "b.mp4"
    ffmpeg("-i", plain, "-c", "copy", "-metadata:s:v:0", "rotate=90", turned)
    with ExhibitReader(turned) as reader:
        (item,) = [item for item in reader.facts.not_carried_metadata() if "asks for a turn" in item["what"]]
        assert set(item) == {"what", "reason"} and "90" in item["what"]
