"""How what happens to models in the store comes onto the record: the store's own, and a workspace's ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensic.case.ending import record_end
from forensic.case.workspace import utc_now, utc_text
from forensic.errors import StorageFailed
from forensic.registry.packs.store import REMOVED, note

if TYPE_CHECKING:
    from forensic.case.workspace import Workspace


def put_line(store: Path, event: str, data: dict[str, Any]) -> None:
    """Add a line to the store's record, with the time. Raises ``StorageFailed``."""
    note(store, {"event": event, "utc": utc_text(utc_now()), **data})


def put_entry(workspace: Workspace, event: str, data: dict[str, Any]) -> None:
    """Put an entry into the ledger. What interrupts it once the entry is there came too late."""
    before = workspace.ledger.size
    try:
        workspace.ledger.append(event, data)
    except BaseException:
        if workspace.ledger.landed(event, data, after=before) is None:
            raise


def put_end(
    store: Path,
    workspace: Workspace | None,
    event: str,
    data: dict[str, Any],
    begun: dict[str, int],
    error: BaseException,
) -> None:
    """Put on both records how an attempt ended that ``error`` broke off; what cannot be put there is added to it.

    ``begun``: by ``started``, the ledger's entry with which it began.
    """
    try:
        put_line(store, event, data)
    except StorageFailed as failure:
        error.add_note(f"This could not be put on the store's record ({event}): {failure.message}")
    if workspace is not None:
        record_end(workspace.ledger, event, {**data, **begun}, error)


def entered_last(workspace: Workspace, event: str, card_sha256: str, model_id: str) -> bool:
    """Whether the ledger has an entry ``event`` about this card, and none since by which the model was removed."""
    last = max(
        (one.seq for one in workspace.ledger.entries(event) if one.data.get("card_sha256") == card_sha256), default=0
    )
    return last > max(
        (one.seq for one in workspace.ledger.entries(REMOVED) if one.data.get("model") == model_id), default=0
    )
