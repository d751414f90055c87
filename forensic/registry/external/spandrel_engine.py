"""A laboratory's checkpoint, computed by spandrel (MIT licence), which knows some forty published architectures.

spandrel is given tensors, not a file: its own readers of pickles and TorchScript are not used. It tells the
architecture by the names and shapes of the tensors. Calls go one by one, and every call begins with the same random
state: some of these networks keep things between calls, and a few draw noise.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from forensic.errors import BadInput, UsageError
from forensic.registry.engines import pytorch as _deterministic  # noqa: F401 - one thread, deterministic algorithms
from forensic.registry.external.material import WEIGHTS
from forensic.registry.external.trial import enlarged_as_stated, failed, tried

#: What networks raise for tensors or pictures that do not fit them.
FAULTS = (
    RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, NotImplementedError,
    ZeroDivisionError, OverflowError,
)  # fmt: skip


class SpandrelNetwork:
    """A network that spandrel built. Calls from several threads wait for one another."""

    noise = False
    conditions = None

    def __init__(self, descriptor: Any, parameters: int, who: str) -> None:
        self._descriptor = descriptor
        self._lock = Lock()
        self._who = who
        self.parameters = parameters
        self.architecture = str(descriptor.architecture.id)
        self.scale, self.alignment = tried(self.computed, who, (1,))  # spandrel fills up to the sizes that it needs

    def run(self, picture: np.ndarray, seed: int, steps: int) -> np.ndarray:
        """As :meth:`forensic.registry.external.engine.ExternalEngine.run`; ``seed`` and ``steps`` change nothing."""
        return enlarged_as_stated(self.computed(picture), picture, self.scale, self._who)

    def computed(self, picture: np.ndarray) -> np.ndarray:
        """What the network makes of ``picture``, as it comes. Raises ``BadInput`` (``model.external-run``)."""
        given = torch.from_numpy(np.require(picture, requirements=["C", "W"]))[None]
        with self._lock, torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(0)
            try:
                out: np.ndarray = self._descriptor(given)[0].contiguous().numpy()
            except FAULTS as error:
                raise failed(self._who, f"{type(error).__name__}: {error}") from error
        return out


def make_engine(files: Mapping[str, bytes], who: str) -> SpandrelNetwork:
    """As :func:`forensic.registry.external.engine.make_engine`."""
    tensors = read_tensors(files[WEIGHTS], who)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import spandrel
        except (ImportError, RuntimeError, OSError) as error:
            raise UsageError(
                "model.engine-missing", f"{who} is computed by spandrel, which cannot be imported: {error}.",
                "Install torchvision for the torch that is installed, and spandrel.",
            ) from error  # fmt: skip
        try:
            descriptor = spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(tensors))
        except spandrel.UnsupportedModelError as error:
            raise BadInput(
                "model.external-architecture", f"{who} is of no architecture that spandrel knows.",
                "Export it to ONNX where it was made, and enrol that.",
            ) from error  # fmt: skip
        except FAULTS as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            raise BadInput("model.weights-invalid", f"spandrel cannot build {who}: {reason}.") from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise BadInput(
            "model.external-kind",
            f"{who} ({descriptor.architecture.id}) needs a mask beside the picture; the stage has none.",
        )
    if (descriptor.input_channels, descriptor.output_channels) != (3, 3):
        raise BadInput("model.external-kind", f"{who} does not work on red, green and blue.")
    descriptor.to(dtype=torch.float32).eval()
    descriptor.model.requires_grad_(False)
    return SpandrelNetwork(descriptor, sum(tensor.numel() for tensor in tensors.values()), who)


def read_tensors(data: bytes, who: str) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file, the fractions finite. Raises ``BadInput`` (``model.weights-invalid``)."""
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BadInput("model.weights-invalid", f"The weights of {who} are not safetensors: {error}.") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            raise BadInput(
                "model.weights-invalid", f"Tensor {name[:100]!r} of {who} holds a number that is not finite."
            )
    return tensors
