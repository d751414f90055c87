"""Run a masked autoencoder on the holes of a picture, window by window; the same bytes whatever runs beside it.

Holes are averaged away in a pyramid and filled again from coarse to fine (pull-push). On the finest levels the network
corrects what that gives, in overlapping windows at fixed places of the level: it sees at most the rim of a hole that is
large there, and all of it on a coarser level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from forensic.errors import BadInput, InternalError
from forensic.registry.architectures.mae.filling import coarsest, pulled, pushed
from forensic.registry.architectures.mae.network import PATCH, MaskedAutoencoder
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import LoadedModel
from forensic.registry.tiling import round_up

HALVINGS = 2  # levels, beside that of the picture itself, on which the network works
_GRID = 64  # sides are filled up to multiples of this: six levels at least


@dataclass(frozen=True)
class Inpainted:
    """``picture``: float32 [3, H, W], R'G'B' of 0 to 1 in the holes, as given elsewhere. ``windows``: that were run."""

    picture: np.ndarray
    windows: int


def inpainted(model: LoadedModel, picture: np.ndarray, missing: np.ndarray, step: int) -> Inpainted:
    """``picture``, float32 [3, H, W], R'G'B' of 0 to 1, with what is ``missing``, bool [H, W], filled in.

    Windows begin at every ``step`` pixels, 1 to the window's side. What the picture holds at missing pixels has no
    influence. Raises ``BadInput`` (``model.not-for-holes``) and ``InternalError`` (``model.picture``, ``model.holes``
    if nothing is known, ``model.not-finite``).
    """
    network = _autoencoder(model)
    if picture.ndim != 3 or picture.shape[0] != 3 or picture.dtype != np.float32 or not picture.size:
        raise InternalError(
            "model.picture", f"A picture is float32 [3, H, W]; this is {picture.dtype} {picture.shape}."
        )
    if missing.shape != picture.shape[1:] or missing.dtype != np.bool_ or missing.all():
        raise InternalError("model.holes", f"Holes of {missing.shape} in a picture of {picture.shape[1:]}.")
    height, width = missing.shape
    around = ((0, round_up(height, _GRID) - height), (0, round_up(width, _GRID) - width))
    known = np.where(missing, np.float32(0), picture)
    with torch.inference_mode():
        levels = pulled(
            torch.from_numpy(np.pad(known, ((0, 0), *around), mode="symmetric"))[None],
            torch.from_numpy(np.pad(missing.astype(np.float32), around, mode="symmetric"))[None, None],
        )
        filled, count = coarsest(levels), 0
        for level in range(len(levels) - 2, -1, -1):
            value, weight = levels[level]
            filled = pushed(value, weight, filled)
            if level <= HALVINGS and min(filled.shape[-2:]) >= network.window:
                filled, ran = _corrected(network, filled, (weight == 0).to(torch.float32), step)
                count += ran
    out = np.where(missing, filled[0, :, :height, :width].numpy(), picture)
    if not np.isfinite(np.sum(out, dtype=np.float64)):
        raise InternalError(
            "model.not-finite",
            f"Model {model.card.id} gave a sample that is not a finite number.",
            "The run was stopped; report this with the input, it is a defect of the model or of the machine.",
        )
    return Inpainted(out, count)


def smoothed(plane: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """``plane``, float32 [H, W], with what is ``missing``, bool [H, W], interpolated from what is known (pull-push)."""
    height, width = plane.shape
    around = ((0, round_up(height, _GRID) - height), (0, round_up(width, _GRID) - width))
    with torch.inference_mode():
        levels = pulled(
            torch.from_numpy(np.pad(np.where(missing, np.float32(0), plane), around, mode="symmetric"))[None, None],
            torch.from_numpy(np.pad(missing.astype(np.float32), around, mode="symmetric"))[None, None],
        )
        filled = coarsest(levels)
        for value, weight in reversed(levels[:-1]):
            filled = pushed(value, weight, filled)
    return np.where(missing, filled[0, 0, :height, :width].numpy(), plane)


def _corrected(
    network: MaskedAutoencoder, filled: torch.Tensor, missing: torch.Tensor, step: int
) -> tuple[torch.Tensor, int]:
    """A level, its holes filled, after the network; windows are weighted by a tent. And how many windows were run."""
    side = network.window
    total, weights = torch.zeros_like(filled), torch.zeros_like(missing)
    half = 1.0 - (torch.arange(side, dtype=torch.float32) - (side - 1) / 2).abs() / (side / 2)
    tent = half[:, None] * half[None]
    count = 0
    for top in _origins(filled.shape[-2], side, step):
        for left in _origins(filled.shape[-1], side, step):
            place = (..., slice(top, top + side), slice(left, left + side))
            hole = missing[place]
            if not bool(hole.any()) or not bool((torch.nn.functional.avg_pool2d(hole, PATCH) < 1).any()):
                continue
            made = network(torch.cat((filled[place], hole), 1))
            total[place] += tent * made.clamp(0.0, 1.0)
            weights[place] += tent
            count += 1
    corrected = (missing > 0) & (weights > 0)
    return torch.where(corrected, total / weights.clamp_min(1e-6), filled), count


def _origins(length: int, side: int, step: int) -> list[int]:
    """First pixels of the windows along one axis: every ``step``, the last one ends at the border."""
    return [*range(0, length - side, step), length - side]


def _autoencoder(model: LoadedModel) -> MaskedAutoencoder:
    engine = model.engine
    if not isinstance(engine, TorchEngine) or not isinstance(engine.network, MaskedAutoencoder):
        raise BadInput(
            "model.not-for-holes",
            f"Model {model.card.id} is {model.card.architecture.name}, which fills no holes.",
            "Choose a model whose card says that it works on holes.",
        )
    return engine.network
