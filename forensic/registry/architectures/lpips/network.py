"""LPIPS (AlexNet, linear layers of version 0.1): a distance between two pictures. It makes no picture.

R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang, The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric, CVPR 2018, arXiv:1801.03924, equation 1: features of five layers, each place's vector
scaled to length 1, squared difference, weighted by channel, averaged over places, summed over layers. AlexNet in the
form of A. Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014, arXiv:1404.5997.
Names of layers are those under which Flax keeps them in the published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Of the pictures in [-1, 1], as the authors' own code has them.
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_TINY = 1e-10  # added to lengths, as there
#: Outputs, side of the kernel, step, border of each convolution; a maximum over 3x3 comes before the second and third.
_LAYERS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
_POOLED = (1, 2)
#: The smallest side of a picture: below, a layer has no place left.
SMALLEST = 35


class _Features(nn.Module):
    """The five convolutions; ``width`` divides their channels (1: the published network)."""

    def __init__(self, divided: int) -> None:
        super().__init__()
        before = 3
        for number, (channels, side, step, border) in enumerate(_LAYERS):
            channels //= divided
            self.add_module(f"Conv_{number}", nn.Conv2d(before, channels, side, step, border))
            before = channels

    def forward(self, pictures: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        value = pictures
        for number, layer in enumerate(self.children()):
            if number in _POOLED:
                value = functional.max_pool2d(value, 3, 2)
            value = functional.relu(layer(value))
            found.append(value)
        return found


class _Linear(nn.Module):
    """The weights of one layer's channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Conv_0 = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, difference: Tensor) -> Tensor:
        weighted: Tensor = self.Conv_0(difference)
        return weighted


class Lpips(nn.Module):
    """The distance of two pictures. ``divided`` divides the channels of every layer (1: the published network)."""

    def __init__(self, divided: int = 1) -> None:
        super().__init__()
        if divided < 1 or any(channels % divided for channels, *_ in _LAYERS):
            raise ValueError(f"{divided} does not divide the channels")
        self.AlexNet_0 = _Features(divided)
        for number, (channels, *_) in enumerate(_LAYERS):
            self.add_module(f"NetLinLayer_{number}", _Linear(channels // divided))
        self.register_buffer("_shift", torch.tensor(_SHIFT).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("_scale", torch.tensor(_SCALE).reshape(1, 3, 1, 1), persistent=False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Features of the five layers, of float32 [N, 3, H, W] in [-1, 1], not yet scaled to length 1."""
        shifted = (pictures - self.get_buffer("_shift")) / self.get_buffer("_scale")
        found: list[Tensor] = self.AlexNet_0(shifted)
        return found

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """The distances, float32 [N], of pictures float32 [N, 3, H, W] in [-1, 1], both sides at least 35."""
        total = torch.zeros(one.shape[0])
        for number, pair in enumerate(zip(self.features(one), self.features(other), strict=True)):
            first, second = (layer / (torch.linalg.vector_norm(layer, dim=1, keepdim=True) + _TINY) for layer in pair)
            weighted: Tensor = self.get_submodule(f"NetLinLayer_{number}")((first - second) ** 2)
            total = total + weighted.mean(dim=(1, 2, 3))
        return total
