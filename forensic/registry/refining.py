"""Run the refiner of a model that refines a fusion, tile by tile; the same bytes whatever runs beside it."""

from __future__ import annotations

import numpy as np
import torch

from forensic.errors import BadInput, InternalError
from forensic.registry.architectures.refiner.network import CONDITIONS, PLANES, FusionRefiner, Refiner
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import LoadedModel

TILE = 96  # recorded pixels
_MOST_QUANTISER = 51.0  # of H.264's scale


def refined(
    model: LoadedModel,
    low: np.ndarray,
    enlarged: np.ndarray,
    effective: np.ndarray,
    quantiser: float | None,
    blur: float,
    doubt: float,
) -> np.ndarray:
    """The refined picture, float32 [scale*H, scale*W], grey levels, not clipped.

    ``low``: float32 [H, W], the recorded luma of the frame. ``enlarged``: float32 [5, scale*H, scale*W], the planes
    ``PLANES``, in grey levels. ``effective``: float32 [H, W], effective number of frames. ``quantiser``: of the
    frame, on H.264's scale, None where it is not known. ``blur``: that the fusion took for granted, recorded px;
    ``doubt``: how far it may be off, standard deviation of its logarithm. Beyond the border the edge is repeated.
    Raises ``BadInput`` (``model.not-a-refiner``) and ``InternalError`` (``model.not-finite``, ``model.luma-plane``).
    """
    network = _refiner(model)
    scale, around = network.scale, network.context
    height, width = low.shape
    if enlarged.shape != (len(PLANES), scale * height, scale * width) or effective.shape != low.shape:
        raise InternalError("model.luma-plane", f"Planes of {enlarged.shape} do not belong to a frame of {low.shape}.")
    conditions = np.empty((len(CONDITIONS), height, width), np.float32)
    conditions[0] = 1.0 / np.maximum(effective, np.float32(1.0))
    conditions[1] = 0.0 if quantiser is None else min(quantiser, _MOST_QUANTISER) / _MOST_QUANTISER
    conditions[2] = quantiser is not None
    conditions[3], conditions[4] = blur, doubt
    low, conditions = _padded(low[None], around), _padded(conditions, around)
    enlarged = _padded(enlarged, scale * around)
    out = np.empty((scale * height, scale * width), np.float32)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            bottom, right = min(top + TILE, height) + 2 * around, min(left + TILE, width) + 2 * around
            with torch.inference_mode():
                tile = network(
                    _tensor(low[:, top:bottom, left:right]),
                    _tensor(enlarged[:, scale * top : scale * bottom, scale * left : scale * right]),
                    _tensor(conditions[:, top:bottom, left:right]),
                )
            part = tile[0, 0].numpy()
            out[scale * top : scale * top + part.shape[0], scale * left : scale * left + part.shape[1]] = part
    if not np.isfinite(np.sum(out, dtype=np.float64)):
        raise InternalError(
            "model.not-finite",
            f"Model {model.card.id} gave a sample that is not a finite number.",
            "The run was stopped; report this with the input, it is a defect of the model or of the machine.",
        )
    return out


def _refiner(model: LoadedModel) -> Refiner:
    engine = model.engine
    if not isinstance(engine, TorchEngine) or not isinstance(engine.network, FusionRefiner):
        raise BadInput(
            "model.not-a-refiner",
            f"Model {model.card.id} is {model.card.architecture.name}, which refines no fusion.",
            "Choose a model whose card says that it refines a fusion.",
        )
    return engine.network.refiner


def _padded(planes: np.ndarray, around: int) -> np.ndarray:
    return np.pad(planes, ((0, 0), (around, around), (around, around)), mode="edge")


def _tensor(planes: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(planes))[None]
