"""The SQLite file behind SQLAlchemy: durable settings, explicit transactions, errors in plain words."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from forensic.errors import ForensicError, StorageFailed, UsageError, VerificationFailed
from forensic.ledger.readonly import uri

_BEGIN = "forensic_begin"


def writer_connection(path: Path, *, create: bool, busy_seconds: float) -> sqlite3.Connection:
    """A durable read-write connection to the ledger at ``path``; errors come out worded (see ``worded``).

    With ``create`` the file is made if absent; without, it must exist.
    """
    with worded(path):
        connection = sqlite3.connect(
            uri(path, "mode=rwc" if create else "mode=rw"),
            uri=True,
            timeout=busy_seconds,
            isolation_level=None,  # BEGIN is ours to say, see _begin
            check_same_thread=False,  # Ledger holds a lock
        )
        try:
            connection.execute("PRAGMA trusted_schema=OFF")
            # Tables first: another process may be creating the ledger, which sets both at once.
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            if tables and not application:
                raise VerificationFailed(
                    "ledger.not-a-ledger", f"{path} is a database of another program.", "Name the right file."
                )
            if _switch_to_log(connection, busy_seconds) != "wal":
                raise StorageFailed(
                    "ledger.no-wal",
                    f"The file system under {path} does not allow SQLite's write-ahead log.",
                    "Keep the workspace on a local disk.",
                )
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA recursive_triggers=ON")  # so that REPLACE meets the DELETE trigger
            connection.execute("PRAGMA cell_size_check=ON")
        except BaseException:
            connection.close()
            raise
    return connection


def _switch_to_log(connection: sqlite3.Connection, busy_seconds: float) -> str:
    """Set WAL mode. Of several processes that do so at once SQLite fails all but one, without waiting: so wait here."""
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def engine_over(connection: sqlite3.Connection) -> Engine:
    """Engine on exactly this connection, with transactions begun explicitly."""
    engine = create_engine("sqlite+pysqlite://", creator=lambda: connection, poolclass=StaticPool)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


@contextmanager
def writing(engine: Engine, path: Path) -> Iterator[Connection]:
    """A write transaction that holds the write lock from its first statement; commits at the end."""
    writer = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
    with worded(path), writer.begin() as connection:
        yield connection


@contextmanager
def reading_from(engine: Engine, path: Path) -> Iterator[Connection]:
    """A read transaction: one consistent view."""
    with worded(path), engine.begin() as connection:
        yield connection


@contextmanager
def worded(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into ours (codes ``ledger.…``)."""
    try:
        yield
    except DBAPIError as error:
        raise (_wording(path, error.orig) if isinstance(error.orig, sqlite3.Error) else error) from error
    except sqlite3.Error as error:
        raise _wording(path, error) from error
    except UnicodeDecodeError as error:  # Python's, while it words an SQLite error that quotes damaged text
        raise VerificationFailed("ledger.corrupt", f"{path} is damaged: its schema is not text.") from error
    except OSError as error:
        raise StorageFailed("ledger.storage", f"{path}: {error.strerror or error}.") from error


def _wording(path: Path, error: sqlite3.Error) -> ForensicError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            return StorageFailed(
                "ledger.disk-full",
                f"The disk under {path} is full.",
                "This entry was not recorded; free some space and go on.",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StorageFailed("ledger.read-only", f"{path} cannot be written.", "Check the folder's permissions.")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageFailed(
                "ledger.locked", f"Another process kept {path} locked for too long.", "Wait for it to end and go on."
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StorageFailed("ledger.cannot-open", f"{path} cannot be opened.", "Check the path and permissions.")
        case sqlite3.SQLITE_NOTADB:
            return VerificationFailed("ledger.corrupt", f"{path} is not a SQLite database.")
        case sqlite3.SQLITE_CORRUPT:
            return VerificationFailed(
                "ledger.corrupt", f"{path} is damaged: {error}.", "Keep it as it is and restore a copy from a backup."
            )
        case sqlite3.SQLITE_CONSTRAINT:
            return UsageError("ledger.append-only", f"{path} refused the change: {error}.")
        case _ if code == sqlite3.SQLITE_ERROR or (code == 0 and isinstance(error, sqlite3.OperationalError)):
            # 0: text in the schema that is not UTF-8
            return VerificationFailed("ledger.corrupt", f"{path} does not hold what a ledger holds: {error}.")
        case _:
            return StorageFailed("ledger.storage", f"{path} could not be read or written: {error}.")
