"""How far a picture has been shifted towards the enlarged recording, and how much noise it holds: the steps.

Z. Yue, J. Wang, C. C. Loy, "ResShift: Efficient Diffusion Model for Image Super-resolution by Residual Shifting",
NeurIPS 2023, arXiv:2307.12348, equations 1 to 7 and section 2.2: a picture x0 and the enlarged recording y0 give
``x_t = x0 + eta_t (y0 - x0) + kappa sqrt(eta_t) noise``; eta rises from nearly 0 to nearly 1. The square root of
eta is a geometric sequence bent by a power. The paper trains for one number of steps; here the network is told eta, so
that one network serves every number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: The largest number of steps: the paper's.
MOST_STEPS = 15
LEAST_SHIFT, MOST_SHIFT = 0.001, 0.999  # eta of the last step and of the first
BEND = 0.3  # the paper's p: below 1, more steps go where there is much noise


def shift_at(place: float) -> float:
    """eta at ``place``, 0 (the last step: nearly the picture) to 1 (the first: the enlarged recording and noise)."""
    bent = math.log(MOST_SHIFT / LEAST_SHIFT) * place**BEND
    return LEAST_SHIFT * math.exp(bent)


@dataclass(frozen=True)
class Step:
    """One step: the network is told ``place`` and ``shift``, and then the next x is a sum of three.

    ``keep`` of the present x, ``take`` of the network's picture, ``noise`` times kappa of fresh noise; the last step
    is (0, 1, 0): the network's picture itself.
    """

    place: float
    shift: float
    keep: float
    take: float
    noise: float


def steps_of(count: int) -> tuple[Step, ...]:
    """The ``count`` steps in the order in which they are made (arXiv:2307.12348, equation 7).

    Raises ``ValueError`` for a count outside 1..15.
    """
    if not 1 <= count <= MOST_STEPS:
        raise ValueError(f"{count} steps: outside 1..{MOST_STEPS}")
    places = [1.0] if count == 1 else [number / (count - 1) for number in range(count - 1, -1, -1)]
    shifts = [shift_at(place) for place in places]
    steps = []
    for place, shift, after in zip(places, shifts, [*shifts[1:], 0.0], strict=True):
        keep = after / shift
        steps.append(Step(place, shift, keep, 1 - keep, math.sqrt(keep * (shift - after))))
    return tuple(steps)
