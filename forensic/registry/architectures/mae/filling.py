"""Fill holes smoothly from what surrounds them, coarse to fine: the start that the network corrects.

S. J. Gortler, R. Grzeszczuk, R. Szeliski, M. F. Cohen, "The Lumigraph", SIGGRAPH 1996, section 3.4 (pull-push); on
every level the filling is then drawn towards the mean of its four neighbours, that is, towards a membrane that spans
the hole (Jacobi's iterations of Laplace's equation).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_LEAST = 1e-6
_ITERATIONS = 8  # on every level


def pulled(picture: Tensor, missing: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Means of what is known, over 1, 2, 4, ... pixels a side, as long as both sides are even: values and weights.

    ``picture``: float [N, C, H, W]; ``missing``: float [N, 1, H, W], 1 or 0. A value counts where its weight is not 0.
    """
    known = 1.0 - missing
    total, weight = picture * known, known
    levels = [(picture, weight)]
    while total.shape[-2] % 2 == 0 and total.shape[-1] % 2 == 0:
        total, weight = functional.avg_pool2d(total, 2), functional.avg_pool2d(weight, 2)
        levels.append((total / weight.clamp_min(_LEAST), weight))
    return levels


def coarsest(levels: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The last level, what is known nowhere in its places filled with the mean of all that is known."""
    value, weight = levels[-1]
    mean = (value * weight).sum(dim=(2, 3), keepdim=True) / weight.sum(dim=(2, 3), keepdim=True).clamp_min(_LEAST)
    return torch.where(weight > 0, value, mean)


def pushed(value: Tensor, weight: Tensor, above: Tensor) -> Tensor:
    """A level, what is known nowhere filled from the next coarser one, ``above``: interpolated, then relaxed."""
    filled = functional.interpolate(above, scale_factor=2, mode="bilinear", align_corners=False)
    known = weight > 0
    filled = torch.where(known, value, filled)
    for _ in range(_ITERATIONS):
        around = functional.pad(filled, (1, 1, 1, 1), mode="replicate")
        rows = around[..., :-2, 1:-1] + around[..., 2:, 1:-1]
        columns = around[..., 1:-1, :-2] + around[..., 1:-1, 2:]
        filled = torch.where(known, value, (rows + columns) * 0.25)
    return filled


def pull_push(picture: Tensor, missing: Tensor) -> Tensor:
    """``picture``, float [N, C, H, W], its ``missing`` samples, float [N, 1, H, W], 1 or 0, interpolated.

    Known samples come back as they are.
    """
    levels = pulled(picture, missing)
    filled = coarsest(levels)
    for value, weight in reversed(levels[:-1]):
        filled = pushed(value, weight, filled)
    return filled
