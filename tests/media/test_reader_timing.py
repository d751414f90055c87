"""Times are those of the file; where the file has none or nonsense, that is said."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from forensic.media.anomaly import AnomalyLog
from forensic.media.reader import ExhibitReader
from forensic.media.scan import scan
from forensic.media.timing import Timeline
from tests.media.conftest import ffmpeg, framehash, times


def walk(path: Path) -> tuple[list[Fraction], ExhibitReader]:
    with ExhibitReader(path) as reader:
        return [frame.timing.seconds for frame in reader.frames()], reader


def same(ours: list[Fraction], theirs: list[Fraction]) -> bool:
    """Equal to within ffprobe's six decimals."""
    return len(ours) == len(theirs) and all(abs(a - b) <= Fraction(1, 10**6) for a, b in zip(ours, theirs, strict=True))


def test_variable_rate_and_b_frames(tmp_path: Path, real_clip: Path) -> None:
    clip = tmp_path / "vfr.mp4"
    ffmpeg("-i", real_clip, "-vf", "select='not(mod(n,7))+eq(mod(n,5),1)'", "-fps_mode", "vfr", "-c:v", "libx264",
           "-bf", 3, clip)  # fmt: skip
    ours, reader = walk(clip)
    assert same(ours, times(clip))
    assert ours == sorted(ours)
    assert reader.cadence is not None and not reader.cadence.constant
    assert reader.anomaly_counts.get("missing") is None
    with ExhibitReader(clip) as again:
        assert [frame.sha256 for frame in again.frames()] == framehash(clip, "yuv420p")


def test_transport_stream_with_a_late_start(tmp_path: Path, real_clip: Path) -> None:
    clip = tmp_path / "late.ts"
    ffmpeg("-i", real_clip, "-an", "-c", "copy", "-output_ts_offset", "5000", clip)
    ours, reader = walk(clip)
    assert same(ours, times(clip))
    assert ours[0] > 5000
    assert reader.time_base == Fraction(1, 90000)
    assert reader.anomaly_counts == {}


def test_elementary_stream_has_no_times_and_every_frame_says_so(tmp_path: Path, real_clip: Path) -> None:
    clip = tmp_path / "raw.h264"
    ffmpeg("-i", real_clip, "-an", "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", clip)
    result = scan(clip, tmp_path / "frames.jsonl")
    assert result.frame_count == 120
    assert result.anomaly_counts == {"pts-missing": 1}
    rows = (tmp_path / "frames.jsonl").read_text().splitlines()
    assert all('"pts-synthesised"' in row for row in rows)
    assert [frame.split('"sha256":"')[1][:64] for frame in rows] == framehash(clip, "yuv420p")


def test_frames_left_out_of_a_constant_rate_are_missed_and_counted(tmp_path: Path, real_clip: Path) -> None:
    clip = tmp_path / "gap.mp4"
    ffmpeg("-i", real_clip, "-vf", "select='not(between(n,50,52))'", "-fps_mode", "vfr", "-c:v", "libx264", clip)
    _, reader = walk(clip)
    (missing,) = [a for a in reader.anomalies if a.kind == "missing"]
    assert missing.frame == 50
    assert missing.detail.startswith("3 frame(s) missing")


def test_frozen_picture_is_found(tmp_path: Path) -> None:
    clip = tmp_path / "frozen.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=1", "-vf",
           "loop=loop=2:size=1:start=4,format=yuv444p", "-c:v", "ffv1", clip)  # fmt: skip
    _, reader = walk(clip)
    theirs = framehash(clip, "yuv444p")
    frozen = [n for n in range(1, len(theirs)) if theirs[n] == theirs[n - 1]]
    assert len(frozen) == 2
    assert [a.frame for a in reader.anomalies if a.kind == "duplicate"] == frozen


def test_interlaced_pal_is_described_as_such(tmp_path: Path) -> None:
    clip = tmp_path / "pal.mpg"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=720x576:rate=50:duration=0.4", "-vf",
           "interlace=scan=tff,setsar=16/11,fps=25", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-top", 1,
           clip)  # fmt: skip
    with ExhibitReader(clip) as reader:
        assert reader.facts.field_order == "tt"
        assert reader.geometry.sample_aspect is not None
        assert len(list(reader.frames())) == len(times(clip))


def test_times_of_avi_frames_are_their_numbers(tmp_path: Path, real_clip: Path) -> None:
    clip = tmp_path / "xvid.avi"
    ffmpeg("-i", real_clip, "-an", "-r", 12, "-c:v", "mpeg4", "-bf", 2, clip)
    ours, reader = walk(clip)
    assert len(ours) == len(framehash(clip, "yuv420p"))
    assert ours == sorted(set(ours))
    # AVI stores no presentation times: where B-frames leave them open, a stand-in is used and says so.
    assert reader.anomaly_counts["pts-missing"] > 0


@given(
    st.lists(st.one_of(st.none(), st.integers(-(1 << 60), 1 << 60), st.integers(-500, 5000)), min_size=1, max_size=60),
    st.booleans(),
)
def test_any_timestamps_give_increasing_times_and_nothing_is_made_up_unsaid(
    stamps: list[int | None], stored: bool
) -> None:
    log = AnomalyLog()
    timeline = Timeline(Fraction(1, 1000), Fraction(25), stored, log)
    placed = [timeline.place(number, stamp, None) for number, stamp in enumerate(stamps)]
    given_times = [time for time, _ in placed]
    assert all(a < b for a, b in pairwise(given_times))
    for (time, made_up), stamp in zip(placed, stamps, strict=True):
        assert made_up or time == stamp
    located = {a.frame for a in log.listed}
    assert all(not made_up or not stored or number in located for number, (_, made_up) in enumerate(placed))
    timeline.finish()


def test_a_clock_that_jumps_back_keeps_its_pace_after_the_jump() -> None:
    log = AnomalyLog()
    timeline = Timeline(Fraction(1, 25), Fraction(25), True, log)
    placed = [timeline.place(n, stamp, None) for n, stamp in enumerate([100, 101, 102, 0, 1, 3, 4])]
    assert [time for time, _ in placed] == [100, 101, 102, 103, 104, 106, 107]
    assert [made_up for _, made_up in placed] == [False] * 3 + [True] * 4
    assert log.counts["pts-not-increasing"] == 4
