"""PyTorch as engine: networks of the architecture catalogue, with weights from safetensors.

Importing this module sets torch up for reproducible work in the whole process: one intra-op thread
(the program parallelises over frames and tiles instead) and deterministic algorithms.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from forensic.errors import BadInput
from forensic.registry.architectures.catalogue import LumaNetwork, build
from forensic.registry.card import ModelCard

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
# Deterministic mode would also fill fresh memory with NaN, at a cost; no operation here reads it.
torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

_WRONG_FILE = "The weights and the card do not belong together; restore the model's folder from a trusted copy."


@dataclass(frozen=True)
class TorchEngine:
    """A network of the catalogue, evaluated by torch on the CPU."""

    network: LumaNetwork
    parameters: int
    scale: int

    @property
    def radius(self) -> int | None:
        """As the network says."""
        return self.network.radius

    @property
    def alignment(self) -> int:
        """As the network says."""
        return self.network.alignment

    @property
    def context(self) -> int:
        """As the network says."""
        return self.network.context

    def run(self, padded: np.ndarray) -> np.ndarray:
        """As :meth:`forensic.registry.engines.engine.Engine.run`."""
        with torch.inference_mode():
            given = torch.from_numpy(np.require(padded, requirements=["C", "W"]))[(None,) * (4 - padded.ndim)]
            out: np.ndarray = self.network(given)[0].contiguous().numpy()
        return out if padded.ndim == 3 else out[0]


def make_engine(card: ModelCard, data: bytes) -> TorchEngine:
    """Build the card's network from ``data``, the checked bytes of its safetensors file, strictly.

    Raises ``BadInput``: ``model.weights-invalid`` (not safetensors, not float32, not finite),
    ``model.weights-mismatch`` (other tensors than the architecture has), ``model.architecture-unknown``,
    ``model.hyperparameters``.
    """
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
    network.eval().requires_grad_(False)
    return TorchEngine(network, sum(weight.numel() for weight in network.parameters()), card.scale)


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
