"""``forensic custody destroy``: the working copy is removed; what was recorded of it stays."""

from __future__ import annotations

import stat
from typing import Any

from forensic.case.custody import (
    Act,
    Circumstances,
    custody_lock,
    name_exhibit,
    on_record,
    order_of,
    require_acquired,
    settle,
)
from forensic.case.custodyorder import DESTROYED, DESTRUCTION_STARTED, Standing
from forensic.case.exhibits import Exhibit, check_copy, check_kept
from forensic.case.storage import storage, sync_folder
from forensic.case.workspace import Workspace
from forensic.errors import UsageError, VerificationFailed
from forensic.ledger.entry import LedgerEntry

FEWEST_DIGITS = 12
METHOD = "file removed (unlink); the storage medium was not overwritten"


def destroy(workspace: Workspace, exhibit_id: str, confirm: str, circumstances: Circumstances) -> LedgerEntry:
    """Remove the working copy of an exhibit; manifest and acquisition record stay, the file outside is not touched.

    ``confirm``: at least twelve digits from the beginning of the exhibit's SHA-256. A copy that another exhibit
    with the same bytes still needs is kept for it, and the entry says so. An attempt that was cut off is
    completed by giving the command again. Raises ``UsageError`` (``destroy.confirm``, ``custody.order``),
    ``VerificationFailed`` (``exhibit.changed``: a changed copy is not destroyed, it is evidence of the change).
    """
    asked = {"exhibit": exhibit_id, "confirm": confirm, **circumstances.to_record()}
    with on_record(workspace, DESTROYED, asked) as act:
        exhibit = require_acquired(act, name_exhibit(act, exhibit_id))
        record = settle(act, circumstances)
        digits = confirm.strip().lower()
        if len(digits) < FEWEST_DIGITS or not exhibit.sha256.startswith(digits):
            raise UsageError(
                "destroy.confirm",
                f"Not the first {FEWEST_DIGITS} or more digits of the SHA-256 of exhibit {exhibit.id}.",
                "Compare the digest with the order to destroy, then give it with --confirm.",
            )
        with custody_lock(workspace):
            return _destroy(act, exhibit, record)


def _destroy(act: Act, exhibit: Exhibit, record: dict[str, Any]) -> LedgerEntry:
    workspace, ledger = act.workspace, act.workspace.ledger
    begun = Act(workspace, DESTRUCTION_STARTED, act.asked, exhibit.id, exhibit.case)
    begun.require_possible(record)
    sharing = others_sharing(workspace, exhibit)
    pending = order_of(workspace, exhibit.id).of(exhibit.id).destruction_started
    there = exhibit.original.exists() or exhibit.original.is_symlink()
    if there or not pending:
        check_copy(workspace, exhibit)
    if not pending:
        pending = ledger.append(DESTRUCTION_STARTED, record, case=exhibit.case, exhibit=exhibit.id).seq
    if there and not sharing:
        with storage(exhibit.original, "removing"):
            exhibit.original.chmod(stat.S_IRUSR | stat.S_IWUSR)  # Windows removes no read-only file
            exhibit.original.unlink()
            sync_folder(exhibit.folder.root)
    check_kept(workspace, exhibit)
    left = {exhibit.folder.frames, exhibit.folder.acquisition} | ({exhibit.original} if sharing else set())
    strange = sorted(path.name for path in set(exhibit.folder.root.iterdir()) ^ left)
    if strange:
        raise VerificationFailed(
            "destroy.remains",
            f"The folder of exhibit {exhibit.id} does not hold what it should: {', '.join(strange[:5])}.",
            "Find out what that is, then give the command again.",
        )
    data = {
        **record,
        "sha256": exhibit.sha256,
        "started": pending,
        "removed": not sharing,
        "kept_for": sharing,
        "method": None if sharing else METHOD,
        "kept": {
            "manifest_sha256": exhibit.acquired.manifest_sha256,
            "acquisition_sha256": exhibit.acquired.acquisition_sha256,
        },
    }
    return ledger.append(DESTROYED, data, case=exhibit.case, exhibit=exhibit.id)


def others_sharing(workspace: Workspace, exhibit: Exhibit) -> list[dict[str, str | None]]:
    """Other exhibits that have the same working copy and are not destroyed."""
    found = []
    for entry in workspace.ledger.entries(event="exhibit.acquired"):
        if entry.exhibit in (None, exhibit.id) or entry.data.get("sha256") != exhibit.sha256:
            continue
        standing: Standing = order_of(workspace, entry.exhibit).of(entry.exhibit or "")
        if not standing.destroyed:
            found.append({"case": entry.case, "exhibit": entry.exhibit})
    return found
