"""Bias-free residual super-resolution of one luma plane.

The plane is enlarged by Keys' cubic convolution, and a plain convolutional trunk at the input
resolution adds a residual by sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158). No layer
has a bias (Mohan et al. 2020, arXiv:1906.05478) and every filter of the first layer sums to zero,
so for any gain a >= 0 and offset b the network obeys f(a*y + b) = a*f(y) + b up to rounding: a flat
area stays flat and at its level, and no absolute grey level can call up learned content.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Keys (1981), "Cubic convolution interpolation for digital image processing", equation 15.
_KEYS_A = -0.5
_CUBIC_SUPPORT = 5


def _keys(distance: float) -> float:
    t = abs(distance)
    if t < 1:
        return (_KEYS_A + 2) * t**3 - (_KEYS_A + 3) * t**2 + 1
    if t < 2:
        return _KEYS_A * (t**3 - 5 * t**2 + 8 * t - 4)
    return 0.0


def cubic_kernels(scale: int) -> Tensor:
    """Polyphase cubic kernels, float32 [scale**2, 1, 5, 5], for half-pixel-centred enlargement.

    Output sample ``p`` of an input pixel lies ``(p + 0.5) / scale - 0.5`` input pixels from its
    centre, which undoes an area downsample by ``scale`` without a shift. Rows are in the order
    that ``pixel_shuffle`` expects; each kernel sums to one.
    """
    taps = []
    for phase in range(scale):
        offset = (phase + 0.5) / scale - 0.5
        taps.append([_keys(position - offset) for position in range(-2, 3)])
    one = torch.tensor(taps, dtype=torch.float64)
    one = one / one.sum(dim=1, keepdim=True)
    grid = torch.einsum("iy,jx->ijyx", one, one)
    return grid.reshape(scale * scale, 1, _CUBIC_SUPPORT, _CUBIC_SUPPORT).to(torch.float32)


class LumaResidual(nn.Module):
    """``depth`` 3x3 convolutions of ``width`` channels between a zero-sum head and a sub-pixel tail.

    Convolutions are unpadded: the caller supplies ``radius`` pixels of real or replicated context
    on each side, so a pixel's value depends on its neighbourhood only and never on a tile border.
    """

    cubic: Tensor

    def __init__(self, scale: int, width: int, depth: int) -> None:
        super().__init__()
        if not (2 <= scale <= 4 and 1 <= width <= 128 and 0 <= depth <= 32):
            raise ValueError(f"scale {scale}, width {width}, depth {depth}: outside 2..4, 1..128, 0..32")
        self.scale = scale
        self.head = nn.Conv2d(1, width, 3, bias=False)
        self.trunk = nn.ModuleList(nn.Conv2d(width, width, 3, bias=False) for _ in range(depth))
        self.tail = nn.Conv2d(width, scale * scale, 3, bias=False)
        self.register_buffer("cubic", cubic_kernels(scale), persistent=False)

    @property
    def radius(self) -> int:
        """Receptive field: input pixels on each side that an output pixel can depend on."""
        return max(2 + len(self.trunk), _CUBIC_SUPPORT // 2)

    @property
    def context(self) -> int:
        """Pixels that :meth:`forward` takes from each side."""
        return self.radius

    @property
    def alignment(self) -> int:
        """Planes and tiles may begin anywhere."""
        return 1

    def forward(self, luma: Tensor) -> Tensor:
        """Map float32 [N, 1, H + 2*radius, W + 2*radius] to [N, 1, scale*H, scale*W].

        Any linear unit will do (grey levels 0..255 in this program); output is not clipped.
        """
        weight = self.head.weight
        features = functional.relu(functional.conv2d(luma, weight - weight.mean(dim=(2, 3), keepdim=True)))
        entry = features
        for index, layer in enumerate(self.trunk):
            step = layer(features)
            if index % 2:  # every second convolution closes a residual block
                step = step + entry[:, :, 2:-2, 2:-2]
            else:
                entry = features
            features = functional.relu(step)
        residual = self.tail(features)
        surplus = self.radius - (2 + len(self.trunk))
        if surplus:
            residual = residual[:, :, surplus:-surplus, surplus:-surplus]
        margin = self.radius - _CUBIC_SUPPORT // 2
        core = luma[:, :, margin : luma.shape[2] - margin, margin : luma.shape[3] - margin]
        enlarged = functional.conv2d(core, self.cubic)
        return functional.pixel_shuffle(enlarged + residual, self.scale)
