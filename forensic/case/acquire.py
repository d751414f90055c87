"""Acquisition: hash first, copy with verification, probe, list every frame, put it on the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forensic.case.exhibits import Exhibit, check_untouched, checked_id, find_exhibit
from forensic.case.progress import Progress
from forensic.case.storage import copy_verified, hash_input, make_folder, protect, remove_tree, storage, write_file
from forensic.case.workspace import Workspace
from forensic.errors import ForensicError, UsageError
from forensic.hashes import canonical_json, sha256_bytes, sha256_file
from forensic.media import software_facts
from forensic.media.scan import ScanResult, scan

_LONGEST_SUFFIX = 12
_OF_THE_ATTEMPT = ("path", "note", "defaults")


def acquire(
    workspace: Workspace,
    file: Path,
    *,
    case: str,
    exhibit_id: str | None,
    note: str | None,
    progress: Progress,
    defaults: tuple[str, ...] = (),
) -> Exhibit:
    """Acquire ``file`` as an exhibit; never writes to it. Returns the recorded exhibit.

    ``exhibit_id`` None means: named after its digest (``EX-`` and twelve digits). Acquiring the
    same file under the same id again is recorded and returns the first. Raises ``BadInput`` for a
    file that cannot be read or decoded (recorded as ``acquisition.failed``), ``UsageError``
    (``exhibit.exists``) when the id belongs to another file.
    """
    case = checked_id(case, "case")
    if exhibit_id is not None:
        exhibit_id = checked_id(exhibit_id, "exhibit")
    attempt: dict[str, Any] = {"path": _printable(file.absolute()), "note": note, "defaults": list(defaults)}
    try:
        with progress.task(f"Hashing {file.name}", _size(file), "bytes") as task:
            sha256 = hash_input(file, task.advance)
        attempt["sha256"] = sha256
        if exhibit_id is None:
            exhibit_id = f"EX-{sha256[:12]}"
        known = find_exhibit(workspace, exhibit_id)
        if known is not None:
            return _again(workspace, known, sha256, case, attempt)
        data = _store(workspace, file, sha256, progress)
    except ForensicError as error:
        workspace.ledger.append(
            "acquisition.failed",
            {**attempt, "code": error.code, "reason": error.message},
            case=case,
            exhibit=exhibit_id,
        )
        raise
    workspace.ledger.append("exhibit.acquired", {**attempt, **data}, case=case, exhibit=exhibit_id)
    exhibit = find_exhibit(workspace, exhibit_id)
    assert exhibit is not None  # noqa: S101 - the append above has just put it there
    return exhibit


def _printable(path: Path) -> str:
    """The path as text; bytes that are no text (possible on Linux) are shown escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _again(workspace: Workspace, known: Exhibit, sha256: str, case: str, attempt: dict[str, Any]) -> Exhibit:
    if known.sha256 != sha256 or known.case != case:
        raise UsageError(
            "exhibit.exists",
            f"Exhibit id {known.id!r} already stands for another file or case in this workspace.",
            "Choose another --exhibit id.",
        )
    workspace.ledger.append("exhibit.presented-again", attempt, case=case, exhibit=known.id)
    return known


def _store(workspace: Workspace, file: Path, sha256: str, progress: Progress) -> dict[str, Any]:
    folder = workspace.layout.exhibit(sha256)
    for entry in workspace.ledger.entries(event="exhibit.acquired"):
        if entry.data["sha256"] == sha256:
            # The same bytes under another exhibit id: one copy, one manifest, both checked again.
            check_untouched(
                workspace, Exhibit(entry.exhibit or "", entry.case or "", sha256, entry.data, entry.utc, folder)
            )
            shared = {key: value for key, value in entry.data.items() if key not in _OF_THE_ATTEMPT}
            return {**shared, "file_name": _printable(Path(file.name)), "shares_copy_with": entry.exhibit}
    suffix = file.suffix.lower()
    if len(suffix) > _LONGEST_SUFFIX or not suffix[1:].isascii() or not suffix[1:].isalnum():
        suffix = ""
    fresh = not folder.root.exists()
    make_folder(folder.root)
    try:
        original = folder.original(suffix)
        if not original.exists():
            copy_verified(file, original, sha256)
        with storage(folder.frames, "preparing"):
            folder.frames.unlink(missing_ok=True)
        with progress.task("Reading every frame", None, "frames") as task:
            result = scan(original, folder.frames, lambda done, claimed: task.advance())
    except BaseException:
        if fresh:
            remove_tree(folder.root)
        raise
    protect(folder.frames)
    return _record(folder.frames, folder.acquisition, file, sha256, suffix, result)


def _record(
    frames: Path, acquisition: Path, file: Path, sha256: str, suffix: str, result: ScanResult
) -> dict[str, Any]:
    anomalies = [anomaly.to_record() for anomaly in result.anomalies]
    document = canonical_json(
        {
            "media": result.facts.to_record(),
            "timing": result.intervals,
            "reading": result.statistics,
            "anomalies": anomalies,
        }
    )
    with storage(acquisition, "replacing"):
        acquisition.unlink(missing_ok=True)
    write_file(acquisition, document)
    protect(acquisition)
    return {
        "file_name": _printable(Path(file.name)),
        "suffix": suffix,
        "sha256": sha256,
        "size": file.stat().st_size,
        "acquisition_sha256": sha256_bytes(document),
        "geometry": result.geometry.to_record(),
        "colour": result.colour.to_record(),
        "time_base": str(result.time_base),
        "frames": {
            "count": result.frame_count,
            "merkle_root": result.merkle_root,
            "manifest_sha256": sha256_file(frames),
            "first_pts": result.first_pts,
            "last_pts": result.last_pts,
            "vfr": result.vfr,
        },
        "anomaly_counts": result.anomaly_counts,
        "software": software_facts(),
    }
