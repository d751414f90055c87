"""What stays of a validation: its folder's final name, a copy as a master, and after a bad end the measurements."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from forensic.case.earlier import COMPLETED, MASTER_KEPT, MASTER_NOT_KEPT
from forensic.case.ending import record_end, why_ended
from forensic.case.layout import INCOMPLETE, ValidationFolder
from forensic.case.regularfile import digest_regular
from forensic.case.storage import create_file, storage, sync_folder
from forensic.case.workspace import Workspace
from forensic.errors import UsageError
from forensic.hashes import sha256_bytes, sha256_file


def settle_folder(final: Path) -> None:
    """Give the folder of a completed validation its name.

    Raises ``UsageError`` (``validation.exists``) where something of that name has come there meanwhile, be it an empty
    folder, which a rename would replace without a word; else ``StorageFailed``.
    """
    begun = final.with_name(f"{final.name}{INCOMPLETE}")
    if os.path.lexists(final):
        raise UsageError(
            "validation.exists", f"{final} exists: the completed validation stays in {begun.name}.",
            "Move what is in its place away; the next validation here gives the folder its name.",
        )  # fmt: skip
    with storage(final, "moving the validation to"):
        begun.rename(final)
        sync_folder(final.parent)


def complete_renames(workspace: Workspace) -> None:
    """Give folders their final name that a kill left between the entry on their end and the rename."""
    for entry in workspace.ledger.entries(event=COMPLETED):
        final = workspace.layout.validation_named(entry.data["folder"])
        left = ValidationFolder(final.with_name(f"{final.name}{INCOMPLETE}")).attestation
        there = os.path.lexists(final)
        if not there and left.is_file() and sha256_file(left) == entry.data["attestation_sha256"]:
            settle_folder(final)


def keep_master(workspace: Workspace, identifier: str, verdict: str, attestation: bytes, wanted: Path) -> None:
    """Write the record of a passed validation to ``wanted``, which must not exist, and say so in the ledger.

    ``verdict``: any other than PASS makes no master, which is on record too. What the ledger cannot tell of does not
    stay. Raises ``UsageError`` (``validation.exists``), and as writing and the ledger do, once
    ``validation.master-not-kept`` is on record.
    """
    about = {"validation": identifier, "file": workspace.layout.name(wanted)}
    if verdict != "PASS":
        told = {
            "code": "validation.verdict",
            "reason": f"Only a validation that passed can be a master; this: {verdict}.",
        }
        workspace.ledger.append(MASTER_NOT_KEPT, {**about, **told})
        return
    created = False
    try:
        try:
            with storage(wanted, "writing"), create_file(wanted) as stream:
                created = True
                stream.write(attestation)
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException as error:
            if isinstance(error.__cause__, FileExistsError):
                raise UsageError(
                    "validation.exists", f"{wanted} exists already.", "Copy attestation.json of the validation by hand."
                ) from error
            raise
        with storage(wanted, "writing"):
            sync_folder(wanted.parent)
        workspace.ledger.append(MASTER_KEPT, {**about, "sha256": sha256_bytes(attestation)})
    except BaseException as error:
        if _is_kept(workspace, identifier):
            return  # what stopped it came too late
        if created:
            wanted.unlink(missing_ok=True)
        not_kept(workspace, identifier, wanted, error)
        raise


def not_kept(workspace: Workspace, identifier: str, wanted: Path, error: BaseException) -> None:
    """Record that ``error`` kept a completed validation from becoming the master ``wanted``."""
    code, reason = why_ended(error)
    about = {"validation": identifier, "file": workspace.layout.name(wanted)}
    record_end(workspace.ledger, MASTER_NOT_KEPT, {**about, "code": code, "reason": reason}, error)


def _is_kept(workspace: Workspace, identifier: str) -> bool:
    return any(entry.data.get("validation") == identifier for entry in workspace.ledger.entries(event=MASTER_KEPT))


def unsigned(final: Path) -> dict[str, Any]:
    """What the entry on a bad end says of the folder that is left: the measurements stay, whatever is signed goes.

    A killed process leaves both; ``forensic verify`` accepts no folder called incomplete that no ledger completes.
    """
    folder = ValidationFolder(final.with_name(f"{final.name}{INCOMPLETE}"))
    removed, stuck = [], []
    for path in (folder.manifest, folder.report, folder.attestation):
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            stuck.append(f"{path.name}: {error.strerror}")
        else:
            removed.append(path.name)
    left: dict[str, Any] = {"incomplete_folder": folder.root.name, "removed": removed}
    if stuck:
        left["not_removed"] = stuck
    return {**left, "result": digest_regular(folder.result)}
