"""Quantisers are read back exactly as they were set, whatever the bytes say nothing crashes, nothing is invented."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from forensic.errors import BadInput
from forensic.frames.frame import BlockQuantisers
from forensic.media.quantisers import FrameCoding, parse_encoding_parameters, parse_jpeg_tables
from forensic.media.reader import ExhibitReader
from forensic.media.sandbox.facts import coding_of
from forensic.media.sandbox.framing import Breach
from forensic.media.sandbox.reader import SandboxedReader
from tests.media.conftest import ffmpeg, probe_field

_HEADER = struct.Struct("@INNii8i")
_X264 = ("-c:v", "libx264", "-bf", 2, "-x264-params", "ipratio=1:pbratio=1:aq-mode=0:mbtree=0:qp=")


def _codings(path: Path, reader: type = ExhibitReader) -> list[FrameCoding]:
    with reader(path, coding=True) as opened:
        found = []
        for _ in opened.frames():
            assert opened.coding is not None
            found.append(opened.coding)
        return found


def _encoded(clip: Path, target: Path, *options: object, frames: int = 10) -> Path:
    ffmpeg("-i", clip, "-frames:v", frames, *options, target)
    return target


@pytest.mark.parametrize("qp", [8, 23, 31, 44])
def test_a_fixed_h264_quantiser_reads_back_exactly(real_clip: Path, tmp_path: Path, qp: int) -> None:
    path = _encoded(real_clip, tmp_path / "a.mp4", *_X264[:-1], _X264[-1] + str(qp))
    codings = _codings(path)
    assert [coding.scale for coding in codings] == ["h264"] * 10
    assert {value for coding in codings for value, _ in coding.counts} == {qp}
    assert {sum(pixels for _, pixels in coding.counts) for coding in codings} == {176 * 144}
    assert [coding.picture_type for coding in codings] == probe_field(path, "frame=pict_type")


def test_blocks_of_a_picture_that_was_coded_unevenly_lie_where_they_were(real_clip: Path, tmp_path: Path) -> None:
    finer = ("-vf", "addroi=0:0:96:144:-0.3", "-c:v", "libx264", "-crf", 28)
    coding = _codings(_encoded(real_clip, tmp_path / "a.mkv", *finer, frames=1), SandboxedReader)[0]
    blocks = coding.blocks
    assert blocks is not None and coding.mean == pytest.approx(blocks.mean(176, 144))
    left, right = blocks.mean(96, 144), blocks.moved(96, 0).mean(80, 144)
    assert left is not None and right is not None and right > left + 2
    assert blocks.mean(177, 144) is None and blocks.moved(100, 0).mean(80, 144) is None


@pytest.mark.parametrize(
    ("codec", "suffix"), [("mpeg4", "avi"), ("mpeg2video", "mkv"), ("msmpeg4", "avi"), ("h263", "avi")]
)
def test_a_fixed_mpeg_quantiser_reads_back_as_twice_the_encoders_setting(
    real_clip: Path, tmp_path: Path, codec: str, suffix: str
) -> None:
    path = _encoded(real_clip, tmp_path / f"a.{suffix}", "-c:v", codec, "-qscale:v", 7)
    codings = _codings(path)
    # FFmpeg's MPEG-2 decoder says nothing about the picture that it gives out last, when it is drained.
    known = codings[:-1] if codec == "mpeg2video" else codings
    assert {coding.scale for coding in known} == {"mpeg"}
    assert {value for coding in known for value, _ in coding.counts} == {14}


def test_ten_bit_h264_has_the_same_scale(real_clip: Path, tmp_path: Path) -> None:
    path = _encoded(real_clip, tmp_path / "a.mkv", "-pix_fmt", "yuv420p10le", *_X264[:-1], _X264[-1] + "30")
    assert {coding.mean for coding in _codings(path)} == {30.0}


def test_motion_jpeg_gives_the_tables_that_another_reader_finds(real_clip: Path, tmp_path: Path) -> None:
    path = _encoded(real_clip, tmp_path / "a.avi", "-c:v", "mjpeg", "-qscale:v", 6, frames=3)
    still = _encoded(real_clip, tmp_path / "a.jpg", "-c:v", "mjpeg", "-qscale:v", 6, frames=1)
    with Image.open(still) as picture:
        expected = {tuple(table) for table in picture.quantization.values()}  # type: ignore[attr-defined]
    for coding in _codings(path):
        assert coding.scale == "jpeg" and set(coding.tables) <= expected


@pytest.mark.parametrize("quality", [10, 50, 75, 95])
def test_jpeg_tables_are_in_the_order_of_the_standard(quality: int) -> None:
    target = io.BytesIO()
    Image.effect_noise((64, 48), 40).convert("RGB").save(target, "JPEG", quality=quality)
    with Image.open(io.BytesIO(target.getvalue())) as picture:
        expected = [tuple(table) for table in picture.quantization.values()]  # type: ignore[attr-defined]
    assert list(parse_jpeg_tables(target.getvalue())) == expected


def _without_slices(clip: Path, folder: Path, frame: int, *lost: int) -> Path:
    """``clip`` in H.264 with eight slices a picture, some of one picture cut out."""
    stream = _encoded(clip, folder / "a.h264", "-bf", 0, "-c:v", "libx264", "-crf", 26, "-x264-params", "slices=8")
    data = stream.read_bytes()
    starts = [match.start() for match in re.finditer(b"\x00\x00\x01", data)]
    kept, picture, slice_ = [data[: starts[0]]], -1, 0
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        unit = data[start:end]
        if unit[3] & 31 in (1, 5):
            first = bool(unit[4] & 0x80)  # first_mb_in_slice is 0
            picture, slice_ = picture + first, 0 if first else slice_ + 1
            if picture == frame and slice_ in lost:
                continue
        kept.append(unit)
    broken = folder / "broken.h264"
    broken.write_bytes(b"".join(kept))
    ffmpeg("-r", 25, "-i", broken, "-c", "copy", folder / "broken.mkv")
    return folder / "broken.mkv"


def test_a_damaged_frame_and_those_predicted_from_it_say_so(real_clip: Path, tmp_path: Path) -> None:
    """What the decoder tells of quantisers there is of blocks that never came."""
    broken = _without_slices(real_clip, tmp_path, 5, 3, 4)
    for kind in (ExhibitReader, SandboxedReader):
        with kind(broken, coding=True) as reader:
            told = [frame.coding.fault for frame in reader.frames() if frame.coding is not None]
        assert told[:5] == [None] * 5 and told[5] is not None and "damage" in told[5]
        assert all(one is not None and "damage" in one for one in told[6:])


def test_interlaced_pictures_say_so(real_clip: Path, tmp_path: Path) -> None:
    path = _encoded(real_clip, tmp_path / "a.mkv", "-c:v", "libx264", "-x264-params", "tff=1", frames=3)
    for kind in (ExhibitReader, SandboxedReader):
        with kind(path, coding=True) as reader:
            assert {frame.coding and frame.coding.fault for frame in reader.frames()} == {"the picture is interlaced"}


def _unevenly_coded(clip: Path, folder: Path, *more: object) -> Path:
    finer = ("-vf", "addroi=0:0:96:80:-0.3", "-c:v", "libx264", "-crf", 28)
    return _encoded(clip, folder / "whole.mkv", *finer, *more, frames=3)


def _cut(whole: Path, *sides: str) -> Path:
    """``whole`` with its stream told to show less of what is coded: not a sample is coded anew."""
    cut = whole.with_name(f"cut{len(list(whole.parent.iterdir()))}.mkv")
    ffmpeg("-i", whole, "-c", "copy", "-bsf:v", "h264_metadata=" + ":".join(sides), cut)
    return cut


def _shown(path: Path) -> list[tuple[np.ndarray, BlockQuantisers | None]]:
    with ExhibitReader(path, coding=True) as reader:
        return [(frame.planes[0], frame.coding and frame.coding.blocks) for frame in reader.frames()]


@pytest.mark.parametrize(
    "sides",
    [
        ("crop_top=6",), ("crop_top=2", "crop_bottom=4"), ("crop_top=14", "crop_left=4"), ("crop_left=64",),
        ("crop_left=70", "crop_top=18", "crop_right=6"), ("crop_left=6", "crop_right=10"), ("crop_bottom=30",),
    ],
    ids=",".join,
)  # fmt: skip
def test_blocks_lie_where_they_were_coded_whatever_the_stream_cuts_off(
    real_clip: Path, tmp_path: Path, sides: tuple[str, ...]
) -> None:
    """Where the picture lies is looked for in the whole one. FFmpeg cuts less off the left side than it is told."""
    whole = _unevenly_coded(real_clip, tmp_path)
    for (full, grid), (part, blocks) in zip(_shown(whole), _shown(_cut(whole, *sides)), strict=True):
        rows, columns = part.shape
        (found,) = [
            (left, top)
            for top in range(full.shape[0] - rows + 1)
            for left in range(full.shape[1] - columns + 1)
            if np.array_equal(full[top : top + rows, left : left + columns], part)
        ]
        assert grid is not None and blocks is not None
        for x, y in ((0, 0), (24, 40), (37, 51), (columns - 9, rows - 7)):
            assert blocks.moved(x, y).mean(9, 7) == grid.moved(found[0] + x, found[1] + y).mean(9, 7)


def test_h265_says_that_nothing_is_exported(real_clip: Path, tmp_path: Path) -> None:
    path = _encoded(real_clip, tmp_path / "a.mp4", "-c:v", "libx265", "-x265-params", "qp=30:log-level=0", frames=4)
    for coding in _codings(path):
        assert coding.scale is None and coding.mean is None and "gives no quantisers" in str(coding.why_not)


@pytest.mark.parametrize(
    "options",
    [
        (*_X264[:-1], _X264[-1] + "27"),
        ("-c:v", "libx264", "-bsf:v", "h264_metadata=crop_top=6"),
        ("-c:v", "mjpeg"),
        ("-c:v", "ffv1"),
    ],
)
def test_the_confined_decoder_says_the_same(real_clip: Path, tmp_path: Path, options: tuple[object, ...]) -> None:
    path = _encoded(real_clip, tmp_path / "a.mkv", *options, frames=5)
    assert _codings(path, SandboxedReader) == _codings(path)


def test_asking_changes_neither_the_frames_nor_what_is_said_of_the_file(real_clip: Path) -> None:
    def read(coding: bool) -> tuple[list[str], object, object]:
        with ExhibitReader(real_clip, coding=coding) as reader:
            return [frame.sha256 for frame in reader.frames()], reader.statistics, reader.anomaly_counts

    assert read(True) == read(False)


def test_a_reader_that_is_not_asked_says_nothing(real_clip: Path) -> None:
    for kind in (ExhibitReader, SandboxedReader):
        with kind(real_clip) as reader:
            next(iter(reader.frames()))
            assert reader.coding is None


def _parameters(count: int, offset: int, size: int, kind: int, base: int, body: bytes) -> bytes:
    return _HEADER.pack(count, offset, size, kind, base, *[0] * 8) + body


def test_blocks_that_are_larger_than_ours_are_read_by_their_stated_size() -> None:
    body = b"".join(struct.pack("=5i", 16 * n, 0, 16, 16, n) + b"\xff" * 4 for n in range(3))
    parsed = parse_encoding_parameters(_parameters(3, _HEADER.size + 8, 24, 1, 20, b"\0" * 8 + body))
    assert parsed.quantisers.tolist() == [20, 21, 22] and parsed.pixels.tolist() == [256] * 3


@given(
    st.integers(0, 1 << 32 - 1), st.integers(0, 1 << 63), st.integers(0, 1 << 63), st.integers(-2, 5),
    st.integers(-(1 << 31), (1 << 31) - 1), st.binary(max_size=400),
)  # fmt: skip
def test_hostile_headers_are_refused_or_read_never_crash(
    count: int, offset: int, size: int, kind: int, base: int, body: bytes
) -> None:
    data = _parameters(count & 0xFFFFFFFF, offset, size, kind, base, body)
    try:
        parsed = parse_encoding_parameters(data)
    except BadInput as error:
        assert error.code == "media.quantisers"
    else:
        assert parsed.quantisers.size == parsed.pixels.size == max(count & 0xFFFFFFFF, 1)


@given(st.integers(0, 4), st.integers(0, 3), st.binary(max_size=200), st.integers(0, 200))
def test_plausible_headers_with_arbitrary_blocks(count: int, kind: int, body: bytes, cut: int) -> None:
    data = _parameters(count, _HEADER.size, 20, kind, 26, body)
    try:
        parsed = parse_encoding_parameters(data[: _HEADER.size + cut])
    except BadInput as error:
        assert error.code == "media.quantisers"
    else:
        assert parsed.quantisers.min() >= -48 and parsed.quantisers.max() <= 255


@given(st.binary(max_size=300), st.integers(0, 600), st.integers(0, 255))
def test_hostile_jpeg_headers_are_refused_or_read(noise: bytes, place: int, value: int) -> None:
    target = io.BytesIO()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(target, "JPEG", quality=70)
    whole = bytearray(target.getvalue())
    whole[place % len(whole)] = value
    for data in (bytes(whole), bytes(whole[: place % len(whole)]), b"\xff\xd8" + noise):
        try:
            tables = parse_jpeg_tables(data)
        except BadInput as error:
            assert error.code == "media.quantisers"
        else:
            assert all(len(table) == 64 and min(table) > 0 for table in tables)


def test_codings_cross_the_pipe_unchanged() -> None:
    for coding in (
        FrameCoding("P", "h264", ((20, 256), (31, 512))),
        FrameCoding("I", "jpeg", tables=(tuple(range(1, 65)),)),
        FrameCoding("B", why_not="no word"),
        FrameCoding("P", "h264", ((20, 512),), blocks=BlockQuantisers(2, b"\x14\x14", 17, 6), size=70, interlaced=True),
    ):
        assert coding_of(coding.to_record()) == coding


GRID = {"columns": 1, "values": "FBQU", "left": 0, "top": 0}  # three blocks, one below the other


def test_blocks_as_the_parent_expects_them_are_taken() -> None:
    honest = FrameCoding("P", "h264", ((20, 256),)).to_record()
    assert coding_of(honest | {"blocks": GRID | {"left": 15, "top": 47}}).blocks == BlockQuantisers(
        1, b"\x14\x14\x14", 15, 47
    )


@pytest.mark.parametrize(
    "change",
    [
        {"picture_type": "X"}, {"scale": "h266"}, {"scale": None}, {"counts": [[20, -1]]}, {"counts": [[20.0, 1]]},
        {"counts": [[1]]}, {"counts": [[300, 1]]}, {"counts": []}, {"tables": [[0] * 64]}, {"tables": [[1] * 64]},
        {"tables": None}, {"why_not": "also"}, {"why_not": "\x1b[31m"}, {"more": 1},
        {"blocks": GRID | {"columns": 2}}, {"blocks": GRID | {"columns": 0}}, {"blocks": GRID | {"side": 8}},
        {"blocks": GRID | {"values": "not base64"}}, {"blocks": GRID | {"values": ""}}, {"blocks": GRID | {"left": 16}},
        {"blocks": GRID | {"left": -1}}, {"blocks": GRID | {"top": 48}}, {"blocks": GRID | {"top": None}},
        {"blocks": {"columns": 1, "values": "FBQU"}}, {"blocks": ["FBQU"]},
        {"interlaced": None}, {"size": -1},
    ],
)  # fmt: skip
def test_a_lie_about_quantisers_is_a_breach(change: dict[str, object]) -> None:
    honest = FrameCoding("P", "h264", ((20, 256),)).to_record()
    with pytest.raises(Breach):
        coding_of(honest | change)
