"""``forensic models add``: a laboratory's own model is enrolled, and that is on the record.

Every attempt is a line of the store's own record; where there is a workspace, it is a signed entry of its ledger too:
``model.added``, ``model.add-refused`` (it asks for more than numbers, is of no kind that is known, its id is taken),
``model.add-failed``, ``model.add-cancelled``. The ledger's entry comes first and the store's line last: a model for
which the store has no line ``model.added`` is put on the record when it is next enrolled.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensic.case.ending import record_end, why_ended
from forensic.case.workspace import utc_now, utc_text
from forensic.errors import BadInput, Interrupted, PolicyRefused, StorageFailed, VerificationFailed
from forensic.registry.external.enrolling import Enrolled, enrol
from forensic.registry.external.material import source_digest, told_name
from forensic.registry.packs.store import default_store, note, noted

if TYPE_CHECKING:
    from forensic.case.workspace import Workspace

ADDED, REFUSED, FAILED, CANCELLED = "model.added", "model.add-refused", "model.add-failed", "model.add-cancelled"


def add_model(
    path: Path,
    model_id: str,
    workspace: Workspace | None,
    *,
    store: Path | None = None,
    laboratory: Path | None = None,
    root: str | None = None,
) -> Enrolled:
    """Enrol the model at ``path`` as ``model_id``, unless it is enrolled already and on the store's record.

    Raises as :func:`forensic.registry.external.enrolling.enrol`; ``Interrupted`` (``model.add-cancelled``) after
    Ctrl-C.
    """
    place = default_store() if store is None else store
    data: dict[str, Any] = {"model": model_id, "given": {"name": told_name(path), "sha256": None}}
    try:
        data["given"]["sha256"] = source_digest(path)
        enrolled = enrol(path, model_id, place, laboratory=laboratory, root=root)
        card = enrolled.card
        del data["given"]
        data |= {
            "model_version": card.version,
            "card_sha256": card.card_sha256,
            "weights_sha256": card.weights_sha256,
            "class": card.stage_class.label,
            "class_statement": card.class_statement,
            "engine": card.engine,
            "source": card.source.model_dump(mode="json", exclude_none=True),
            "files": [file.model_dump(mode="json") for file in card.files],
            "left_out": list(enrolled.left_out),
        }
        if not enrolled.new and _is_on_record(card.card_sha256, place):
            return enrolled
        if workspace is not None:
            workspace.ledger.append(ADDED, data)
    except BaseException as error:
        event = _event_of(error)
        code, reason = why_ended(error)
        data |= {"code": code, "reason": reason}
        try:
            note(place, {"event": event, "utc": utc_text(utc_now()), **data})
        except StorageFailed as failure:
            error.add_note(f"This could not be put on the store's record ({event}): {failure.message}")
        if workspace is not None:
            record_end(workspace.ledger, event, data, error)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("model.add-cancelled", "Enrolling was cancelled; that is on the record.") from None
        raise
    note(place, {"event": ADDED, "utc": utc_text(utc_now()), **data})
    return enrolled


def _is_on_record(card_sha256: str, store: Path) -> bool:
    return any(line.get("event") == ADDED and line.get("card_sha256") == card_sha256 for line in noted(store))


def _event_of(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return CANCELLED
    return REFUSED if isinstance(error, VerificationFailed | BadInput | PolicyRefused) else FAILED
