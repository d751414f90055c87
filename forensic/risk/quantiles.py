"""Quantiles of a map, on the grid of 1/256 grey level in which maps are written."""

from __future__ import annotations

import numpy as np

UNITS_PER_GREY_LEVEL = 256
LARGEST_UNIT = 65534  # 255.99 grey levels; 65535 is kept for "not assessed"
NOT_ASSESSED_UNIT = 65535


def to_units(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Non-negative float32 grey levels as uint16 units of 1/256, rounded up so that no risk is lost.

    Returns the units and how many samples were above the scale and were clipped to 65534.
    """
    scaled = np.ceil(values * np.float32(UNITS_PER_GREY_LEVEL))
    clipped = int(np.count_nonzero(scaled > LARGEST_UNIT))
    return np.minimum(scaled, np.float32(LARGEST_UNIT)).astype(np.uint16), clipped


def describe(values: np.ndarray) -> dict[str, float]:
    """Nearest-rank quantiles and maximum of non-negative ``values``, in grey levels, JSON-able."""
    units, _ = to_units(values)
    cumulative = np.cumsum(np.bincount(units.ravel(), minlength=1))
    total = int(cumulative[-1])
    facts = {}
    for name, thousandths in (("p50", 500), ("p90", 900), ("p99", 990)):
        rank = -(-thousandths * total // 1000)
        facts[name] = round(int(np.searchsorted(cumulative, rank)) / UNITS_PER_GREY_LEVEL, 3)
    facts["max"] = round(float(values.max()), 3)
    return facts
