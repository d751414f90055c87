"""Restoration of chroma that was enlarged by interpolation, guided by luma that was restored and enlarged before.

In a picture enlarged s times, a recorded 4:2:0 chroma sample is a place of s x s chroma samples and 2s x 2s luma
samples. All of them are the channels of that place (space to depth); blocks of the NAFNet family
(``forensic.registry.architectures.nafnet``) work on the grid of the recorded chroma and give a correction of every
chroma sample in two parts: a plain one, and a factor by which the detail of luma at that sample is added. The second
is the colour-line model of guided filtering: across an edge chroma changes where luma does (K. He, J. Sun, X. Tang,
"Guided Image Filtering", ECCV 2010).

Luma, Cb and Cr each enter through first-layer filters that sum to zero, the detail of luma is the difference to its
mean nearby, and the answer to an empty picture is taken from the answer. So f(y + a, c + b) = f(y, c) + b for any
offsets, up to rounding: nothing is tinted because of the colour that it has. Last, every sample of Cb and of Cr is
limited to the range that the given chroma has around it, as far as one recorded sample reaches: colour is moved, none
is made that was not beside it, and where the recording shows one colour only it stays, whatever luma does. Before
training the last layer is zero and the result is what was given.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from forensic.registry.architectures.nafnet.network import FusedNafBlock

_CHROMA, _LUMA = 8.0, 32.0  # grey levels: units of what the network is given, what a strong edge measures


class GuidedChroma(nn.Module):
    """``blocks`` blocks of ``width`` channels on the recorded chroma grid, for pictures enlarged ``enlarged`` times.

    Convolutions are unpadded: the caller supplies ``places`` places of context on each side. Raises ``ValueError`` for
    a ``scale`` other than 1 (it enlarges nothing itself) and hyper-parameters outside enlarged 1..4, width 1..256,
    blocks 1..64.
    """

    def __init__(self, scale: int, enlarged: int, width: int, blocks: int) -> None:
        super().__init__()
        if not (scale == 1 and 1 <= enlarged <= 4 and 1 <= width <= 256 and 1 <= blocks <= 64):
            raise ValueError(
                f"scale {scale}, enlarged {enlarged}, width {width}, blocks {blocks}: outside 1, 1..4, 1..256, 1..64"
            )
        self.enlarged = enlarged
        area = enlarged * enlarged
        self.luma_head = nn.Conv2d(4 * area, width, 3, bias=False)
        self.blue_head = nn.Conv2d(area, width, 3, bias=False)
        self.red_head = nn.Conv2d(area, width, 3)
        self.blocks = nn.ModuleList(FusedNafBlock(width) for _ in range(blocks))
        self.tail = nn.Conv2d(width, 4 * area, 3)  # correction of Cb and Cr, then the factors of luma's detail
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def places(self) -> int:
        """Places of the recorded chroma grid on each side that the network takes and does not return."""
        return len(self.blocks) + 2

    @property
    def alignment(self) -> int:
        """Luma pixels of a place, each way."""
        return 2 * self.enlarged

    @property
    def context(self) -> int:
        """Luma pixels of :attr:`places`."""
        return self.alignment * self.places

    @property
    def radius(self) -> int:
        """Receptive field: luma pixels of the enlarged picture on each side that a chroma sample can depend on."""
        return self.context + self.alignment - 1

    def forward(self, luma: Tensor, chroma: Tensor) -> Tensor:
        """:meth:`unlimited`, limited to the range of the given chroma nearby; shapes as there."""
        reach = self.enlarged
        size, own = 2 * reach + 1, self._own
        highest, lowest = (
            functional.max_pool2d(each, size, stride=1, padding=reach)[:, :, own, own] for each in (chroma, -chroma)
        )
        return torch.minimum(torch.maximum(self.unlimited(luma, chroma), -lowest), highest)

    @property
    def _own(self) -> slice:
        """Chroma samples, of those that are given, that a result has."""
        return slice(self.enlarged * self.places, -self.enlarged * self.places)

    def unlimited(self, luma: Tensor, chroma: Tensor) -> Tensor:
        """Map grey levels to restored chroma, float32 [N, 2, s*H, s*W], not clipped; s is ``enlarged``.

        ``luma``: float32 [N, 1, 2*s*(H + 2*places), 2*s*(W + 2*places)]. ``chroma``: float32 [N, 2,
        s*(H + 2*places), s*(W + 2*places)], Cb and Cr, whatever their neutral level.
        """
        size = 2 * self.places + 1
        empty = self._trunk(
            luma.new_zeros(1, 1, size * self.alignment, size * self.alignment),
            luma.new_zeros(1, 2, size * self.enlarged, size * self.enlarged),
        )
        area = 2 * self.enlarged * self.enlarged
        found = self._trunk(luma, chroma)
        plain, factors = found[:, :area] - empty[:, :area], found[:, area:]
        own = self._own
        detail = self._detail(luma)[:, :, own, own] / _LUMA
        correction = self._unfolded(plain) + self._unfolded(factors) * detail  # in grey levels, small as errors are
        return chroma[:, :, own, own] + correction

    def _detail(self, luma: Tensor) -> Tensor:
        """Luma at the chroma samples, less its mean nearby; of the size of the chroma given."""
        seen = functional.avg_pool2d(luma, 2)
        reach = self.enlarged  # the mean is over a recorded chroma sample's width on either side
        around = functional.avg_pool2d(seen, 2 * reach + 1, stride=1)
        return functional.pad(seen[:, :, reach:-reach, reach:-reach] - around, [reach] * 4)

    def _unfolded(self, planes: Tensor) -> Tensor:
        return functional.pixel_shuffle(planes, self.enlarged)

    def _trunk(self, luma: Tensor, chroma: Tensor) -> Tensor:
        folded = functional.pixel_unshuffle(luma / _LUMA, 2 * self.enlarged)
        blue, red = (functional.pixel_unshuffle(chroma[:, i : i + 1] / _CHROMA, self.enlarged) for i in (0, 1))
        features = _seen(self.luma_head, folded) + _seen(self.blue_head, blue) + _seen(self.red_head, red)
        features = features.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            features = block(features)
        out: Tensor = self.tail(features)
        return out


def _seen(head: nn.Conv2d, planes: Tensor) -> Tensor:
    """The layer's answer with filters that sum to zero: an offset of the planes is not seen."""
    weight = head.weight - head.weight.mean(dim=(1, 2, 3), keepdim=True)
    return functional.conv2d(
        planes.contiguous(memory_format=torch.channels_last),
        weight.contiguous(memory_format=torch.channels_last),
        head.bias,
    )
