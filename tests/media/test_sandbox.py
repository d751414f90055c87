"""The confined decoder gives what the decoder gives, says what confines it, and is not believed blindly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from forensic.errors import BadInput, InternalError
from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json
from forensic.media.anomaly import KINDS
from forensic.media.probe import probe
from forensic.media.reader import ExhibitReader
from forensic.media.sandbox import seccomp
from forensic.media.sandbox.process import Limits, isolation_here
from forensic.media.sandbox.reader import SandboxedReader, probe_sandboxed
from forensic.media.writer import MasterWriter
from tests.attacks.decoders.lying import LIES
from tests.media.conftest import ffmpeg, framehash

_ROOT = Path(__file__).resolve().parents[2]
_KINDS_OF_FILE = ["mp4", "avi", "mkv", "ts", "h264", "mjpeg", "jpg", "png", "gif", "tif", "bmp", "webp", "y10", "rgb"]


def _make(kind: str, folder: Path, clip: Path) -> Path:
    path = folder / f"clip.{kind}"
    some = ("-i", clip, "-frames:v", 12)
    if kind in ("jpg", "png", "tif", "bmp", "webp"):
        ffmpeg("-i", clip, "-frames:v", 1, path)
    elif kind == "gif":
        ffmpeg(*some, path)
    elif kind in ("mp4", "h264"):
        ffmpeg(*some, "-c:v", "libx264", "-bf", 2, path)
    elif kind == "mjpeg":
        path = path.with_suffix(".avi")
        ffmpeg(*some, "-c:v", "mjpeg", path)
    elif kind == "ts":
        ffmpeg(*some, "-c:v", "mpeg2video", path)
    elif kind == "y10":
        path = path.with_suffix(".mkv")
        ffmpeg(*some, "-c:v", "ffv1", "-pix_fmt", "yuv422p10le", path)
    elif kind == "rgb":
        path = path.with_suffix(".mov")
        ffmpeg(*some, "-c:v", "png", "-pix_fmt", "rgb48be", path)
    else:
        ffmpeg(*some, "-c:v", "mpeg4", path)
    return path


def _damaged(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 3, len(data) - 200, max(1, len(data) // 7)):
        data[place : place + 40] = bytes(40)
    worse = path.with_name("damaged-" + path.name)
    worse.write_bytes(data)
    return worse


def _compare(path: Path) -> int:
    """Frames, flags, findings, facts and statistics of both ways of reading; the number of frames."""
    try:
        with ExhibitReader(path) as plain:
            expected = [
                (f.sha256, f.timing, plain.flags, plain.anomaly_counts, plain.statistics) for f in plain.frames()
            ]
    except BadInput as refusal:
        with pytest.raises(BadInput) as caught, SandboxedReader(path):
            pass
        assert (caught.value.code, caught.value.message) == (refusal.code, refusal.message)
        return 0
    with SandboxedReader(path) as confined:
        found = [
            (f.sha256, f.timing, confined.flags, confined.anomaly_counts, confined.statistics)
            for f in confined.frames()
        ]
    assert found == expected
    assert confined.facts.to_record() == plain.facts.to_record()
    assert confined.facts.conversion is plain.facts.conversion
    assert confined.anomalies == plain.anomalies
    assert confined.anomaly_counts == plain.anomaly_counts
    assert confined.statistics == plain.statistics
    assert confined.cadence == plain.cadence
    return len(found)


@pytest.mark.parametrize("kind", _KINDS_OF_FILE)
def test_same_result_as_in_one_process(kind: str, tmp_path: Path, real_clip: Path) -> None:
    path = _make(kind, tmp_path, real_clip)
    assert _compare(path) == (1 if kind in ("jpg", "png", "tif", "bmp", "webp") else 12)
    _compare(_damaged(path))


def test_same_result_on_the_laboratory_clips(cctv_clips: list[Path], street_clip: Path, real_clip: Path) -> None:
    for path in [street_clip, real_clip, *sorted(cctv_clips, key=lambda clip: clip.stat().st_size)[:2]]:
        assert _compare(path) > 0


def test_frames_are_those_of_ffmpeg(real_clip: Path) -> None:
    with SandboxedReader(real_clip) as reader:
        assert [frame.sha256 for frame in reader.frames()] == framehash(real_clip, "yuv420p")


def test_probe_is_the_same(street_clip: Path) -> None:
    assert probe_sandboxed(street_clip).to_record() == probe(street_clip).to_record()


def test_the_class_given_is_the_class_of_every_frame(real_clip: Path) -> None:
    with SandboxedReader(real_clip, StageClass.GENERATIVE) as reader:
        assert {frame.stage_class for frame in reader.frames()} == {StageClass.GENERATIVE}


def test_findings_stand_as_they_were_at_the_frame_given_out(tmp_path: Path, real_clip: Path) -> None:
    """Decoding ahead does not show: stopping early leaves the counts of a reader that does not run ahead."""
    path = _damaged(_make("avi", tmp_path, real_clip))
    with ExhibitReader(path) as plain, SandboxedReader(path) as confined:
        one, other = plain.frames(), confined.frames()
        for _ in range(3):
            next(one), next(other)
            assert (plain.anomaly_counts, plain.statistics) == (confined.anomaly_counts, confined.statistics)


def test_is_walked_once(real_clip: Path) -> None:
    with SandboxedReader(real_clip) as reader:
        next(reader.frames())
        with pytest.raises(InternalError) as caught:
            next(reader.frames())
    assert caught.value.code == "media.read-twice"


def test_no_child_and_no_thread_is_left(real_clip: Path) -> None:
    before = threading.active_count()
    with SandboxedReader(real_clip) as reader:
        child = reader._process._child
        frames = reader.frames()
        next(frames)
    assert child.returncode is not None
    assert threading.active_count() == before


def test_child_ends_with_its_parent(real_clip: Path) -> None:
    if not isolation_here()["ends_with_parent"]:
        return  # said so in the record, as docs/media.md promises
    program = (
        "import os, signal, sys, time\nfrom pathlib import Path\n"
        "from forensic.media.sandbox.process import DecoderProcess\n"
        "process = DecoderProcess(Path(sys.argv[1]), 'frames', module='tests.attacks.decoders.hanging').__enter__()\n"
        "print(process._child.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, real_clip],
        capture_output=True, text=True, check=False, cwd=_ROOT, env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )  # fmt: skip
    child = int(done.stdout)
    for _ in range(100):
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        threading.Event().wait(0.05)
    pytest.fail("the decoder outlived its parent")


def test_what_confines_the_decoder_is_told_and_true(real_clip: Path) -> None:
    with SandboxedReader(real_clip) as reader:
        told = reader.isolation
        status = Path(f"/proc/{reader._process._child.pid}/status")
        if sys.platform == "linux":
            fields = dict(re.findall(r"^(\w+):\s*(.*)$", status.read_text(), re.M))
            assert fields["NoNewPrivs"] == "1"
            assert (fields["Seccomp"] == "2") == (told["network"] == "blocked")
    canonical_json(told)
    assert told["process"] == "separate"
    assert told["limits"]["written_file_bytes"] == 0
    assert told["limits"]["core_bytes"] == 0
    assert told["limits"]["address_space_bytes"] == Limits().memory_for(176 * 144 * 3 // 2)


def test_memory_grows_with_the_picture() -> None:
    limits = Limits()
    assert limits.memory_for(0) == limits.memory
    assert limits.memory_for(3840 * 2160 * 3) > limits.memory_for(1920 * 1080 * 3 // 2)


@pytest.mark.parametrize("lie", LIES)
def test_what_the_child_says_is_checked(lie: str, tmp_path: Path, real_clip: Path) -> None:
    path = tmp_path / f"{lie}.mp4"
    path.write_bytes(real_clip.read_bytes())
    with (
        pytest.raises(BadInput) as caught,
        SandboxedReader(path, limits=Limits(silent_s=20), module="tests.attacks.decoders.lying") as reader,
    ):
        for _ in reader.frames():
            pass
    assert caught.value.code == "media.decoder-breach", caught.value


def test_numbers_of_system_calls_are_those_of_the_kernel_headers() -> None:
    """Where the C library's headers are installed, compare; the numbers never change."""
    known = {**seccomp.ALLOWED, "clone": seccomp.CLONE, "mmap": seccomp.MMAP, "mprotect": seccomp.MPROTECT,
             "tgkill": seccomp.TGKILL, "seccomp": (317, 277), "clone3": (435, 435)}  # fmt: skip
    for column, path in enumerate(
        (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h"))
    ):
        text = path.read_text() if path.exists() else ""
        listed = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
        for name, numbers in known.items():
            if text and numbers[column] is not None:
                assert listed[name] == str(numbers[column]), (name, path)
    dangerous = {"socket", "connect", "openat", "execve", "ptrace", "prctl", "setrlimit", "prlimit64", "kill", "fork"}
    assert not dangerous & known.keys()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filter_is_a_valid_program(machine: str) -> None:
    """Every jump lands inside, forwards, and every path ends in a return (seccomp_filter.rst)."""
    import struct

    code = seccomp.program(machine, 4711)
    steps = list(struct.iter_unpack("=HBBI", code))
    assert len(code) == 8 * len(steps) < 8 * 4096
    for place, (operation, true, false, _) in enumerate(steps):
        if operation & 7 == 5:  # a jump
            assert place + 1 + max(true, false) < len(steps)
        if place == len(steps) - 1:
            assert operation == 6
    assert _run(steps, {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine], {"x86_64": 0, "aarch64": 63}[machine])
    assert not _run(steps, 0x40000003, 0)  # a 32-bit call
    assert not _run(steps, {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine], 9999)


def _run(steps: list[tuple[int, int, int, int]], audit: int, number: int) -> bool:
    """Interpret the filter for a call without arguments; whether it is allowed."""
    at, value = 0, 0
    while True:
        operation, true, false, operand = steps[at]
        at += 1
        if operation == 0x20:
            value = {0: number, 4: audit}.get(operand, 0)
        elif operation == 6:
            return operand == 0x7FFF0000
        else:
            held = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[operation]
            at += true if held else false


def test_sound_goes_through_a_confined_process_unchanged(tmp_path: Path, real_clip: Path) -> None:
    """AAC from MP4 and, in ADTS frames, from a transport stream; MP3; subtitles. ffmpeg finds the same packets."""
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    tone = ("-f", "lavfi", "-i", "sine=duration=1")
    for name, arguments in {
        "aac.mp4": (*tone, "-c:a", "aac"),
        "aac.ts": (*tone, "-c:a", "aac"),
        "mp3.avi": (*tone, "-c:a", "libmp3lame"),
        "flac.mkv": (*tone, "-c:a", "flac"),
        "text.mkv": ("-i", words, "-c:s", "srt"),
    }.items():
        source, master = tmp_path / name, tmp_path / f"{name}.master.mkv"
        ffmpeg("-i", real_clip, *arguments, "-c:v", "copy", "-shortest", source)
        with (
            SandboxedReader(source) as reader,
            MasterWriter(master, reader.geometry, reader.colour, reader.time_base, carry_from=source) as writer,
        ):
            for frame in reader.frames():
                writer.write(frame)
        (carried,) = writer.tracks.carried
        kind = "s" if "text" in name else "a"
        before = _packets(source, kind, *(("-bsf:a", "aac_adtstoasc") if name == "aac.ts" else ()))
        after = _packets(master, kind)
        assert carried["packets"] > 0
        assert after == before[len(before) - len(after) :]
        assert len(before) - len(after) == sum(carried["not_carried_packets"].values())


def _packets(path: Path, kind: str, *filtered: str) -> list[str]:
    """SHA-256 of every packet as the ffmpeg command line has them."""
    text = ffmpeg("-i", path, "-map", f"0:{kind}", "-c", "copy", *filtered, "-f", "framehash", "-hash", "sha256", "-")
    return [line.split(",")[5].strip() for line in text.splitlines() if not line.startswith("#")]


def test_kinds_of_findings_are_documented() -> None:
    text = (_ROOT / "docs" / "media.md").read_text("utf-8")
    table = text[text.index("| kind | meaning |") :]
    named = set(re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", table[: table.index("\n\n")], re.M))
    assert {word for line in named for word in re.findall(r"`([a-z-]+)`", line)} == KINDS
