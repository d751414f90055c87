"""A small U-Net that is told a noisy picture and the enlarged recording, and answers with a picture that looks real.

Residual shifting (arXiv:2307.12348; ``schedule.py`` beside this) in the space of pixels: ``scale`` x ``scale`` pixels
of the result are the channels of one place on the recording's grid, so that nothing is computed on the large grid. The
process does not start from interpolation but from what a fidelity network makes of the recording (``enlarger``, of the
NAFNet family, frozen): what can be told from the recording is told by that, and the steps add what cannot. No
attention and no statistics over the picture, so that the field of view of one step is bounded.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from forensic.registry.architectures.nafnet.network import NafNet
from forensic.registry.architectures.residual_shift.schedule import MOST_STEPS

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601-7, 2.5.1
_LEVELS = 255.0
_DETAIL = 0.12  # the network's unit of what it adds, of a range from -1 to 1: some 15 grey levels
_WAVES, _EMBEDDED = 8, 64  # how it is told the place in the schedule
_HALVINGS = 2


class _Block(nn.Module):
    """A full 3x3 convolution, a gate and a mixing of channels, as a residual; shifted and scaled by the place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.told = nn.Linear(_EMBEDDED, 2 * width)
        self.widen = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 1)
        self.gain = nn.Parameter(torch.full((1, width, 1, 1), 0.2))

    def forward(self, features: Tensor, place: Tensor) -> Tensor:
        gain, offset = self.told(place)[:, :, None, None].chunk(2, dim=1)
        normal = self.norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        first, second = self.widen(normal * (1 + gain) + offset).chunk(2, dim=1)
        out: Tensor = features + self.mix(first * second) * self.gain
        return out


class Denoiser(nn.Module):
    """Three levels of ``width``, ``middle`` and ``deep`` channels, ``blocks`` blocks at each, down and up.

    ``scale`` x ``scale`` pixels of three colours are a place. Convolutions fill the border with zeros. Raises
    ``ValueError`` for widths outside 1..256, blocks outside 1..16.
    """

    def __init__(self, scale: int, width: int, middle: int, deep: int, blocks: int) -> None:
        super().__init__()
        if not all(1 <= each <= 256 for each in (width, middle, deep)) or not 1 <= blocks <= 16:
            raise ValueError(f"widths {width}, {middle}, {deep}, blocks {blocks}: outside 1..256, 1..16")
        self.scale, self.count = scale, blocks
        pixels = 3 * scale * scale
        self.told = nn.Sequential(nn.Linear(_WAVES, _EMBEDDED), nn.SiLU(), nn.Linear(_EMBEDDED, _EMBEDDED), nn.SiLU())
        self.head = nn.Conv2d(2 * pixels + 3, width, 3, padding=1)
        self.down = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.to_middle = nn.Conv2d(width, middle, 2, stride=2)
        self.middle_down = nn.ModuleList(_Block(middle) for _ in range(blocks))
        self.to_deep = nn.Conv2d(middle, deep, 2, stride=2)
        self.deep = nn.ModuleList(_Block(deep) for _ in range(blocks))
        self.from_deep = nn.Conv2d(deep, 4 * middle, 1)
        self.middle_up = nn.ModuleList(_Block(middle) for _ in range(blocks))
        self.from_middle = nn.Conv2d(middle, 4 * width, 1)
        self.up = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.tail = nn.Conv2d(width, pixels, 3, padding=1)
        self.register_buffer("waves", math.pi * torch.arange(_WAVES), persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def radius(self) -> int:
        """Places on each side that an answer can depend on: that of every level, and the grid of the deepest."""
        return 2 + self.count * (1 + 2 + 4 + 2 + 1) + self.alignment - 1

    @property
    def alignment(self) -> int:
        """Sides of what is given, and the first places of tiles, are multiples of this."""
        return 1 << _HALVINGS

    def forward(self, noisy: Tensor, base: Tensor, low: Tensor, place: Tensor, shift: Tensor, kappa: float) -> Tensor:
        """The picture, float32 [N, 3 s², H, W], of -1 to 1, not clipped; H and W multiples of ``alignment``.

        ``noisy`` (x_t) and ``base`` (y0) are of that form; ``low``: the recording, [N, 3, H, W], of -1 to 1; ``place``
        and ``shift``: float32 [N], of the schedule.
        """
        shift = shift[:, None, None, None]
        spread = torch.sqrt((1 - shift) ** 2 * _DETAIL**2 + kappa**2 * shift)
        given = torch.cat([(noisy - base) / spread, base, low], dim=1).contiguous(memory_format=torch.channels_last)
        told = self.told(torch.cos(place[:, None] * self.get_buffer("waves")))
        features = self.head(given)
        features = _through(self.down, features, told)
        halved = _through(self.middle_down, self.to_middle(features), told)
        deepest = _through(self.deep, self.to_deep(halved), told)
        halved = halved + functional.pixel_shuffle(self.from_deep(deepest), 2)
        halved = _through(self.middle_up, halved.contiguous(memory_format=torch.channels_last), told)
        features = features + functional.pixel_shuffle(self.from_middle(halved), 2)
        features = _through(self.up, features.contiguous(memory_format=torch.channels_last), told)
        return base + _DETAIL * self.tail(features).float()


def _through(blocks: nn.ModuleList, features: Tensor, told: Tensor) -> Tensor:
    for block in blocks:
        features = block(features, told)
    return features


class ResidualShift(nn.Module):
    """The enlarger and the denoiser, in one: what is done between and after is the sampler's.

    ``noise``: kappa in thousandths, for a range from -1 to 1. Called with one picture it is the enlarger: nothing is
    invented. Hyper-parameters are those of both; raises ``ValueError`` as they do, for a scale other than 4, and for
    noise outside 1..4000.
    """

    def __init__(
        self,
        scale: int,
        width: int,
        middle: int,
        deep: int,
        blocks: int,
        noise: int,
        single_width: int,
        single_blocks: int,
        single_fold: int,
        single_fused: int,
    ) -> None:
        super().__init__()
        if scale != 4 or not 1 <= noise <= 4000:
            raise ValueError(f"scale {scale}, noise {noise}: outside 4, 1..4000")
        self.scale, self.kappa = scale, noise / 1000
        self.enlarger = NafNet(scale, single_width, single_blocks, single_fold, single_fused)
        self.denoiser = Denoiser(scale, width, middle, deep, blocks)

    @property
    def radius(self) -> int:
        """Recorded pixels on each side that the answer of one step can depend on."""
        return max(self.denoiser.radius, self.enlarger.radius)

    @property
    def alignment(self) -> int:
        """Of the denoiser's grid."""
        return self.denoiser.alignment

    @property
    def context(self) -> int:
        """Of the enlarger."""
        return self.enlarger.context

    @property
    def most_steps(self) -> int:
        """Of the schedule."""
        return MOST_STEPS

    def forward(self, picture: Tensor) -> Tensor:
        """What the steps start from: R'G'B' of 0 to 1, float32 [N, 3, H + 2*context, W + 2*context], enlarged.

        [N, 3, scale*H, scale*W], not clipped: cubic enlargement of the colours, and the enlarger's correction of luma
        added to all three. H and W are multiples of the enlarger's alignment.
        """
        number, colours, height, width = picture.shape
        luma = _LEVELS * functional.conv2d(picture, picture.new_tensor(_LUMA)[None, :, None, None])
        correction = (self.enlarger(luma) - self.enlarger.interpolated(luma)) / _LEVELS
        cubic = self.enlarger.interpolated(picture.reshape(number * colours, 1, height, width))
        out: Tensor = cubic.reshape(number, colours, *cubic.shape[2:]) + correction
        return out
