"""Acquired exhibits: found in the ledger, checked against it at every touch."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from forensic.case.acquired import AcquiredExhibit, parse_acquired
from forensic.case.custodyorder import DESTROYED, DESTRUCTION_STARTED
from forensic.case.layout import ExhibitFolder
from forensic.case.storage import is_folder, is_regular
from forensic.case.workspace import Workspace
from forensic.errors import BadInput, UsageError, VerificationFailed
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import Geometry
from forensic.frames.manifest import FrameRow
from forensic.frames.stageclass import StageClass
from forensic.hashes import MerkleTree, sha256_bytes, sha256_file
from forensic.ledger.entry import LedgerEntry

_LONGEST_ID = 128


@dataclass(frozen=True)
class Exhibit:
    """One exhibit as the ledger knows it. ``entry`` is the entry's data, which ``acquired`` has parsed."""

    id: str
    case: str
    sha256: str
    entry: dict[str, Any]
    acquired_utc: str
    folder: ExhibitFolder

    @cached_property
    def acquired(self) -> AcquiredExhibit:
        """The entry, parsed. Raises ``VerificationFailed`` (``exhibit.record-invalid``)."""
        return parse_acquired(self.entry)

    @property
    def original(self) -> Path:
        """The read-only working copy."""
        return self.folder.original(self.acquired.suffix)

    @property
    def stage_class(self) -> StageClass:
        """Class that every frame of the exhibit starts with: GENERATIVE if it is our own generative output."""
        return self.acquired.stage_class

    def acquisition(self) -> dict[str, Any]:
        """Media facts, checked against the digest in the ledger."""
        data = self._checked(self.folder.acquisition, self.acquired.acquisition_sha256)
        try:
            record: dict[str, Any] = json.loads(data)
        except ValueError as error:
            raise self._changed(self.folder.acquisition) from error
        return record

    def manifest(self) -> tuple[FrameRow, ...]:
        """Every row of the frame manifest, from one reading that is checked against the ledger.

        What is hashed is what is returned: a file swapped afterwards changes nothing. Raises
        ``VerificationFailed``: ``exhibit.missing``, or ``exhibit.changed`` where SHA-256, Merkle root
        or number of rows is not the recorded one.
        """
        path, digest, tree = self.folder.frames, hashlib.sha256(), MerkleTree()
        rows: list[FrameRow] = []
        try:
            with path.open("rb") as stream:
                for line in stream:
                    digest.update(line)
                    leaf = line.removesuffix(b"\n")
                    tree.append(leaf)
                    rows.append(FrameRow.parse(leaf))
        except OSError as error:
            raise VerificationFailed("exhibit.missing", f"{path} cannot be read: {error.strerror}.") from error
        except (BadInput, TypeError) as error:
            raise self._changed(path) from error
        found = (digest.hexdigest(), tree.root().hex(), tree.size)
        if found != (self.acquired.manifest_sha256, self.acquired.merkle_root, self.acquired.frame_count):
            raise self._changed(path)
        return tuple(rows)

    def geometry(self) -> Geometry:
        """Size and layout of the decoded frames."""
        return self.acquired.geometry

    def colour(self) -> ColourSpec:
        """Colour description of the decoded frames."""
        return self.acquired.colour

    @property
    def time_base(self) -> Fraction:
        """Seconds in one PTS tick."""
        return self.acquired.time_base

    @property
    def frame_count(self) -> int:
        """Number of frames that decoded at acquisition."""
        return self.acquired.frame_count

    def _checked(self, path: Path, sha256: str) -> bytes:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise VerificationFailed("exhibit.missing", f"{path} cannot be read: {error.strerror}.") from error
        if sha256_bytes(data) != sha256:
            raise self._changed(path)
        return data

    def _changed(self, path: Path) -> VerificationFailed:
        return VerificationFailed(
            "exhibit.changed",
            f"{path.name} of exhibit {self.id} is not what was recorded.",
            "Nothing was processed. Restore it from the original medium, or acquire it as a new exhibit.",
        )


def checked_id(value: str, what: str) -> str:
    """A case or exhibit id: 1 to 128 printable characters, no surrounding blanks; returned in NFC."""
    value = unicodedata.normalize("NFC", value)
    if not value or value != value.strip() or len(value) > _LONGEST_ID:
        raise UsageError("id.invalid", f"The {what} id must have 1 to {_LONGEST_ID} characters and no outer blanks.")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for character in value):
        raise UsageError("id.invalid", f"The {what} id has control or invisible characters.")
    return value


def find_exhibit(workspace: Workspace, exhibit_id: str) -> Exhibit | None:
    """The exhibit with this id (in any Unicode normalisation), or None.

    Raises ``VerificationFailed`` (``exhibit.record-invalid``) if the ledger's entry is malformed.
    """
    exhibit_id = unicodedata.normalize("NFC", exhibit_id)
    for entry in workspace.ledger.entries(event="exhibit.acquired", exhibit=exhibit_id):
        return exhibit_of(workspace, entry)
    return None


def exhibit_of(workspace: Workspace, entry: LedgerEntry) -> Exhibit:
    """The exhibit that an ``exhibit.acquired`` entry records. Raises as :func:`parse_acquired`."""
    sha256 = parse_acquired(entry.data).sha256
    folder = workspace.layout.exhibit(sha256)
    return Exhibit(entry.exhibit or "", entry.case or "", sha256, dict(entry.data), entry.utc, folder)


def check_untouched(workspace: Workspace, exhibit: Exhibit) -> None:
    """Hash working copy, frame manifest and media facts; a change is recorded and blocks the run.

    Raises ``UsageError`` (``exhibit.destroyed``) if there is no copy any more because it was destroyed,
    ``VerificationFailed`` (``exhibit.changed``).
    """
    require_not_destroyed(workspace, exhibit)
    check_copy(workspace, exhibit)


def require_not_destroyed(workspace: Workspace, exhibit: Exhibit) -> None:
    """Raise ``UsageError`` (``exhibit.destroyed``) if the ledger says that the copy was destroyed, or is being."""
    begun = list(workspace.ledger.entries(event=DESTRUCTION_STARTED, exhibit=exhibit.id))
    ended = list(workspace.ledger.entries(event=DESTROYED, exhibit=exhibit.id))
    if ended or (begun and not os.path.lexists(exhibit.original)):
        raise UsageError(
            "exhibit.destroyed",
            f"The working copy of exhibit {exhibit.id} was destroyed on {(ended or begun)[0].utc} "
            f"(ledger entry {(ended or begun)[0].seq}).",
            "To work on the recording again, acquire the file from its medium under a new exhibit id.",
        )


def check_copy(workspace: Workspace, exhibit: Exhibit) -> None:
    """Like :func:`check_untouched`, for a copy of which the ledger's word on destruction was looked at."""
    _check(workspace, exhibit, exhibit.original, exhibit.acquired.sha256)
    check_kept(workspace, exhibit)


def check_kept(workspace: Workspace, exhibit: Exhibit) -> None:
    """Hash frame manifest and media facts, which stay when the working copy is destroyed."""
    _check(workspace, exhibit, exhibit.folder.frames, exhibit.acquired.manifest_sha256)
    _check(workspace, exhibit, exhibit.folder.acquisition, exhibit.acquired.acquisition_sha256)


def _check(workspace: Workspace, exhibit: Exhibit, path: Path, digest: str) -> None:
    try:
        # A link is refused even where it leads to the right bytes: they are not ours to keep unchanged.
        own = is_folder(exhibit.folder.root) and is_regular(path)
        found = sha256_file(path) if own else "missing, or not a regular file"
    except OSError as error:
        found = f"unreadable: {error.strerror}"
    if found != digest:
        workspace.ledger.append(
            "exhibit.changed",
            {"file": path.name, "recorded": digest, "found": found},
            case=exhibit.case,
            exhibit=exhibit.id,
        )
        raise VerificationFailed(
            "exhibit.changed",
            f"{path} of exhibit {exhibit.id} has changed since acquisition.",
            "Nothing was processed. Restore it from the original medium, or acquire it as a new exhibit.",
        )
