"""SHA-256 (FIPS 180-4) over bytes, files and streams."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 20


def sha256_bytes(data: bytes | bytearray | memoryview) -> str:
    """Return the SHA-256 of ``data`` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_stream(stream: BinaryIO, progress: Callable[[int], None] | None = None) -> str:
    """Hash ``stream`` from its position to its end; ``progress`` gets each block's byte count."""
    digest = hashlib.sha256()
    buffer = bytearray(_BLOCK)
    view = memoryview(buffer)
    while count := stream.readinto(buffer):  # type: ignore[attr-defined]
        digest.update(view[:count])
        if progress is not None:
            progress(count)
    return digest.hexdigest()


def sha256_file(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Hash the file at ``path``. Raises ``OSError`` as ``open`` does; the caller words it."""
    with path.open("rb", buffering=0) as stream:
        return sha256_stream(stream, progress)
