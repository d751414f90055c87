"""Load a model behind its card and run it: checked bytes, strict weights, one thread, same bytes out.

What computes the network is an engine, chosen by the form of the weights; it is imported where it is
first needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.errors import BadInput, InternalError, UsageError
from forensic.registry.card import ModelCard
from forensic.registry.cards import read_weights
from forensic.registry.engines.computing import USUAL, Computing
from forensic.registry.engines.engine import Engine
from forensic.registry.tiling import blend_tiles, cut_inside, cut_tiles, join_tiles, plan_tiles, round_up


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run, with the card it came in by. Safe to call from several threads."""

    card: ModelCard
    engine: Engine

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, each way."""
        return self.card.scale

    @property
    def radius(self) -> int:
        """Receptive field in input pixels on each side: the least overlap of tiles. As its card says, if unbounded."""
        return self.card.least_overlap if self.engine.radius is None else self.engine.radius

    def upscale_luma(self, y: np.ndarray) -> np.ndarray:
        """Enlarge a whole plane at once: float32 [H, W] to [scale*H, scale*W], grey levels, not clipped.

        Beyond the border the edge pixel is repeated. Memory grows with the plane (about 400 bytes a
        pixel); for large frames use :meth:`upscale_luma_tiled`. Raises ``InternalError``
        (``model.luma-plane``, ``model.not-finite``).
        """
        _check_plane(y)
        height, width = y.shape
        around, alignment = self.engine.context, self.engine.alignment
        below, right = round_up(height, alignment) - height, round_up(width, alignment) - width
        out = self._run(np.pad(y, ((around, around + below), (around, around + right)), mode="edge"))
        return out[: self.scale * height, : self.scale * width]

    def upscale_luma_tiled(
        self, y: np.ndarray, tile: int, overlap: int, executor: Executor | None = None
    ) -> np.ndarray:
        """Enlarge a plane tile by tile; equals :meth:`upscale_luma` up to float rounding, without a seam.

        Where the network's receptive field is not bounded, it does not: a pixel then depends on its tile and
        the overlap around it, cut at the picture's border, by amounts that the card states; tiles are cross-faded.
        ``tile`` (at least 16) and ``overlap`` (at least ``radius``) are input pixels. The schedule is
        fixed by them and the plane's size; an ``executor`` of threads changes the time, not a byte.
        Raises ``UsageError`` (``model.tile-size``, ``model.tile-overlap``) and as ``upscale_luma``.
        """
        _check_plane(y)
        if overlap < self.radius:
            raise UsageError(
                "model.tile-overlap",
                f"Overlap {overlap} is less than the receptive field of {self.radius} pixels: tiles would show seams.",
                f"Use an overlap of at least {self.radius}.",
            )
        if self.engine.radius is None:
            return self._upscale_unbounded(y, tile, overlap, executor)
        # Context that would put a tile off the network's grid is left out; it could change no pixel.
        unused = overlap - self.engine.context
        plan = plan_tiles(y.shape[0], y.shape[1], tile, overlap - unused % self.engine.alignment, self.engine.alignment)
        surplus = self.scale * (plan.overlap - self.engine.context)

        def run(tile_with_context: np.ndarray) -> np.ndarray:
            out = self._run(tile_with_context)
            return out[surplus : out.shape[0] - surplus, surplus : out.shape[1] - surplus]

        inputs = cut_tiles(y, plan)
        outputs: Iterable[np.ndarray] = map(run, inputs) if executor is None else executor.map(run, inputs)
        return join_tiles(outputs, plan, self.scale)

    def _upscale_unbounded(self, y: np.ndarray, tile: int, overlap: int, executor: Executor | None) -> np.ndarray:
        plan = plan_tiles(y.shape[0], y.shape[1], tile, overlap)
        pieces = cut_inside(y, plan)
        outputs = map(self._run, pieces) if executor is None else executor.map(self._run, pieces)
        return blend_tiles(outputs, plan, self.scale)

    def _run(self, padded: np.ndarray) -> np.ndarray:
        out = self.engine.run(padded)
        if not np.isfinite(np.sum(out, dtype=np.float64)):
            raise InternalError(
                "model.not-finite",
                f"Model {self.card.id} gave a sample that is not a finite number.",
                "The run was stopped; report this with the input, it is a defect of the model or of the machine.",
            )
        return out


def load_model(card: ModelCard, computing: Computing = USUAL) -> LoadedModel:
    """Read the weights once, check those very bytes, and make an engine of them, strictly.

    Raises ``PolicyRefused`` as :func:`forensic.registry.cards.read_weights` does, ``UsageError``
    (``model.engine-missing``) if the card's engine is not installed, (``model.device-missing``, ``model.precision``)
    if it cannot be computed so, and ``BadInput``:
    ``model.card-untrue`` (parameter count, receptive field or scale differ from the card), and as the
    engines' ``make_engine`` do.
    """
    data = read_weights(card)
    engine = _engine(card, data, computing)
    field = "tile" if engine.radius is None else engine.radius
    found = (engine.parameters, field, engine.scale)
    if found != (card.parameters, card.receptive_field, card.scale):
        raise BadInput(
            "model.card-untrue",
            f"Model {card.id} has {engine.parameters} parameters, a receptive field of {field} pixels and scale "
            f"{engine.scale}; its card says {card.parameters}, {card.receptive_field} and {card.scale}.",
            "The weights and the card do not belong together; restore the model's folder from a trusted copy.",
        )
    return LoadedModel(card, engine)


def require_computable(card: ModelCard, computing: Computing) -> None:
    """Raise ``UsageError`` (``model.device-missing``, ``model.precision``) where this machine cannot compute so."""
    if card.engine == "onnxruntime" and not computing.usual:
        raise UsageError(
            "model.precision",
            f"Model {card.id} is computed by ONNX Runtime, on the processor and in the numbers of its file.",
            "Leave device and precision out.",
        )
    if not computing.usual:
        from forensic.registry.engines.pytorch import require_device

        require_device(computing)


def _engine(card: ModelCard, data: bytes, computing: Computing) -> Engine:
    require_computable(card, computing)
    if card.engine == "onnxruntime":
        from forensic.registry.engines import onnx_runtime

        return onnx_runtime.make_engine(card, data)
    from forensic.registry.engines import pytorch

    return pytorch.make_engine(card, data, computing)


def require_engine(card: ModelCard) -> None:
    """Raise ``UsageError`` (``model.engine-missing``) if what computes this model is not installed."""
    if card.engine == "onnxruntime":
        from forensic.registry.engines.onnx_runtime import require_runtime

        require_runtime(f"Model {card.id}")


def determinism_facts(engines: Iterable[str]) -> dict[str, dict[str, Any]]:
    """JSON-able facts, by engine (``ModelCard.engine``, and ``cuda``), on which bit-exact repetition depends."""
    facts = {}
    for name in sorted(set(engines)):
        if name == "onnxruntime":
            from forensic.registry.engines.onnx_runtime import determinism_facts as onnx_facts

            facts[name] = onnx_facts()
        elif name in ("spandrel", "diffusers"):
            from forensic.registry.external.engine import determinism_facts as external_facts

            facts |= external_facts(name)
        elif name == "cuda":
            from forensic.registry.engines.pytorch import cuda_facts

            facts[name] = cuda_facts()
        else:
            from forensic.registry.engines.pytorch import determinism_facts as torch_facts

            facts[name] = torch_facts()
    return facts


def _check_plane(y: np.ndarray) -> None:
    if y.ndim != 2 or y.dtype != np.float32 or not y.size:
        raise InternalError("model.luma-plane", f"A luma plane is float32 [H, W]; this one is {y.dtype} {y.shape}.")
    if not np.isfinite(np.sum(y, dtype=np.float64)):
        raise InternalError("model.not-finite", "A sample of the luma plane is not a finite number.")
