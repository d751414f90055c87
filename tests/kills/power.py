"""Power cuts and defective disks, simulated on what a killed process leaves.

A child process notes every ``fsync`` and every rename of the program while it works (a file outside the
workspace, one line each). After the kill, whatever was written and not synced since is taken away from the files
as a disk might have lost it: cut short, zeroed, or gone; a rename that no folder sync followed is undone. SQLite
syncs by itself, below Python: its file is not noted, and as a transaction is synced before its call returns,
nothing of it is taken. ``lying_disk`` takes committed transactions away all the same.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.case import journal
from tests.kills import child_enhance, start

_KILLED = -signal.SIGKILL


@dataclass
class Loss:
    """How many files had been synced, and how many lost something."""

    synced: int = 0
    harmed: int = 0


def _note_syncs(root: Path, log: Path, request: dict[str, Any], last: int) -> None:
    """In a child: an ``enhance`` whose syncs and renames are noted, and that is killed after the ``last`` of them."""
    journal.LEAST_SECONDS = 0.0
    sync, replace, stream = os.fsync, Path.replace, log.open("ab", buffering=0)
    left = last

    def note(kind: str, path: str, more: object) -> None:
        nonlocal left
        stream.write(f"{kind}\t{path}\t{more}\n".encode())
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def noted_sync(descriptor: int) -> None:
        sync(descriptor)
        path, status = Path(f"/proc/self/fd/{descriptor}").readlink(), os.fstat(descriptor)
        note("folder" if stat.S_ISDIR(status.st_mode) else "file", str(path), status.st_size)

    def noted_replace(self: Path, target: Path) -> Path:
        moved = replace(self, target)
        note("rename", str(self), target)
        return moved

    os.fsync = noted_sync
    Path.replace = noted_replace  # type: ignore[method-assign,assignment]
    child_enhance(root, "X", request)


def cut_power(root: Path, request: dict[str, Any], moment: random.Random) -> Loss:
    """Run ``request`` in ``root``, cut the power at a random sync or rename, and take away what was not synced."""
    before = set(root.rglob("*"))
    log = root.with_suffix(".syncs")
    process = start(_note_syncs, root, log, request, moment.randint(8, 60))
    process.join(120)
    assert process.exitcode in (0, _KILLED)
    sizes: dict[str, int] = {}
    renames: list[tuple[str, str]] = []
    for line in log.read_text().splitlines():
        kind, path, more = line.split("\t")
        if kind == "file":
            sizes[path] = int(more)
        elif kind == "rename":
            sizes[more] = sizes.pop(path, 0)
            renames.append((path, more))
        else:
            renames = [(old, new) for old, new in renames if str(Path(new).parent) != path]
    loss = Loss(synced=len(sizes))
    for old, new in renames:
        if Path(new).exists() and not new.startswith(tuple(str(path) for path in before if path.is_file())):
            Path(new).rename(old)
    for path in sorted(root.rglob("*")):
        if path in before or not path.is_file() or path.name.startswith("ledger.sqlite") or path.name == "in-use":
            continue
        _lose(path, sizes.get(str(path)), moment, loss)
    return loss


def _lose(path: Path, synced: int | None, moment: random.Random, loss: Loss) -> None:
    """What was written to ``path`` after the last sync is lost in one of the ways that disks have."""
    size, sure = path.stat().st_size, synced or 0
    if synced is None and moment.random() < 0.3:
        path.unlink()
    elif sure < size:
        reached = moment.randint(sure, size)  # some of it may have been written back in time
        with path.open("rb+") as stream:
            if moment.random() < 0.5:
                stream.truncate(reached)
            else:
                stream.seek(reached)
                stream.write(bytes(size - reached))
    else:
        return
    loss.harmed += 1


def failing_sync(root: Path, request: dict[str, Any], at: int) -> None:
    """Run ``request`` in ``root`` with the ``at``-th sync failing as on a defective disk."""
    process = start(_fail_sync, root, request, at)
    process.join(120)


def _fail_sync(root: Path, request: dict[str, Any], at: int) -> None:
    journal.LEAST_SECONDS = 0.0
    sync, count = os.fsync, 0

    def failing(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    os.fsync = failing
    child_enhance(root, "X", request)


def lying_disk(root: Path, lost: int) -> None:
    """Take the last ``lost`` transactions out of the ledger's write-ahead log, as a disk does that lied about them.

    A commit ends with a frame whose header gives the size of the database after it (SQLite's file format, section
    4.1): the log is cut before the last such frames.
    """
    log = root / "ledger.sqlite-wal"
    data = log.read_bytes()
    page = int.from_bytes(data[8:12], "big")
    frame = 24 + page
    ends = [
        place + frame
        for place in range(32, len(data) - frame + 1, frame)
        if data[place + 8 : place + 16] == data[16:24] and int.from_bytes(data[place + 4 : place + 8], "big")
    ]
    assert len(ends) > lost, f"only {len(ends)} transactions in the log"
    with log.open("rb+") as stream:
        stream.truncate(ends[-lost - 1])
    shared = root / "ledger.sqlite-shm"
    shared.unlink(missing_ok=True)
