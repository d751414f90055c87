"""Folders that a living process works in: held by a lock of SQLite's, which ends with the process.

Every platform has these locks, and no kill or power cut can leave one behind.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from forensic.case.layout import WorkingFolder, WorkspaceLayout
from forensic.case.storage import is_folder, is_regular, make_folder, remove_tree, storage
from forensic.errors import ForensicError, UsageError, VerificationFailed

_IN_USE = "in-use"
_YOUNG_SECONDS = 60.0
_PATIENCE_SECONDS = 1.0  # whoever looks whether a folder is abandoned holds its lock for a moment


@dataclass
class Holding:
    """A working folder in this process's hands. ``settled``: nothing in it is needed any more."""

    folder: WorkingFolder
    settled: bool = True


@contextmanager
def under_way(layout: WorkspaceLayout, name: str) -> Iterator[Holding]:
    """Hold the working folder ``name``, made if absent, while the block runs; then remove it if it is settled.

    Raises ``UsageError`` (``run.in-use``) if another process holds it, ``VerificationFailed``
    (``run.planted``) if the name is a link's.
    """
    folder = layout.working(name)
    make_folder(folder.root)
    if not is_folder(folder.root):
        raise VerificationFailed("run.planted", f"{folder.root} is no folder of this program but a link.", "Remove it.")
    holding = Holding(folder)
    with held(folder.root) as ours:
        if not ours:
            raise UsageError("run.in-use", f"Another process is working on {name}.", "Wait until it has ended.")
        try:
            yield holding
        except BaseException:
            if holding.settled:
                remove_tree(folder.root)
            raise
    if holding.settled:
        remove_tree(folder.root)


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold ``folder`` for as long as the block runs; False if another process holds it, or has removed it.

    Raises ``StorageFailed`` where it cannot be locked at all.
    """
    with ExitStack() as stack:
        try:
            with storage(folder, "locking"):
                lock = stack.enter_context(closing(_lock_of(folder, _PATIENCE_SECONDS)))
                taken = _take(lock)
        except ForensicError:
            if folder.is_dir():
                raise
            taken = False
        yield taken


def is_abandoned(folder: Path) -> bool:
    """Whether no process works in ``folder``: its lock is free, or it never got one and is not new."""
    if not is_regular(folder / _IN_USE):
        return not is_young(folder)
    try:
        with closing(_lock_of(folder, 0)) as lock:
            return _take(lock)
    except OSError:
        return False


def is_in_use(folder: Path) -> bool:
    """Whether a living process is known to hold ``folder``."""
    if not is_regular(folder / _IN_USE):
        return False
    try:
        with closing(_lock_of(folder, 0)) as lock:
            return not _take(lock)
    except OSError:
        return False


def is_young(path: Path) -> bool:
    """Whether ``path`` changed less than a minute ago, or is gone."""
    try:
        return time.time() - path.stat().st_mtime <= _YOUNG_SECONDS
    except OSError:
        return True


def _lock_of(folder: Path, patience: float) -> sqlite3.Connection:
    """A connection that can hold the lock. Raises ``OSError``."""
    try:
        return sqlite3.connect(folder / _IN_USE, isolation_level=None, timeout=patience, check_same_thread=False)
    except sqlite3.Error as error:
        raise OSError(f"no lock: {error}") from error


def _take(lock: sqlite3.Connection) -> bool:
    """Take the lock; False if it is taken. It goes with the connection. Raises ``OSError``."""
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return False
        raise OSError(f"no lock: {error}") from error
    return True
