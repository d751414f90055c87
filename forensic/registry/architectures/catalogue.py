"""The architectures that this version knows, by the name that stands on cards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor

from forensic.errors import BadInput
from forensic.registry.architectures.basicvsr.network import BasicVsr
from forensic.registry.architectures.chroma.network import GuidedChroma
from forensic.registry.architectures.dat.network import Dat
from forensic.registry.architectures.luma_residual.network import LumaResidual
from forensic.registry.architectures.mae.network import MaskedAutoencoder
from forensic.registry.architectures.nafnet.network import NafNet
from forensic.registry.architectures.refiner.network import FusionRefiner
from forensic.registry.architectures.residual_shift.network import ResidualShift
from forensic.registry.architectures.rrdb.network import RrdbNet
from forensic.registry.architectures.srvgg.network import SrvggNet


class LumaNetwork(Protocol):
    """What a luma upscaler offers: unpadded, so the caller supplies ``context`` pixels on each side."""

    @property
    def radius(self) -> int | None:
        """Receptive field: input pixels on each side that an output pixel can depend on.

        None if it can depend on all that the network is given; then ``context`` is 0 and ``alignment`` 1, the
        network treats the picture's border itself, and a tile's result differs from the whole picture's.
        """
        ...

    @property
    def alignment(self) -> int:
        """Planes and tiles begin, and H and W below are, at multiples of this many pixels (1 to 16)."""
        ...

    @property
    def context(self) -> int:
        """Pixels that a call takes from each side: at most ``radius``, as pixels lie inside an aligned place."""
        ...

    def __call__(self, luma: Tensor, /) -> Tensor:
        """Map float32 [N, 1, H + 2*context, W + 2*context] to [N, 1, scale*H, scale*W]."""
        ...


def _basicvsr(scale: int, hyperparameters: Mapping[str, int]) -> BasicVsr:
    return BasicVsr(scale, **hyperparameters)


def _fusion_refiner(scale: int, hyperparameters: Mapping[str, int]) -> FusionRefiner:
    return FusionRefiner(scale, **hyperparameters)


def _guided_chroma(scale: int, hyperparameters: Mapping[str, int]) -> GuidedChroma:
    return GuidedChroma(scale, **hyperparameters)


def _luma_residual(scale: int, hyperparameters: Mapping[str, int]) -> LumaResidual:
    return LumaResidual(scale, **hyperparameters)


def _masked_autoencoder(scale: int, hyperparameters: Mapping[str, int]) -> MaskedAutoencoder:
    return MaskedAutoencoder(scale, **hyperparameters)


def _dat(scale: int, hyperparameters: Mapping[str, int]) -> Dat:
    return Dat(scale, **hyperparameters)


def _nafnet(scale: int, hyperparameters: Mapping[str, int]) -> NafNet:
    return NafNet(scale, **hyperparameters)


def _residual_shift(scale: int, hyperparameters: Mapping[str, int]) -> ResidualShift:
    return ResidualShift(scale, **hyperparameters)


def _rrdb(scale: int, hyperparameters: Mapping[str, int]) -> RrdbNet:
    return RrdbNet(scale, **hyperparameters)


def _srvgg(scale: int, hyperparameters: Mapping[str, int]) -> SrvggNet:
    return SrvggNet(scale, **hyperparameters)


Network = (
    LumaResidual
    | NafNet
    | Dat
    | FusionRefiner
    | BasicVsr
    | GuidedChroma
    | MaskedAutoencoder
    | RrdbNet
    | SrvggNet
    | ResidualShift
)
ARCHITECTURES: dict[str, Callable[[int, Mapping[str, int]], Network]] = {
    "basicvsr": _basicvsr,
    "dat": _dat,
    "fusion-refiner": _fusion_refiner,
    "guided-chroma": _guided_chroma,
    "luma-residual": _luma_residual,
    "masked-autoencoder": _masked_autoencoder,
    "nafnet": _nafnet,
    "residual-shift": _residual_shift,
    "rrdb": _rrdb,
    "srvgg": _srvgg,
}


def build(name: str, scale: int, hyperparameters: Mapping[str, int]) -> Network:
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
