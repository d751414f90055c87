"""``forensic models remove``: a model is taken out of the models store, and that is on the record.

Every attempt is a line of the store's own record; where there is a workspace, it is a signed entry of its ledger too:
``model.remove-started`` with the digests of all files before anything is touched, then ``model.removed``,
``model.remove-failed`` or ``model.remove-cancelled``; ``model.remove-refused`` for what is not to be removed.
``taken_out`` in the last three says whether the model was out of its place by then. A removal that a kill broke off
has begun and not ended on record; giving the command again ends it. Until then no model by that id counts as enrolled.
The lines of one attempt name the same folder (``set_aside``), under which the files are deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensic.case.ending import why_ended
from forensic.case.modelrecord import put_end, put_entry, put_line
from forensic.errors import Interrupted, PolicyRefused
from forensic.registry.external.shelf import told
from forensic.registry.packs.store import (
    REMOVE_CANCELLED,
    REMOVE_FAILED,
    REMOVE_REFUSED,
    REMOVE_STARTED,
    REMOVED,
    default_store,
)
from forensic.registry.removing import Held, held

if TYPE_CHECKING:
    from forensic.case.workspace import Workspace


def remove_model(
    model_id: str, workspace: Workspace | None, *, store: Path | None = None, models_dir: Path | None = None
) -> dict[str, Any]:
    """Take the model out of the store, and return what is on record of it.

    Raises as :func:`forensic.registry.removing.held`; ``PolicyRefused`` (``model.remove-changed``);
    ``StorageFailed``; ``Interrupted`` (``model.remove-cancelled``) after Ctrl-C.
    """
    place = default_store() if store is None else store
    data: dict[str, Any] = {"model": told(model_id)}
    begun: dict[str, int] = {}
    found: Held | None = None
    try:
        found = held(model_id, place, models_dir)
        data |= found.facts
        if workspace is not None:
            begun["started"] = workspace.ledger.append(REMOVE_STARTED, data).seq
        put_line(place, REMOVE_STARTED, data)
        found.take_out()
        found.clear()
        if workspace is not None:
            put_entry(workspace, REMOVED, {**data, **begun})
        put_line(place, REMOVED, data)
    except BaseException as error:
        event = _event_of(error)
        code, reason = why_ended(error)
        data |= {"code": code, "reason": reason, "taken_out": found is not None and found.is_out}
        put_end(place, workspace, event, data, begun, error)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("model.remove-cancelled", "Removing was cancelled; that is on the record.") from None
        raise
    return data


def _event_of(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return REMOVE_CANCELLED
    return REMOVE_REFUSED if isinstance(error, PolicyRefused) else REMOVE_FAILED
