"""Optical flow by a pyramid of small networks (SPyNet), and pictures moved by it.

A. Ranjan, M. J. Black, "Optical Flow Estimation using a Spatial Pyramid Network", CVPR 2017, arXiv:1611.00850.
Written anew after the paper and the facts of the published weights (input order, normalisation, sizes); names of
modules and parameters are those of these weights, so that they fit.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 6
#: Mean and standard deviation of colours, R, G, B of 0 to 1, that the published weights were trained with (ImageNet).
MEAN_COLOUR = (0.485, 0.456, 0.406)
COLOUR_SPREAD = (0.229, 0.224, 0.225)


def moved(picture: Tensor, flow: Tensor, beyond: str) -> Tensor:
    """``picture`` [N, C, H, W] seen at the places that ``flow`` points to, bilinearly.

    ``flow`` [N, 2, H, W]: columns, then rows, in pixels. ``beyond``: what lies outside, ``zeros`` or ``border``.
    """
    height, width = picture.shape[-2:]
    rows = torch.arange(height, dtype=picture.dtype)[:, None]
    columns = torch.arange(width, dtype=picture.dtype)[None]
    across = 2.0 * (columns + flow[:, 0]) / max(width - 1, 1) - 1.0
    down = 2.0 * (rows + flow[:, 1]) / max(height - 1, 1) - 1.0
    places = torch.stack((across, down), dim=3)
    return functional.grid_sample(picture, places, mode="bilinear", padding_mode=beyond, align_corners=True)


class Level(nn.Module):
    """Correction of the flow on one level: five convolutions of 7x7."""

    def __init__(self) -> None:
        super().__init__()
        widths = (8, 32, 64, 32, 16, 2)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 7, padding=3), nn.ReLU()]
        self.basic_module = nn.Sequential(*layers[:-1])

    def forward(self, both: Tensor) -> Tensor:
        """Picture, the other moved onto it, and the flow so far, [N, 8, H, W], to the correction [N, 2, H, W]."""
        out: Tensor = self.basic_module(both)
        return out


class FlowPyramid(nn.Module):
    """Flow from coarse (1/32) to fine, each level correcting what the one before found."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.basic_module = nn.ModuleList(Level() for _ in range(_LEVELS))
        self.register_buffer("mean", torch.tensor(MEAN_COLOUR).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(COLOUR_SPREAD).view(1, 3, 1, 1), persistent=False)

    def forward(self, picture: Tensor, other: Tensor) -> Tensor:
        """Where in ``other`` lies what ``picture`` shows: [N, 3, H, W] of 0 to 1, twice, to [N, 2, H, W] in pixels.

        Both are stretched to multiples of 32 for it.
        """
        height, width = picture.shape[-2:]
        multiple = 1 << (_LEVELS - 1)
        size = (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
        pyramid = [(self._stretched(picture, size), self._stretched(other, size))]
        for _ in range(_LEVELS - 1):
            pyramid.append((functional.avg_pool2d(pyramid[-1][0], 2), functional.avg_pool2d(pyramid[-1][1], 2)))
        coarsest = pyramid[-1][0]
        flow = coarsest.new_zeros(coarsest.shape[0], 2, *coarsest.shape[-2:])
        for number, (own, moving) in enumerate(reversed(pyramid)):
            if number:
                flow = 2.0 * functional.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
            flow = self.basic_module[number](torch.cat((own, moved(moving, flow, "border"), flow), 1)) + flow
        flow = functional.interpolate(flow, size=(height, width), mode="bilinear", align_corners=False)
        return flow * flow.new_tensor((width / size[1], height / size[0])).view(1, 2, 1, 1)

    def _stretched(self, picture: Tensor, size: tuple[int, int]) -> Tensor:
        stretched = functional.interpolate(picture, size=size, mode="bilinear", align_corners=False)
        return (stretched - self.mean) / self.spread
