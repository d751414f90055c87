"""Reading the zip form of a bundle: one that a bundle's writer would not have written byte for byte is refused.

Names, places and sizes are checked for the whole archive before a file is read, and nothing is inflated:
entries are stored. So there is no bomb, no way out of the folder, and no second reading of the same archive.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from forensic.case.regularfile import open_regular
from forensic.case.verification.bundleform import zipform
from forensic.case.verification.bundleform.names import collisions, name_fault
from forensic.case.verification.bundleform.zipform import Entry
from forensic.errors import BadInput

MOST_FILES = 200_000
_LONGEST_DIRECTORY = 128 << 20
_BLOCK = 1 << 20
_END_WITH_64 = zipform.END.size + zipform.END_64_LENGTH


def refused(reason: str) -> BadInput:
    """The error for a container that is not read any further."""
    return BadInput(
        "bundle.container",
        f"The bundle is not opened: {reason}.",
        "If you trust where it comes from, unpack it with a program of your choice and verify the folder.",
    )


class BundleArchive:
    """An archive whose directory has been checked. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open and check it. Raises ``BadInput`` (``bundle.container``) and ``OSError``."""
        self._stream: BinaryIO = open_regular(path)
        try:
            self.top, self.entries = _read_directory(self._stream)
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> BundleArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def name_in_bag(self, entry: Entry) -> str:
        """The entry's name below the archive's one folder."""
        return entry.name.removeprefix(f"{self.top}/")

    def copy(self, entry: Entry, write: Callable[[bytes], object]) -> str:
        """Pass the bytes of ``entry`` on and return their SHA-256. Raises ``BadInput`` (``bundle.container``)."""
        header = zipform.local_header(entry)
        self._stream.seek(entry.offset)
        if _exactly(self._stream, len(header)) != header:
            raise refused(f"the header of {entry.name} is not what the directory says")
        digest, crc, left = hashlib.sha256(), 0, entry.size
        while left:
            block = self._stream.read(min(left, _BLOCK))
            if not block:
                raise refused(f"{entry.name} is cut off")
            left -= len(block)
            digest.update(block)
            crc = zlib.crc32(block, crc)
            write(block)
        if crc != entry.crc:
            raise refused(f"the checksum of {entry.name} is not the one in the archive")
        return digest.hexdigest()


def _exactly(stream: BinaryIO, count: int) -> bytes:
    parts = []
    while count and (block := stream.read(min(count, _BLOCK))):
        parts.append(block)
        count -= len(block)
    return b"".join(parts)


def _read_directory(stream: BinaryIO) -> tuple[str, list[Entry]]:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if _exactly(stream, 4) != zipform.LOCAL_SIGN:
        raise refused("it is no zip archive, or something stands before the first file")
    count, length, start = _end_record(stream, size)
    if not 0 < count <= MOST_FILES or length > _LONGEST_DIRECTORY:
        raise refused(f"it claims {count} files and a directory of {length} bytes; at most {MOST_FILES} are read")
    if start + length > size:
        raise refused("its directory lies outside of it")
    stream.seek(start)
    tail = _exactly(stream, min(size - start, length + _END_WITH_64 + 1))
    entries = _parse(tail[:length], count, start)
    if zipform.directory(entries) != tail or start + len(tail) != size:
        raise refused("its directory is not in the one form that a bundle has, or something follows it")
    top = entries[0].name.partition("/")[0]
    return top, entries


def _end_record(stream: BinaryIO, size: int) -> tuple[int, int, int]:
    """Number of files, length and place of the directory."""
    stream.seek(max(0, size - zipform.END.size))
    record = _exactly(stream, zipform.END.size)
    if len(record) != zipform.END.size or not record.startswith(zipform.END_SIGN):
        raise refused("it does not end with the record that ends an archive: cut off, or something follows it")
    count, length, start = zipform.END.unpack(record)[4:7]
    if zipform.MARK_32 in (length, start) or count == 0xFFFF:
        stream.seek(max(0, size - _END_WITH_64))
        wide = _exactly(stream, zipform.END_64_LENGTH)
        if len(wide) == zipform.END_64_LENGTH and wide.startswith(zipform.END_64_SIGN):
            count, length, start = zipform.wide_end(wide)
    return count, length, start


def _parse(central: bytes, count: int, start: int) -> list[Entry]:
    """The entries, checked for what makes an archive dangerous; that nothing else is odd, the caller checks."""
    entries: list[Entry] = []
    place = expected = 0
    for _ in range(count):
        entry, place = _entry(central, place)
        if entry.offset != expected:
            raise refused(
                f"{_shown(entry.name)} {'overlaps' if entry.offset < expected else 'leaves a gap to'} another"
            )
        expected = entry.end
        if expected > start:
            raise refused(f"{_shown(entry.name)} is larger than the archive")
        entries.append(entry)
    if expected != start or place != len(central):
        raise refused("something lies between its files and its directory")
    names = [entry.name for entry in entries]
    if found := collisions(names):
        raise refused(f"two names in it are the same, or differ only in upper and lower case: {_shown(found[0])}")
    if names != sorted(names):
        raise refused("its files are not in the order of their names")
    if len({name.partition("/")[0] for name in names}) != 1 or not all("/" in name for name in names):
        raise refused("it does not hold exactly one folder")
    return entries


def _entry(central: bytes, place: int) -> tuple[Entry, int]:
    if len(central) - place < zipform.CENTRAL.size or central[place : place + 4] != zipform.CENTRAL_SIGN:
        raise refused("its directory is damaged")
    fields = zipform.CENTRAL.unpack_from(central, place)
    flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    lengths, attributes, offset = fields[10:13], fields[15], fields[16]
    end = place + zipform.CENTRAL.size + sum(lengths)
    if end > len(central):
        raise refused("its directory is damaged")
    raw = central[place + zipform.CENTRAL.size : place + zipform.CENTRAL.size + lengths[0]]
    extra = central[place + zipform.CENTRAL.size + lengths[0] : end - lengths[2]]
    name = raw.decode("utf-8", "replace")
    _refuse_kind(name, flags, method, attributes)
    try:
        wide = zipform.wide_values(extra)
        if size == zipform.MARK_32:
            size, packed = wide.pop(0), wide.pop(0)
        if offset == zipform.MARK_32:
            offset = wide.pop(0)
    except (ValueError, IndexError) as error:
        raise refused(f"{_shown(name)} has fields that a bundle's archive never has") from error
    if packed != size:
        raise refused(f"{_shown(name)} has two different sizes")
    return Entry(name, size, crc, offset), end


def _refuse_kind(name: str, flags: int, method: int, attributes: int) -> None:
    shown = _shown(name)
    if flags & 0x41:
        raise refused(f"{shown} is encrypted")
    if method:
        raise refused(f"{shown} is compressed; files in a bundle are stored as they are")
    if stat.S_ISLNK(attributes >> 16):
        raise refused(f"{shown} is a link")
    if (fault := name_fault(name)) is not None:
        raise refused(f"the name {shown} has {fault}")
    if attributes >> 16 != zipform.MODE:
        raise refused(f"{shown} is no plain file")


def _shown(name: str) -> str:
    return ascii(name[:200])
