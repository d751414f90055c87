"""What H.264 streams say of their coded pictures is read as another parser reads it, and hostile bytes are refused."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import BadInput
from forensic.media.parametersets import CodedPicture, ParameterSets, parse_sequence_parameter_set
from forensic.media.reader import ExhibitReader
from forensic.media.sandbox.reader import SandboxedReader
from tests.media.conftest import ffmpeg

CUT = "h264_metadata=crop_left=4:crop_right=10:crop_top=8:crop_bottom=12"
_CROPS = tuple(f"frame_crop_{side}_offset" for side in ("left", "right", "top", "bottom"))


def _encoded(clip: Path, target: Path, *options: object) -> Path:
    ffmpeg("-i", clip, "-frames:v", 3, *options, "-bsf:v", CUT, target)
    return target


def _read(path: Path) -> CodedPicture | None:
    """As the reader does: what stands before the packets, then these."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        sets = ParameterSets(stream.codec_context.extradata)
        for packet in container.demux(stream):
            sets.take(bytes(packet))
        return sets.picture


def _traced(path: Path) -> CodedPicture:
    """As FFmpeg's own reader of headers (``trace_headers``) says it, field by field."""
    told = subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "info", "-i", path, "-c", "copy", "-bsf:v", "trace_headers", "-f", "null", "-"],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    fields = {name: int(value) for name, value in re.findall(r"\d+ +(\w+) +[01]+ = (\d+)", told)}
    lines = 2 - fields["frame_mbs_only_flag"]
    chroma = fields.get("chroma_format_idc", 1)
    across, down = 2 if chroma in (1, 2) else 1, (2 if chroma == 1 else 1) * lines
    left, right, top, bottom = (fields[name] for name in _CROPS)
    return CodedPicture(
        16 * (fields["pic_width_in_mbs_minus1"] + 1),
        16 * lines * (fields["pic_height_in_map_units_minus1"] + 1),
        across * left, across * right, down * top, down * bottom,
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        ("-c:v", "libx264"),
        ("-c:v", "libx264", "-profile:v", "baseline"),
        ("-c:v", "libx264", "-x264-params", "tff=1"),
        ("-c:v", "libx264", "-x264-params", "cqm=jvt"),
        ("-c:v", "libx264", "-pix_fmt", "yuv420p10le"),
        ("-c:v", "libx264", "-pix_fmt", "yuv422p"),
        ("-c:v", "libx264", "-pix_fmt", "yuv444p", "-x264-params", "cqm=jvt"),
        ("-c:v", "libx264", "-pix_fmt", "gray"),
    ],
    ids=lambda options: " ".join(options[2:]) or "high",
)
@pytest.mark.parametrize("suffix", ["mp4", "ts", "h264"])
def test_size_and_cropping_are_those_that_another_parser_finds(
    real_clip: Path, tmp_path: Path, options: tuple[str, ...], suffix: str
) -> None:
    path = _encoded(real_clip, tmp_path / f"a.{suffix}", *options)
    found = _read(path)
    assert found is not None and found == _traced(path)
    assert found.width == 176 and min(found.left, found.right, found.top, found.bottom) > 0


def test_a_stream_that_changes_its_mind_about_what_is_cut_off_is_not_believed(real_clip: Path, tmp_path: Path) -> None:
    """One file after the other, of one size: the second begins with a head of its own, that cuts another side."""
    parts = []
    for name, cut in (("a", "crop_top=6"), ("b", "crop_bottom=6")):
        path = tmp_path / f"{name}.flv"
        ffmpeg("-i", real_clip, "-frames:v", 4, "-an", "-c:v", "libx264", "-bf", 0, "-bsf:v",
               f"h264_metadata={cut}", path)  # fmt: skip
        parts.append(path.read_bytes())
    joined = tmp_path / "c.flv"
    joined.write_bytes(parts[0] + parts[1][13:])  # without the second file's header
    for kind in (ExhibitReader, SandboxedReader):
        with kind(joined, coding=True) as reader:
            blocks = [frame.coding and frame.coding.blocks for frame in reader.frames()]
        assert len(blocks) == 8 and blocks[-4:] == [None] * 4
        assert blocks[0] is not None and blocks[0].top == 6


def test_a_picture_is_placed_only_where_the_sizes_bear_it_out() -> None:
    coded = CodedPicture(176, 144, left=70, right=6, top=18, bottom=2)
    assert coded.first_sample(100, 124) == (70, 18)
    assert coded.first_sample(106, 124) == (64, 18), "FFmpeg cuts less off on the left"
    for size in ((99, 124), (171, 124), (100, 123), (100, 125), (500, 124)):
        assert coded.first_sample(*size) is None
    whole = CodedPicture(176, 144, 0, 6, 0, 2)
    assert whole.first_sample(170, 142) == whole.first_sample(168, 136) == (0, 0)
    assert whole.first_sample(177, 142) is None


@pytest.fixture(scope="module")
def units(real_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Sets of real streams, from their header byte on."""
    found = []
    for number, options in enumerate((("-c:v", "libx264"), ("-c:v", "libx264", "-pix_fmt", "yuv444p"))):
        data = _encoded(real_clip, tmp_path_factory.mktemp("sets") / f"{number}.h264", *options).read_bytes()
        start = data.index(b"\x00\x00\x01\x67") + 3
        found.append(data[start : data.index(b"\x00\x00\x01", start)])
    return found


def test_a_set_that_ends_before_its_cropping_is_refused_wherever_it_is_cut(units: list[bytes]) -> None:
    for unit in units:
        whole, refused = parse_sequence_parameter_set(unit), 0
        for length in range(len(unit)):
            try:
                assert parse_sequence_parameter_set(unit[:length]) == whole
            except BadInput as error:
                assert error.code == "media.parameter-set"
                refused += 1
        assert refused > 8


@given(data=st.data())
def test_hostile_sets_are_refused_or_read(units: list[bytes], data: st.DataObject) -> None:
    unit = bytearray(data.draw(st.sampled_from(units)))
    for _ in range(data.draw(st.integers(1, 4))):
        unit[data.draw(st.integers(0, len(unit) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = parse_sequence_parameter_set(bytes(unit))
    except BadInput as error:
        assert error.code == "media.parameter-set"
    else:
        assert 0 < found.width <= 1 << 16 and 0 <= found.left + found.right < found.width
        assert 0 < found.height <= 1 << 17 and 0 <= found.top + found.bottom < found.height


@given(st.one_of(st.none(), st.binary(max_size=60)), st.lists(st.binary(max_size=80), max_size=4))
def test_hostile_packets_tell_nothing_and_raise_nothing(head: bytes | None, packets: list[bytes]) -> None:
    sets = ParameterSets(head)
    for packet in packets:
        sets.take(packet)
        sets.take(b"\x00\x00\x01\x67" + packet)
    assert sets.picture is None or sets.picture.width > 0


def test_a_flood_of_sets_ends_the_reading(units: list[bytes]) -> None:
    sets = ParameterSets(b"\x00\x00\x01" + units[0])
    assert sets.picture is not None
    sets.take(b"".join(b"\x00\x00\x01" + units[0] + number.to_bytes(2, "big") + b"\x80" for number in range(1, 5000)))
    assert sets.picture is None
