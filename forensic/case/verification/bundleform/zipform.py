"""The zip form of a bundle: one archive for one content (APPNOTE.TXT 6.3.10, sections 4.3 and 4.4).

Files are stored, not compressed: what is large in a bundle is compressed already, and a compressed stream
has many forms, depending on the library. So no byte of the archive is free: order, times, modes and extra
fields follow from the names and contents, a reader can rebuild every header, and there is nothing to inflate.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_VERSION, _VERSION_64, _UNIX = 10, 45, 3
_DATE = 0x0021  # 1 January 1980, the first that the format has
MODE = 0o100644
_MARK_16, MARK_32 = 0xFFFF, 0xFFFFFFFF
WIDE_FROM = MARK_32  # sizes and places from here on stand in ZIP64 fields; tests lower it
LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
END = struct.Struct("<4s4H2IH")
LOCAL_SIGN, CENTRAL_SIGN, END_SIGN = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
END_64_SIGN, LOCATOR_SIGN = b"PK\x06\x06", b"PK\x06\x07"
END_64_LENGTH = _END_64.size + _LOCATOR.size


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the archive. ``name`` is ASCII; ``offset`` is where its local header begins."""

    name: str
    size: int
    crc: int
    offset: int

    @property
    def data_offset(self) -> int:
        """Where its bytes begin."""
        return self.offset + len(local_header(self))

    @property
    def end(self) -> int:
        """Where the next thing begins."""
        return self.data_offset + self.size


def _shown(value: int) -> int:
    """A size or place as the old 32-bit fields show it."""
    return MARK_32 if value >= WIDE_FROM else value


def local_header(entry: Entry) -> bytes:
    """The header before a file's bytes."""
    shown = _shown(entry.size)
    extra = b"" if shown < MARK_32 else struct.pack("<2H2Q", 1, 16, entry.size, entry.size)
    version = _VERSION_64 if extra else _VERSION
    name = entry.name.encode("ascii")
    return (
        LOCAL.pack(LOCAL_SIGN, version, 0, 0, 0, _DATE, entry.crc, shown, shown, len(name), len(extra)) + name + extra
    )


def central_header(entry: Entry) -> bytes:
    """The file's line in the directory at the end."""
    wide = [value for value in (entry.size, entry.size, entry.offset) if _shown(value) == MARK_32]
    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    size, offset = _shown(entry.size), _shown(entry.offset)
    name = entry.name.encode("ascii")
    version = _VERSION_64 if wide else _VERSION
    return (
        CENTRAL.pack(
            CENTRAL_SIGN, _UNIX << 8 | version, version, 0, 0, 0, _DATE, entry.crc, size, size,
            len(name), len(extra), 0, 0, 0, MODE << 16, offset,
        )
        + name
        + extra
    )  # fmt: skip


def directory(entries: Sequence[Entry]) -> bytes:
    """Everything after the last file: central directory and end records."""
    start = entries[-1].end if entries else 0
    central = b"".join(map(central_header, entries))
    count, length = len(entries), len(central)
    tail = b""
    if count >= _MARK_16 or MARK_32 in (_shown(length), _shown(start)):
        tail = _END_64.pack(
            END_64_SIGN, _END_64.size - 12, _UNIX << 8 | _VERSION_64, _VERSION_64, 0, 0, count, count, length, start
        ) + _LOCATOR.pack(LOCATOR_SIGN, 0, start + length, 1)
    few = min(count, _MARK_16)
    end = END.pack(END_SIGN, 0, 0, few, few, _shown(length), _shown(start), 0)
    return central + tail + end


def wide_values(extra: bytes) -> list[int]:
    """The numbers in a ZIP64 extra field that stands alone. Raises ``ValueError`` for anything else."""
    if not extra:
        return []
    if len(extra) < 4:
        raise ValueError
    kind, length = struct.unpack_from("<2H", extra)
    if kind != 1 or length != len(extra) - 4 or length % 8:
        raise ValueError
    return list(struct.unpack_from(f"<{length // 8}Q", extra, 4))


def wide_end(record: bytes) -> tuple[int, int, int]:
    """Number of entries, length and offset of the directory from ZIP64 end record and locator."""
    values = _END_64.unpack_from(record)
    return values[7], values[8], values[9]
