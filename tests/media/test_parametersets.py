"""What H.264 streams say of their coded pictures is read as another parser reads it, and hostile bytes are refused."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
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


# --- sets that FFmpeg obeys where a reader in good faith would not look ------------------------------------------


@dataclass(frozen=True)
class Stream:
    """Every frame coded by itself; ``head``: an ``avcC`` box, its lengths of four bytes."""

    head: bytes
    packets: tuple[bytes, ...]

    @property
    def sets(self) -> tuple[bytes, bytes]:
        """Sequence and picture parameter set."""
        length = int.from_bytes(self.head[6:8], "big")
        return self.head[8 : 8 + length], self.head[8 + length + 3 :][: int.from_bytes(self.head[9 + length :][:2])]

    def shown(self) -> list[np.ndarray]:
        """As FFmpeg decodes it."""
        context = av.CodecContext.create("h264", "r")
        context.extradata = self.head
        context.options, context.thread_count = {"flags": "output_corrupt"}, 1
        frames = []
        for data in (*self.packets, None):
            try:
                frames += context.decode(None if data is None else av.Packet(data))
            except (av.error.InvalidDataError, av.error.EOFError):
                continue
        return [frame.to_ndarray(format="gray") for frame in frames]

    def told(self) -> CodedPicture | None:
        sets = ParameterSets(self.head)
        for packet in self.packets:
            sets.take(packet)
        return sets.picture


def _sized(unit: bytes, length: int = 4) -> bytes:
    return len(unit).to_bytes(length, "big") + unit


def _box(sequence: list[bytes], picture: list[bytes], length: int) -> bytes:
    listed = [b"".join(_sized(unit, 2) for unit in units) for units in (sequence, picture)]
    start = b"\x01" + sequence[0][1:4] + bytes((0xFC | length - 1, 0xE0 | len(sequence)))
    return start + listed[0] + bytes((len(picture),)) + listed[1]


@pytest.fixture(scope="module")
def cut_above_and_below(real_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stream, Stream]:
    """The same pictures, of which one stream cuts off eight rows at the top, the other one at the bottom."""
    made = []
    for side in ("top", "bottom"):
        path = tmp_path_factory.mktemp("cut") / f"{side}.mp4"
        ffmpeg("-i", real_clip, "-frames:v", 4, "-an", "-c:v", "libx264", "-g", 1, "-pix_fmt", "yuv420p",
               "-bsf:v", f"h264_metadata=crop_{side}=8", path)  # fmt: skip
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            packets = tuple(bytes(packet) for packet in container.demux(stream) if packet.size)
            made.append(Stream(bytes(stream.codec_context.extradata), packets))
    return made[0], made[1]


def _with_two_bytes(stream: Stream) -> Stream:
    packets = []
    for packet in stream.packets:
        place, units = 0, b""
        while place < len(packet):
            first = place + 4
            place = first + int.from_bytes(packet[place:first], "big")
            units += _sized(packet[first:place], 2)
        packets.append(units)
    return Stream(_box([stream.sets[0]], [stream.sets[1]], 2), tuple(packets))


def _inside_a_unit(one: Stream, other: Stream) -> Stream:
    sequence, picture = other.sets
    hidden = _sized(b"\x0c\xff\x80\x00\x00\x01" + sequence + b"\x00\x00\x01" + picture)
    return Stream(one.head, (hidden + one.packets[0], *one.packets[1:]))


def _behind_a_unit_of_one_byte(one: Stream, other: Stream) -> Stream:
    """Its length reads like a start code."""
    units = _sized(b"\x0c") + b"".join(map(_sized, other.sets))
    return Stream(one.head, (units + one.packets[0], *one.packets[1:]))


def _in_the_list_of_the_others(one: Stream, other: Stream) -> Stream:
    return Stream(_box([one.sets[0]], [*other.sets], 4), one.packets)


def _inside_a_listed_one(one: Stream, other: Stream) -> Stream:
    hidden = one.sets[0] + b"\x00\x00\x01" + other.sets[0]
    return Stream(_box([hidden], [one.sets[1]], 4), one.packets)


def _in_a_packet_that_is_a_box(one: Stream, other: Stream) -> Stream:
    """Read by its lengths, it is one unit of no known kind."""
    short = _with_two_bytes(one)
    box = bytearray(_box([other.sets[0]], [other.sets[1]], 2))
    box[2] = 0
    box += bytes((0x80,)) * (2 + int.from_bytes(box[:2], "big") - len(box))
    return Stream(short.head, (bytes(box), *short.packets))


def _between_start_codes_behind_refuse(one: Stream, other: Stream) -> Stream:
    head = b"".join(b"\x00\x00\x01" + unit for unit in one.sets)
    mark = b"\x00\x00\x00\x01"
    units = [mark.join((b"\x07\x67", *other.sets, b""))]
    for packet in one.packets:
        place, found = 0, b""
        while place < len(packet):
            first = place + 4
            place = first + int.from_bytes(packet[place:first], "big")
            found += mark + packet[first:place]
        units.append(found)
    return Stream(head, (units[0] + units[1], *units[2:]))


@pytest.mark.parametrize(
    "attack",
    [
        _inside_a_unit,
        _behind_a_unit_of_one_byte,
        _in_the_list_of_the_others,
        _inside_a_listed_one,
        _in_a_packet_that_is_a_box,
        _between_start_codes_behind_refuse,
    ],
)
def test_a_set_that_ffmpeg_obeys_wherever_it_is_hidden_ends_what_is_told(
    cut_above_and_below: tuple[Stream, Stream], attack: Callable[[Stream, Stream], Stream]
) -> None:
    one, other = cut_above_and_below
    assert one.told() is not None and (one.told().top, one.told().bottom) == (8, 0)
    assert other.told() is not None and (other.told().top, other.told().bottom) == (0, 8)
    assert _with_two_bytes(one).told() == one.told()
    hidden = attack(one, other)
    shown = hidden.shown()
    assert len(shown) == 4 and np.array_equal(shown[0], other.shown()[0]), "or FFmpeg would not have obeyed it"
    assert not np.array_equal(shown[0], one.shown()[0])
    assert hidden.told() is None


def test_lengths_that_look_like_start_codes_are_no_reason_to_doubt(cut_above_and_below: tuple[Stream, Stream]) -> None:
    """A unit of 0x167 bytes begins with 00 00 01 67."""
    one, _ = cut_above_and_below
    plain = Stream(one.head, (_sized(b"\x0c" + b"\xff" * 0x165 + b"\x80") + one.packets[0], *one.packets[1:]))
    assert plain.told() == one.told() is not None
    assert np.array_equal(plain.shown()[0], one.shown()[0])


def test_a_head_that_changes_how_units_are_framed_ends_what_is_told(cut_above_and_below: tuple[Stream, Stream]) -> None:
    one, _ = cut_above_and_below
    for heads in ((one.head, b"\x00\x00\x01" + one.sets[0]), (one.head, _with_two_bytes(one).head)):
        for order in (heads, heads[::-1]):
            sets = ParameterSets(order[0])
            assert sets.picture is not None
            sets.announce(order[0])
            assert sets.picture is not None
            sets.announce(order[1])
            assert sets.picture is None


@pytest.mark.parametrize("profile", [134, 135, 139, 144])
def test_a_profile_that_ffmpeg_reads_otherwise_is_refused(units: list[bytes], profile: int) -> None:
    with pytest.raises(BadInput) as refusal:
        parse_sequence_parameter_set(units[0][:1] + bytes((profile,)) + units[0][2:])
    assert refusal.value.code == "media.parameter-set"


def _baseline(offset: int) -> bytes:
    """A set of 176x144 that counts pictures by given offsets, escaped where it needs to be."""

    def count(value: int) -> str:
        return "0" * ((value + 1).bit_length() - 1) + format(value + 1, "b")

    bits = f"{0x67:08b}{66:08b}{0:08b}{30:08b}" + count(0) + count(0) + count(1) + "0" + count(offset) + count(0)
    bits += count(0) + count(1) + "0" + count(10) + count(8) + "11" + "1" + count(0) * 2 + count(4) + count(0) + "01"
    bits += "0" * (-len(bits) % 8)
    plain = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", plain)


def test_a_set_that_reads_otherwise_without_its_escapes_is_refused() -> None:
    """FFmpeg falls back on the bytes as they stand, where it finds a fault behind the cropping."""
    assert parse_sequence_parameter_set(_baseline(6)) == CodedPicture(176, 144, 0, 0, 8, 0)
    escaped = _baseline((1 << 25) + 5)
    assert b"\x00\x00\x03" in escaped
    with pytest.raises(BadInput) as refusal:
        parse_sequence_parameter_set(escaped)
    assert "two ways" in refusal.value.message


def test_what_is_remembered_of_sets_does_not_grow_with_their_packets(units: list[bytes]) -> None:
    sets = ParameterSets(None)
    sets.take(b"\x00\x00\x01" + units[0] + b"\x80" * (1 << 20))
    sets.take(b"\x00\x00\x01" + units[0] + b"\x80" * (1 << 21))
    assert sets.picture is not None
    assert sum(map(len, sets._seen)) <= 4096
