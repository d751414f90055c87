"""The card of a stage's model read anew from where cards of its kind lie, and all that a run needs of it checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forensic.errors import PolicyRefused
from forensic.registry.card import ModelCard
from forensic.registry.cards import load_card, verify_card
from forensic.registry.external.card import ExternalCard
from forensic.registry.external.shelf import load_external, verify_external

if TYPE_CHECKING:
    from forensic.registry.external.card import EngineName


def card_of(model: Any) -> ModelCard | ExternalCard:
    """The card that now lies where that of ``model``, a stage's, lay. Raises as ``load_card`` and ``load_external``."""
    return load_external(model.id) if isinstance(model, ExternalCard) else load_card(model.id)


def require_usable(model: Any) -> dict[str, Any]:
    """Facts of a stage's model for the policy, once card and weights are sound and its engine is installed.

    Raises ``PolicyRefused`` on any doubt, ``UsageError`` (``model.engine-missing``).
    """
    card = card_of(model)
    if isinstance(card, ExternalCard):
        from forensic.registry.external.engine import require_engine as require_external

        verify_external(card)
        engine: EngineName = card.engine
        require_external(engine, f"Model {card.id}")
    else:
        from forensic.registry.loading import require_engine

        if card.works_on == "comparison":
            raise PolicyRefused("model.not-a-stage", f"Model {card.id} is a metric: it makes no picture.")
        verify_card(card)
        require_engine(card)
    return {**card.facts(), "digest_verified": True}
