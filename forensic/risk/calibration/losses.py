"""What is counted in one recording whose truth is known: LOW pixels, wrong ones, how they hang together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from forensic.risk.tiles import to_pixels

#: Candidate thresholds of LOW, in grey levels of the tile's risk, strict to lax. Fixed before anything was measured.
THRESHOLDS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 10.0)
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
) -> Iterator[Count]:
    """Counts at every threshold.

    ``tile_risk``: float32 per tile; ``barred``: boolean per tile, never LOW whatever its risk (clipped, no recording).
    ``error``: |output - truth|, float32 per output pixel; ``edges``: boolean per output pixel.
    """
    for threshold in thresholds:
        low = to_pixels((tile_risk < threshold) & ~barred, error.shape)
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


def area_failed(largest: int, cap: float, scale: int) -> bool:
    """Whether the largest connected wrong area, in output pixels, exceeds ``cap`` recorded pixels."""
    return largest > cap * scale * scale
