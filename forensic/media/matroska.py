"""Exact time in Matroska (RFC 9559), which FFmpeg's muxer by itself rounds to milliseconds.

The muxer always works in units of 1/1000 s and writes TimestampScale 1 000 000 ns. It is given ticks
of our own scale S as if they were milliseconds; once the file is complete, :func:`finish` writes S into
TimestampScale and repairs what was expressed in the wrong unit (the DURATION tags), the element checksums
included. Everything is patched in place and keeps its length.

S is the source tick in nanoseconds where that is a whole number (then every PTS is exact), else 1 ns
(then every PTS is rounded to the nearest nanosecond, never drifts, and rounding to the source time base
gives it back).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from forensic.errors import BadInput, InternalError

NANOSECONDS = 10**9
LARGEST_SCALE = 0xFFFFFF  # the muxer leaves three bytes for TimestampScale

EBML_HEADER = 0x1A45DFA3
SEGMENT = 0x18538067
INFO = 0x1549A966
TRACKS = 0x1654AE6B
TAGS = 0x1254C367
CLUSTER = 0x1F43B675
TIMESTAMP_SCALE = 0x2AD7B1
TITLE = 0x7BA9
CRC32 = 0xBF
VOID = 0xEC
TRACK_ENTRY = 0xAE
NAME = 0x536E
VIDEO = 0xE0
DISPLAY_WIDTH = 0x54B0
DISPLAY_HEIGHT = 0x54BA
DISPLAY_UNIT = 0x54B2
TAG = 0x7373
SIMPLE_TAG = 0x67C8
TAG_NAME = 0x45A3
TAG_STRING = 0x4487

_HEADER_LIMIT = 1 << 26  # bytes of metadata that are read into memory at most


@dataclass(frozen=True)
class TimeScale:
    """Unit of time of a file: ``scale`` nanoseconds a tick; ``exact`` if source ticks fit it wholly."""

    time_base: Fraction
    scale: int
    exact: bool

    @classmethod
    def of(cls, time_base: Fraction) -> TimeScale:
        """Choose the unit for a source ``time_base`` (seconds per tick)."""
        tick = time_base * NANOSECONDS
        if tick.denominator != 1:
            return cls(time_base, 1, False)
        whole = tick.numerator
        if whole <= LARGEST_SCALE:
            return cls(time_base, whole, True)
        smallest = -(-whole // LARGEST_SCALE)
        parts = next((parts for parts in range(smallest, smallest + 4096) if whole % parts == 0), whole)
        return cls(time_base, whole // parts, True)

    def ticks(self, pts: int, time_base: Fraction | None = None) -> int:
        """``pts`` (in ``time_base``, default the source's) in units of ``scale`` ns, to the nearest, half to even."""
        return round(pts * (time_base or self.time_base) * NANOSECONDS / self.scale)


@dataclass(frozen=True)
class Element:
    """An EBML element: where it starts, where its data starts and how many bytes of data it has."""

    id: int
    start: int
    data: int
    size: int

    @property
    def end(self) -> int:
        """Offset just after the element."""
        return self.data + self.size


def _damaged(what: str) -> BadInput:
    return BadInput("matroska.invalid", f"Not the Matroska structure that was expected: {what}.")


def _number(buffer: bytes | bytearray, at: int, keep_marker: bool) -> tuple[int, int]:
    """Variable-length integer at ``at`` (RFC 8794, section 4): value and length in bytes."""
    if at >= len(buffer) or buffer[at] == 0:
        raise _damaged(f"no number at byte {at}")
    length = 9 - buffer[at].bit_length()
    if at + length > len(buffer) or (keep_marker and length > 4):
        raise _damaged(f"a number is cut off or too long at byte {at}")
    value = int.from_bytes(buffer[at : at + length], "big")
    if not keep_marker:
        value &= (1 << (7 * length)) - 1
        if value == (1 << (7 * length)) - 1:
            raise _damaged(f"an element of unknown size at byte {at}")
    return value, length


def children(buffer: bytes | bytearray, start: int, end: int) -> Iterator[Element]:
    """Elements that fill ``buffer[start:end]`` exactly. Raises ``BadInput`` (``matroska.invalid``)."""
    at = start
    while at < end:
        identity, id_length = _number(buffer, at, True)
        size, size_length = _number(buffer, at + id_length, False)
        element = Element(identity, at, at + id_length + size_length, size)
        if element.end > end:
            raise _damaged(f"element {identity:#x} reaches beyond its parent")
        yield element
        at = element.end


def top_level(stream: BinaryIO, before_clusters: bool = False) -> Iterator[Element]:
    """Top-level elements of the first segment of a file (with ``before_clusters``, up to the first cluster)."""

    def header(at: int) -> Element:
        stream.seek(at)
        head = stream.read(12)
        identity, id_length = _number(head, 0, True)
        size, size_length = _number(head, id_length, False)
        return Element(identity, at, at + id_length + size_length, size)

    ebml = header(0)
    if ebml.id != EBML_HEADER:
        raise _damaged("no EBML header")
    segment = header(ebml.end)
    if segment.id != SEGMENT:
        raise _damaged("no segment")
    at = segment.data
    while at < segment.end:
        element = header(at)
        if element.end > segment.end:
            raise _damaged(f"element {element.id:#x} reaches beyond the segment")
        if before_clusters and element.id == CLUSTER:
            return
        yield element
        at = element.end


def _read(stream: BinaryIO, element: Element) -> bytearray:
    if element.size > _HEADER_LIMIT:
        raise _damaged(f"element {element.id:#x} has {element.size} bytes")
    stream.seek(element.start)
    return bytearray(stream.read(element.end - element.start))


def _seal(buffer: bytearray) -> None:
    """Recompute the CRC-32 element (RFC 8794, 11.3.1) that opens a top-level element, if it has one."""
    root = next(children(buffer, 0, len(buffer)))
    first = next(children(buffer, root.data, root.end), None)
    if first is not None and first.id == CRC32:
        buffer[first.data : first.end] = zlib.crc32(buffer[first.end : root.end]).to_bytes(4, "little")


def _write_back(stream: BinaryIO, element: Element, buffer: bytearray) -> None:
    if len(buffer) != element.end - element.start:
        raise InternalError("matroska.patch", "A patched element changed its length.")
    _seal(buffer)
    stream.seek(element.start)
    stream.write(buffer)


def _fit(text: str, size: int) -> bytes:
    """``text`` in UTF-8, padded with spaces to ``size`` bytes."""
    encoded = text.encode("utf-8")
    if len(encoded) > size:
        raise InternalError("matroska.patch", f"{len(encoded)} bytes of text do not fit into {size}.")
    return encoded.ljust(size, b" ")


def _patch_info(buffer: bytearray, scale: int, title: str) -> None:
    root = next(children(buffer, 0, len(buffer)))
    seen = 0
    for child in children(buffer, root.data, root.end):
        if child.id == TIMESTAMP_SCALE:
            if child.size != 3:
                raise _damaged("TimestampScale does not have three bytes")
            buffer[child.data : child.end] = scale.to_bytes(3, "big")
            seen += 1
        elif child.id == TITLE:
            buffer[child.data : child.end] = _fit(title, child.size)
    if seen != 1:
        raise _damaged(f"{seen} TimestampScale elements")


def _duration(stated: bytes, scale: int) -> bytes:
    """A DURATION tag in pretended milliseconds (HH:MM:SS.nnnnnnnnn) as one in real time, same length.

    The field has 20 bytes; a duration that does not fit with its milliseconds is left blank.
    """
    hours, minutes, seconds = stated.rstrip(b"\0 ").decode("ascii").split(":")
    if len(seconds.partition(".")[2]) < 3:
        return bytes(len(stated))
    nanoseconds = ((int(hours) * 60 + int(minutes)) * 60_000 + round(Fraction(seconds) * 1000)) * scale
    whole, fraction = divmod(nanoseconds, NANOSECONDS)
    clock = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{fraction:09d}".encode()
    return clock[: len(stated)].ljust(len(stated), b"\0")


def _patch_tags(buffer: bytearray, scale: int, texts: dict[str, str]) -> None:
    """Express DURATION tags in real time and set the reserved tags named in ``texts``."""
    root = next(children(buffer, 0, len(buffer)))
    for tag in children(buffer, root.data, root.end):
        if tag.id != TAG:
            continue
        for simple in children(buffer, tag.data, tag.end):
            if simple.id != SIMPLE_TAG:
                continue
            fields = {child.id: child for child in children(buffer, simple.data, simple.end)}
            if TAG_NAME not in fields or TAG_STRING not in fields:
                continue
            value = fields[TAG_STRING]
            name = bytes(buffer[fields[TAG_NAME].data : fields[TAG_NAME].end]).decode("utf-8", "replace")
            if name == "DURATION":
                buffer[value.data : value.end] = _duration(bytes(buffer[value.data : value.end]), scale)
            elif name in texts:
                buffer[value.data : value.end] = _fit(texts[name], value.size)


def _encode(identity: int, payload: bytes) -> bytes:
    """An element with the shortest size field."""
    length = 1
    while len(payload) >= (1 << (7 * length)) - 1:
        length += 1
    size = (len(payload) | 1 << (7 * length)).to_bytes(length, "big")
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big") + size + payload


def _void(size: int) -> bytes:
    """A Void element of ``size`` bytes in all (none for 0; 1 byte cannot be had)."""
    if size == 0:
        return b""
    if size < 2:
        raise InternalError("matroska.patch", "No Void element has one byte.")
    if size < 10:
        return bytes([VOID, 0x80 | (size - 2)]) + bytes(size - 2)
    return bytes([VOID, 0x01]) + (size - 9).to_bytes(7, "big") + bytes(size - 9)


def _patch_track(buffer: bytearray, width: int, height: int, aspect: Fraction | None) -> None:
    """Trade the placeholder track name of the video track for the exact display aspect (DisplayUnit 3)."""
    root = next(children(buffer, 0, len(buffer)))
    for entry in children(buffer, root.data, root.end):
        if entry.id != TRACK_ENTRY:
            continue
        parts = list(children(buffer, entry.data, entry.end))
        video = next((part for part in parts if part.id == VIDEO), None)
        name = next((part for part in parts if part.id == NAME), None)
        if video is None or name is None or bytes(buffer[name.data : name.end]) != PLACEHOLDER_NAME.encode():
            continue
        inside = b"".join(
            bytes(buffer[child.start : child.end])
            for child in children(buffer, video.data, video.end)
            if child.id not in (DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT, VOID)
        )
        if aspect is not None:
            display = Fraction(width, height) * aspect
            for identity, value in (
                (DISPLAY_WIDTH, display.numerator), (DISPLAY_HEIGHT, display.denominator), (DISPLAY_UNIT, 3),
            ):  # fmt: skip
                inside += _encode(identity, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))
        kept = [
            _encode(VIDEO, inside) if part is video else bytes(buffer[part.start : part.end])
            for part in parts
            if part is not name
        ]
        room = entry.size - sum(map(len, kept))
        buffer[entry.data : entry.end] = b"".join(kept) + _void(room)
        return
    raise _damaged("no video track with the reserved name")


PLACEHOLDER_NAME = "reserved" * 8


def finish(
    stream: BinaryIO,
    scale: int,
    *,
    title: str,
    texts: dict[str, str],
    width: int,
    height: int,
    aspect: Fraction | None,
) -> None:
    """Turn a file written in pretended milliseconds into one in units of ``scale`` ns (see the module).

    ``title`` and ``texts`` (tag name to text) fill strings that were reserved with spaces; ``aspect`` is
    the sample aspect ratio of the ``width`` x ``height`` picture. ``stream`` must be readable, writable
    and seekable. Raises ``BadInput`` (``matroska.invalid``) if the structure is not the muxer's.
    """
    found = set()
    for element in list(top_level(stream, before_clusters=True)):
        if element.id not in (INFO, TRACKS, TAGS):
            continue
        buffer = _read(stream, element)
        if element.id == INFO:
            _patch_info(buffer, scale, title)
        elif element.id == TRACKS:
            _patch_track(buffer, width, height, aspect)
        else:
            _patch_tags(buffer, scale, texts)
        _write_back(stream, element, buffer)
        found.add(element.id)
    if found != {INFO, TRACKS, TAGS}:
        raise _damaged("Info, Tracks and Tags do not stand before the first cluster")
