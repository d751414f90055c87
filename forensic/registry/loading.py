"""Load a model behind its card and run it: checked bytes, strict weights, one thread, same bytes out.

Importing this module sets torch up for reproducible work in the whole process: one intra-op thread
(the program parallelises over frames and tiles instead) and deterministic algorithms.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from forensic.errors import BadInput, InternalError, UsageError
from forensic.registry.architectures.catalogue import LumaNetwork, build
from forensic.registry.card import ModelCard
from forensic.registry.cards import read_weights
from forensic.registry.tiling import cut_tiles, join_tiles, plan_tiles, round_up

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
# Deterministic mode would also fill fresh memory with NaN, at a cost; no operation here reads it.
torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

_WRONG_FILE = "The weights and the card do not belong together; restore the model's folder from a trusted copy."


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run, with the card it came in by. Safe to call from several threads."""

    card: ModelCard
    network: LumaNetwork

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, each way."""
        return self.card.scale

    @property
    def radius(self) -> int:
        """Receptive field in input pixels on each side: the least overlap of tiles."""
        return self.network.radius

    def upscale_luma(self, y: np.ndarray) -> np.ndarray:
        """Enlarge a whole plane at once: float32 [H, W] to [scale*H, scale*W], grey levels, not clipped.

        Beyond the border the edge pixel is repeated. Memory grows with the plane (about 400 bytes a
        pixel); for large frames use :meth:`upscale_luma_tiled`. Raises ``InternalError``
        (``model.luma-plane``, ``model.not-finite``).
        """
        _check_plane(y)
        height, width = y.shape
        around, alignment = self.network.context, self.network.alignment
        below, right = round_up(height, alignment) - height, round_up(width, alignment) - width
        out = self._run(np.pad(y, ((around, around + below), (around, around + right)), mode="edge"))
        return out[: self.scale * height, : self.scale * width]

    def upscale_luma_tiled(
        self, y: np.ndarray, tile: int, overlap: int, executor: Executor | None = None
    ) -> np.ndarray:
        """Enlarge a plane tile by tile; equals :meth:`upscale_luma` up to float rounding, without a seam.

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
        # Context that would put a tile off the network's grid is left out; it could change no pixel.
        unused = overlap - self.network.context
        plan = plan_tiles(
            y.shape[0], y.shape[1], tile, overlap - unused % self.network.alignment, self.network.alignment
        )
        surplus = self.scale * (plan.overlap - self.network.context)

        def run(tile_with_context: np.ndarray) -> np.ndarray:
            out = self._run(tile_with_context)
            return out[surplus : out.shape[0] - surplus, surplus : out.shape[1] - surplus]

        inputs = cut_tiles(y, plan)
        outputs: Iterable[np.ndarray] = map(run, inputs) if executor is None else executor.map(run, inputs)
        return join_tiles(outputs, plan, self.scale)

    def _run(self, padded: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            luma = torch.from_numpy(np.ascontiguousarray(padded))[None, None]
            out: np.ndarray = self.network(luma)[0, 0].contiguous().numpy()
        if not np.isfinite(np.sum(out, dtype=np.float64)):
            raise InternalError(
                "model.not-finite",
                f"Model {self.card.id} gave a sample that is not a finite number.",
                "The run was stopped; report this with the input, it is a defect of the model or of the machine.",
            )
        return out


def load_model(card: ModelCard) -> LoadedModel:
    """Read the weights once, check those very bytes, and build the network from them, strictly.

    Raises ``PolicyRefused`` as :func:`forensic.registry.cards.read_weights` does, and ``BadInput``:
    ``model.weights-invalid`` (not safetensors, not float32, not finite), ``model.weights-mismatch``
    (other tensors than the architecture has), ``model.card-untrue`` (parameter count or receptive
    field differ from the card), ``model.architecture-unknown``, ``model.hyperparameters``.
    """
    data = read_weights(card)
    try:
        state = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            "model.weights-invalid", f"The weights of model {card.id} are not safetensors: {error}.", _WRONG_FILE
        ) from error
    for name, tensor in state.items():
        if tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
            raise BadInput(
                "model.weights-invalid",
                f"Tensor {name!r} of model {card.id} is not finite {card.precision}.",
                _WRONG_FILE,
            )
    network = build(card.architecture.name, card.scale, card.architecture.hyperparameters)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise BadInput(
            "model.weights-mismatch",
            f"The weights of model {card.id} do not fit architecture {card.architecture.name}: "
            + " ".join(str(error).split())[:400],
            _WRONG_FILE,
        ) from error
    counted = sum(weight.numel() for weight in network.parameters())
    if (counted, network.radius) != (card.parameters, card.receptive_field):
        raise BadInput(
            "model.card-untrue",
            f"Model {card.id} has {counted} parameters and a receptive field of {network.radius} pixels; "
            f"its card says {card.parameters} and {card.receptive_field}.",
            _WRONG_FILE,
        )
    network.eval().requires_grad_(False)
    return LoadedModel(card, network)


def determinism_facts() -> dict[str, Any]:
    """JSON-able facts on which bit-exact repetition depends, for the run's record."""
    return {
        "torch": torch.__version__,
        "intra_op_threads": torch.get_num_threads(),
        "inter_op_threads": torch.get_num_interop_threads(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "mkldnn": bool(torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled),  # type: ignore[no-untyped-call]
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "device": "cpu",
        "environment": {
            name: os.environ[name]
            for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_CBWR", "OMP_NUM_THREADS")
            if name in os.environ
        },
    }


def _check_plane(y: np.ndarray) -> None:
    if y.ndim != 2 or y.dtype != np.float32 or not y.size:
        raise InternalError("model.luma-plane", f"A luma plane is float32 [H, W]; this one is {y.dtype} {y.shape}.")
    if not np.isfinite(np.sum(y, dtype=np.float64)):
        raise InternalError("model.not-finite", "A sample of the luma plane is not a finite number.")
