"""Whatever is given: a clean refusal by a stable code, or a reading with findings. Never a traceback."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import BadInput
from forensic.media.probe import probe
from forensic.media.scan import scan
from forensic.media.visible import visible
from tests.media.conftest import ffmpeg


def code_of(path: Path, folder: Path) -> str | None:
    try:
        scan(path, folder / "frames.jsonl")
    except BadInput as error:
        assert error.message
        return error.code
    return None


def png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def bmp(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 1 << 20, 0, 0, 54) + info + b"\0" * 4096


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "media.empty"),
        (b"\0", "media.unreadable"),
        (bytes((i * 7919) % 251 for i in range(100_000)), "media.unreadable"),
        (b"just some text, saved as a video\n" * 100, "media.unreadable"),
        (b"\x1b[2J\x1b[31mANSI art\x1b[0m\r\n" * 200, None),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n", "media.names-other-files"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "media.names-other-files"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n", None),
        (b"1\n00:00:00,000 --> 00:00:01,000\nhello\n", "media.no-video"),
        (png(2_000_000_000, 2_000_000_000), None),
        (png(60_000, 60_000), "media.too-large"),
        (png(16_385, 16), "media.too-large"),
        (bmp(50_000, 50_000), "media.too-large"),
    ],
)  # fmt: skip
def test_content(content: bytes, code: str | None, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    found = code_of(path, tmp_path)
    assert found is not None and found.startswith("media.")
    assert code is None or found == code


def test_sound_alone_is_no_exhibit(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.3", path)
    assert code_of(path, tmp_path) == "media.no-video"


def test_sound_with_a_cover_picture_is_no_exhibit(tmp_path: Path) -> None:
    cover, path = tmp_path / "cover.png", tmp_path / "clip.m4a"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=32x32", "-frames:v", 1, cover)
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.3", "-i", cover, "-map", 0, "-map", 1, "-c:v", "png",
           "-disposition:v:0", "attached_pic", path)  # fmt: skip
    assert code_of(path, tmp_path) == "media.no-video"


def test_not_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe, Path("/dev/zero"), tmp_path / "missing.mp4", tmp_path / ("x" * 300), Path("a\0b")):
        assert code_of(path, tmp_path) == "media.unreadable"


@pytest.mark.parametrize(
    "name", ["clip.txt", "clip.png", "clip", "frame%03d.png", "-", "concat:a|b", "http:x.mp4", "\udcff.mp4"]
)
def test_the_name_of_a_file_means_nothing(name: str, tmp_path: Path, real_clip: Path) -> None:
    path = tmp_path / name
    path.write_bytes(real_clip.read_bytes())
    assert scan(path, tmp_path / "frames.jsonl").frame_count == 120


def test_headers_without_content(tmp_path: Path, street_clip: Path) -> None:
    for share in (12, 48, 400, 3000):
        path = tmp_path / "clip.mp4"
        path.write_bytes(street_clip.read_bytes()[:share])
        assert code_of(path, tmp_path) in ("media.unreadable", "media.no-video", "media.no-picture")


def test_tags_cannot_act_on_a_terminal(tmp_path: Path, real_clip: Path) -> None:
    path = tmp_path / "clip.mkv"
    ffmpeg(
        "-i",
        real_clip,
        "-c",
        "copy",
        "-metadata",
        "title=\x1b]0;owned\x07\u202etxt",
        "-metadata",
        "x=" + "y" * 9000,
        path,
    )
    record = str(probe(path).to_record())
    assert "\x1b" not in record and "\u202e" not in record
    assert "\\x1b]0;owned\\x07\\u202etxt" in probe(path).tags["title"]
    assert "9000 characters in all" in record


@given(st.text())
def test_visible_text_has_no_invisible_characters(text: str) -> None:
    import unicodedata

    shown = visible(text)
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in shown)


@settings(max_examples=60)
@given(data=st.data())
def test_mangled_movies_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, real_clip: Path
) -> None:
    folder = tmp_path_factory.mktemp("mangled")
    content = bytearray(real_clip.read_bytes()[:60_000])
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=30)
    ):
        content[place] = value
    index = content.find(b"moov")
    if index > 0 and data.draw(st.booleans()):
        place = data.draw(st.integers(index, min(index + 2000, len(content) - 1)))
        content[place] ^= data.draw(st.integers(1, 255))
    path = folder / "clip.mp4"
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    code = code_of(path, folder)
    assert code is None or code.startswith("media.")


@settings(max_examples=40)
@given(data=st.data())
def test_mangled_streams_are_read_or_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("mangled")
    whole = _stream(tmp_path_factory)
    content = bytearray(whole)
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=40)
    ):
        content[place] = value
    path = folder / "clip.ts"
    path.write_bytes(bytes(content))
    code = code_of(path, folder)
    assert code is None or code.startswith("media.")


_cache: list[bytes] = []


def _stream(factory: pytest.TempPathFactory) -> bytes:
    if not _cache:
        path = factory.mktemp("stream") / "clip.ts"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=1", "-c:v", "mpeg2video", path)
        _cache.append(path.read_bytes())
    return _cache[0]
