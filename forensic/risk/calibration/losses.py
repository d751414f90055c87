"""What is counted in one recording whose truth is known: LOW pixels, wrong ones, how they hang together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from forensic.risk.tiles import LEAST_LOW_GROUP, in_groups, to_pixels

#: Candidate thresholds of LOW, in grey levels of the tile's risk, strict to lax. Fixed before calibration.
THRESHOLDS = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 16.0, 18.0, 20.0, 24.0)
#: Errors, in grey levels, that a LOW pixel may not exceed.
TOLERANCES = (16, 32)
#: Share of LOW pixels that may nevertheless.
BETA = 0.05
#: Pixels where the truth's luma changes by at least this many grey levels per recorded pixel are edge pixels.
EDGE = 24.0


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


def truth_edges(truth: np.ndarray, scale: int) -> np.ndarray:
    """Boolean: where float32 ``truth`` has an edge, by central differences over one recorded pixel each way."""
    reach = max(1, scale // 2)
    padded = np.pad(truth, reach, mode="edge")
    rows, columns = truth.shape
    across = padded[reach : reach + rows, 2 * reach :] - padded[reach : reach + rows, :columns]
    down = padded[2 * reach :, reach : reach + columns] - padded[:rows, reach : reach + columns]
    return np.asarray(np.hypot(across, down) >= EDGE * 2 * reach / scale)


def _largest(mask: np.ndarray) -> int:
    if not mask.any():
        return 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    return int(stats[1:, cv2.CC_STAT_AREA].max())


def counts(
    tile_risk: np.ndarray,
    barred: np.ndarray,
    error: np.ndarray,
    edges: np.ndarray,
    thresholds: Sequence[float] = THRESHOLDS,
    tolerances: Sequence[int] = TOLERANCES,
    least: int = LEAST_LOW_GROUP,
) -> Iterator[Count]:
    """Counts at every threshold. Groups of fewer than ``least`` LOW tiles are not LOW, as in the map.

    ``tile_risk``: float32 per tile; ``barred``: boolean per tile, never LOW whatever its risk (clipped, no recording).
    ``error``: |output - truth|, float32 per output pixel; ``edges``: boolean per output pixel.
    """
    for threshold in thresholds:
        low = to_pixels(in_groups((tile_risk < threshold) & ~barred, least), error.shape)
        wrong = [low & (error > tolerance) for tolerance in tolerances]
        yield Count(
            threshold,
            int(error.size),
            int(np.count_nonzero(low)),
            int(np.count_nonzero(low & edges)),
            tuple(int(np.count_nonzero(one)) for one in wrong),
            tuple(_largest(one) for one in wrong),
            tuple(int(np.count_nonzero(one & edges)) for one in wrong),
        )


def share_failed(wrong: int, low: int, beta: float = BETA) -> bool:
    """Whether more than ``beta`` of ``low`` pixels are ``wrong``; no LOW pixel is no failure."""
    return wrong > beta * low


def edges_failed(wrong: int, low: int, cap: float, scale: int, beta: float = BETA) -> bool:
    """Whether more than ``beta`` of ``low`` edge pixels are ``wrong``, and these more than ``cap`` recorded pixels."""
    return share_failed(wrong, low, beta) and area_failed(wrong, cap, scale)


def area_failed(largest: int, cap: float, scale: int) -> bool:
    """Whether the largest connected wrong area, in output pixels, exceeds ``cap`` recorded pixels."""
    return largest > cap * scale * scale
