"""Acquisition: hash first, copy with verification, probe, list every frame, put it on the record."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from forensic.case.acquired import SUFFIX
from forensic.case.custody import Act, custody_lock, order_of
from forensic.case.destruction import others_sharing
from forensic.case.ending import record_end, why_ended
from forensic.case.exhibits import (
    Exhibit,
    check_copy,
    checked_id,
    exhibit_of,
    find_exhibit,
    require_not_destroyed,
)
from forensic.case.holding import Holding, under_way
from forensic.case.layout import ExhibitFolder
from forensic.case.origin import class_of
from forensic.case.progress import Progress
from forensic.case.recognising import look_for_mark
from forensic.case.storage import (
    copy_verified,
    hash_input,
    is_folder,
    is_regular,
    protect,
    remove_tree,
    storage,
    sync_folder,
    write_file,
)
from forensic.case.workspace import Workspace
from forensic.errors import InternalError, Interrupted, StorageFailed, UsageError, VerificationFailed
from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json, sha256_file
from forensic.ledger.order import ACQUIRED
from forensic.media import software_facts
from forensic.media.scan import ScanResult, scan
from forensic.media.watermark_search import Sample

_OF_THE_ATTEMPT = ("path", "note", "defaults", "software", "isolation", "started", "attempt", "copy_restored",
                   "watermark")  # fmt: skip
_MOST_TRIES = 4


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
    same file under the same id again is recorded and returns the first. Every attempt is on the
    record from its start: ``acquisition.started``, then ``exhibit.acquired``,
    ``exhibit.presented-again``, ``acquisition.failed`` or ``acquisition.cancelled``.

    Raises ``BadInput`` for a file that cannot be read or decoded, ``UsageError``
    (``exhibit.exists``) when the id belongs to another file, ``Interrupted`` after Ctrl-C,
    ``StorageFailed``, and ``VerificationFailed`` (``copy.mismatch``, ``exhibit.changed``).
    """
    case = checked_id(case, "case")
    if exhibit_id is not None:
        exhibit_id = checked_id(exhibit_id, "exhibit")
    attempt: dict[str, Any] = {
        "path": _printable(file.absolute()),
        "note": None if note is None else _printable(note),
        "defaults": list(defaults),
        "attempt": f"A-{secrets.token_hex(8)}",
    }
    with under_way(workspace.layout, attempt["attempt"]) as holding:
        return _attempt(workspace, file, attempt, (case, exhibit_id), progress, holding)


def _attempt(
    workspace: Workspace,
    file: Path,
    attempt: dict[str, Any],
    named: tuple[str, str | None],
    progress: Progress,
    holding: Holding,
) -> Exhibit:
    """One attempt on the record. Where its end cannot be recorded, ``holding`` stays, for the next opening to do so."""
    case, exhibit_id = named
    attempt["started"] = workspace.ledger.append("acquisition.started", attempt, case=case, exhibit=exhibit_id).seq
    try:
        with progress.task(f"Hashing {file.name}", _size(file), "bytes") as task:
            sha256 = hash_input(file, task.advance)
        attempt["sha256"] = sha256
        if exhibit_id is None:
            exhibit_id = f"EX-{sha256[:12]}"
        known = find_exhibit(workspace, exhibit_id)
        if known is None:
            Act(workspace, ACQUIRED, {}, exhibit_id, case).require_possible(attempt)
            data = _store(workspace, file, sha256, attempt["attempt"], progress)
            known = _enter(workspace, {**attempt, **data}, case, exhibit_id)
            if known is None:
                return _recorded(workspace, exhibit_id)
        return _again(workspace, known, sha256, case, attempt)
    except BaseException as error:
        code, reason = why_ended(error)
        cancelled = isinstance(error, KeyboardInterrupt)
        ended = Interrupted(
            "acquisition.cancelled", f"The acquisition was cancelled: {reason}", "Give the command again."
        )
        holding.settled = record_end(
            workspace.ledger,
            "acquisition.cancelled" if cancelled else "acquisition.failed",
            {**attempt, "code": code, "reason": reason},
            ended if cancelled else error,
            case=case,
            exhibit=exhibit_id,
        )
        if cancelled:
            raise ended from None
        raise


def _enter(workspace: Workspace, data: dict[str, Any], case: str, exhibit_id: str) -> Exhibit | None:
    """Record the acquisition; if another process took the id meanwhile, return its exhibit instead.

    Raises ``UsageError`` (``custody.order``) for an exhibit received in another case, ``StorageFailed``
    (``copy.gone``) if somebody destroyed the shared copy in the meantime.
    """
    act = Act(workspace, ACQUIRED, {}, exhibit_id, case)
    original = workspace.layout.exhibit(data["sha256"]).original(data["suffix"])
    try:
        with custody_lock(workspace):
            act.require_possible(data)
            if not _exists(original):
                raise StorageFailed("copy.gone", f"{original} has just been destroyed.", "Give the command again.")
            workspace.ledger.append(ACQUIRED, data, case=case, exhibit=exhibit_id)
    except InternalError as error:
        known = find_exhibit(workspace, exhibit_id) if error.code == "ledger.order" else None
        if known is None:
            raise
        return known
    return None


def _recorded(workspace: Workspace, exhibit_id: str) -> Exhibit:
    exhibit = find_exhibit(workspace, exhibit_id)
    if exhibit is None:
        raise InternalError("ledger.lost", f"Exhibit {exhibit_id!r} was recorded and is not in the ledger.")
    return exhibit


def _printable(text: Path | str) -> str:
    """A path or argument as text; bytes that are no text (possible on Linux) are shown escaped."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


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
    require_not_destroyed(workspace, known)
    workspace.ledger.append("exhibit.presented-again", attempt, case=case, exhibit=known.id)
    return known


def _store(workspace: Workspace, file: Path, sha256: str, attempt: str, progress: Progress) -> dict[str, Any]:
    """Put a verified copy with its manifest into the workspace; return what the ledger is to say of it."""
    shared = _shared(workspace, file, sha256)
    if shared is not None:
        return shared
    suffix = file.suffix.lower()
    if not SUFFIX.fullmatch(suffix):
        suffix = ""
    staging = workspace.layout.incoming(attempt)
    with storage(staging.root, "creating"):
        staging.root.mkdir(parents=True)
    try:
        copy_verified(file, staging.original(suffix), sha256)
        sample = Sample()
        with progress.task("Reading every frame", None, "frames") as task:
            result = scan(
                staging.original(suffix), staging.frames, lambda done, claimed: task.advance(), tap=sample.take
            )
        protect(staging.frames)
        media = result.facts.to_record()
        write_file(staging.acquisition, _document(media, result))
        protect(staging.acquisition)
        looked = look_for_mark(workspace, sample)
        stage_class = class_of(workspace, sha256, media, staging.original(suffix), staging.frames, looked)
        placed = _place(workspace, staging, sha256, _facts(staging, suffix, result))
        if placed is not None:
            told = {"watermark": looked.to_record(), **_class_record(stage_class)}
            return {"file_name": _printable(file.name), "sha256": sha256, **placed, **told}
        shared = _shared(workspace, file, sha256)
        if shared is None:
            raise InternalError("ledger.lost", "An acquisition that was recorded is not in the ledger.")
        return shared
    finally:
        remove_tree(staging.root)


def _shared(workspace: Workspace, file: Path, sha256: str) -> dict[str, Any] | None:
    """The same bytes under another exhibit id: one copy, one manifest, both checked again.

    ``software`` and ``isolation`` are not taken over: nothing was decoded now. The exhibit named has it.
    """
    entry = next(
        (e for e in workspace.ledger.entries(event="exhibit.acquired") if e.data.get("sha256") == sha256), None
    )
    if entry is None:
        return None
    first = exhibit_of(workspace, entry)
    restored = _restore(workspace, file, first)
    check_copy(workspace, first)
    kept = {key: value for key, value in entry.data.items() if key not in _OF_THE_ATTEMPT}
    media = first.acquisition().get("media") or {}
    found = class_of(workspace, sha256, media, first.original, first.folder.frames)
    before = (first.stage_class, first.acquired.stage_class_reason)
    return {
        **kept,
        **_class_record(max(before, found, key=lambda finding: finding[0])),
        "file_name": _printable(file.name),
        "shares_copy_with": entry.exhibit,
        **({"copy_restored": True} if restored else {}),
    }


def _restore(workspace: Workspace, file: Path, first: Exhibit) -> bool:
    """Put the copy back that was destroyed under every id it had; what was kept of it is checked by the caller."""
    with custody_lock(workspace):
        standing = order_of(workspace, first.id).of(first.id)
        if not standing.destruction_started or others_sharing(workspace, first) or _exists(first.original):
            return False
        copy_verified(file, first.original, first.sha256)
        return True


def _class_record(found: tuple[StageClass, str]) -> dict[str, str]:
    return {"stage_class": found[0].label, "stage_class_reason": found[1]}


def _place(workspace: Workspace, staging: ExhibitFolder, sha256: str, facts: dict[str, Any]) -> dict[str, Any] | None:
    """Rename ``staging`` to where the exhibit belongs; None if another process has recorded it meanwhile.

    A folder that is there without being on the record was left by a crash, belongs to an acquisition
    under way, or was planted: it is used if it is what we have, byte for byte, else replaced.
    """
    final = workspace.layout.exhibit(sha256)
    for _ in range(_MOST_TRIES):
        try:
            with storage(final.root, "moving the exhibit to"):
                if not _exists(final.root):
                    staging.root.rename(final.root)
                    sync_folder(final.root.parent)
                    return facts
        except StorageFailed:
            if not _exists(final.root):
                raise
        if any(entry.data.get("sha256") == sha256 for entry in workspace.ledger.entries(event="exhibit.acquired")):
            return None
        if not is_folder(final.root):
            raise VerificationFailed(
                "exhibit.planted",
                f"{final.root} is not a folder of this program but a link or file.",
                "Find out who put it there and remove it; nothing was written through it.",
            )
        same = _same_content(final, sha256, facts)
        if same is not None:
            return same
        remove_tree(final.root)
    raise StorageFailed("storage.failed", f"{final.root} cannot be put in place.", "Check the disk.")


def _exists(path: Path) -> bool:
    """Whether the name is taken, a link to nowhere included."""
    return os.path.lexists(path)


def _same_content(folder: ExhibitFolder, sha256: str, facts: dict[str, Any]) -> dict[str, Any] | None:
    """``facts``, with the suffix found, if ``folder`` holds exactly such files; else None."""
    originals = [path.name for path in folder.root.iterdir() if path.name.startswith("original")]
    suffix = originals[0].removeprefix("original") if len(originals) == 1 else ""
    if not SUFFIX.fullmatch(suffix):
        return None
    expected = {
        folder.original(suffix): sha256,
        folder.frames: facts["frames"]["manifest_sha256"],
        folder.acquisition: facts["acquisition_sha256"],
    }
    if set(folder.root.iterdir()) != expected.keys():
        return None
    with storage(folder.root, "reading"):
        if all(is_regular(path) and sha256_file(path) == digest for path, digest in expected.items()):
            for path in expected:
                protect(path)
            return {**facts, "suffix": suffix}
    return None


def _document(media: dict[str, Any], result: ScanResult) -> bytes:
    return canonical_json(
        {
            "media": media,
            "timing": result.intervals,
            "reading": result.statistics,
            "anomalies": [anomaly.to_record() for anomaly in result.anomalies],
        }
    )


def _facts(staging: ExhibitFolder, suffix: str, result: ScanResult) -> dict[str, Any]:
    """What the ledger says of the copy: everything comes from the copy, nothing from the file outside."""
    with storage(staging.root, "reading"):
        size = staging.original(suffix).stat().st_size
        manifest_sha256, acquisition_sha256 = sha256_file(staging.frames), sha256_file(staging.acquisition)
    return {
        "suffix": suffix,
        "size": size,
        "acquisition_sha256": acquisition_sha256,
        "geometry": result.geometry.to_record(),
        "colour": result.colour.to_record(),
        "time_base": str(result.time_base),
        "frames": {
            "count": result.frame_count,
            "merkle_root": result.merkle_root,
            "manifest_sha256": manifest_sha256,
            "first_pts": result.first_pts,
            "last_pts": result.last_pts,
            "vfr": result.vfr,
        },
        "anomaly_counts": result.anomaly_counts,
        "software": software_facts(),
        "isolation": result.isolation,
    }
