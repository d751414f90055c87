"""``forensic custody export``: the working copy goes out of the workspace, and is read back where it lies."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.case.custody import Circumstances, name_exhibit, on_record, require_acquired, settle
from forensic.case.custodyorder import EXPORTED
from forensic.case.exhibits import Exhibit, check_untouched
from forensic.case.progress import Progress
from forensic.case.storage import create_file, storage, storage_error, sync_folder
from forensic.case.workspace import Workspace
from forensic.errors import UsageError, VerificationFailed
from forensic.hashes import sha256_bytes, sha256_stream
from forensic.ledger.entry import LedgerEntry

_BLOCK = 1 << 20
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Exported:
    """The entry and the files: copy, frame manifest, list of digests for ``sha256sum -c``."""

    entry: LedgerEntry
    files: tuple[Path, Path, Path]


def export(
    workspace: Workspace, exhibit_id: str, target: Path, circumstances: Circumstances, progress: Progress
) -> Exported:
    """Copy the working copy of an exhibit to ``target`` (a folder or a new file), with manifest and digests.

    Nothing is overwritten, nothing written inside the workspace; every file is read back from where it lies
    and compared before the act is recorded. What was written by an attempt that fails is removed again.
    Raises ``UsageError`` (``export.inside``, ``export.exists``, ``export.name``, ``exhibit.destroyed``, …),
    ``VerificationFailed`` (``export.mismatch``, ``exhibit.changed``) and ``StorageFailed``.
    """
    asked = {"exhibit": exhibit_id, "path": printable_path(target), **circumstances.to_record()}
    with on_record(workspace, EXPORTED, asked) as act:
        exhibit = require_acquired(act, name_exhibit(act, exhibit_id))
        record = settle(act, circumstances)
        act.require_possible(record)
        copy = place_outside(workspace, target, _name_for(exhibit))
        files = (copy, copy.with_name(f"{copy.name}.frames.jsonl"), copy.with_name(f"{copy.name}.sha256"))
        for file in files[1:]:
            _require_free(file)
        check_untouched(workspace, exhibit)
        written: list[Path] = []
        try:
            facts = _write_all(exhibit, files, written, progress)
            entry = act.enter({**record, "path": printable_path(copy.absolute()), **facts})
        except BaseException:
            if act.recorded() is None:
                take_away(written)
            raise
    return Exported(entry, files)


def place_outside(workspace: Workspace, target: Path, name: str) -> Path:
    """The new file that ``target`` stands for: itself, or ``name`` in it where it is a folder.

    Raises ``UsageError`` (``export.folder``, ``export.inside``, ``export.name``, ``export.exists``).
    """
    try:
        path = target.absolute()
        path = path / name if path.is_dir() else path
        folder = path.parent.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError("export.folder", f"{printable_path(target)} is in no folder that can be reached.") from error
    path = folder / path.name
    if folder.is_relative_to(workspace.layout.root.resolve()):
        raise UsageError(
            "export.inside", f"{printable_path(path)} lies inside the workspace.", "Choose a place outside of it."
        )
    if not path.name.isprintable() or "\\" in path.name:
        raise UsageError("export.name", "The file name has characters that sha256sum would escape.", "Choose another.")
    _require_free(path)
    return path


def _name_for(exhibit: Exhibit) -> str:
    """A file name made of the exhibit's id; ids may hold slashes and dots, names of ours do not begin with one."""
    plain = _UNSAFE.sub("_", exhibit.id).strip("._-")[:80]
    return f"{plain or exhibit.sha256[:12]}{exhibit.acquired.suffix}"


def _require_free(path: Path) -> None:
    if os.path.lexists(path):
        raise _taken(path)


def _taken(path: Path) -> UsageError:
    return UsageError(
        "export.exists", f"{printable_path(path)} is there already.", "Nothing is overwritten: choose another name."
    )


def _write_all(
    exhibit: Exhibit, files: tuple[Path, Path, Path], written: list[Path], progress: Progress
) -> dict[str, Any]:
    copy, manifest, digests = files
    size = exhibit.acquired.size
    with progress.task(f"Copying exhibit {exhibit.id}", 2 * size, "bytes") as task:
        for source, target, sha256 in (
            (exhibit.original, copy, exhibit.sha256),
            (exhibit.folder.frames, manifest, exhibit.acquired.manifest_sha256),
        ):
            copy_out(source, target, sha256, written, task.advance)
    # Written last: a copy without it was broken off.
    lines = f"{exhibit.sha256}  {copy.name}\n{exhibit.acquired.manifest_sha256}  {manifest.name}\n".encode()
    write_out(digests, lines, written)
    return {
        "sha256": exhibit.sha256,
        "size": size,
        "manifest_sha256": exhibit.acquired.manifest_sha256,
        "files": [file.name for file in files],
        "read_back": True,
    }


def copy_out(
    source: Path, target: Path, sha256: str, written: list[Path], advance: Callable[[int], None] = lambda _: None
) -> None:
    """Copy to a new file, then read that back; ``written`` is told the name as soon as it exists.

    Raises ``VerificationFailed`` (``export.mismatch``) unless both have ``sha256``.
    """
    digest = hashlib.sha256()
    try:
        with source.open("rb") as read, create_file(target) as write:
            written.append(target)
            while block := read.read(_BLOCK):
                digest.update(block)
                write.write(block)
                advance(len(block))
            write.flush()
            os.fsync(write.fileno())
        sync_folder(target.parent)
    except FileExistsError as error:
        raise _taken(target) from error
    except OSError as error:
        raise storage_error(error, target, "exporting to") from error
    if digest.hexdigest() != sha256 or _read_back(target, advance) != sha256:
        raise VerificationFailed(
            "export.mismatch",
            f"{printable_path(target)} does not have the digest of the exhibit after it was written.",
            "The medium or the machine is failing: do not hand this copy on.",
        )


def write_out(target: Path, data: bytes, written: list[Path]) -> None:
    """Write ``data`` to a new file and read it back. Raises as :func:`copy_out`."""
    try:
        with create_file(target) as stream:
            written.append(target)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(target.parent)
    except FileExistsError as error:
        raise _taken(target) from error
    except OSError as error:
        raise storage_error(error, target, "writing") from error
    if _read_back(target) != sha256_bytes(data):
        raise VerificationFailed("export.mismatch", f"{printable_path(target)} cannot be read back as it was written.")


def take_away(written: list[Path]) -> None:
    """Remove what an attempt that failed has written, as far as the medium is still there."""
    for file in written:
        with suppress(OSError):
            file.unlink()


def _read_back(path: Path, advance: Callable[[int], None] = lambda _: None) -> str:
    """SHA-256 of the file as it lies on the medium, not as the system remembers it, where that can be asked for."""
    with storage(path, "reading back"), path.open("rb", buffering=0) as stream:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return sha256_stream(stream, advance)


def printable_path(path: Path) -> str:
    """``path`` as text; bytes that are no text are shown escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
