"""Refinement of a multi-frame fusion: what physics and a single-frame network each made, weighed by a third.

The inputs are complete pictures already, all on the high-resolution grid of one frame (``PLANES``): what the
single-frame network makes of that frame, the mean of what it makes of all frames, laid onto that grid by the
measured motion, the classical fusion, which knows no other pictures, the same fusion with ``SHARPER`` times the blur,
and the spread about the mean. Warping happens on the large grid, where it costs no sub-pixel detail. Where fusion and
network err differently the refiner can tell from the spread and from the effective number of frames which to follow,
and from the two fusions, and from how sure one is of it, whether the blur that was taken for granted is that of the
recording.

A linear 3x3 filter over the inputs (before training: half fusion, half mean), and ``GATES`` more, each weighed by a
number that depends on the conditions alone, are corrected by blocks of the NAFNet family
(``forensic.registry.architectures.nafnet``) on the recording's own grid. All inputs enter as differences to cubic
enlargement, and the filters over the recording itself sum to zero, so f(y + b) = f(y) + b for any offset b.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from forensic.registry.architectures.luma_residual.network import cubic_kernels
from forensic.registry.architectures.nafnet.network import FusedNafBlock, NafNet

#: Planes of ``enlarged``, in this order, grey levels.
PLANES = ("own", "mean", "fused", "sharper", "spread")
#: Planes of ``conditions``: one over the effective number of frames; the quantiser on H.264's scale over 51 (0 for
#: lossless and where it is not known); whether it is known (1 or 0); the blur that ``fused`` was made with,
#: recorded px; how far it may be off, standard deviation of its logarithm.
CONDITIONS = ("alone", "quantiser", "known", "blur", "doubt")
GATES, _GATE_WIDTH = 4, 16
SHARPER = 1.5  # times the blur of ``fused`` is that of ``sharper``
_GREY_LEVELS = 8.0  # the network's unit: differences between the inputs
_RECORDING = 32.0  # the unit of the recording itself: what a strong edge measures
_CUBIC_RADIUS = 2


class Refiner(nn.Module):
    """``blocks`` blocks of ``width`` channels; convolutions are unpadded, the caller supplies context.

    Raises ``ValueError`` for hyper-parameters outside scale 1..4, width 1..256, blocks 1..64.
    """

    cubic: Tensor

    def __init__(self, scale: int, width: int, blocks: int) -> None:
        super().__init__()
        if not (1 <= scale <= 4 and 1 <= width <= 256 and 1 <= blocks <= 64):
            raise ValueError(f"scale {scale}, width {width}, blocks {blocks}: outside 1..4, 1..256, 1..64")
        self.scale = scale
        area = scale * scale
        self.recording = nn.Conv2d(1, width, 3, bias=False)
        self.head = nn.Conv2d(len(PLANES) * area + len(CONDITIONS), width, 3)
        self.blocks = nn.ModuleList(FusedNafBlock(width) for _ in range(blocks))
        self.tail = nn.Conv2d(width, area, 3)
        self.mixing = nn.Conv2d(len(PLANES) * area, area * (1 + GATES), 3, bias=False)
        self.gates = nn.Sequential(
            nn.Conv2d(len(CONDITIONS), _GATE_WIDTH, 1), nn.ReLU(), nn.Conv2d(_GATE_WIDTH, GATES, 1)
        )
        with torch.no_grad():
            nn.init.normal_(self.tail.weight, std=1e-3)
            if self.tail.bias is not None:
                nn.init.zeros_(self.tail.bias)
            nn.init.zeros_(self.mixing.weight)
            for phase in range(area):
                for plane in ("mean", "fused"):
                    self.mixing.weight[phase, PLANES.index(plane) * area + phase, 1, 1] = 0.5
        self.register_buffer("cubic", cubic_kernels(scale), persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def context(self) -> int:
        """Pixels of the recording that :meth:`forward` takes from each side: its receptive field."""
        return len(self.blocks) + 2 + _CUBIC_RADIUS

    def forward(self, low: Tensor, enlarged: Tensor, conditions: Tensor) -> Tensor:
        """[N, 1, scale*H, scale*W] grey levels, not clipped.

        ``low``: float32 [N, 1, H + 2*context, W + 2*context], the recording's grey levels. ``enlarged``:
        [N, 5, scale*(H + 2*context), scale*(W + 2*context)], ``PLANES``. ``conditions``: [N, 5, ...] of the
        size of ``low``, ``CONDITIONS``.
        """
        around = self.context - _CUBIC_RADIUS
        with torch.autocast("cpu", enabled=False):  # small differences of large levels need full precision
            cubic = functional.conv2d(low, self.cubic)
            known = _inner(enlarged, self.scale * _CUBIC_RADIUS)
            *planes, spread = (
                functional.pixel_unshuffle(plane, self.scale) for plane in known.chunk(len(PLANES), dim=1)
            )
            differences = [*(plane - cubic for plane in planes), spread]
            inputs = (torch.cat(differences, dim=1) / _GREY_LEVELS).contiguous(memory_format=torch.channels_last)
            weight = self.recording.weight
            recorded = functional.conv2d(
                _inner(low, _CUBIC_RADIUS) / _RECORDING, weight - weight.mean(dim=(1, 2, 3), keepdim=True)
            )
        features = recorded + self.head(torch.cat([inputs, _inner(conditions, _CUBIC_RADIUS)], dim=1))
        for block in self.blocks:
            features = block(features)
        with torch.autocast("cpu", enabled=False):
            always, *gated = functional.conv2d(_inner(inputs, around - 1), self.mixing.weight).chunk(1 + GATES, dim=1)
            gates = self.gates(_inner(conditions, self.context)).chunk(GATES, dim=1)
            mixed = always + sum(gate * part for gate, part in zip(gates, gated, strict=True))
            correction = _GREY_LEVELS * (mixed + self.tail(features.float()))
            return functional.pixel_shuffle(_inner(cubic, around) + correction, self.scale)


def _inner(planes: Tensor, border: int) -> Tensor:
    return planes[:, :, border : planes.shape[2] - border, border : planes.shape[3] - border]


class FusionRefiner(nn.Module):
    """The single-frame network and the refiner, in one: what is done before, between and after is fusion's.

    Called with one frame it is the single-frame network. Hyper-parameters are those of both; ``ValueError`` as
    they raise it.
    """

    def __init__(
        self,
        scale: int,
        width: int,
        blocks: int,
        single_width: int,
        single_blocks: int,
        single_fold: int,
        single_fused: int,
    ) -> None:
        super().__init__()
        self.single = NafNet(scale, single_width, single_blocks, single_fold, single_fused)
        self.refiner = Refiner(scale, width, blocks)

    @property
    def radius(self) -> int:
        """Pixels on each side, of every frame, that an output pixel can depend on, beside the frame's motion."""
        return self.single.radius + self.refiner.context

    @property
    def alignment(self) -> int:
        """Of the single-frame network."""
        return self.single.alignment

    @property
    def context(self) -> int:
        """Of the single-frame network."""
        return self.single.context

    def forward(self, luma: Tensor) -> Tensor:
        """What the single-frame network makes of one frame."""
        out: Tensor = self.single(luma)
        return out
