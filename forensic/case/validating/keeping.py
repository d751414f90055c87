"""What stays of a validation beside its folder: a copy of its record as a master."""

from __future__ import annotations

import os
from pathlib import Path

from forensic.case.earlier import MASTER_KEPT, MASTER_NOT_KEPT
from forensic.case.ending import record_end, why_ended
from forensic.case.storage import create_file, storage, sync_folder
from forensic.case.workspace import Workspace
from forensic.errors import UsageError
from forensic.hashes import sha256_bytes


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
