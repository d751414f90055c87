"""Acquired exhibits: found in the ledger, checked against it at every touch."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from forensic.case.layout import ExhibitFolder
from forensic.case.workspace import Workspace
from forensic.errors import UsageError, VerificationFailed
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import Geometry
from forensic.frames.layout import layout_named
from forensic.hashes import sha256_bytes, sha256_file

_LONGEST_ID = 128


@dataclass(frozen=True)
class Exhibit:
    """One exhibit as the ledger knows it."""

    id: str
    case: str
    sha256: str
    entry: dict[str, Any]
    acquired_utc: str
    folder: ExhibitFolder

    @property
    def original(self) -> Path:
        """The read-only working copy."""
        return self.folder.original(self.entry["suffix"])

    def acquisition(self) -> dict[str, Any]:
        """Media facts, checked against the digest in the ledger."""
        data = self._checked(self.folder.acquisition, self.entry["acquisition_sha256"])
        record: dict[str, Any] = json.loads(data)
        return record

    def geometry(self) -> Geometry:
        """Size and layout of the decoded frames."""
        record = self.entry["geometry"]
        aspect = record["sample_aspect"]
        return Geometry(
            record["width"],
            record["height"],
            layout_named(record["pixel_format"]),
            None if aspect is None else Fraction(aspect.replace(":", "/")),
        )

    def colour(self) -> ColourSpec:
        """Colour description of the decoded frames."""
        return ColourSpec.from_record(self.entry["colour"])

    @property
    def time_base(self) -> Fraction:
        """Seconds in one PTS tick."""
        return Fraction(self.entry["time_base"])

    @property
    def frame_count(self) -> int:
        """Number of frames that decoded at acquisition."""
        return int(self.entry["frames"]["count"])

    def _checked(self, path: Path, sha256: str) -> bytes:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise VerificationFailed("exhibit.missing", f"{path} cannot be read: {error.strerror}.") from error
        if sha256_bytes(data) != sha256:
            raise VerificationFailed("exhibit.changed", f"{path.name} of exhibit {self.id} is not what was recorded.")
        return data


def checked_id(value: str, what: str) -> str:
    """A case or exhibit id: 1 to 128 printable characters, no surrounding blanks."""
    if not value or value != value.strip() or len(value) > _LONGEST_ID:
        raise UsageError("id.invalid", f"The {what} id must have 1 to {_LONGEST_ID} characters and no outer blanks.")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for character in value):
        raise UsageError("id.invalid", f"The {what} id has control or invisible characters.")
    return unicodedata.normalize("NFC", value)


def find_exhibit(workspace: Workspace, exhibit_id: str) -> Exhibit | None:
    """The exhibit with this id, or None."""
    for entry in workspace.ledger.entries(event="exhibit.acquired", exhibit=exhibit_id):
        sha256 = entry.data["sha256"]
        return Exhibit(exhibit_id, entry.case or "", sha256, entry.data, entry.utc, workspace.layout.exhibit(sha256))
    return None


def check_untouched(workspace: Workspace, exhibit: Exhibit) -> None:
    """Hash the working copy and the frame manifest; a change is recorded and blocks the run."""
    for path, digest in (
        (exhibit.original, exhibit.sha256),
        (exhibit.folder.frames, exhibit.entry["frames"]["manifest_sha256"]),
        (exhibit.folder.acquisition, exhibit.entry["acquisition_sha256"]),
    ):
        try:
            found = sha256_file(path)
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
