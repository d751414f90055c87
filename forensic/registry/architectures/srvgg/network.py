"""A plain stack of convolutions on R'G'B', enlarged by sub-pixel convolution: SRVGGNetCompact.

X. Wang, L. Xie, C. Dong, Y. Shan, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic
Data", ICCV Workshops 2021, arXiv:2107.10833, and its repository, which has this network (``realesr-animevideov3``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class SrvggNet(nn.Module):
    """``depth`` convolutions of ``width`` channels between the first and the last, each after a PReLU.

    What they give is added to the picture, enlarged by repeating pixels. Every convolution fills the border with
    zeros, as published. Raises ``ValueError`` outside scale 2..4, width 1..256, depth 1..64.
    """

    def __init__(self, scale: int, width: int, depth: int) -> None:
        super().__init__()
        if not (2 <= scale <= 4 and 1 <= width <= 256 and 1 <= depth <= 64):
            raise ValueError(f"scale {scale}, width {width}, depth {depth}: outside 2..4, 1..256, 1..64")
        self.scale = scale
        sizes = [(3, width), *[(width, width)] * depth, (width, 3 * scale * scale)]
        self.convolutions = nn.ModuleList(nn.Conv2d(taken, given, 3, padding=1) for taken, given in sizes)
        self.slopes = nn.ModuleList(nn.PReLU(width) for _ in range(depth + 1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def radius(self) -> int:
        """Receptive field: input pixels on each side; further away, the picture's border counts no more either."""
        return len(self.convolutions)

    @property
    def alignment(self) -> int:
        """Pictures and tiles may begin anywhere."""
        return 1

    @property
    def context(self) -> int:
        """The network treats the border itself."""
        return 0

    def forward(self, picture: Tensor) -> Tensor:
        """Map R'G'B' of 0 to 1, float32 [N, 3, H, W], to [N, 3, scale*H, scale*W], not clipped."""
        features = picture.contiguous(memory_format=torch.channels_last)
        for convolution, slope in zip(self.convolutions, self.slopes, strict=False):
            features = slope(convolution(features))
        detail = functional.pixel_shuffle(self.convolutions[-1](features), self.scale)
        return detail + functional.interpolate(picture, scale_factor=self.scale, mode="nearest")
