"""PyTorch as engine: networks of the architecture catalogue, with weights from safetensors.

Importing this module sets torch up for reproducible work in the whole process: one intra-op thread
(the program parallelises over frames and tiles instead) and deterministic algorithms. The same goes for a graphics
processor: no search for the fastest kernel, no TF32, one call at a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from forensic.errors import BadInput, UsageError
from forensic.registry.architectures.catalogue import LumaNetwork, build
from forensic.registry.card import ModelCard
from forensic.registry.engines.computing import GPU, USUAL, Computing

# Read by CUDA's libraries when the device is first used; without it, matrix products there need not repeat.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
torch.backends.cudnn.benchmark = False
torch.backends.cudnn.deterministic = True
torch.backends.cudnn.allow_tf32 = False
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
# Deterministic mode would also fill fresh memory with NaN, at a cost; no operation here reads it.
torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

_WRONG_FILE = "The weights and the card do not belong together; restore the model's folder from a trusted copy."


@dataclass(frozen=True)
class TorchEngine:
    """A network of the catalogue, evaluated by torch."""

    network: LumaNetwork
    parameters: int
    scale: int
    computing: Computing = USUAL

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
        given = torch.from_numpy(np.require(padded, requirements=["C", "W"]))[(None,) * (4 - padded.ndim)]
        out: np.ndarray = self.compute(self.network, given)[0].numpy()
        return out if padded.ndim == 3 else out[0]

    def compute(self, function: Callable[..., Tensor], *given: Tensor | float, exactly: bool = False) -> Tensor:
        """``function``, the network or a part of it, of ``given``, where and as precisely as was chosen.

        ``exactly``: in float32 whatever was chosen, for parts whose small differences of large numbers need it.
        Tensors come from the processor's memory and go there, float32, contiguous. On a graphics processor one call
        runs at a time. Raises ``BadInput`` (``model.device-failed``) where that fails, for want of memory say.
        """
        if self.computing.usual:
            with torch.inference_mode():
                return function(*given).contiguous()
        kind = self.computing.device
        with torch.inference_mode(), self._precision(exactly), nullcontext() if kind == "cpu" else GPU.alone:
            begun = time.monotonic()
            try:
                moved = (each.to(kind) if isinstance(each, Tensor) else each for each in given)
                out = function(*moved).float().cpu().contiguous()  # the copy waits until the device is done
            except RuntimeError as error:
                if kind == "cpu":
                    raise
                full = isinstance(error, torch.OutOfMemoryError)
                raise BadInput(
                    "model.device-failed",
                    f"The graphics processor could not compute a piece: {' '.join(str(error).split())[:300]}.",
                    "Use smaller tiles, or device = 'cpu'." if full else "Use device = 'cpu'.",
                ) from error
            if kind != "cpu":
                GPU.add(time.monotonic() - begun)
        return out

    def _precision(self, exactly: bool) -> torch.autocast:
        chosen = self.computing
        wanted = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[chosen.precision]
        narrower = wanted is not torch.float32 and not exactly
        return torch.autocast(chosen.device, wanted if narrower else torch.bfloat16, enabled=narrower)


def require_device(computing: Computing) -> None:
    """Raise ``UsageError`` (``model.device-missing``, ``model.precision``) for what this machine cannot compute."""
    if computing.device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "model.device-missing",
            "The recipe asks for a graphics processor (device = 'cuda'), and torch finds none that it can use here.",
            "Use device = 'cpu'; or install torch's build for this device and its driver.",
        )
    if computing.device == "cpu" and computing.precision == "float16":
        raise UsageError(
            "model.precision",
            "Precision float16 is for graphics processors.",
            "On the processor use float32 or bfloat16.",
        )


def make_engine(card: ModelCard, data: bytes, computing: Computing = USUAL) -> TorchEngine:
    """Build the card's network from ``data``, the checked bytes of its safetensors file, strictly.

    What ``computing`` asks for has to be there (:func:`require_device`). Raises ``BadInput``: ``model.weights-invalid``
    (not safetensors, not float32, not finite), ``model.weights-mismatch`` (other tensors than the architecture has),
    ``model.architecture-unknown``, ``model.hyperparameters``.
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
    network.eval().requires_grad_(False).to(computing.device)
    return TorchEngine(network, sum(weight.numel() for weight in network.parameters()), card.scale, computing)


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


def cuda_facts() -> dict[str, Any]:
    """JSON-able facts about the graphics processor on which bit-exact repetition depends."""
    require_device(Computing("cuda"))
    return {
        "device": torch.cuda.get_device_name(),
        "capability": list(torch.cuda.get_device_capability()),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""),
    }
