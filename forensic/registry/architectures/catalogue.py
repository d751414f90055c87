"""The architectures that this version knows, by the name that stands on cards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor

from forensic.errors import BadInput
from forensic.registry.architectures.luma_residual.network import LumaResidual


class LumaNetwork(Protocol):
    """What a luma upscaler offers: unpadded, so the caller supplies ``radius`` pixels of context."""

    @property
    def radius(self) -> int:
        """Receptive field: input pixels on each side that an output pixel can depend on."""
        ...

    def __call__(self, luma: Tensor, /) -> Tensor:
        """Map float32 [N, 1, H + 2*radius, W + 2*radius] to [N, 1, scale*H, scale*W]."""
        ...


def _luma_residual(scale: int, hyperparameters: Mapping[str, int]) -> LumaResidual:
    return LumaResidual(scale, **hyperparameters)


ARCHITECTURES: dict[str, Callable[[int, Mapping[str, int]], LumaResidual]] = {
    "luma-residual": _luma_residual,
}


def build(name: str, scale: int, hyperparameters: Mapping[str, int]) -> LumaResidual:
    """Make an untrained network. Raises ``BadInput`` (``model.architecture-unknown``, ``model.hyperparameters``)."""
    if name not in ARCHITECTURES:
        raise BadInput(
            "model.architecture-unknown",
            f"Architecture {name!r} is not known to this version.",
            "Known: " + ", ".join(ARCHITECTURES) + ".",
        )
    try:
        return ARCHITECTURES[name](scale, hyperparameters)
    except (TypeError, ValueError) as error:
        raise BadInput("model.hyperparameters", f"Architecture {name} cannot be built so: {error}.") from error
