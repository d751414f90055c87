"""What a kill or a power cut leaves behind: renames not made, scratch folders not removed."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from forensic.case.layout import INCOMPLETE, SCRATCH, WorkspaceLayout
from forensic.case.storage import remove_tree, storage, sync_folder
from forensic.hashes import sha256_file
from forensic.ledger.store import Ledger

_IN_USE = "in-use"
_YOUNG_SECONDS = 60.0


def settle_run(layout: WorkspaceLayout, run_id: str) -> None:
    """Give the folder of a run that the ledger knows as finished its final name; doing it twice is harmless."""
    incomplete, final = layout.incomplete_run(run_id).root, layout.run(run_id).root
    with storage(final, "moving the run to"):
        try:
            if not final.exists():
                incomplete.rename(final)
                sync_folder(final.parent)
        except FileNotFoundError:
            # Another process opened the workspace between entry and rename, and made it for us.
            if not final.exists():
                raise


def recover(layout: WorkspaceLayout, ledger: Ledger) -> None:
    """Complete renames that a kill prevented, and remove scratch folders that no process holds.

    A folder is renamed only if its record is the one in the ledger. Raises as ``settle_run``.
    """
    if layout.runs.is_dir():
        for folder in sorted(layout.runs.glob(f"*{INCOMPLETE}")):
            run_id = folder.name.removesuffix(INCOMPLETE)
            entry = next(iter(ledger.entries(event="run.finished", run=run_id)), None)
            if entry is None or folder.is_symlink() or not folder.is_dir():
                continue
            record = layout.incomplete_run(run_id).attestation
            if record.is_file() and sha256_file(record) == entry.data.get("attestation_sha256"):
                settle_run(layout, run_id)
    for folder in layout.root.glob(f"{SCRATCH}*"):
        if folder.is_dir() and not folder.is_symlink() and _abandoned(folder):
            remove_tree(folder)


@contextmanager
def scratch_folder(layout: WorkspaceLayout) -> Iterator[Path]:
    """A folder for working files, outside the runs, held by a lock for as long as the block runs.

    The lock is one of SQLite's, which every platform has and which ends with the process.
    """
    with storage(layout.root, "preparing"):
        folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=layout.root))
    try:
        with closing(sqlite3.connect(folder / _IN_USE, isolation_level=None, check_same_thread=False)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            yield folder
    finally:
        remove_tree(folder)


def _abandoned(folder: Path) -> bool:
    """Whether no process works in ``folder``: its lock is free, or it never got one and is not new."""
    if not (folder / _IN_USE).is_file():
        try:
            return time.time() - folder.stat().st_mtime > _YOUNG_SECONDS
        except OSError:
            return False
    try:
        with closing(sqlite3.connect(folder / _IN_USE, isolation_level=None, timeout=0)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error:
        return False
    return True
