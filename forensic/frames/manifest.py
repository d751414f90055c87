"""Frame manifest: one line per frame, whose lines are the leaves of a Merkle tree (RFC 9162).

A manifest file is JSON Lines; each line without its newline is the canonical JSON (RFC 8785) of a
row and at the same time the leaf data. ``docs/formats/frames.md`` is the written form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.errors import BadInput
from forensic.frames.frame import CodedFrame
from forensic.hashes import canonical_json, parse_canonical


@dataclass(frozen=True)
class FrameRow:
    """Row ``frame`` of a manifest: its number in the exhibit, its PTS in ticks, its plane digest.

    ``flags`` are sorted words such as ``pts-synthesised``, ``damaged``, ``duplicate``.
    """

    frame: int
    pts: int
    sha256: str
    flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, frame: CodedFrame, flags: Iterable[str] = ()) -> FrameRow:
        """Row of a coded frame."""
        marks = set(flags) | ({"pts-synthesised"} if frame.timing.synthesised else set())
        return cls(frame.timing.index, frame.timing.pts, frame.sha256, tuple(sorted(marks)))

    def leaf(self) -> bytes:
        """Leaf data: the canonical JSON of the row."""
        return canonical_json({"flags": list(self.flags), "frame": self.frame, "pts": self.pts, "sha256": self.sha256})

    @classmethod
    def parse(cls, line: bytes) -> FrameRow:
        """Read one line. Raises ``BadInput`` (``frames.row``) if it is not exactly a row."""
        value: Any = parse_canonical(line)
        if not isinstance(value, dict) or set(value) != {"flags", "frame", "pts", "sha256"}:
            raise BadInput("frames.row", "A line of the frame manifest does not have the fields of a row.")
        row = cls(value["frame"], value["pts"], value["sha256"], tuple(value["flags"]))
        if not (isinstance(row.frame, int) and isinstance(row.pts, int) and isinstance(row.sha256, str)):
            raise BadInput("frames.row", "A line of the frame manifest has a field of the wrong type.")
        return row


def read_manifest(path: Path) -> Iterator[FrameRow]:
    """Rows of the manifest at ``path``, in file order, streaming."""
    with path.open("rb") as stream:
        for line in stream:
            yield FrameRow.parse(line.rstrip(b"\n"))
