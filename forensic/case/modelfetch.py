"""``forensic models fetch``: the one act that brings weights into the house, and its record.

Every attempt is a line of the store's own record; where there is a workspace, it is a signed entry of its
ledger too: ``model.fetched``, ``model.fetch-refused`` (file, member or weights are not those on the card, or the
card is not usable), ``model.fetch-failed``, ``model.fetch-cancelled``.
The ledger's entry comes first and the store's line last: weights for which the store has no line ``model.fetched``
(the process was killed, a disk was full, somebody put them there) are put on the record when they are next asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensic.case.ending import why_ended
from forensic.case.modelrecord import put_end, put_line
from forensic.errors import BadInput, ForensicError, Interrupted, PolicyRefused, VerificationFailed
from forensic.registry.card import ModelCard
from forensic.registry.cards import load_card, verify_card, weights_path
from forensic.registry.packs.fetching import fetch, pack_of
from forensic.registry.packs.store import FETCHED, default_store, stands
from forensic.registry.remains import beside

if TYPE_CHECKING:
    from forensic.case.workspace import Workspace

REFUSED, FAILED, CANCELLED = "model.fetch-refused", "model.fetch-failed", "model.fetch-cancelled"
FOUND = {"found": "in the models store, without a line in its record"}
"""``source`` of weights that were there already, how they came being on no record."""


def fetch_model(
    model_id: str,
    workspace: Workspace | None,
    *,
    store: Path | None = None,
    brought: Path | None = None,
    index_url: str | None = None,
    models_dir: Path | None = None,
) -> tuple[Path, bool]:
    """Fetch the weights of a model unless they are there; where they lie, and whether anything was fetched.

    Raises as :func:`forensic.registry.packs.fetching.fetch` and ``load_card``; ``Interrupted``
    (``model.fetch-cancelled``) after Ctrl-C. Whatever happens is recorded, except that nothing had to be done
    for weights whose fetching is on the store's record.
    """
    place = default_store() if store is None else store
    data: dict[str, Any] = {"model": model_id}
    try:
        card = load_card(model_id, models_dir)
        data |= _asked(card)
        there = _is_there(card, place)
        if there and _is_on_record(card, place):
            return weights_path(card, place), False
        if there:
            path, source = weights_path(card, place), FOUND
        else:
            lying = beside(place / card.id, place)
            data |= lying.facts
            data |= lying.clear()
            fetched = fetch(card, place, brought=brought, index_url=index_url)
            path, source = fetched.path, fetched.source
        data |= {"source": source, "weights_sha256": card.weights.sha256}
        if workspace is not None:
            workspace.ledger.append(FETCHED, data)
    except BaseException as error:
        event = _event_of(error)
        code, reason = why_ended(error)
        data |= {"code": code, "reason": reason}
        put_end(place, workspace, event, data, {}, error)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("model.fetch-cancelled", "Fetching was cancelled; that is on the record.") from None
        raise
    put_line(place, FETCHED, data)
    return path, not there


def _asked(card: ModelCard) -> dict[str, Any]:
    pack = pack_of(card)
    return {
        "model_version": card.version,
        "card_sha256": card.card_sha256,
        "pack": pack.model_dump(mode="json", exclude={"root", "left_out"}),
    }


def _is_there(card: ModelCard, store: Path) -> bool:
    try:
        verify_card(card, store)
    except ForensicError:
        return False  # not there, or damaged: it is fetched (again)
    return True


def _is_on_record(card: ModelCard, store: Path) -> bool:
    return stands(store, FETCHED, "weights_sha256", card.weights.sha256)


def _event_of(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return CANCELLED
    return REFUSED if isinstance(error, VerificationFailed | BadInput | PolicyRefused) else FAILED
