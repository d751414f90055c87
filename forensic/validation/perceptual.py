"""LPIPS of luma, with weights that the user has fetched. torch is loaded where it is first needed, and not before."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from forensic.registry.comparing import LoadedComparison

LPIPS = "lpips-alex"
"""The model's card."""


def lpips(result: np.ndarray, truth: np.ndarray) -> float:
    """LPIPS (AlexNet, v0.1) of two planes [H, W] in grey levels, each given three times: 0 for equal ones, at least 0.

    Zhang et al., CVPR 2018; ``models/lpips-alex``. Raises ``PolicyRefused`` (``model.pack-not-fetched``) where the
    weights were not fetched, and as ``LoadedComparison.distance`` does.
    """
    from forensic.registry.cards import load_card, weights_path

    return _loaded(str(weights_path(load_card(LPIPS)))).distance(result, truth)


@cache
def _loaded(path: str) -> LoadedComparison:
    """By the place of the weights, which changes with the models store."""
    from forensic.registry.comparing import load_comparison

    return load_comparison(LPIPS)
