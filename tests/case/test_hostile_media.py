"""Files that are not what they claim: a clean refusal, on the record, and the ledger stays valid."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from tests.case.conftest import forensic


def _huge_png(path: Path) -> None:
    header = struct.pack(">IIBBBBB", 2_000_000_000, 2_000_000_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND")))


def _make(kind: str, folder: Path, clip: Path) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "zero-byte":
        path.write_bytes(b"")
    elif kind == "garbage":
        path.write_bytes(bytes((i * 7919) % 251 for i in range(100_000)))
    elif kind == "text":
        path.write_text("this is not a video\n" * 50)
    elif kind == "header-only":
        path.write_bytes(clip.read_bytes()[:48])
    elif kind == "huge-dimensions":
        path = folder / "huge.png"
        _huge_png(path)
    elif kind == "sound-only":
        path = folder / "sound.wav"
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=0.2", path], check=True)
    return path


@pytest.mark.parametrize("kind", ["zero-byte", "garbage", "text", "header-only", "huge-dimensions", "sound-only"])
def test_unusable_file_is_refused_and_recorded(kind: str, tmp_path: Path, real_clip: Path) -> None:
    path = _make(kind, tmp_path, real_clip)
    done = forensic("enhance", path, "-w", tmp_path / "ws", "--quiet")
    assert done.code == 4, (done.code, done.err)
    assert done.out == ""
    log = forensic("log", "-w", tmp_path / "ws", "--json").json
    assert log[-1]["name"] == "acquisition.failed"
    assert log[-1]["data"]["code"].startswith("media.")
    assert forensic("verify", tmp_path / "ws").code == 0
    assert list((tmp_path / "ws" / "exhibits").iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "missing", "fifo", "unreadable-device"])
def test_not_a_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "unreadable-device":
        path = Path("/dev/zero")
    done = forensic("acquire", path, "--case", "C", "--exhibit", "X", "-w", tmp_path / "ws")
    assert done.code == 4, done.err
    assert forensic("verify", tmp_path / "ws").code == 0


def test_wrong_extension_is_read_for_what_it_is(tmp_path: Path, real_clip: Path) -> None:
    disguised = tmp_path / "holiday.txt"
    disguised.write_bytes(real_clip.read_bytes())
    done = forensic("acquire", disguised, "--case", "C", "--exhibit", "X", "-w", tmp_path / "ws", "--json")
    assert done.code == 0, done.err
    assert done.json["frames"]["count"] == 120


def test_truncated_clip_is_enhanced_as_far_as_it_goes_and_the_loss_is_reported(
    tmp_path: Path, street_clip: Path
) -> None:
    # A transport stream, as recorders write them, can be cut anywhere.
    stream = tmp_path / "whole.ts"
    subprocess.run(["ffmpeg", "-v", "error", "-i", street_clip, "-c", "copy", "-an", stream], check=True)
    cut = tmp_path / "cut.ts"
    cut.write_bytes(stream.read_bytes()[: stream.stat().st_size * 2 // 3 + 100])
    done = forensic("enhance", cut, "-w", tmp_path / "ws", "--recipe", "plain-lanczos", "--quiet", "--json")
    assert done.code == 0, done.err
    assert 0 < done.json["frames"]["count"] < 250
    assert forensic("verify", done.json["folder"]).code == 0


def test_damage_in_the_middle_is_located_and_decoding_goes_on(tmp_path: Path, street_clip: Path) -> None:
    data = bytearray(street_clip.read_bytes())
    start = len(data) // 2
    data[start : start + 3000] = bytes((i * 31) % 256 for i in range(3000))
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    done = forensic("acquire", damaged, "--case", "C", "--exhibit", "X", "-w", tmp_path / "ws", "--json")
    assert done.code == 0, done.err
    counts = done.json["anomaly_counts"]
    assert sum(counts.values()) > 0, counts
    assert done.json["frames"]["count"] > 200


def test_hostile_names_do_not_reach_the_terminal_or_break_the_report(tmp_path: Path, real_clip: Path) -> None:
    name = "\x1b[31mred\x1b]0;owned\x07 \u202egpj.exe 監視カメラ كاميرا " + "x" * 120 + ".mp4"
    clip = tmp_path / name
    clip.write_bytes(real_clip.read_bytes())
    done = forensic("enhance", clip, "-w", tmp_path / "ws", "--frames", "0:2", "--recipe", "plain-lanczos")
    assert done.code == 0, done.err
    for stream in (done.out, done.err, forensic("log", "-w", tmp_path / "ws").out):
        assert "\x1b" not in stream
        assert "\u202e" not in stream
    assert forensic("verify", done.last_line).code == 0


def test_images_are_exhibits_too(tmp_path: Path, real_clip: Path) -> None:
    for kind in ("png", "jpg", "tif", "bmp"):
        picture = tmp_path / f"still.{kind}"
        subprocess.run(["ffmpeg", "-v", "error", "-i", real_clip, "-frames:v", "1", picture], check=True)
        done = forensic("enhance", picture, "-w", tmp_path / "ws", "--quiet", "--json")
        assert done.code == 0, (kind, done.err)
        assert done.json["frames"]["count"] == 1
        assert forensic("verify", done.json["folder"]).code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--frames", "5:5"], 2), (["--frames", "0:100000"], 2), (["--frames", "x"], 2), (["--roi", "0,0,9999,10"], 4),
        (["--roi", "1,2"], 2), (["--stills", "4000"], 2), (["--recipe", "no-such-recipe"], 4), (["--scale", "99"], 2),
        (["--policy", "no-such-policy"], 3), (["--mode", "creative"], 3), (["--workers", "0"], 2),
    ],
)  # fmt: skip
def test_requests_that_cannot_work_are_refused(
    arguments: list[str], code: int, tmp_path: Path, real_clip: Path
) -> None:
    done = forensic("enhance", real_clip, "-w", tmp_path / "ws", "--quiet", *arguments)
    if arguments == ["--mode", "creative"]:
        code = 0  # nothing generative in the recipe: mode alone changes no pixel
    assert done.code == code, done.err
    if code:
        assert done.out == ""
        assert not list((tmp_path / "ws" / "runs").glob("*")) if (tmp_path / "ws").exists() else True


def test_garbage_recipe_is_refused(tmp_path: Path, real_clip: Path) -> None:
    for number, text in enumerate((b"\xff\xfe\x00", b"name = ", b"[[stage]]\n" * 500, b"name='x'\ntitle=1")):
        recipe = tmp_path / f"r{number}.toml"
        recipe.write_bytes(text)
        done = forensic("enhance", real_clip, "-w", tmp_path / "ws", "--recipe", recipe)
        assert done.code == 4, done.err
    log = forensic("log", "-w", tmp_path / "ws", "--json").json
    assert [entry["name"] for entry in log].count("run.refused") == 4
