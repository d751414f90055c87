"""Sequence parameter sets of H.264: how large a picture is coded, and how much of it a stream says to cut off.

FFmpeg cuts a decoded picture (ITU-T H.264, clause 7.4.2.1.1, ``frame_cropping_flag``), though less off its left side
where samples would lose their alignment in memory, and says nowhere by how much. What a decoder tells of the coded
picture's blocks can be placed on the picture only by who reads these sets too.

FFmpeg also follows sets where none belong, and reads some in more than one way. Such a stream is not read here: of a
stream that says anything but one thing, or is not in order, nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from forensic.errors import BadInput

_SEQUENCE = 7  # nal_unit_type
_LONGEST = 4096  # bytes that are read of one: far more than its fields can take
_MOST_SETS = 64  # different ones that are read of a stream: it has a few
_START = b"\x00\x00\x01"
_NEVER_INSIDE = re.compile(b"\x00\x00[\x01\x02]")  # of a unit (clause 7.4.1): FFmpeg ends it there and looks for more
_ESCAPED = b"\x00\x00\x03"  # the last byte only keeps start codes out of a unit
_MACROBLOCK = 16
_MOST_MACROBLOCKS = 1 << 12  # along a side
# Profiles whose sets go on with the chroma format (clause 7.3.2.1.1).
_HIGH = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 138, 244})
# Those of which the Recommendation says so and FFmpeg does not, and the other way round (144).
_DISPUTED = frozenset({134, 135, 139, 144})
_SUBSAMPLING = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}  # SubWidthC, SubHeightC; crop units of a grey picture


@dataclass(frozen=True)
class CodedPicture:
    """``width`` x ``height`` luma samples, whole macroblocks; and how many of them are to be cut off on every side."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def first_sample(self, width: int, height: int) -> tuple[int, int] | None:
        """Where in it (x, y) a picture of ``width`` x ``height`` begins that FFmpeg has given out of it.

        On the right, at the top and at the bottom FFmpeg cuts off what was said, on the left no more than that. Where
        nothing is cut off on the left and at the top, it may cut to the size that the container states instead. None
        where the sizes do not bear that out.
        """
        if self.left == self.top == 0:
            return (0, 0) if width <= self.width and height <= self.height else None
        left, top = self.width - self.right - width, self.height - self.bottom - height
        return (left, top) if 0 <= left <= self.left and top == self.top else None


class ParameterSets:
    """The sets of one stream, as far as it has been read: in front of it, and among its packets."""

    def __init__(self, head: bytes | None) -> None:
        """``head``: what the container gives the decoder beforehand (an ``avcC`` box, or a stream), if anything."""
        self._seen: set[bytes] = set()
        self._found: set[CodedPicture] = set()
        self._readable = True
        self._length: int | None = None  # bytes of the length before a unit; 0: units stand between start codes
        self.announce(head)

    @property
    def picture(self) -> CodedPicture | None:
        """What all sets so far say; None if there are none, they differ, or one could not be read."""
        return next(iter(self._found)) if self._readable and len(self._found) == 1 else None

    def announce(self, head: bytes | None) -> None:
        """Take ``head`` as at the beginning; a container may replace it on the way."""
        if not head:
            return
        framed = head[0] == 1
        if framed and len(head) < 7:
            self._readable = False
            return
        length = (head[4] & 3) + 1 if framed else 0
        if self._length not in (None, length):  # FFmpeg may stay with the former one
            self._readable = False
        self._length = length
        self._take(_listed(head) if framed else _between_start_codes(head))

    def take(self, packet: bytes) -> None:
        """Take a packet, before the decoder does."""
        if not self._readable:
            return
        if self._length is None:
            self._length = 0
        if self._length and _may_be_no_units(packet, self._length):
            self._readable = False
            return
        self._take(_with_lengths(packet, self._length) if self._length else _between_start_codes(packet))

    def _take(self, units: Iterator[bytes]) -> None:
        try:
            for whole in units:
                unit = whole[:_LONGEST]
                if unit in self._seen:
                    continue
                if len(self._seen) == _MOST_SETS:
                    raise _malformed("there are too many")
                self._seen.add(unit)
                self._found.add(parse_sequence_parameter_set(unit))
        except BadInput:
            self._readable = False


def parse_sequence_parameter_set(unit: bytes) -> CodedPicture:
    """Size and cropping of the coded pictures of a sequence. ``unit``: one NAL unit, from its header on.

    Raises ``BadInput`` (``media.parameter-set``) for what is no such set, ends before the cropping, has a field out
    of range, or would be read otherwise by FFmpeg, which takes a set that it cannot use for one whose bytes were never
    escaped.
    """
    unit = unit[:_LONGEST]
    if _NEVER_INSIDE.search(unit):
        raise _malformed("it holds a start code")
    plain = unit.replace(_ESCAPED, _ESCAPED[:2])
    found = _parsed(plain)
    if plain != unit and _parsed(unit) != found:
        raise _malformed("it can be read in two ways")
    return found


def _parsed(plain: bytes) -> CodedPicture:
    bits = _Bits(plain)
    if bits.take(8) & 0x9F != _SEQUENCE:
        raise _malformed("it is of another kind")
    profile = bits.take(8)
    if profile in _DISPUTED:
        raise _malformed("its profile is read in two ways")
    bits.take(16)  # constraints, level
    bits.count(31)  # its number
    chroma = 1
    if profile in _HIGH:
        chroma = bits.count(3)
        if chroma == 3 and bits.take(1):
            raise _malformed("its colour planes are coded apart")
        bits.count(6)  # depth of luma
        bits.count(6)  # and of chroma
        bits.take(1)
        if bits.take(1):
            _skip_scaling(bits, 12 if chroma == 3 else 8)
    bits.count(12)  # bits of the frame number
    order = bits.count(2)
    if order == 0:
        bits.count(12)
    elif order == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(bits.count(255)):
            bits.signed()
    bits.count(16)  # reference frames
    bits.take(1)
    columns, rows = bits.count(_MOST_MACROBLOCKS - 1) + 1, bits.count(_MOST_MACROBLOCKS - 1) + 1
    fields = 2 - bits.take(1)
    if fields == 2:
        bits.take(1)
    bits.take(1)
    width, height = _MACROBLOCK * columns, _MACROBLOCK * rows * fields
    left = right = top = bottom = 0
    if bits.take(1):
        across, down = _SUBSAMPLING[chroma]
        left, right = (across * bits.count(width) for _ in range(2))
        top, bottom = (down * fields * bits.count(height) for _ in range(2))
    if left + right >= width or top + bottom >= height:
        raise _malformed("nothing is left of the picture")
    return CodedPicture(width, height, left, right, top, bottom)


def _skip_scaling(bits: _Bits, lists: int) -> None:
    for number in range(lists):
        if not bits.take(1):
            continue
        last = following = 8
        for _ in range(16 if number < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last


class _Bits:
    """Bits of a NAL unit, most significant first."""

    def __init__(self, plain: bytes) -> None:
        self._left = 8 * len(plain)
        self._value = int.from_bytes(plain, "big")

    def take(self, count: int) -> int:
        """The next ``count`` bits as a number."""
        if count > self._left:
            raise _malformed("it ends too early")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def count(self, most: int) -> int:
        """The next ue(v) (clause 9.1), at most ``most``."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise _malformed("a number is too large")
        value = (1 << zeros) - 1 + self.take(zeros)
        if value > most:
            raise _malformed("a field is out of range")
        return value

    def signed(self) -> int:
        """The next se(v)."""
        value = self.count((1 << 32) - 2)
        return (value + 1) // 2 if value % 2 else -(value // 2)


def _may_be_no_units(packet: bytes, length: int) -> bool:
    """Whether FFmpeg may take ``packet`` for something else than units with their length before each: units between
    start codes, to which it then keeps, or an ``avcC`` box.
    """
    if length == 4 and packet.startswith(b"\x00" + _START):
        return True
    return len(packet) > 8 and packet[0] == 1 and packet[2] == 0 and packet[4] & 0xFC == 0xFC


def _between_start_codes(data: bytes) -> Iterator[bytes]:
    """Sequence parameter sets among units that stand between start codes."""
    for start in re.finditer(_START, data):
        first = start.end()
        if first < len(data) and data[first] & 0x9F == _SEQUENCE:
            end = data.find(_START, first)
            yield data[first : len(data) if end < 0 else end].rstrip(b"\x00")


def _with_lengths(data: bytes, length: int) -> Iterator[bytes]:
    """Sequence parameter sets among units with their length, of ``length`` bytes, before each."""
    place = 0
    while place < len(data):
        first = place + length
        place = first + int.from_bytes(data[place:first], "big")
        if first > len(data) or place > len(data):
            raise _malformed("a unit runs past the end of its packet")
        if _NEVER_INSIDE.search(data, first, place):
            raise _malformed("a unit holds a start code")
        if first < place and data[first] & 0x9F == _SEQUENCE:
            yield data[first:place].rstrip(b"\x00")


def _listed(box: bytes) -> Iterator[bytes]:
    """Sequence parameter sets of an ``avcC`` box (ISO/IEC 14496-15, clause 5.3.3.1), in either of its lists: FFmpeg
    looks for them in that of the picture parameter sets too.
    """
    place = 5
    for mask in (0x1F, 0xFF):
        count = box[place] & mask if place < len(box) else 0
        place += 1
        for _ in range(count):
            first = place + 2
            place = first + int.from_bytes(box[place:first], "big")
            if place > len(box) or first >= place:
                raise _malformed("a set runs past the end of its list")
            if _NEVER_INSIDE.search(box, first, place):
                raise _malformed("a set holds a start code")
            if box[first] & 0x9F == _SEQUENCE:
                yield box[first:place].rstrip(b"\x00")


def _malformed(what: str) -> BadInput:
    return BadInput("media.parameter-set", f"A sequence parameter set cannot be used: {what}.")
