"""Run a model that restores colour, tile by tile; the same bytes whatever runs beside it."""

from __future__ import annotations

import numpy as np
import torch

from forensic.errors import BadInput, InternalError
from forensic.registry.architectures.chroma.network import GuidedChroma
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import LoadedModel

TILE = 64  # places: samples of the recorded chroma


def recoloured(model: LoadedModel, luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """The restored chroma, float32 [2, rows, columns], grey levels, not clipped; of the shape of ``chroma``.

    ``luma``: float32 [H, W] of an enlarged 4:2:0 picture that begins where the recording begins; ``chroma``: its Cb and
    Cr, float32 [2, (H + 1) // 2, (W + 1) // 2], interpolated. Beyond the border the edge is repeated. Tiles begin at
    fixed places and see all that the network can: cutting changes no sample beyond float rounding, and the schedule
    follows from the size alone. Raises ``BadInput`` (``model.not-for-colour``) and ``InternalError``
    (``model.chroma-planes``, ``model.not-finite``).
    """
    network = _colouring(model)
    height, width = luma.shape
    shape = (2, -(-height // 2), -(-width // 2))
    if chroma.shape != shape or luma.dtype != np.float32 or chroma.dtype != np.float32:
        raise InternalError(
            "model.chroma-planes", f"Chroma of {chroma.dtype} {chroma.shape} does not belong to luma of {luma.shape}."
        )
    samples, around = network.enlarged, network.places
    rows, columns = (-(-side // samples) for side in shape[1:])
    given = _padded(chroma, rows, columns, samples, around)
    seen = _padded(luma[None], rows, columns, 2 * samples, around)
    out = np.empty((2, samples * rows, samples * columns), np.float32)
    for top in range(0, rows, TILE):
        for left in range(0, columns, TILE):
            bottom, right = min(top + TILE, rows), min(left + TILE, columns)
            place = (top, bottom + 2 * around, left, right + 2 * around)
            with torch.inference_mode():
                tile = network(_cut(seen, 2 * samples, place), _cut(given, samples, place))
            out[:, samples * top : samples * bottom, samples * left : samples * right] = tile[0].numpy()
    out = np.ascontiguousarray(out[:, : shape[1], : shape[2]])
    if not np.isfinite(np.sum(out, dtype=np.float64)):
        raise InternalError(
            "model.not-finite",
            f"Model {model.card.id} gave a sample that is not a finite number.",
            "The run was stopped; report this with the input, it is a defect of the model or of the machine.",
        )
    return out


def _padded(planes: np.ndarray, rows: int, columns: int, samples: int, around: int) -> np.ndarray:
    """``planes`` filled up to whole places, and with ``around`` more on every side, by their edges."""
    before = samples * around
    below, right = samples * (rows + around) - planes.shape[1], samples * (columns + around) - planes.shape[2]
    return np.pad(planes, ((0, 0), (before, below), (before, right)), mode="edge")


def _cut(planes: np.ndarray, samples: int, place: tuple[int, int, int, int]) -> torch.Tensor:
    top, bottom, left, right = (samples * each for each in place)
    return torch.from_numpy(np.ascontiguousarray(planes[:, top:bottom, left:right]))[None]


def _colouring(model: LoadedModel) -> GuidedChroma:
    engine = model.engine
    if not isinstance(engine, TorchEngine) or not isinstance(engine.network, GuidedChroma):
        raise BadInput(
            "model.not-for-colour",
            f"Model {model.card.id} is {model.card.architecture.name}, which does not restore colour.",
            "Choose a model whose card says that it works on colour.",
        )
    return engine.network
