"""``forensic models add``: a laboratory's own model is enrolled, and that is on the record.

Every attempt is a line of the store's own record; where there is a workspace, it is a signed entry of its ledger too:
``model.add-started`` before anything of the model is computed (its trial may take all memory and end the process),
then ``model.added``, ``model.add-refused`` (it asks for more than numbers, is of no kind that is known, its id is
taken), ``model.add-failed`` or ``model.add-cancelled``. What is refused before it would be computed was not started.
The ledger's entry comes first and the store's line last. Without that line no model is usable: one that was left
without (the power failed, the process was killed) is put on the record when it is next enrolled. Whatever else ends
an attempt removes the folder that it made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensic.case.ending import why_ended
from forensic.case.modelrecord import entered_last, put_end, put_entry, put_line
from forensic.errors import BadInput, Interrupted, PolicyRefused, StorageFailed, VerificationFailed
from forensic.registry.external.enrolling import Enrolled, Enrolment, read_model
from forensic.registry.external.material import source_digest, told_name
from forensic.registry.external.shelf import ADDED, external_root, is_recorded, told
from forensic.registry.packs.store import default_store
from forensic.registry.remains import beside

if TYPE_CHECKING:
    from forensic.case.workspace import Workspace

STARTED, REFUSED, FAILED, CANCELLED = (
    "model.add-started", "model.add-refused", "model.add-failed", "model.add-cancelled",
)  # fmt: skip


def add_model(
    path: Path,
    model_id: str,
    workspace: Workspace | None,
    *,
    store: Path | None = None,
    laboratory: Path | None = None,
    root: str | None = None,
) -> Enrolled:
    """Enrol the model at ``path`` as ``model_id``, unless it is enrolled already and on record: that of the store
    and, where there is one, of this workspace.

    Raises as :func:`forensic.registry.external.enrolling.enrol`; ``Interrupted`` (``model.add-cancelled``) after
    Ctrl-C.
    """
    place = default_store() if store is None else store
    given = {"name": told_name(path), "sha256": None, **({} if root is None else {"root": told(root)})}
    data: dict[str, Any] = {"model": told(model_id), "given": given}
    begun: dict[str, int] = {}
    enrolment: Enrolment | None = None
    try:
        data["given"]["sha256"] = source_digest(path)
        enrolment = read_model(path, model_id, place, laboratory=laboratory, root=root)
        there = enrolment.present()
        if there is not None and _is_on_record(there.card_sha256, model_id, workspace, place):
            return Enrolled(there, False, enrolment.left_out)
        lying = beside(external_root(place) / model_id, place)
        data |= lying.facts
        if workspace is not None:
            begun["started"] = workspace.ledger.append(STARTED, data).seq
        put_line(place, STARTED, data)
        data |= lying.clear()
        enrolled = enrolment.keep()
        del data["given"]
        data |= _kept(enrolled)
        if workspace is not None:
            put_entry(workspace, ADDED, {**data, **begun})
        put_line(place, ADDED, data)
    except BaseException as error:
        event = _event_of(error)
        code, reason = why_ended(error)
        data |= {"code": code, "reason": reason, **_withdrawn(enrolment, error)}
        put_end(place, workspace, event, data, begun, error)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("model.add-cancelled", "Enrolling was cancelled; that is on the record.") from None
        raise
    return enrolled


def _kept(enrolled: Enrolled) -> dict[str, Any]:
    card = enrolled.card
    return {
        "model_version": card.version,
        "card_sha256": card.card_sha256,
        "weights_sha256": card.weights_sha256,
        "class": card.stage_class.label,
        "class_statement": card.class_statement,
        "engine": card.engine,
        "source": card.source.model_dump(mode="json", exclude_none=True),
        "files": [file.model_dump(mode="json", exclude_none=True) for file in card.files],
        **card.how_computed(),
        "left_out": list(enrolled.left_out),
    }


def _withdrawn(enrolment: Enrolment | None, error: BaseException) -> dict[str, bool]:
    """What became of the folder that the attempt made, for the record; nothing where it made none."""
    try:
        return {"folder_removed": True} if enrolment is not None and enrolment.withdraw() else {}
    except StorageFailed as failure:
        error.add_note(f"The model's folder could not be removed (it is not usable): {failure.message}")
        return {"folder_removed": False}


def _is_on_record(card_sha256: str, model_id: str, workspace: Workspace | None, store: Path) -> bool:
    """Whether the store's record and this workspace's ledger both say that this very card was enrolled, and neither
    that the model was removed since.
    """
    if not is_recorded(card_sha256, store):
        return False
    return workspace is None or entered_last(workspace, ADDED, card_sha256, model_id)


def _event_of(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return CANCELLED
    return REFUSED if isinstance(error, VerificationFailed | BadInput | PolicyRefused) else FAILED
