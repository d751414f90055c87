"""What stages that run a learned model have in common: its card, its weights when they are wanted, its siblings."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from forensic.errors import BadInput, UsageError
from forensic.registry.siblings import siblings

if TYPE_CHECKING:
    from forensic.registry.card import ModelCard
    from forensic.registry.loading import LoadedModel


class RunsModel:
    """Goes before the stage that it is mixed into. The card is read at once, the weights when they are first wanted."""

    def use(self, card: ModelCard) -> None:
        """Run the model of this card; called once, by ``__init__``."""
        self._model_card = card
        self._lock = Lock()

    @property
    def model(self) -> ModelCard:
        """The model's card."""
        return self._model_card

    @cached_property
    def _loaded(self) -> LoadedModel:
        from forensic.registry.loading import load_model  # torch is loaded only where it is used

        return load_model(self._model_card)

    def prepare(self) -> None:
        """Load and check the weights now rather than at the first frame. Raises as ``load_model`` does."""
        with self._lock:
            self._loaded  # noqa: B018


def require_overlap(stage: str, overlap: int, card: ModelCard) -> None:
    """Raise ``BadInput`` (``stage.parameters``) where tiles overlap by less than the model looks at."""
    if overlap < card.least_overlap:
        raise BadInput(
            "stage.parameters",
            f"Stage {stage!r}: parameter 'overlap' is {overlap} pixels, less than the {card.least_overlap} pixels that "
            f"model {card.id} looks at: tiles would show.",
            f"Use at least {card.least_overlap}.",
        )


def model_for_scale(card: ModelCard, factor: int, models_dir: Path | None) -> str:
    """Id of the model, of ``card`` and its siblings, that enlarges by ``factor``.

    Raises ``UsageError`` (``recipe.scale``) where there is none: a network has one factor.
    """
    if factor == card.scale:
        return card.id
    found = siblings(card, models_dir)
    if factor not in found:
        none = ", nor has it a sibling for that." if len(found) > 1 else "."
        raise UsageError(
            "recipe.scale",
            f"Model {card.id} enlarges {card.scale} times and cannot do {factor} times{none}",
            f"Use --scale {', '.join(map(str, found))}, or another recipe.",
        )
    return found[factor]
