"""Writing files so that a crash leaves the old or the new, never half; copying with verification.

The only module with platform differences: Windows has neither folder fsync nor POSIX modes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from forensic.errors import BadInput, ForensicError, StorageFailed, UsageError, VerificationFailed
from forensic.hashes import sha256_file

_BLOCK = 1 << 20
_RESERVE = 256 << 10
_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


def storage_error(error: OSError, path: Path, doing: str) -> ForensicError:
    """Word an ``OSError`` met while ``doing`` something to a file of ours."""
    if error.errno in _FULL:
        return StorageFailed(
            "storage.disk-full",
            f"No space left while {doing} {path}.",
            "Free space, or choose a workspace on another disk with -w, then give the command again.",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return UsageError(
            "storage.read-only",
            f"Not allowed while {doing} {path} ({error.strerror}).",
            "Choose a workspace that you may write to with -w DIR.",
        )
    return StorageFailed("storage.failed", f"{error.strerror or error} while {doing} {path}.", "Check the disk.")


@contextmanager
def storage(path: Path, doing: str) -> Iterator[None]:
    """Turn every ``OSError`` of the block into an error of ours about ``path``."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path, doing) from error


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable, where the platform can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_file(path: Path) -> BinaryIO:
    """Open a file for writing that is not there yet, in no case through a link.

    Whoever can write to the workspace may have put a link to an original under a name that we are
    about to use: opening it for writing would empty the original. Raises ``OSError`` as ``os.open``.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o666), "wb")


@contextmanager
def _partial_of(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new temporary file beside ``path``; on leaving it is on the disk, after an error gone."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # left by a crash, or planted: the name goes, whatever a link leads to stays
    try:
        with create_file(partial) as stream:
            yield partial, stream
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_file(path: Path, data: bytes) -> None:
    """Write ``data`` durably under a temporary name, then rename over ``path``."""
    with storage(path, "writing"):
        with _partial_of(path) as (partial, stream):
            stream.write(data)
        partial.replace(path)
        sync_folder(path.parent)


def is_regular(path: Path) -> bool:
    """Whether ``path`` is a regular file itself: no link, folder, pipe or device. False if it is not there."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder itself and no link to one. False if it is not there."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def make_folder(path: Path) -> None:
    """Create a folder and its parents."""
    with storage(path, "creating"):
        path.mkdir(parents=True, exist_ok=True)


def protect(path: Path) -> None:
    """Take write permission away from everybody."""
    with storage(path, "protecting"):
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)


def hash_input(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file from outside. Raises ``BadInput`` if it is not a readable regular file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadInput("input.not-a-file", f"{path} is not a regular file.", "Name a media file.")
        return sha256_file(path, progress)
    except OSError as error:
        raise BadInput(
            "input.unreadable", f"{path} cannot be read: {error.strerror or error}.", "Check the path and permissions."
        ) from error


def copy_verified(source: Path, target: Path, sha256: str) -> None:
    """Copy ``source`` to ``target`` read-only; prove by reading back that the copy has ``sha256``.

    Raises ``VerificationFailed`` (``copy.mismatch``) and leaves nothing behind if it has not.
    """
    digest = hashlib.sha256()
    with storage(target, "copying to"):
        with _partial_of(target) as (partial, write), source.open("rb") as read:
            while block := read.read(_BLOCK):
                digest.update(block)
                write.write(block)
        if digest.hexdigest() != sha256 or sha256_file(partial) != sha256:
            partial.unlink(missing_ok=True)
            raise VerificationFailed(
                "copy.mismatch",
                f"The working copy of {source} does not have the digest of the original.",
                "The file is changing or a disk is failing: acquire it again from write-protected media.",
            )
        protect(partial)
        partial.replace(target)
        sync_folder(target.parent)


def remove_tree(path: Path) -> None:
    """Remove a folder of ours with everything in it."""
    shutil.rmtree(path, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Make the content of ``path`` durable."""
    with storage(path, "syncing"), path.open("rb+") as stream:
        os.fsync(stream.fileno())


def reserve(path: Path) -> None:
    """Occupy 256 KiB, to be given up when the disk is full and the ledger has to say so."""
    with storage(path, "writing"):
        path.unlink(missing_ok=True)
        with create_file(path) as stream:
            stream.write(bytes(_RESERVE))


def size_of(path: Path) -> int:
    """Bytes of a regular file; 0 if there is none."""
    try:
        return path.lstat().st_size if is_regular(path) else 0
    except OSError:
        return 0
