"""The master file: lossless, exactly timed, the same bytes every time, and believed by other tools."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from itertools import islice
from pathlib import Path

import pytest

from forensic.errors import InternalError, StorageFailed
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.media.label import LABEL
from forensic.media.reader import ExhibitReader
from forensic.media.writer import MasterWriter, slice_count
from tests.media.conftest import MakeFrame, ffmpeg, framehash, probe_field, strict_framehash, times


def write(path: Path, frames: list[CodedFrame], **options: object) -> MasterWriter:
    first = frames[0]
    with MasterWriter(path, first.geometry, first.colour, first.timing.time_base, **options) as writer:  # type: ignore[arg-type]
        for frame in frames:
            writer.write(frame)
    return writer


def copy(source: Path, target: Path, **options: object) -> tuple[list[str], MasterWriter]:
    """Write a clip's frames unchanged; their hashes and the writer."""
    with (
        ExhibitReader(source) as reader,
        MasterWriter(
            target, reader.geometry, reader.colour, reader.time_base,
            field_order=reader.facts.field_order, **options,  # type: ignore[arg-type]
        ) as writer,
    ):  # fmt: skip
        return [writer.write(frame).sha256 for frame in reader.frames()], writer


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_comes_back_from_ffmpeg_and_from_us(layout: str, tmp_path: Path, make_frame: MakeFrame) -> None:
    path = tmp_path / "master.mkv"
    frames = [make_frame(layout, 75, 49, index=number) for number in range(2)]
    write(path, frames)
    expected = [frame.sha256 for frame in frames]
    assert strict_framehash(path, layout) == expected
    with ExhibitReader(path) as reader:
        assert [frame.sha256 for frame in reader.frames()] == expected
        assert reader.anomaly_counts == {}


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (16, 16), (33, 17), (64, 2000), (2560, 48), (1279, 719)])
def test_odd_sizes(size: tuple[int, int], tmp_path: Path, make_frame: MakeFrame) -> None:
    path = tmp_path / "master.mkv"
    frame = make_frame("yuv420p", *size)
    write(path, [frame])
    assert strict_framehash(path, "yuv420p") == [frame.sha256]


def test_copy_of_a_real_clip_keeps_hashes_and_times(tmp_path: Path, real_clip: Path) -> None:
    path = tmp_path / "master.mkv"
    hashes, writer = copy(real_clip, path)
    assert hashes == framehash(real_clip, "yuv420p") == strict_framehash(path, "yuv420p")
    assert times(path) == times(real_clip)
    assert writer.codec_facts()["timestamp_scale_ns"] == 1  # 1/30000 s is no whole number of nanoseconds


def test_times_of_every_cctv_clip_survive(tmp_path: Path, cctv_clips: list[Path], make_frame: MakeFrame) -> None:
    for clip in cctv_clips:
        path = tmp_path / "master.mkv"
        with ExhibitReader(clip) as reader:
            most = None if clip.stem.endswith("vfr") else 100
            timings = [frame.timing for frame in islice(reader.frames(), most)]
        # One small picture under every time: this test is about time.
        small = make_frame("gray", 64, 64)
        write(path, [CodedFrame(small.planes, small.geometry, small.colour, t, small.stage_class) for t in timings])
        assert times(path) == times(clip, most)[: len(timings)], clip.name
        with ExhibitReader(path) as again:
            back = [frame.timing.seconds for frame in again.frames()]
        tick = timings[0].time_base
        assert [round(value / tick) * tick for value in back] == [t.seconds for t in timings], clip.name


@pytest.mark.parametrize(
    ("arguments", "name", "time_base"),
    [
        (["-output_ts_offset", "1234.5"], "clip.ts", Fraction(1, 90000)),
        (["-r", "30000/1001", "-video_track_timescale", "30000"], "clip.mp4", Fraction(1, 30000)),
        (["-r", "12", "-c:v", "mpeg4"], "clip.avi", Fraction(1, 12)),
        (["-r", "25", "-c:v", "mpeg4"], "clip.avi", Fraction(1, 25)),
        (["-c:v", "ffv1"], "clip.mkv", Fraction(1, 1000)),
        (["-c:v", "libx264", "-bf", "3", "-vf", "select='not(mod(n,7))+eq(mod(n,5),1)'", "-fps_mode", "vfr"],
         "clip.mp4", None),
    ],
)  # fmt: skip
def test_clocks(arguments: list[str], name: str, time_base: Fraction | None, tmp_path: Path, real_clip: Path) -> None:
    source, path = tmp_path / name, tmp_path / "master.mkv"
    ffmpeg("-i", real_clip, "-an", "-frames:v", 40, *arguments, source)
    with ExhibitReader(source) as reader:
        assert time_base in (None, reader.time_base)
        inside = [frame.timing.seconds for frame in reader.frames()]
        base = reader.time_base
    copy(source, path)
    assert len(inside) > 5
    assert times(path) == times(source)
    with ExhibitReader(path) as reader:
        back = [frame.timing.seconds for frame in reader.frames()]
    assert [round(value / base) * base for value in back] == inside
    assert all(abs(a - b) * 2 * 10**9 <= 1 for a, b in zip(back, inside, strict=True))


def test_a_day_of_ntsc_time_does_not_drift(tmp_path: Path, make_frame: MakeFrame) -> None:
    base = Fraction(1001, 30000)
    ticks = [0, 1, 2, 86_400 * 30, 86_400 * 30 + 1, 40 * 86_400 * 30]
    frames = [make_frame("gray", 64, 64, index=n, pts=tick, time_base=base) for n, tick in enumerate(ticks)]
    write(tmp_path / "master.mkv", frames)
    with ExhibitReader(tmp_path / "master.mkv") as reader:
        back = [round(frame.timing.seconds / base) for frame in reader.frames()]
    assert back == ticks


def test_wall_clock_times_fit(tmp_path: Path, make_frame: MakeFrame) -> None:
    # Some recorders count from 1970; in nanoseconds that still fits 64 bits.
    base = Fraction(1, 90000)
    ticks = [1_700_000_000 * 90_000 + number * 3_600 for number in range(3)]
    frames = [make_frame("gray", 64, 64, index=n, pts=tick, time_base=base) for n, tick in enumerate(ticks)]
    write(tmp_path / "master.mkv", frames)
    stamps = probe_field(tmp_path / "master.mkv", "packet=pts")
    assert [round(int(stamp) * Fraction(1, 10**9) / base) for stamp in stamps] == ticks


def test_negative_start_is_shifted_and_said(tmp_path: Path, make_frame: MakeFrame) -> None:
    frames = [make_frame("gray", 64, 64, index=n, pts=n - 3) for n in range(5)]
    writer = write(tmp_path / "master.mkv", frames)
    assert writer.codec_facts()["pts_offset"] == 3
    assert times(tmp_path / "master.mkv") == [Fraction(n, 25) for n in range(5)]


@pytest.mark.parametrize("full_range", [False, True, None])
@pytest.mark.parametrize("codes", [(1, 1, 1), (6, 6, 6), (5, 5, 6), (9, 9, 14), (2, 2, 2)])
def test_colour_flags_are_carried_and_silence_stays_silence(
    codes: tuple[int, int, int], full_range: bool | None, tmp_path: Path, make_frame: MakeFrame
) -> None:
    colour = ColourSpec(*codes, full_range, "unspecified" if codes[0] == 2 else "left")
    path = tmp_path / "master.mkv"
    write(path, [make_frame("yuv420p", colour=colour)])
    names = {1: "bt709", 2: "unknown", 5: "bt470bg", 6: "smpte170m", 9: "bt2020nc"}
    primaries = {**names, 9: "bt2020"}
    transfers = {1: "bt709", 2: "unknown", 6: "smpte170m", 14: "bt2020-10"}
    ranges = {None: "unknown", False: "tv", True: "pc"}
    entries = "stream=color_range,color_space,color_transfer,color_primaries,chroma_location"
    (line,) = probe_field(path, entries)
    found = line.split(",")
    assert found == [
        ranges[full_range], names[codes[0]], transfers[codes[2]], primaries[codes[1]], colour.chroma_location,
    ]  # fmt: skip
    with ExhibitReader(path) as reader:
        assert reader.colour == colour.for_display(reader.geometry.height)


@pytest.mark.parametrize(
    ("matrix", "full"), [("bt709", "tv"), ("bt709", "pc"), ("smpte170m", "tv"), ("smpte170m", "pc")]
)
def test_golden_colour_from_exhibit_to_master(matrix: str, full: str, tmp_path: Path) -> None:
    source, path = tmp_path / "clip.mp4", tmp_path / "master.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=0.2", "-pix_fmt", "yuv420p", "-c:v", "libx264",
           "-colorspace", matrix, "-color_primaries", matrix, "-color_trc", matrix, "-color_range", full,
           source)  # fmt: skip
    copy(source, path)
    entries = "stream=pix_fmt,color_range,color_space,color_transfer,color_primaries,chroma_location"
    theirs, ours = probe_field(source, entries)[0].split(","), probe_field(path, entries)[0].split(",")
    assert [theirs[0].replace("j", ""), *theirs[1:]] == ours
    assert theirs[1:5] == [full, matrix, matrix, matrix]


@pytest.mark.parametrize("aspect", ["1:1", "16:11", "12:11", "128:117", "64:45", None])
def test_sample_aspect_is_exact(aspect: str | None, tmp_path: Path, make_frame: MakeFrame) -> None:
    ratio = None if aspect is None else Fraction(aspect.replace(":", "/"))
    path = tmp_path / "master.mkv"
    write(path, [make_frame("yuv420p", 176, 144, aspect=ratio)])
    assert probe_field(path, "stream=sample_aspect_ratio") in ([aspect or "N/A"], [aspect or "1:1"])
    with ExhibitReader(path) as reader:
        assert (reader.geometry.sample_aspect or Fraction(1)) == (ratio or 1)


@pytest.mark.parametrize("order", ["progressive", "tt", "bb", "tb", "bt", None])
def test_field_order_is_carried(order: str | None, tmp_path: Path, make_frame: MakeFrame) -> None:
    path = tmp_path / "master.mkv"
    frames = [make_frame("yuv422p", index=n) for n in range(3)]
    write(path, frames, field_order=order)
    assert probe_field(path, "stream=field_order") == [order or "unknown"]
    interlaced = order not in ("progressive", None)
    assert set(probe_field(path, "frame=interlaced_frame")) == {"1" if interlaced else "0"}
    if interlaced:
        assert set(probe_field(path, "frame=top_field_first")) == {"1" if order in ("tt", "tb") else "0"}
    assert strict_framehash(path, "yuv422p") == [frame.sha256 for frame in frames]


def test_bytes_do_not_depend_on_threads_or_on_the_day(tmp_path: Path, street_clip: Path) -> None:
    seen = set()
    for number, threads in enumerate((1, 2, 7, 1)):
        path = tmp_path / f"{number}.mkv"
        with (
            ExhibitReader(street_clip) as reader,
            MasterWriter(path, reader.geometry, reader.colour, reader.time_base, threads=threads) as writer,
        ):
            for frame in reader.frames():
                writer.write(frame)
                if frame.timing.index == 11:
                    break
        seen.add(path.read_bytes())
    assert len(seen) == 1


def test_slices_follow_from_the_picture_alone() -> None:
    sizes = {
        (176, 144): 4,
        (720, 576): 4,
        (1280, 720): 16,
        (1920, 1080): 16,
        (3840, 2160): 24,
        (1, 1): 1,
        (853, 480): 4,
    }
    for (width, height), count in sizes.items():
        assert slice_count(Geometry(width, height, LAYOUTS["yuv420p"])) == count


def test_mediaconch_finds_no_fault(tmp_path: Path, street_clip: Path) -> None:
    path = tmp_path / "master.mkv"
    with (
        ExhibitReader(street_clip) as reader,
        MasterWriter(
            path, reader.geometry, reader.colour, reader.time_base, carry_from=street_clip, tags={"run": "R-1"}
        ) as writer,
    ):
        for frame in reader.frames():
            writer.write(frame)
            if frame.timing.index == 3:
                break
    report = subprocess.run(["mediaconch", "-fa", path], capture_output=True, text=True, check=True).stdout
    assert {int(n) for n in re.findall(r'fail_count="(\d+)"', report)} == {0}
    assert sum(int(n) for n in re.findall(r'<check [^>]*pass_count="(\d+)"', report)) > 10
    summary = subprocess.run(["mediaconch", path], capture_output=True, text=True, check=True).stdout
    assert summary.startswith("pass!")


def test_a_flipped_bit_is_found_by_the_slice_checksum(tmp_path: Path, make_frame: MakeFrame) -> None:
    path = tmp_path / "master.mkv"
    write(path, [make_frame("yuv420p", index=n) for n in range(3)])
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    path.write_bytes(data)
    with ExhibitReader(path) as reader:
        assert len(list(reader.frames())) == 3
        assert reader.anomaly_counts.get("damaged") or reader.anomaly_counts.get("decode-error")
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-err_detect", "crccheck", "-i", path, "-f", "null", "-"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "CRC" in done.stderr or "crc" in done.stderr


def test_sound_is_copied_packet_by_packet(tmp_path: Path) -> None:
    source, path = tmp_path / "clip.mkv", tmp_path / "master.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=2", "-f", "lavfi", "-i", "sine=duration=2",
           "-c:v", "libx264", "-c:a", "pcm_s16le", "-ar", 8000, source)  # fmt: skip
    _, writer = copy(source, path, carry_from=source)
    assert [track["codec"] for track in writer.tracks.carried] == ["pcm_s16le"]
    assert writer.tracks.carried[0]["not_carried_packets"] == {}
    packets = ["packet=pts_time,size,data_hash", "a:0"]
    hashing = ["-show_data_hash", "sha256"]
    both = [
        subprocess.run(
            ["ffprobe", "-v", "error", "-select_streams", packets[1], *hashing, "-show_entries", packets[0],
             "-of", "csv=p=0", file],
            capture_output=True, text=True, check=True,
        ).stdout
        for file in (source, path)
    ]  # fmt: skip
    assert both[0] == both[1] != ""


def test_sound_keeps_its_time_beside_a_clock_that_is_not_milliseconds(tmp_path: Path) -> None:
    source, path = tmp_path / "clip.mp4", tmp_path / "master.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=2", "-f", "lavfi", "-i", "sine=duration=2",
           "-c:v", "libx264", "-bf", 2, "-c:a", "aac", source)  # fmt: skip
    _, writer = copy(source, path, carry_from=source)
    ours = [Fraction(value) for value in probe_field(path, "packet=pts_time", "a:0")]
    theirs = [Fraction(value) for value in probe_field(source, "packet=pts_time", "a:0")]
    early = writer.tracks.carried[0]["not_carried_packets"].get("before time zero, which Matroska cannot hold", 0)
    assert early == sum(value < 0 for value in theirs)
    step = Fraction(writer.codec_facts()["timestamp_scale_ns"], 10**9)
    kept = [value for value in theirs if value >= 0]
    assert len(ours) == len(kept)
    assert max(abs(a - b) for a, b in zip(ours, kept, strict=True)) <= step / 2 + Fraction(1, 10**6)


def test_sound_outside_the_selection_is_counted(tmp_path: Path) -> None:
    source, path = tmp_path / "clip.mkv", tmp_path / "master.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=2", "-f", "lavfi", "-i", "sine=duration=2",
           "-c:v", "libx264", "-c:a", "flac", source)  # fmt: skip
    with (
        ExhibitReader(source) as reader,
        MasterWriter(
            path, reader.geometry, reader.colour, reader.time_base,
            carry_from=source, carry_span=(Fraction(1, 2), Fraction(1)),
        ) as writer,
    ):  # fmt: skip
        for frame in reader.frames():
            if Fraction(1, 2) <= frame.timing.seconds < 1:
                writer.write(frame)
    (track,) = writer.tracks.carried
    total = len(probe_field(source, "packet=pts_time", "a:0"))
    outside = track["not_carried_packets"]["outside the frames of this run"]
    assert 0 < track["packets"] == total - outside
    assert all(Fraction(1, 2) <= Fraction(value) < 1 for value in probe_field(path, "packet=pts_time", "a:0"))


def test_tracks_that_stay_behind_are_named(tmp_path: Path) -> None:
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nCAM 4\n")
    source, path = tmp_path / "clip.mp4", tmp_path / "master.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=1", "-i", words, "-f", "lavfi", "-i",
           "testsrc=size=32x32:duration=1", "-map", "0", "-map", "1", "-map", "2", "-c:s", "mov_text",
           source)  # fmt: skip
    _, writer = copy(source, path, carry_from=source)
    assert writer.tracks.carried == []
    assert [(track["type"], bool(track["reason"])) for track in writer.tracks.not_carried] == [
        ("subtitle", True), ("video", True),
    ]  # fmt: skip


def test_sound_that_matroska_has_no_place_for_is_named(tmp_path: Path) -> None:
    source, path = tmp_path / "clip.mov", tmp_path / "master.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=1", "-f", "lavfi", "-i", "sine=duration=1",
           "-c:v", "libx264", "-c:a", "pcm_mulaw", source)  # fmt: skip
    _, writer = copy(source, path, carry_from=source)
    (track,) = writer.tracks.not_carried
    assert track["codec"] == "pcm_mulaw"
    assert "Matroska cannot hold it" in track["reason"]


def test_generative_frames_cannot_leave_without_the_label(tmp_path: Path, make_frame: MakeFrame) -> None:
    path = tmp_path / "master.mkv"
    frames = [
        make_frame("yuv420p", 128, 96, index=n, stage_class=StageClass.GENERATIVE if n else StageClass.FIDELITY)
        for n in range(2)
    ]
    with MasterWriter(path, frames[0].geometry, frames[0].colour, frames[0].timing.time_base) as writer:
        written = [writer.write(frame) for frame in frames]
    assert written[0].sha256 == frames[0].sha256
    assert written[1].sha256 != frames[1].sha256
    assert strict_framehash(path, "yuv420p") == [frame.sha256 for frame in written]
    (title,) = probe_field(path, "format_tags=title")
    (rank,) = probe_field(path, "format_tags=HIGHEST_STAGE_CLASS")
    assert title.strip() == LABEL
    assert rank.strip() == f"generative: {LABEL}"


def test_only_classed_frames_of_the_right_shape_in_order(tmp_path: Path, make_frame: MakeFrame) -> None:
    frame = make_frame("yuv420p")
    with MasterWriter(tmp_path / "m.mkv", frame.geometry, frame.colour, frame.timing.time_base) as writer:
        for intruder in (frame.planes, frame.to_working(), None):
            with pytest.raises(InternalError) as caught:
                writer.write(intruder)  # type: ignore[arg-type]
            assert caught.value.code == "media.not-a-frame"
        for stranger in (
            make_frame("yuv422p"),
            make_frame("yuv420p", 98),
            make_frame("yuv420p", time_base=Fraction(1)),
        ):
            with pytest.raises(InternalError) as caught:
                writer.write(stranger)
            assert caught.value.code == "media.frame-geometry"
        writer.write(frame)
        with pytest.raises(InternalError) as caught:
            writer.write(frame)
        assert caught.value.code == "media.frame-order"
    assert len(strict_framehash(tmp_path / "m.mkv", "yuv420p")) == 1


def test_full_disk(make_frame: MakeFrame) -> None:
    frames = [make_frame("yuv444p", 640, 480, index=n) for n in range(4)]
    with pytest.raises(StorageFailed) as caught:
        write(Path("/dev/full"), frames)
    assert caught.value.code == "media.disk-full"


def test_folder_that_is_not_there(tmp_path: Path, make_frame: MakeFrame) -> None:
    with pytest.raises(StorageFailed) as caught:
        write(tmp_path / "nowhere" / "m.mkv", [make_frame("gray")])
    assert caught.value.code == "media.write-failed"
