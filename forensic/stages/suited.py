"""What a model is for, by its card: the stage that it belongs to, for refusals that name the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forensic.registry.card import ModelCard


def purpose(card: ModelCard) -> tuple[str, str]:
    """What the model does, as the rest of a sentence, and the name of the stage that runs it."""
    if card.refines is not None:
        return f"refines a {card.refines}", "refined-fusion"
    if card.works_on == "sequence":
        return "works on a sequence of frames", "learned-sequence"
    if card.works_on == "colour":
        return "restores the colour of enlarged pictures", "learned-colour"
    if card.works_on == "holes":
        return "fills holes of pictures", "inpaint"
    if card.works_on == "noise":
        return "makes pictures out of noise, in steps", "diffusion-upscale"
    if card.channels == "rgb":
        return "works on colour pictures", "generative-upscale"
    return "works on the luma of single frames", "learned-upscale"
