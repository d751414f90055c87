"""Run a model that works on a sequence of frames, tile by tile; the same bytes whatever runs beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from forensic.errors import BadInput, InternalError, UsageError
from forensic.registry.architectures.basicvsr.network import BasicVsr
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import LoadedModel
from forensic.registry.tiling import blend_tiles, cut_inside, plan_tiles


def enlarged_of(model: LoadedModel, window: Sequence[np.ndarray], at: int, tile: int, overlap: int) -> np.ndarray:
    """Plane ``at`` of ``window``, float32 [scale*H, scale*W], grey levels, not clipped.

    ``window``: float32 [H, W] each, grey levels, consecutive in time. ``tile`` (at least 16) and ``overlap`` (at
    least ``model.radius``) are input pixels: every tile is a sequence of its own, seen with what surroundings the
    planes have, and tiles are cross-faded. The schedule is fixed by them and the planes' size. Raises ``BadInput``
    (``model.not-for-sequences``), ``UsageError`` (``model.tile-size``, ``model.tile-overlap``) and ``InternalError``
    (``model.luma-plane``, ``model.not-finite``).
    """
    network = _sequential(model)
    shape = window[at].shape
    if any(plane.shape != shape or plane.ndim != 2 or plane.dtype != np.float32 or not plane.size for plane in window):
        raise InternalError("model.luma-plane", "The planes of a sequence are float32 [H, W], all of one size.")
    if overlap < model.radius:
        raise UsageError(
            "model.tile-overlap",
            f"Overlap {overlap} is less than the {model.radius} pixels that model {model.card.id} asks for.",
            f"Use an overlap of at least {model.radius}.",
        )
    plan = plan_tiles(shape[0], shape[1], tile, overlap)
    pieces = zip(*(cut_inside(plane, plan) for plane in window), strict=True)
    out = blend_tiles((_run(network, piece, at) for piece in pieces), plan, model.scale)
    if not np.isfinite(np.sum(out, dtype=np.float64)):
        raise InternalError(
            "model.not-finite",
            f"Model {model.card.id} gave a sample that is not a finite number.",
            "The run was stopped; report this with the input, it is a defect of the model or of the machine.",
        )
    return out


def _run(network: BasicVsr, window: Sequence[np.ndarray], at: int) -> np.ndarray:
    with torch.inference_mode():
        planes = [torch.from_numpy(np.array(plane, order="C"))[None, None] for plane in window]
        out: np.ndarray = network.enlarge(planes, at)[0, 0].contiguous().numpy()
    return out


def _sequential(model: LoadedModel) -> BasicVsr:
    engine = model.engine
    if not isinstance(engine, TorchEngine) or not isinstance(engine.network, BasicVsr):
        raise BadInput(
            "model.not-for-sequences",
            f"Model {model.card.id} is {model.card.architecture.name}, which does not work on sequences.",
            "Choose a model whose card says that it works on a sequence.",
        )
    return engine.network
