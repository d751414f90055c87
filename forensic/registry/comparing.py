"""Models that compare two pictures: behind their card like every model, and never a stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from forensic.errors import BadInput, UsageError
from forensic.registry.architectures.lpips.network import SMALLEST, Lpips
from forensic.registry.card import ModelCard
from forensic.registry.cards import load_card, read_weights
from forensic.registry.engines import pytorch  # noqa: F401 - sets torch up for reproducible work

COMPARISON = "comparison"


@dataclass(frozen=True)
class LoadedComparison:
    """A network that measures how different two pictures look, with the card it came in by."""

    card: ModelCard
    network: Lpips = field(repr=False)

    def distance(self, one: np.ndarray, other: np.ndarray) -> float:
        """Distance of two planes, float [H, W], grey levels 0..255: 0 for equal ones, at least 0.

        Each plane is given three times, as a grey picture. Raises ``UsageError`` (``fidelity.shape``) for planes of
        different size, or smaller than 35 pixels.
        """
        if one.ndim != 2 or one.shape != other.shape or min(one.shape) < SMALLEST:
            raise UsageError(
                "fidelity.shape",
                f"Planes of {one.shape} and {other.shape} cannot be compared: both sides need {SMALLEST} pixels.",
            )
        with torch.inference_mode():
            return float(self.network(_picture(one), _picture(other))[0])


def load_comparison(model_id: str, models_dir: Path | None = None, store: Path | None = None) -> LoadedComparison:
    """Read the weights once, check those very bytes, and make the network of them, strictly.

    Raises ``PolicyRefused`` as ``load_card`` and ``read_weights`` do (``model.pack-not-fetched``), and ``BadInput``:
    ``model.not-a-comparison``, ``model.architecture-unknown``, ``model.hyperparameters``, ``model.weights-invalid``,
    ``model.weights-mismatch``, ``model.card-untrue``.
    """
    card = load_card(model_id, models_dir)
    if card.works_on != COMPARISON:
        raise BadInput("model.not-a-comparison", f"Model {card.id} makes pictures; it compares none.")
    if card.architecture.name != "lpips":
        raise BadInput("model.architecture-unknown", f"Architecture {card.architecture.name!r} compares no pictures.")
    try:
        network = Lpips(**card.architecture.hyperparameters)
    except (TypeError, ValueError) as error:
        raise BadInput("model.hyperparameters", f"Architecture lpips cannot be built so: {error}.") from error
    try:
        state = safetensors.torch.load(read_weights(card, store))
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BadInput("model.weights-invalid", f"The weights of {card.id} are not safetensors: {error}.") from error
    if not all(tensor.dtype == torch.float32 and bool(torch.isfinite(tensor).all()) for tensor in state.values()):
        raise BadInput("model.weights-invalid", f"The weights of {card.id} are not finite float32.")
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        told = " ".join(str(error).split())[:400]
        raise BadInput("model.weights-mismatch", f"The weights of {card.id} do not fit it: {told}") from error
    count = sum(weight.numel() for weight in network.parameters())
    if count != card.parameters:
        raise BadInput("model.card-untrue", f"{card.id} has {count} parameters; its card says {card.parameters}.")
    network.eval().requires_grad_(False)
    return LoadedComparison(card, network)


def _picture(plane: np.ndarray) -> torch.Tensor:
    scaled = torch.from_numpy(np.ascontiguousarray(plane, np.float32) / np.float32(127.5) - np.float32(1.0))
    return scaled.expand(1, 3, *plane.shape)
