"""A masked autoencoder for holes of any shape in R'G'B' windows.

K. He, X. Chen, S. Xie, Y. Li, P. Dollar, R. Girshick, "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022,
arXiv:2111.06377: the encoder sees the patches of which something is known and no others; a smaller decoder gets their
codes, one learnt token for every other patch, and says what all patches look like. Here besides: holes are marked
pixel by pixel and come filled smoothly (``filling.pull_push``); convolutions at full resolution stand before the
transformer, and dilated ones after it, which see the pixels too (F. Yu, V. Koltun, "Multi-Scale Context Aggregation by
Dilated Convolutions", ICLR 2016, arXiv:1511.07122); and what the network says is added to the smooth filling.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH = 8
REACHES = (1, 2, 4, 8, 4, 2, 1)  # dilations of the convolutions after the transformer
_CONTRAST = 4.0  # by which differences are multiplied: inputs of about unit variance


class Block(nn.Module):
    """Transformer block with normalisation first (A. Dosovitskiy et al., ICLR 2021, arXiv:2010.11929)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor, counted: Tensor | None) -> Tensor:
        """``tokens`` [N, T, width]; ``counted`` bool [N, 1, 1, T]: tokens that may be looked at, None for all."""
        n, count, width = tokens.shape
        parts = self.asked(self.before(tokens)).reshape(n, count, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scores = (query * (width // self.heads) ** -0.5) @ key.transpose(2, 3)
        if counted is not None:
            scores = scores.masked_fill(counted.logical_not(), -torch.inf)
        seen = scores.softmax(3).to(value.dtype) @ value
        tokens = tokens + self.joined(seen.transpose(1, 2).reshape(n, count, width))
        out: Tensor = tokens + self.narrow(functional.gelu(self.wide(self.between(tokens))))
        return out


class Continued(nn.Module):
    """Residual block of convolutions at full resolution: pixels ``reach`` apart, then each pixel by itself."""

    def __init__(self, channels: int, reach: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(channels, channels, 3, padding=reach, dilation=reach)
        self.within = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """[N, channels, H, W] to the same."""
        out: Tensor = features + self.within(functional.relu(self.around(functional.relu(features))))
        return out


class MaskedAutoencoder(nn.Module):
    """Encoder of ``blocks`` blocks of ``width``, decoder of ``decoder_blocks`` of ``decoder_width``; windows of
    ``window`` pixels a side.

    ``fine``: channels of the convolutions. Raises ``ValueError`` for a scale other than 1, a window that is no multiple
    of 8 in 32..256, widths that are no multiples of 32 in 32..512, blocks outside 1..24, fine outside 4..64.
    """

    def __init__(
        self, scale: int, window: int, width: int, blocks: int, decoder_width: int, decoder_blocks: int, fine: int
    ) -> None:
        super().__init__()
        widths = (width, decoder_width)
        if (
            scale != 1
            or window % PATCH
            or not 32 <= window <= 256
            or any(each % 32 or not 32 <= each <= 512 for each in widths)
            or not (1 <= blocks <= 24 and 1 <= decoder_blocks <= 24 and 4 <= fine <= 64)
        ):
            raise ValueError(f"scale {scale}, window {window}, widths {widths} or depths outside what is possible")
        self.scale, self.window, self.fine = scale, window, fine
        side = window // PATCH
        self.stem = nn.Sequential(nn.Conv2d(4, fine, 3, padding=1), nn.GELU(), nn.Conv2d(fine, fine, 3, padding=1))
        self.embed = nn.Conv2d(fine, width, PATCH, PATCH)
        self.encoder = nn.ModuleList(Block(width, width // 32) for _ in range(blocks))
        self.encoded = nn.LayerNorm(width)
        self.handed = nn.Linear(width, decoder_width)
        self.absent = nn.Parameter(torch.zeros(decoder_width))
        self.decoder = nn.ModuleList(Block(decoder_width, decoder_width // 32) for _ in range(decoder_blocks))
        self.decoded = nn.LayerNorm(decoder_width)
        self.spread = nn.Linear(decoder_width, fine * PATCH * PATCH)
        self.pixels = nn.Conv2d(4, fine, 3, padding=1)
        self.continued = nn.ModuleList(Continued(fine, reach) for reach in REACHES)
        self.tail = nn.Conv2d(fine, 3, 3, padding=1, bias=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.places: Tensor
        self.decoder_places: Tensor
        self.register_buffer("places", positions(side, width), persistent=False)
        self.register_buffer("decoder_places", positions(side, decoder_width), persistent=False)

    @property
    def radius(self) -> None:
        """Unbounded: a pixel depends on the whole window."""
        return None

    @property
    def alignment(self) -> int:
        """Windows may begin anywhere."""
        return 1

    @property
    def context(self) -> int:
        """The network treats the border itself."""
        return 0

    def forward(self, given: Tensor) -> Tensor:
        """Map float32 [N, 4, window, window] to [N, 3, window, window], R'G'B' of 0 to 1, not clipped.

        ``given``: R'G'B' with the holes filled smoothly, and 1 where a pixel is missing, 0 where it is known. What
        comes out at known pixels means nothing. In every window something of one patch at least is known.
        """
        picture, missing = given[:, :3], given[:, 3:]
        seen = torch.cat(((picture - 0.5) * _CONTRAST, missing), 1)
        seen = seen.contiguous(memory_format=torch.channels_last)
        tokens = self.embed(self.stem(seen)).flatten(2).transpose(1, 2) + self.places
        known = (functional.avg_pool2d(missing, PATCH) < 1.0).flatten(1)  # [N, T]: something of the patch is known
        counts = known.sum(1)
        most = int(counts.max())
        order = torch.argsort(known.logical_not().to(torch.uint8), dim=1, stable=True)[:, :most]
        counted = None if bool((counts == most).all()) else known.gather(1, order)[:, None, None]
        tokens = tokens.gather(1, order[..., None].expand(-1, -1, tokens.shape[2]))
        for block in self.encoder:
            tokens = block(tokens, counted)
        tokens = self.handed(self.encoded(tokens))
        whole = self.absent.to(tokens.dtype).expand(len(known), known.shape[1], -1)
        if counted is not None:  # places that only pad the shorter windows hold the learnt token again
            tokens = torch.where(counted[:, 0, 0, :, None], tokens, self.absent.to(tokens.dtype))
        whole = whole.scatter(1, order[..., None].expand(-1, -1, whole.shape[2]), tokens) + self.decoder_places
        for block in self.decoder:
            whole = block(whole, None)
        spread = self.spread(self.decoded(whole)).transpose(1, 2)
        features = self.pixels(seen) + functional.fold(spread, self.window, PATCH, stride=PATCH)
        for part in self.continued:
            features = part(features)
        out: Tensor = picture + self.tail(features) / _CONTRAST
        return out


def positions(side: int, width: int) -> Tensor:
    """Fixed sines and cosines of row and column, [side * side, width] (He et al., appendix A.1)."""
    rates = torch.exp(-math.log(10000.0) * torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    waves = torch.arange(side, dtype=torch.float64)[:, None] * rates
    axis = torch.cat((waves.sin(), waves.cos()), 1)  # [side, width / 2]
    rows, columns = axis[:, None].expand(-1, side, -1), axis[None].expand(side, -1, -1)
    return torch.cat((rows, columns), 2).reshape(side * side, width).to(torch.float32)
