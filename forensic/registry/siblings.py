"""Models that do the same at different scales: one is the root, the cards of the others name it as ``sibling_of``."""

from __future__ import annotations

from pathlib import Path

from forensic.errors import PolicyRefused
from forensic.registry.card import ModelCard
from forensic.registry.cards import load_card, model_ids


def siblings(card: ModelCard, models_dir: Path | None = None) -> dict[int, str]:
    """Scale to model id, ascending: ``card`` itself, its root, and all that share the root. Weights are not touched.

    A folder whose card cannot be used offers nothing here (``forensic models verify`` says why). Raises
    ``PolicyRefused``: ``model.folder-missing``, and ``model.siblings-ambiguous`` where two have one scale: which was
    meant would be a guess.
    """
    root = card.sibling_of or card.id
    found: dict[int, str] = {}
    for name in model_ids(models_dir):
        try:
            other = load_card(name, models_dir)
        except PolicyRefused:
            continue
        if root not in (other.id, other.sibling_of):
            continue
        scale = other.made_for
        if scale in found:
            raise PolicyRefused(
                "model.siblings-ambiguous",
                f"Models {found[scale]} and {other.id} both say that they are {root} at scale {scale}.",
                "Take one of them out of the models folder, or name the model in a recipe of your own.",
            )
        found[scale] = other.id
    return dict(sorted(found.items()))
