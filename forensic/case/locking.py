"""One process at a time: a lock of SQLite's, which every platform has and which ends with the process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from forensic.errors import StorageFailed

_SECONDS = 30.0


@contextmanager
def exclusive(path: Path, code: str) -> Iterator[None]:
    """Hold the lock file at ``path`` (made if it is not there). Raises ``StorageFailed`` (``code``) after 30 s."""
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None, timeout=_SECONDS)))
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise StorageFailed(code, f"{path} cannot be locked: {error}.", "Give the command again.") from error
        yield
