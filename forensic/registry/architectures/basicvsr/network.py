"""BasicVSR: features carried from frame to frame, from both ends of a sequence, applied to luma planes.

K. C. K. Chan, X. Wang, K. Yu, C. Dong, C. C. Loy, "BasicVSR: The Search for Essential Components in Video
Super-Resolution and Beyond", CVPR 2021, arXiv:2012.02181. Written anew after the paper; names of modules and
parameters are those of the published weights, so that these fit.

The published network takes and gives RGB; :meth:`BasicVsr.enlarge` gives it luma planes three times, as grey pictures,
and takes the luma of what comes back. It makes one frame of a window: what lies beyond the window plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from forensic.registry.architectures.basicvsr.flow import FlowPyramid, moved

#: ITU-R BT.601-7, 2.5.1.
_LUMA_SHARES = (0.299, 0.587, 0.114)
_WHITE = 255.0
_SLOPE = 0.1  # of the leaky rectifiers
#: Input rows that are enlarged at once, and rows around them: four convolutions of 3x3, from the recorded grid to
#: the finest, see two recorded rows on either side. Bounds the memory; changes nothing but the order of sums.
_STRIP, _AROUND = 32, 3


class ResidualBlock(nn.Module):
    """Two convolutions, added to what comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """[N, C, H, W] to the same."""
        out: Tensor = features + self.conv2(functional.relu(self.conv1(features)))
        return out


class Trunk(nn.Module):
    """A frame and the features that were carried to it, to its own features."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(3 + width, width, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Sequential(*(ResidualBlock(width) for _ in range(blocks))),
        )

    def forward(self, picture: Tensor, carried: Tensor) -> Tensor:
        """[N, 3, H, W] and [N, C, H, W] to [N, C, H, W]."""
        out: Tensor = self.main(torch.cat((picture, carried), 1))
        return out


class BasicVsr(nn.Module):
    """``blocks`` residual blocks of ``width`` channels in each of both directions; enlarges four times.

    Raises ``ValueError`` for hyper-parameters outside scale 4, width 4..256, blocks 1..64.
    """

    shares: Tensor

    def __init__(self, scale: int, width: int, blocks: int) -> None:
        super().__init__()
        if not (scale == 4 and 4 <= width <= 256 and 1 <= blocks <= 64):
            raise ValueError(f"scale {scale}, width {width}, blocks {blocks}: outside 4, 4..256, 1..64")
        self.scale, self.width = scale, width
        self.spynet = FlowPyramid()
        self.backward_trunk = Trunk(width, blocks)
        self.forward_trunk = Trunk(width, blocks)
        self.fusion = nn.Conv2d(2 * width, width, 1)
        self.upconv1 = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.upconv2 = nn.Conv2d(width, 4 * 64, 3, padding=1)
        self.conv_hr = nn.Conv2d(64, 64, 3, padding=1)
        self.conv_last = nn.Conv2d(64, 3, 3, padding=1)
        self.register_buffer("shares", torch.tensor(_LUMA_SHARES).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def radius(self) -> None:
        """Not bounded: features are carried as far as the flow points, and flow sees all that is given."""
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
        """Each of N planes, grey levels, float32 [N, 1, H, W], as a sequence of one: [N, 1, 4*H, 4*W], not clipped."""
        return torch.cat([self.enlarge((luma[number : number + 1],), 0) for number in range(len(luma))])

    def enlarge(self, window: Sequence[Tensor], at: int) -> Tensor:
        """Frame ``at`` of a window of planes [1, 1, H, W], grey levels, to [1, 1, 4*H, 4*W], not clipped."""
        grey = [(plane / _WHITE).expand(-1, 3, -1, -1) for plane in window]
        return (self.enlarge_rgb(grey, at) * self.shares).sum(1, keepdim=True) * _WHITE

    def enlarge_rgb(self, window: Sequence[Tensor], at: int) -> Tensor:
        """The published network: frame ``at`` of float32 [1, 3, H, W] of 0 to 1 to [1, 3, 4*H, 4*W], not clipped.

        Features run from the last frame back to ``at`` and from the first on to ``at``; both are merged there.
        """
        window = [picture.contiguous(memory_format=torch.channels_last) for picture in window]
        later = self._carried(self.backward_trunk, window[: at - 1 if at else None : -1])
        earlier = self._carried(self.forward_trunk, window[: at + 1])
        features = functional.leaky_relu(self.fusion(torch.cat((later, earlier), 1)), _SLOPE)
        height = features.shape[2]
        strips = []
        for top in range(0, height, _STRIP):
            first, last = max(0, top - _AROUND), min(height, top + _STRIP + _AROUND)
            strip = self._enlarged(features[:, :, first:last])
            strips.append(strip[:, :, self.scale * (top - first) :][:, :, : self.scale * min(_STRIP, height - top)])
        base = functional.interpolate(window[at], scale_factor=self.scale, mode="bilinear", align_corners=False)
        return torch.cat(strips, 2) + base

    def _carried(self, trunk: Trunk, way: Sequence[Tensor]) -> Tensor:
        """Features of the last picture on the way, carried to it from the first."""
        picture = way[0]
        features = trunk(picture, picture.new_zeros(1, self.width, *picture.shape[-2:]))
        for before, picture in pairwise(way):
            features = trunk(picture, moved(features, self.spynet(picture, before), "zeros"))
        return features

    def _enlarged(self, features: Tensor) -> Tensor:
        out = functional.leaky_relu(functional.pixel_shuffle(self.upconv1(features), 2), _SLOPE)
        out = functional.leaky_relu(functional.pixel_shuffle(self.upconv2(out), 2), _SLOPE)
        return cast(Tensor, self.conv_last(functional.leaky_relu(self.conv_hr(out), _SLOPE)))
