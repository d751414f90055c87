"""What is counted in one recording whose truth is known: LOW pixels, wrong ones, how they hang together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from forensic.risk.calibration.criteria import THRESHOLDS, TOLERANCES, Count
from forensic.risk.tiles import LEAST_LOW_GROUP, in_groups, to_pixels

#: Pixels where the truth's luma changes by at least this many grey levels per recorded pixel are edge pixels.
EDGE = 24.0


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


def low_pixels(
    tile_risk: np.ndarray, barred: np.ndarray, shape: tuple[int, ...], threshold: float, least: int = LEAST_LOW_GROUP
) -> np.ndarray:
    """Boolean per output pixel of ``shape``: LOW at ``threshold``, as :func:`counts` and the map take it."""
    return to_pixels(in_groups((tile_risk < threshold) & ~barred, least), (shape[0], shape[1]))


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
        low = low_pixels(tile_risk, barred, error.shape, threshold, least)
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
