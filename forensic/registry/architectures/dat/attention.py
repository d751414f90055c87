"""The two kinds of attention of the Dual Aggregation Transformer, and what joins each with a convolution.

Z. Chen, Y. Zhang, J. Gu, L. Kong, X. Yang, F. Yu, "Dual Aggregation Transformer for Image
Super-Resolution", ICCV 2023, arXiv:2308.03364, section 3.2 and 3.3. Written anew after the paper;
names of modules and parameters are those of the published weights, so that these fit.

Pictures are float32 [N, H, W, C] throughout: channels lie last, and convolutions see the same memory
as [N, C, H, W] in ``channels_last`` layout, without a copy.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Windows worked on at once: bounds the memory; fixed, so that the same sums are formed in the same order.
_WINDOWS_AT_ONCE = 32
#: Added to the score of two places that are neighbours only because the picture was rolled around.
_APART = -100.0


def convolved(layer: nn.Module, picture: Tensor) -> Tensor:
    """``layer`` over [N, H, W, C] as over [N, C, H, W], and back."""
    out: Tensor = layer(picture.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return out


def padded_convolution(channels: int) -> nn.Sequential:
    """3x3 depthwise convolution, normalisation with the statistics of the training, GELU."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.BatchNorm2d(channels), nn.GELU()
    )


class PositionBias(nn.Module):
    """Bias of a score by where one place of the window lies from the other, one number per head.

    A small network of the offset (rows, columns); after W. Wang et al., "CrossFormer", ICLR 2022, arXiv:2108.00154.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        width = channels // 4
        self.pos_proj = nn.Linear(2, width)
        self.pos1 = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width))
        self.pos2 = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width))
        self.pos3 = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, heads))

    def forward(self, offsets: Tensor) -> Tensor:
        """[K, 2] to [K, heads]."""
        out: Tensor = self.pos3(self.pos2(self.pos1(self.pos_proj(offsets))))
        return out


class WindowAttention(nn.Module):
    """Attention among the places of one window of ``rows`` x ``columns``."""

    offsets: Tensor
    places: Tensor

    def __init__(self, channels: int, heads: int, rows: int, columns: int) -> None:
        super().__init__()
        self.heads, self.rows, self.columns = heads, rows, columns
        self.scale = (channels // heads) ** -0.5
        self.pos = PositionBias(channels // 4, heads)
        offsets, places = relative_places(rows, columns)
        self.register_buffer("offsets", offsets, persistent=False)
        self.register_buffer("places", places, persistent=False)

    def forward(self, qkv: Tensor, shift: tuple[int, int] | None) -> Tensor:
        """[3, N, H, W, C] with H, W multiples of the window to [N, H, W, C].

        With a ``shift`` the windows begin that many rows and columns further on, the picture being
        rolled around; places that meet only so do not see each other.
        """
        _, number, height, width, channels = qkv.shape
        if shift is not None:
            qkv = torch.roll(qkv, (-shift[0], -shift[1]), (2, 3))
        queries, keys, values = self._windows(qkv)
        area = self.rows * self.columns
        bias = self.pos(self.offsets)[self.places].view(area, area, self.heads).permute(2, 0, 1)
        apart = None if shift is None else self._apart(height, width, shift)
        done = []
        for first in range(0, len(queries), _WINDOWS_AT_ONCE):
            some = slice(first, first + _WINDOWS_AT_ONCE)
            scores = (queries[some] * self.scale) @ keys[some].transpose(-2, -1) + bias
            if apart is not None:
                which = torch.arange(first, first + len(scores)) % len(apart)
                scores += apart[which][:, None]
            done.append(torch.softmax(scores, -1) @ values[some])
        out = torch.cat(done).transpose(1, 2)  # [windows, area, heads, channels / heads]
        out = out.reshape(number, height // self.rows, width // self.columns, self.rows, self.columns, channels)
        out = out.permute(0, 1, 3, 2, 4, 5).reshape(number, height, width, channels)
        return out if shift is None else torch.roll(out, shift, (1, 2))

    def _windows(self, qkv: Tensor) -> Tensor:
        """[3, N, H, W, C] to [3, windows, heads, area, C / heads]."""
        three, number, height, width, channels = qkv.shape
        cut = qkv.view(
            three, number, height // self.rows, self.rows, width // self.columns, self.columns, self.heads,
            channels // self.heads,
        )  # fmt: skip
        cut = cut.permute(0, 1, 2, 4, 6, 3, 5, 7)
        return cut.reshape(three, -1, self.heads, self.rows * self.columns, channels // self.heads)

    def _apart(self, height: int, width: int, shift: tuple[int, int]) -> Tensor:
        """[windows, area, area]: 0 for places that lie together in the picture, a large negative number else."""
        down, across = (
            torch.bucketize(torch.arange(side), torch.tensor([side - window, side - step]), right=True)
            for side, window, step in zip((height, width), (self.rows, self.columns), shift, strict=True)
        )
        zone = (3 * down[:, None] + across).view(height // self.rows, self.rows, width // self.columns, self.columns)
        zone = zone.permute(0, 2, 1, 3).reshape(-1, self.rows * self.columns)
        return (zone[:, None] != zone[:, :, None]).float() * _APART


def relative_places(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """All offsets in a window, float32 [(2*rows-1)*(2*columns-1), 2], and which holds for each pair of places.

    The second is int64 [area * area], row by row of the pairs.
    """
    down, across = torch.arange(1 - rows, rows), torch.arange(1 - columns, columns)
    offsets = torch.cartesian_prod(down, across).float()
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    between = place[:, None] - place[None]
    index = (between[..., 0] + rows - 1) * (2 * columns - 1) + between[..., 1] + columns - 1
    return offsets, index.reshape(-1)


class SpatialBlockAttention(nn.Module):
    """Attention in windows lying on half of the channels and standing on the other, beside a convolution.

    Each gates the other ("adaptive interaction"): attention by the convolution's mean over the whole
    picture, per channel; the convolution by what attention found, per place.
    """

    def __init__(self, channels: int, heads: int, rows: int, columns: int, shifted: bool) -> None:
        super().__init__()
        self.longest = max(rows, columns)
        self.shift = (rows // 2, columns // 2) if shifted else None
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.attns = nn.ModuleList(
            (
                WindowAttention(channels // 2, heads // 2, rows, columns),
                WindowAttention(channels // 2, heads // 2, columns, rows),
            )
        )
        self.dwconv = padded_convolution(channels)
        self.channel_interaction, self.spatial_interaction = interactions(channels)

    def forward(self, picture: Tensor) -> Tensor:
        """[N, H, W, C] to the same."""
        number, height, width, channels = picture.shape
        qkv = self.qkv(picture)
        below, right = -height % self.longest, -width % self.longest
        parts = functional.pad(qkv, (0, 0, 0, right, 0, below))
        parts = parts.view(number, height + below, width + right, 3, channels).permute(3, 0, 1, 2, 4)
        half = channels // 2
        lying = self.attns[0](parts[..., :half].contiguous(), self.shift)
        standing = self.attns[1](
            parts[..., half:].contiguous(), None if self.shift is None else (self.shift[1], self.shift[0])
        )
        attended = torch.cat((lying, standing), -1)[:, :height, :width]
        local = convolved(self.dwconv, qkv[..., 2 * channels :])
        by_channel = convolved(self.channel_interaction, local)
        by_place = convolved(self.spatial_interaction, attended)
        out: Tensor = self.proj(attended * torch.sigmoid(by_channel) + local * torch.sigmoid(by_place))
        return out


class ChannelBlockAttention(nn.Module):
    """Attention among channels, whose likeness is summed over the whole picture, beside a convolution."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.dwconv = padded_convolution(channels)
        self.channel_interaction, self.spatial_interaction = interactions(channels)

    def forward(self, picture: Tensor) -> Tensor:
        """[N, H, W, C] to the same."""
        number, height, width, channels = picture.shape
        qkv = self.qkv(picture)
        split = qkv.view(number, height * width, 3, self.heads, channels // self.heads).permute(2, 0, 3, 4, 1)
        queries, keys, values = split[0], split[1], split[2]  # [N, heads, C / heads, H * W]
        likeness = functional.normalize(queries, dim=-1) @ functional.normalize(keys, dim=-1).transpose(-2, -1)
        attended = torch.softmax(likeness * self.temperature, -1) @ values
        attended = attended.permute(0, 3, 1, 2).reshape(number, height, width, channels)
        local = convolved(self.dwconv, qkv[..., 2 * channels :])
        by_channel = convolved(self.channel_interaction, attended)
        by_place = convolved(self.spatial_interaction, local)
        out: Tensor = self.proj(attended * torch.sigmoid(by_place) + local * torch.sigmoid(by_channel))
        return out


def interactions(channels: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The two gates before their sigmoid: one number per channel of the whole picture, one per place."""
    return (
        nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 8, 1),
            nn.BatchNorm2d(channels // 8),
            nn.GELU(),
            nn.Conv2d(channels // 8, channels, 1),
        ),
        nn.Sequential(
            nn.Conv2d(channels, channels // 16, 1),
            nn.BatchNorm2d(channels // 16),
            nn.GELU(),
            nn.Conv2d(channels // 16, 1, 1),
        ),
    )
