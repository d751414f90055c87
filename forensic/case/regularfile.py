"""Reading material from elsewhere: regular files only, so that no pipe, device or link can stall or mislead."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from forensic.hashes import sha256_stream

JSON_LIMIT = 64 << 20
STILL_LIMIT = 1 << 30

# Without O_NONBLOCK the mere opening of a pipe waits for a writer; a regular file does not notice it.
_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_NOFOLLOW", "O_BINARY", "O_CLOEXEC"):
    _FLAGS |= getattr(os, _name, 0)


def open_regular(path: Path) -> BinaryIO:
    """Open ``path`` unbuffered for reading. Raises ``OSError`` if it is missing or no regular file (links included)."""
    try:
        _require_regular(os.lstat(path), path)  # before opening: opening a device can have effects of its own
        descriptor = os.open(path, _FLAGS)
    except ValueError as error:  # a name that no file can have
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    try:
        _require_regular(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, limit: int) -> bytes:
    """The whole file. Raises ``OSError`` as :func:`open_regular` does, and beyond ``limit`` bytes."""
    with open_regular(path) as stream:
        parts, left = [], limit
        while block := stream.read(min(left + 1, 1 << 24)):
            parts.append(block)
            left -= len(block)
            if left < 0:
                raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return b"".join(parts)


def digest_regular(path: Path) -> str:
    """SHA-256 in hexadecimal, or ``unreadable: …``, which equals no digest, where there is no regular file."""
    try:
        with open_regular(path) as stream:
            return sha256_stream(stream)
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _require_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = "a link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
        raise OSError(errno.EINVAL, what, str(path))
