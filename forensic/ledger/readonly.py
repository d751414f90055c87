"""Opening a ledger for reading without changing it, on read-only media too (standard library only).

SQLite in WAL mode wants to write small files beside the database even to read it. Where that would
disturb evidence or is impossible, the file is read as immutable, or a private copy is read.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_WAL = "-wal"


class FileState(NamedTuple):
    """Size (bytes) and modification time (ns) of the database and of its write-ahead log, if any."""

    database: tuple[int, int]
    log: tuple[int, int] | None

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Look at the files now. Raises ``OSError``."""
        stat = path.stat()
        try:
            log = log_path(path).stat()
        except FileNotFoundError:
            return cls((stat.st_size, stat.st_mtime_ns), None)
        return cls((stat.st_size, stat.st_mtime_ns), (log.st_size, log.st_mtime_ns))

    @property
    def log_holds_entries(self) -> bool:
        """Whether the write-ahead log may hold entries that the database file lacks."""
        return self.log is not None and self.log[0] > 0


def log_path(path: Path) -> Path:
    """Where SQLite keeps the write-ahead log of the database at ``path``."""
    return path.with_name(path.name + _WAL)


def uri(path: Path, query: str) -> str:
    """The SQLite URI of ``path``, odd characters escaped."""
    return f"{path.absolute().as_uri()}?{query}"


def connect(path: Path, *, immutable: bool = False, busy_seconds: float = 30.0) -> sqlite3.Connection:
    """Open the database at ``path`` for reading only.

    ``immutable`` reads the main file alone, without locks: only for a file that nobody writes and
    whose write-ahead log is empty. Raises ``sqlite3.Error``.
    """
    query = "mode=ro&immutable=1" if immutable else "mode=ro"
    connection = sqlite3.connect(
        uri(path, query), uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False
    )
    try:
        # A hostile file must not run its own SQL functions or virtual tables when it is read.
        for pragma in ("trusted_schema=OFF", "query_only=ON", "cell_size_check=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def reading(path: Path, *, leave_no_trace: bool, busy_seconds: float = 30.0) -> Iterator[sqlite3.Connection]:
    """A connection for reading, by the first way that works and loses no entry.

    With ``leave_no_trace`` a ledger whose log is empty is read as immutable at once (compare
    ``FileState`` before and after to know that nobody wrote meanwhile). Otherwise, and if the log
    holds entries: beside live writers; on media where that is impossible, as immutable if the log
    is empty, else from a private copy. Raises ``OSError`` and ``sqlite3.Error``.
    """
    with ExitStack() as stack:
        yield stack.enter_context(closing(_connection(path, stack, leave_no_trace, busy_seconds)))


def _connection(path: Path, stack: ExitStack, leave_no_trace: bool, busy_seconds: float) -> sqlite3.Connection:
    idle = not FileState.of(path).log_holds_entries
    if leave_no_trace and idle:
        return connect(path, immutable=True)
    try:
        return connect(path, busy_seconds=busy_seconds)
    except sqlite3.OperationalError as error:
        if not _needs_write(error):
            raise
    return connect(path, immutable=True) if idle else connect(stack.enter_context(private_copy(path)))


def _needs_write(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)


@contextmanager
def private_copy(path: Path) -> Iterator[Path]:
    """Copy the database and its log to a temporary folder, removed afterwards.

    Raises ``OSError``, and ``BlockingIOError`` if somebody kept writing while it was copied.
    """
    with tempfile.TemporaryDirectory(prefix="forensic-ledger-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "ledger.sqlite"
        for _ in range(3):
            before = FileState.of(path)
            shutil.copyfile(path, copy)
            log_path(copy).unlink(missing_ok=True)
            with suppress(FileNotFoundError):  # its writer finished and removed it: the states differ, try again
                shutil.copyfile(log_path(path), log_path(copy))
            if FileState.of(path) == before:
                break
        else:
            raise BlockingIOError(None, "the ledger was being written while it was copied")
        yield copy
