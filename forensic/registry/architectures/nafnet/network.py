"""Joint restoration and enlargement of one luma plane by a network of the NAFNet family.

Blocks of L. Chen, X. Chu, X. Zhang, J. Sun, "Simple Baselines for Image Restoration", ECCV 2022,
arXiv:2204.04676: layer normalisation over channels, 1x1 convolution, 3x3 depthwise convolution, a
gate that multiplies one half of the channels by the other, 1x1 convolution, twice, each as a
residual. Three things differ from that paper, so that what the network does can be bounded:

- No channel attention. It pools over the whole picture, so that a pixel would depend on all others
  and a tile would differ from the whole (X. Chu et al., "Improving Image Restoration by Revisiting
  Global Information Aggregation", ECCV 2022, arXiv:2112.04491).
- One grid instead of an encoder and a decoder: ``fold`` x ``fold`` input pixels become the channels
  of one place (space to depth), where a convolution costs ``fold**2`` times less and sees ``fold``
  times as far.
- Every filter of the first layer sums to zero, and the network's answer to an empty plane is taken
  from its answer. So f(y + b) = f(y) + b for any offset b up to rounding: a flat area stays flat and
  at its level, whatever the weights. Gains do not pass through: noise and quantiser steps have an
  absolute size, which the layers may learn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from forensic.registry.architectures.luma_residual.network import cubic_kernels

_GREY_LEVELS = 32.0  # the network's own unit: what a strong edge measures
_CUBIC_RADIUS = 2
#: Share of a block's correction before training; the paper starts from 0, which costs a short training its start.
_FIRST_GAIN = 0.2


class NafBlock(nn.Module):
    """A block as in the paper: [N, width, H, W] to [N, width, H - 2, W - 2]; unpadded, so the border is lost."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mixing_norm = nn.LayerNorm(width, eps=1e-6)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, groups=2 * width)
        self.mix = nn.Conv2d(width, width, 1)
        self.mixing_gain = nn.Parameter(torch.full((1, width, 1, 1), _FIRST_GAIN))
        self.feed_norm = nn.LayerNorm(width, eps=1e-6)
        self.feed_widen = nn.Conv2d(width, 2 * width, 1)
        self.feed = nn.Conv2d(width, width, 1)
        self.feed_gain = nn.Parameter(torch.full((1, width, 1, 1), _FIRST_GAIN))

    def forward(self, features: Tensor) -> Tensor:
        """Spatial mixing, then mixing of channels."""
        step = self.mix(_gate(self.depthwise(self.widen(_normalised(self.mixing_norm, features)))))
        mixed = features[:, :, 1:-1, 1:-1] + step * self.mixing_gain
        step = self.feed(_gate(self.feed_widen(_normalised(self.feed_norm, mixed))))
        out: Tensor = mixed + step * self.feed_gain
        return out


class FusedNafBlock(nn.Module):
    """The block with both its spatial steps as one full 3x3 convolution, and without the second half.

    A processor does one dense convolution faster than a pointwise and a depthwise one of a fraction
    of its operations, which wait for memory.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.widen = nn.Conv2d(width, 2 * width, 3)
        self.mix = nn.Conv2d(width, width, 1)
        self.gain = nn.Parameter(torch.full((1, width, 1, 1), _FIRST_GAIN))

    def forward(self, features: Tensor) -> Tensor:
        """[N, width, H, W] to [N, width, H - 2, W - 2]."""
        step = self.mix(_gate(self.widen(_normalised(self.norm, features))))
        out: Tensor = features[:, :, 1:-1, 1:-1] + step * self.gain
        return out


def _normalised(norm: nn.LayerNorm, features: Tensor) -> Tensor:
    # Channels lie last in memory, so neither permutation copies.
    out: Tensor = norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return out


def _gate(features: Tensor) -> Tensor:
    first, second = features.chunk(2, dim=1)
    return first * second


class NafNet(nn.Module):
    """``blocks`` blocks of ``width`` channels on a grid folded ``fold`` times, added to cubic enlargement.

    The blocks are :class:`NafBlock`, or :class:`FusedNafBlock` if ``fused`` is 1.
    ``scale`` is 1, 2, 3 or 4; at 1 the correction is added to the picture itself. Convolutions are
    unpadded: the caller supplies ``radius`` pixels of real or replicated context on each side, and
    sides of the padded plane that are multiples of ``alignment``. Raises ``ValueError`` for
    hyper-parameters outside scale 1..4, width 1..256, blocks 0..64, fold 1..4, fused 0..1.
    """

    cubic: Tensor

    def __init__(self, scale: int, width: int, blocks: int, fold: int, fused: int = 0) -> None:
        super().__init__()
        if not (1 <= scale <= 4 and 1 <= width <= 256 and 0 <= blocks <= 64 and 1 <= fold <= 4 and 0 <= fused <= 1):
            raise ValueError(
                f"scale {scale}, width {width}, blocks {blocks}, fold {fold}, fused {fused}: "
                "outside 1..4, 1..256, 0..64, 1..4, 0..1"
            )
        self.scale, self.fold = scale, fold
        self.head = nn.Conv2d(fold * fold, width, 3)
        self.blocks = nn.ModuleList((FusedNafBlock if fused else NafBlock)(width) for _ in range(blocks))
        self.tail = nn.Conv2d(width, (scale * fold) ** 2, 3)
        self.register_buffer("cubic", cubic_kernels(scale), persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def radius(self) -> int:
        """Receptive field: input pixels on each side that an output pixel can depend on, at most.

        A place of the folded grid sees ``blocks + 2`` places on each side, and a pixel lies up to
        ``fold - 1`` pixels inside its place.
        """
        return max(self.fold * (len(self.blocks) + 2) + self.fold - 1, _CUBIC_RADIUS)

    @property
    def alignment(self) -> int:
        """Planes and tiles must begin at multiples of this many pixels, so that folds fall alike."""
        return self.fold

    @property
    def context(self) -> int:
        """Pixels that :meth:`forward` takes from each side."""
        return max(self.fold * (len(self.blocks) + 2), self.fold * -(-_CUBIC_RADIUS // self.fold))

    def forward(self, luma: Tensor) -> Tensor:
        """Map grey levels, float32 [N, 1, H + 2*context, W + 2*context], to [N, 1, scale*H, scale*W].

        H and W are multiples of ``alignment``. The output is not clipped.
        """
        empty = luma.new_zeros(1, 1, *([2 * self.context + self.fold] * 2))
        surplus = self.context // self.fold - len(self.blocks) - 2
        correction = self._trunk(luma) - self._trunk(empty)[:, :, surplus : surplus + 1, surplus : surplus + 1]
        if surplus:
            correction = correction[:, :, surplus:-surplus, surplus:-surplus]
        return self.interpolated(luma) + _GREY_LEVELS * functional.pixel_shuffle(
            correction.float(), self.scale * self.fold
        )

    def interpolated(self, luma: Tensor) -> Tensor:
        """Only what the correction is added to: cubic enlargement; shapes as in :meth:`forward`."""
        margin = self.context - _CUBIC_RADIUS
        core = luma[:, :, margin : luma.shape[2] - margin, margin : luma.shape[3] - margin]
        with torch.autocast("cpu", enabled=False):
            return functional.pixel_shuffle(functional.conv2d(core, self.cubic), self.scale)

    def _trunk(self, luma: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # small differences of large levels need full precision
            folded = functional.pixel_unshuffle(luma / _GREY_LEVELS, self.fold)
            weight = self.head.weight
            zero_sum = weight - weight.mean(dim=(1, 2, 3), keepdim=True)
            features = functional.conv2d(
                folded.contiguous(memory_format=torch.channels_last),
                zero_sum.contiguous(memory_format=torch.channels_last),
                self.head.bias,
            )
        for block in self.blocks:
            features = block(features)
        out: Tensor = self.tail(features)
        return out
