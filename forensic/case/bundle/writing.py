"""Writing a bag as a folder or an archive: every byte hashed on its way, nothing overwritten, whole or not there."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from forensic.case.regularfile import open_regular
from forensic.case.storage import create_file, remove_tree, storage, sync_folder
from forensic.case.verification.bundleform.names import collisions, name_fault
from forensic.case.verification.bundleform.zipform import Entry, directory, local_header
from forensic.errors import InternalError, StorageFailed, UsageError, VerificationFailed
from forensic.hashes import sha256_bytes

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Part:
    """One file of the bag: its name there, digest and length, and where the bytes come from."""

    name: str
    sha256: str
    size: int
    source: Path | bytes

    @classmethod
    def of(cls, name: str, data: bytes) -> Part:
        """A file that is made for the bundle."""
        return cls(name, sha256_bytes(data), len(data), data)

    def blocks(self) -> Iterator[bytes]:
        """Its bytes. Raises ``VerificationFailed`` (``bundle.source-changed``) if they are not as stated."""
        digest, size = hashlib.sha256(), 0
        with io.BytesIO(self.source) if isinstance(self.source, bytes) else open_regular(self.source) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                size += len(block)
                if size > self.size:
                    break
                yield block
        if (digest.hexdigest(), size) != (self.sha256, self.size):
            raise VerificationFailed(
                "bundle.source-changed",
                f"{self.source if isinstance(self.source, Path) else self.name} is not what is on record.",
                "Nothing was disclosed. Verify the workspace: forensic verify DIR",
            )


class BagWriter(ABC):
    """Takes the files of a bag one after the other."""

    @abstractmethod
    def add(self, part: Part) -> None:
        """Write one file."""

    @abstractmethod
    def close(self) -> None:
        """Complete it and put it on the disk."""


class FolderWriter(BagWriter):
    """A bag as a folder ``root``, which must not be there yet."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir()
        self._folders = {root}

    def add(self, part: Part) -> None:
        """Write one file and put it on the disk."""
        path = self._root / part.name
        self._make(path.parent)
        with create_file(path) as stream:
            for block in part.blocks():
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())

    def _make(self, folder: Path) -> None:
        if folder not in self._folders:
            self._make(folder.parent)
            folder.mkdir()
            self._folders.add(folder)

    def close(self) -> None:
        """Put the folders on the disk."""
        for folder in sorted(self._folders, reverse=True):
            sync_folder(folder)


class ZipWriter(BagWriter):
    """A bag as the archive that ``bundleform.zipform`` describes, all names below the folder ``top``."""

    def __init__(self, path: Path, top: str) -> None:
        self._stream: BinaryIO = create_file(path)
        self._top = top
        self._entries: list[Entry] = []
        self._offset = 0

    def add(self, part: Part) -> None:
        """Append one file. Its checksum is known at the end: the header is written again then."""
        draft = Entry(f"{self._top}/{part.name}", part.size, 0, self._offset)
        self._stream.write(local_header(draft))
        crc = 0
        for block in part.blocks():
            crc = zlib.crc32(block, crc)
            self._stream.write(block)
        entry = Entry(draft.name, part.size, crc, self._offset)
        self._stream.seek(self._offset)
        self._stream.write(local_header(entry))
        self._offset = self._stream.seek(0, os.SEEK_END)
        self._entries.append(entry)

    def close(self) -> None:
        """Write the directory and put the archive on the disk."""
        self._stream.write(directory(self._entries))
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def abandon(self) -> None:
        """Close the file as it is."""
        self._stream.close()


def write_bag(target: Path, parts: Iterable[Part], *, top: str, archive: bool, check: Callable[[Path], None]) -> None:
    """Write ``parts`` in the order of their names as ``target``: the folder itself, or an archive of a folder ``top``.

    It is written beside ``target``, handed to ``check``, which raises if it is not right, and renamed; what is there
    already is never replaced. Raises ``UsageError`` (``bundle.exists``, ``storage.read-only``), ``StorageFailed``,
    ``VerificationFailed`` (``bundle.source-changed``) and whatever ``check`` raises.
    """
    ordered = sorted(parts, key=lambda part: part.name)
    _require_names([part.name for part in ordered])
    refuse_existing(target)
    partial = target.with_name(f".{target.name}.partial-{secrets.token_hex(6)}")
    try:
        with storage(target, "writing"):
            _write(partial, ordered, top, archive)
        check(partial)
        with storage(target, "writing"), _reserved(target, archive):
            partial.replace(target)
            sync_folder(target.parent)
    except BaseException:
        if archive:
            partial.unlink(missing_ok=True)
        else:
            remove_tree(partial)
        raise


def refuse_existing(target: Path) -> None:
    """Raise ``UsageError`` (``bundle.exists``) if the name is taken, by a link to nowhere too."""
    if os.path.lexists(target):
        raise UsageError(
            "bundle.exists", f"{target} is there already; nothing is replaced.", "Name another with --out."
        )


def _require_names(names: list[str]) -> None:
    faults = [f"{name}: {fault}" for name in names if (fault := name_fault(name)) is not None]
    faults += [f"{name}: collides with another name" for name in collisions(names)]
    if faults:
        raise InternalError("bundle.name", f"A file cannot go into the bundle under its name: {faults[0]}.")


def _write(partial: Path, ordered: list[Part], top: str, archive: bool) -> None:
    if not archive:
        folder = FolderWriter(partial)
        for part in ordered:
            folder.add(part)
        folder.close()
        return
    writer = ZipWriter(partial, top)
    try:
        for part in ordered:
            writer.add(part)
        writer.close()
    finally:
        writer.abandon()


@contextmanager
def _reserved(target: Path, archive: bool) -> Iterator[None]:
    """Take the final name while nobody else has it, so that the rename replaces only what is ours."""
    try:
        if archive:
            create_file(target).close()
        else:
            target.mkdir()
            if os.name == "nt":
                target.rmdir()  # Windows renames onto nothing only
    except FileExistsError as error:
        raise UsageError("bundle.exists", f"{target} is there already; nothing is replaced.") from error
    try:
        yield
    except OSError as error:
        if archive:
            target.unlink(missing_ok=True)
        raise StorageFailed("storage.failed", f"{error.strerror or error} while naming {target}.") from error
