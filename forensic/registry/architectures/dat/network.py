"""The Dual Aggregation Transformer in its light form, applied to one luma plane.

Z. Chen et al., "Dual Aggregation Transformer for Image Super-Resolution", ICCV 2023, arXiv:2308.03364.
The published network takes and gives RGB; :meth:`Dat.forward` gives it the luma plane three times, as a
grey picture, and takes the luma of what comes back.

Some of its sums run over the whole picture that it is given (likeness of channels, means in the gates),
and windows follow each other so often that a pixel can depend on all others. So what it gives for a tile
differs from what it gives for the whole, by amounts that the model's card states.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from forensic.registry.architectures.dat.attention import ChannelBlockAttention, SpatialBlockAttention, convolved

#: Mean colour that the published weights were trained with, R, G, B of 0 to 1 (mean of the DIV2K photographs).
_MEAN_COLOUR = (0.4488, 0.4371, 0.4040)
#: ITU-R BT.601-7, 2.5.1.
_LUMA_SHARES = (0.299, 0.587, 0.114)
_WHITE = 255.0


class SpatialGate(nn.Module):
    """One half of the channels multiplied by a depthwise convolution of the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, picture: Tensor) -> Tensor:
        """[N, H, W, 2 * channels] to [N, H, W, channels]."""
        first, second = picture.chunk(2, -1)
        return first * convolved(self.conv, self.norm(second))


class FeedForward(nn.Module):
    """Widen, GELU, spatial gate, narrow (the paper's SGFN)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.sg = SpatialGate(hidden // 2)
        self.fc2 = nn.Linear(hidden // 2, channels)

    def forward(self, picture: Tensor) -> Tensor:
        """[N, H, W, channels] to the same."""
        out: Tensor = self.fc2(self.sg(functional.gelu(self.fc1(picture))))
        return out


class DualAggregationBlock(nn.Module):
    """Attention, then the feed-forward part, each after layer normalisation and as a residual."""

    def __init__(self, channels: int, expansion: int, attention: nn.Module) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn = attention
        self.ffn = FeedForward(channels, channels * expansion)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, picture: Tensor) -> Tensor:
        """[N, H, W, C] to the same."""
        picture = picture + self.attn(self.norm1(picture))
        out: Tensor = picture + self.ffn(self.norm2(picture))
        return out


class ResidualGroup(nn.Module):
    """Blocks, of which even ones attend in windows (every second of those shifted) and odd ones across channels."""

    def __init__(self, width: int, blocks: int, heads: int, expansion: int, rows: int, columns: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            DualAggregationBlock(
                width,
                expansion,
                ChannelBlockAttention(width, heads)
                if number % 2
                else SpatialBlockAttention(width, heads, rows, columns, shifted=number % 4 == 2),
            )
            for number in range(blocks)
        )
        self.conv = narrow_convolution(width)

    def forward(self, picture: Tensor) -> Tensor:
        """[N, H, W, C] to the same."""
        out = picture
        for block in self.blocks:
            out = block(out)
        return picture + convolved(self.conv, out)


def narrow_convolution(width: int) -> nn.Sequential:
    """Three convolutions through a quarter of the channels."""
    return nn.Sequential(
        nn.Conv2d(width, width // 4, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width // 4, width // 4, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width // 4, width, 3, padding=1),
    )


class Dat(nn.Module):
    """DAT with one group of ``blocks`` blocks and sub-pixel convolution at its end ("DAT-light").

    ``heads`` are halved in window attention, one half for windows of ``rows`` x ``columns``, one for
    those of ``columns`` x ``rows``. Raises ``ValueError`` for hyper-parameters outside scale 2..4, width 32..256
    (divisible by heads and 4), blocks 1..64, even heads 2..16, expansion 1..8, rows and columns 2..64.
    """

    mean: Tensor
    shares: Tensor

    def __init__(
        self, scale: int, width: int, blocks: int, heads: int, expansion: int, rows: int, columns: int
    ) -> None:
        super().__init__()
        if not (
            2 <= scale <= 4 and 32 <= width <= 256 and 1 <= blocks <= 64 and 2 <= heads <= 16 and 1 <= expansion <= 8
            and min(rows, columns) >= 2 and max(rows, columns) <= 64
            and heads % 2 == 0 and width % heads == 0 and width % 4 == 0
            and max(rows, columns) % min(rows, columns) == 0
        ):  # fmt: skip
            raise ValueError(
                f"scale {scale}, width {width}, blocks {blocks}, heads {heads}, expansion {expansion}, "
                f"window {rows} x {columns}: not of a form that this network has"
            )
        self.scale = scale
        self.conv_first = nn.Conv2d(3, width, 3, padding=1)
        self.before_RG = nn.Sequential(nn.Identity(), nn.LayerNorm(width))
        self.layers = nn.ModuleList([ResidualGroup(width, blocks, heads, expansion, rows, columns)])
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = narrow_convolution(width)
        self.upsample = nn.Sequential(nn.Conv2d(width, 3 * scale * scale, 3, padding=1), nn.PixelShuffle(scale))
        self.register_buffer("mean", torch.tensor(_MEAN_COLOUR).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shares", torch.tensor(_LUMA_SHARES).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def radius(self) -> None:
        """Not bounded: a pixel depends on all that the network is given at once."""
        return None

    @property
    def alignment(self) -> int:
        """Tiles may begin anywhere."""
        return 1

    @property
    def context(self) -> int:
        """No surroundings are taken away: the network pads its borders with zeros, as it was trained."""
        return 0

    def forward(self, luma: Tensor) -> Tensor:
        """Map grey levels, float32 [N, 1, H, W], to [N, 1, scale*H, scale*W], not clipped."""
        grey = (luma / _WHITE).expand(-1, 3, -1, -1)
        return (self.upscale_rgb(grey) * self.shares).sum(1, keepdim=True) * _WHITE

    def upscale_rgb(self, picture: Tensor) -> Tensor:
        """The published network: float32 [N, 3, H, W] of 0 to 1 to [N, 3, scale*H, scale*W], not clipped."""
        first = self.conv_first((picture - self.mean).contiguous(memory_format=torch.channels_last))
        body = self.before_RG(first.permute(0, 2, 3, 1))
        for group in self.layers:
            body = group(body)
        body = convolved(self.conv_after_body, self.norm(body))
        return cast(Tensor, self.upsample(first + body.permute(0, 3, 1, 2))) + self.mean
