"""What is claimed of LOW and by which numbers it is judged: plain arithmetic, which whoever verifies repeats."""

from __future__ import annotations

from dataclasses import dataclass

#: Candidate thresholds of LOW, in grey levels of the tile's risk, strict to lax. Fixed before calibration.
THRESHOLDS = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 16.0, 18.0, 20.0, 24.0)
#: Errors, in grey levels, that a LOW pixel may not exceed.
TOLERANCES = (16, 32)
#: Share of LOW pixels that may nevertheless.
BETA = 0.05
#: How a laboratory's own calibration is made, as its registration states it.
METHOD = (
    "Learn then Test by fixed sequence (arXiv:2110.01052): thresholds strict to lax, at each the claims by turns, "
    "exact binomial p-values, delta divided by the number of strata, stop at the first failure. Unit: the recording; "
    "several frames of one count once, the worst. Recordings that share a name, a file or a decoded picture are one. "
    "Split in the order of their digests. Held-out rates with the limits of Clopper and Pearson."
)


@dataclass(frozen=True)
class Count:
    """Counts of one recording at one threshold, in output pixels; ``wrong``, ``largest``, ``edge_wrong`` by tolerance.

    ``largest``: output pixels of the largest 8-connected group of wrong LOW pixels. ``edge_low``: LOW pixels on the
    truth's edges.
    """

    threshold: float
    pixels: int
    low: int
    edge_low: int
    wrong: tuple[int, ...]
    largest: tuple[int, ...]
    edge_wrong: tuple[int, ...]


def share_failed(wrong: int, low: int, beta: float = BETA) -> bool:
    """Whether more than ``beta`` of ``low`` pixels are ``wrong``; no LOW pixel is no failure."""
    return wrong > beta * low


def edges_failed(wrong: int, low: int, cap: float, scale: int, beta: float = BETA) -> bool:
    """Whether more than ``beta`` of ``low`` edge pixels are ``wrong``, and these more than ``cap`` recorded pixels."""
    return share_failed(wrong, low, beta) and area_failed(wrong, cap, scale)


def area_failed(largest: int, cap: float, scale: int) -> bool:
    """Whether the largest connected wrong area, in output pixels, exceeds ``cap`` recorded pixels."""
    return largest > cap * scale * scale
