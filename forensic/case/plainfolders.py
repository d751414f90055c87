"""Folders of a workspace whose files no record lists: of work under way, of checkpoints, of exhibits.

Imported from ``layout``, which says where they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forensic.case.recordednames import FRAMES


@dataclass(frozen=True)
class WorkingFolder:
    """Paths of what a run or acquisition under way keeps for itself; nothing in it is evidence."""

    root: Path

    @property
    def journal(self) -> Path:
        """What was done frame by frame, as far as a signed entry may cover it (``case.journal``)."""
        return self.root / "journal.jsonl"

    @property
    def earlier(self) -> Path:
        """The partial output of a process that was interrupted, while a resumed one reads from it."""
        return self.root / "earlier.mkv"

    @property
    def terms(self) -> Path:
        """Recipe and policy as they were read when the run was decided on (``case.terms``)."""
        return self.root / "terms.json"

    @property
    def reserve(self) -> Path:
        """Space given up on a full disk, so that the ledger can still say what happened."""
        return self.root / "reserve"


@dataclass(frozen=True)
class AnchorFolder:
    """Paths of one checkpoint and of what others said about it."""

    root: Path

    @property
    def checkpoint(self) -> Path:
        """The checkpoint, a signed note with the log's own signature; never changed."""
        return self.root / "checkpoint"

    @property
    def timestamp(self) -> Path:
        """RFC 3161 response about ``checkpoint``."""
        return self.root / "checkpoint.tsr"

    @property
    def cosigned(self) -> Path:
        """The same note with all cosignatures received."""
        return self.root / "cosigned"


@dataclass(frozen=True)
class ExhibitFolder:
    """Paths of one exhibit."""

    root: Path

    def original(self, suffix: str) -> Path:
        """The verified, read-only working copy of the original file."""
        return self.root / f"original{suffix}"

    @property
    def acquisition(self) -> Path:
        """Media facts and anomalies found at acquisition, canonical JSON."""
        return self.root / "acquisition.json"

    @property
    def frames(self) -> Path:
        """Frame manifest of the original."""
        return self.root / FRAMES
