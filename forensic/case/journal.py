"""What a run has done so far, frame by frame, so that a resumed run can take over what is provably right.

``journal.jsonl`` in the run's working folder: a canonical JSON line for every frame written (its manifest row,
its class, what stages measured) and for every frame mapped (its risk record, the digests of its pictures). The
lines are leaves of a Merkle tree (RFC 9162). The file itself is not trusted: now and then a signed ledger entry
``run.progress`` states how many lines there are and their root, and only lines under such a root count.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from forensic.case.layout import WorkingFolder
from forensic.case.regularfile import open_regular
from forensic.case.storage import storage, storage_error, sync_file, write_file
from forensic.errors import BadInput, Interrupted
from forensic.frames.manifest import FrameRow
from forensic.frames.stageclass import StageClass
from forensic.hashes import MerkleTree, canonical_json, parse_canonical

PROGRESS = "run.progress"
LEAST_SECONDS = 5.0
LARGEST_SHARE = 0.02
"""After an interruption at most so much work is lost: five seconds or, if that is more, 2% of the time worked.

A day of work makes some 350 entries, an hour 180: each costs a few milliseconds.
"""
_VERSION = 1

Enter = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class FrameLine:
    """A frame as it was written."""

    row: FrameRow
    stage_class: StageClass
    notes: tuple[dict[str, Any], ...]

    def to_line(self) -> bytes:
        """Canonical JSON."""
        # Put together from parts that are canonical, in the order of their keys: half the cost.
        notes = canonical_json(list(self.notes)) if self.notes else b"[]"
        about = f'"stage_class":"{self.stage_class.label}"'.encode()
        return b'{"kind":"frame","notes":' + notes + b',"row":' + self.row.leaf() + b"," + about + b"}"


@dataclass(frozen=True)
class MapLine:
    """A frame's stills and risk maps as they were written: digests by name within the run, and the risk record.

    ``combined``: what a stage that combines frames tells of it (``case.combined``), where there is one.
    """

    frame: int
    files: dict[str, str]
    record: dict[str, Any]
    combined: dict[str, Any] | None = None

    def to_line(self) -> bytes:
        """Canonical JSON."""
        line = {"kind": "map", "frame": self.frame, "files": self.files, "record": self.record}
        return canonical_json(line if self.combined is None else line | {"combined": self.combined})


@dataclass
class Kept:
    """Lines of an earlier process that a signed entry covers."""

    lines: list[bytes] = field(default_factory=list)
    frames: dict[int, FrameLine] = field(default_factory=dict)
    maps: dict[int, MapLine] = field(default_factory=dict)

    def admit(self, line: bytes) -> None:
        """Take in a line that is authentic. Raises ``BadInput``, ``KeyError`` or ``TypeError`` for another form."""
        value: Any = parse_canonical(line)
        if value["kind"] == "frame":
            row = FrameRow.parse(canonical_json(value["row"]))
            self.frames[row.frame] = FrameLine(row, StageClass.parse(value["stage_class"]), tuple(value["notes"]))
        else:
            self.maps[value["frame"]] = MapLine(value["frame"], value["files"], value["record"], value.get("combined"))
        self.lines.append(line)


def read_kept(path: Path, progress: Iterable[Mapping[str, Any]], platform: str) -> Kept:
    """The longest beginning of the journal at ``path`` whose root one of ``progress`` states.

    ``progress`` is the data of the run's ``run.progress`` entries; those made on another ``platform`` are left
    out: frames of two platforms do not go into one output. Whatever is wrong with the file, less is kept.
    """
    stated = {}
    for data in progress:
        journal = data.get("journal")
        if data.get("platform") == platform and isinstance(journal, dict) and journal.get("v") == _VERSION:
            stated[journal["lines"]] = (journal["root"], journal["bytes"])
    kept, sure, tree, size = Kept(), 0, MerkleTree(), 0
    most_lines, most_bytes = max(stated, default=0), max((size for _, size in stated.values()), default=0)
    lines: list[bytes] = []
    try:
        with open_regular(path) as raw, os.fdopen(os.dup(raw.fileno()), "rb") as stream:
            while len(lines) < most_lines and (line := stream.readline(most_bytes - size + 1)).endswith(b"\n"):
                size += len(line)
                lines.append(line[:-1])
                tree.append(lines[-1])
                if stated.get(tree.size) == (tree.root().hex(), size):
                    sure = tree.size
        for line in lines[:sure]:
            kept.admit(line)
    except (OSError, BadInput, KeyError, TypeError):
        return Kept()
    return kept


class Journal:
    """The journal of the process that works on the run now; a context manager, used by several threads.

    ``enter`` appends a ``run.progress`` entry with these data to the ledger. ``output`` is made durable before
    each: frames that an entry covers outlast a power cut. ``platform`` gives the digest of the platform.
    """

    def __init__(
        self, folder: WorkingFolder, output: Path, platform: Callable[[], str], enter: Enter, kept: Kept
    ) -> None:
        self._path = folder.journal
        self._output, self._platform, self._enter, self._kept = output, platform, enter, kept
        self._lock = threading.Lock()
        self._tree = MerkleTree()
        self._size = 0
        self._frames = set(kept.frames)
        self._entered = 0  # lines covered by an entry
        self._committing: Future[None] | None = None

    def __enter__(self) -> Journal:
        write_file(self._path, b"".join(line + b"\n" for line in self._kept.lines))
        for line in self._kept.lines:
            self._count(line)
        self._entered = self._tree.size
        with storage(self._path, "opening"):
            self._stream = self._path.open("ab")
        self._committer = ThreadPoolExecutor(1, "journal")
        self._began = self._last = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._committer.shutdown(wait=True)
        finally:
            try:
                self._stream.close()
            except OSError as failed:
                if kind is None:
                    raise storage_error(failed, self._path, "writing") from failed

    def frame(self, line: FrameLine) -> None:
        """A frame has been written; from time to time, state the progress.

        Raises ``Interrupted`` (``resume.differs``) if the frame came out otherwise than an entry says,
        ``StorageFailed``, and what stating the progress raised.
        """
        before = self._kept.frames.get(line.row.frame)
        if before is None:
            self._add(line.to_line(), line.row.frame)
        elif before.to_line() != line.to_line():
            raise Interrupted(
                "resume.differs",
                f"Frame {line.row.frame} came out otherwise than before the interruption.",
                "The machine is at fault, or its software changed. To make every frame again: forensic resume RUN "
                "--recompute",
            )
        now = time.monotonic()
        if now - self._last >= max(LEAST_SECONDS, LARGEST_SHARE * (now - self._began)):
            self.state()

    def mapped(self, line: MapLine) -> None:
        """Stills and maps of a frame have been written."""
        if line.frame not in self._kept.maps:
            self._add(line.to_line(), None)

    def state(self) -> None:
        """State the progress in the ledger, from another thread, unless that is under way."""
        if self._committing is not None:
            if not self._committing.done():
                return
            self._committing.result()
        with self._lock:
            if self._tree.size == self._entered:
                return
            with storage(self._path, "writing"):
                self._stream.flush()
            data = {
                "frames": len(self._frames),
                "journal": {
                    "v": _VERSION,
                    "lines": self._tree.size,
                    "bytes": self._size,
                    "root": self._tree.root().hex(),
                },
                "platform": self._platform(),
            }
            self._entered = self._tree.size
        self._last = time.monotonic()
        self._committing = self._committer.submit(self._commit, data)

    def complete(self) -> None:
        """All frames are there: wait for what is under way, and state the end if it took long enough to be worth it."""
        if self._committing is not None or time.monotonic() - self._began >= LEAST_SECONDS:
            if self._committing is not None:
                self._committing.result()
            self.state()
        if self._committing is not None:
            self._committing.result()

    def _commit(self, data: Mapping[str, Any]) -> None:
        sync_file(self._output)
        with storage(self._path, "syncing"):
            os.fsync(self._stream.fileno())
        self._enter(data)

    def _add(self, line: bytes, frame: int | None) -> None:
        with self._lock, storage(self._path, "writing"):
            self._stream.write(line + b"\n")
            self._count(line)
            if frame is not None:
                self._frames.add(frame)

    def _count(self, line: bytes) -> None:
        self._tree.append(line)
        self._size += len(line) + 1
