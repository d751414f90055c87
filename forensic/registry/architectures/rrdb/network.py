"""Residual in residual dense blocks on R'G'B': the generator of ESRGAN.

X. Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCV Workshops 2018,
arXiv:1809.00219 (network); X. Wang, L. Xie, C. Dong, Y. Shan, "Real-ESRGAN: Training Real-World Blind
Super-Resolution with Pure Synthetic Data", ICCV Workshops 2021, arXiv:2107.10833 (training, weights).

Convolutions are numbered in the order in which they are computed, as the published ncnn file has them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_DENSE = 5  # convolutions of a dense block
_OF_BLOCK = 3 * _DENSE
_SLOPE, _SHARE = 0.2, 0.2  # of leaky ReLU below zero; of a block's answer that is added


class RrdbNet(nn.Module):
    """``blocks`` blocks of three dense blocks of ``growth`` channels on ``width``, and twofold enlargement, twice.

    Every convolution fills the border with zeros, as published. Raises ``ValueError`` for a scale other than 4, width
    or growth outside 1..256, blocks outside 1..64.
    """

    def __init__(self, scale: int, width: int, growth: int, blocks: int) -> None:
        super().__init__()
        if scale != 4 or not (1 <= width <= 256 and 1 <= growth <= 256 and 1 <= blocks <= 64):
            raise ValueError(
                f"scale {scale}, width {width}, growth {growth}, blocks {blocks}: outside 4, 1..256, 1..64"
            )
        self.scale, self.blocks = scale, blocks
        sizes = [(3, width)]
        for _ in range(3 * blocks):
            sizes += [(width + step * growth, growth) for step in range(_DENSE - 1)]
            sizes.append((width + (_DENSE - 1) * growth, width))
        sizes += [(width, width)] * 4 + [(width, 3)]  # end of the trunk, after each enlargement, and the tail
        self.convolutions = nn.ModuleList(nn.Conv2d(taken, given, 3, padding=1) for taken, given in sizes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def radius(self) -> None:
        """Unbounded for practical purposes: 349 pixels for 23 blocks, and the border counts."""
        return None

    @property
    def alignment(self) -> int:
        """Pictures and tiles may begin anywhere."""
        return 1

    @property
    def context(self) -> int:
        """The network treats the border itself."""
        return 0

    def forward(self, picture: Tensor) -> Tensor:
        """Map R'G'B' of 0 to 1, float32 [N, 3, H, W], to [N, 3, 4*H, 4*W], not clipped."""
        first = self.convolutions[0](picture.contiguous(memory_format=torch.channels_last))
        trunk = first
        for block in range(self.blocks):
            entry = trunk
            for part in range(3):
                trunk = self._dense(trunk, 1 + _OF_BLOCK * block + _DENSE * part)
            trunk = trunk * _SHARE + entry
        end, after_two, after_four, fine, tail = self.convolutions[-5:]
        features = first + end(trunk)
        for after in (after_two, after_four):
            features = _leaky(after(functional.interpolate(features, scale_factor=2, mode="nearest")))
        out: Tensor = tail(_leaky(fine(features)))
        return out

    def _dense(self, entry: Tensor, at: int) -> Tensor:
        seen = entry
        for convolution in self.convolutions[at : at + _DENSE - 1]:
            seen = torch.cat((seen, _leaky(convolution(seen))), 1)
        out: Tensor = self.convolutions[at + _DENSE - 1](seen) * _SHARE + entry
        return out


def _leaky(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, _SLOPE, inplace=True)
