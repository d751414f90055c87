"""Where a generative output invents: its output against what the recording itself gives. UNCALIBRATED.

Two indicators, each of which marks pixels; what they mark is put together by tiles and regions.

*Contrast*: DeSRA's indicator (Xie et al., "DeSRA: Detect and Delete the Artifacts of GAN-based Real-World
Super-Resolution Models", ICML 2023, arXiv:2307.02457, equation 7): with σ the local standard deviation,

    q = (2 σ_x σ_b + C) / (σ_x² + σ_b² + C),    C = (0.03 · 255)²,

1 where output x and the picture beside it b have the same local contrast, towards 0 where one has what the other lacks.
Marked is q < 0.8 (0.7 there), cleaned as there: erosion by 5 x 5, three dilations by 5 x 5, holes filled, small areas
dropped. How the thresholds were chosen, and what they find: docs/generative-risk.md.
*Spread*: the standard deviation of the output over its variants (seeds, or mirrored and turned inputs).

All tiles of generative output are HIGH by rule whatever is found here: a place without a mark is no statement at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from forensic.errors import InternalError
from forensic.frames.frame import CodedFrame
from forensic.media.opencv import opencv
from forensic.risk.dihedral import Dispersion
from forensic.risk.quantiles import describe
from forensic.risk.tiles import TILE, grid_shape, tile_percentile, tile_share

STATUS = "UNCALIBRATED"
WINDOW, SIGMA = 11, 1.5  # pixels: Gaussian window, as of SSIM
CONSTANT = (0.03 * 255.0) ** 2  # grey levels squared
ALIKE_FROM = 0.8
KERNEL, DILATIONS = 5, 3
LEAST_AREA = TILE * TILE
"""Pixels; 4000 in DeSRA, whose areas are those that annoy an eye. A character of four recorded pixels is this large."""
SPREAD_FROM = 8.0  # grey levels
TILE_MARKED = 0.25  # share of a tile's pixels
LISTED = 12
BY_CONTRAST, BY_SPREAD = 85, 170
"""Samples of ``NNNNNN.invented.png``; their sum where both mark, 0 where none does."""
MEANING = {0: "no mark", BY_CONTRAST: "contrast", BY_SPREAD: "spread", BY_CONTRAST + BY_SPREAD: "contrast and spread"}


@dataclass(frozen=True)
class Invention:
    """``marks``: uint8 (rows, columns) of the output, see :data:`MEANING`. ``facts``: for the record, JSON-able."""

    marks: np.ndarray
    facts: Mapping[str, Any]


def _deviation(plane: np.ndarray, mean: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    squares = _smoothed(plane * plane, kernel)
    return np.asarray(np.sqrt(np.maximum(squares - mean * mean, 0.0)))


def _smoothed(plane: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.sepFilter2D(plane, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101))


def local_deviation(plane: np.ndarray) -> np.ndarray:
    """Standard deviation in a Gaussian window of 11 x 11 pixels (σ = 1.5), float64, of luma in grey levels."""
    opencv()
    kernel = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F)
    exact = plane.astype(np.float64)
    return _deviation(exact, _smoothed(exact, kernel), kernel)


def contrast_alike(output: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """q above, float64 (rows, columns), in (0, 1]; ``output`` and ``beside`` are luma of equal shape, grey levels."""
    of_output, of_beside = local_deviation(output), local_deviation(beside)
    return np.asarray((2 * of_output * of_beside + CONSTANT) / (of_output**2 + of_beside**2 + CONSTANT))


def cleaned(mask: np.ndarray, least: int = LEAST_AREA) -> np.ndarray:
    """The boolean ``mask`` eroded, dilated, holes filled, without 8-connected areas of fewer than ``least`` pixels."""
    opencv()
    kernel = np.ones((KERNEL, KERNEL), np.uint8)
    grown = cv2.dilate(cv2.erode(mask.astype(np.uint8), kernel), kernel, iterations=DILATIONS)
    outside = np.pad(grown, 1)  # what can be reached from the border is no hole
    cv2.floodFill(outside, None, (0, 0), 2)
    filled = (outside[1:-1, 1:-1] != 2).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(filled, connectivity=8, ltype=cv2.CV_32S)
    kept = stats[:, cv2.CC_STAT_AREA] >= least
    kept[0] = False
    return np.asarray(kept[labels]) if count > 1 else np.zeros_like(mask)


def invention(output: CodedFrame, beside: CodedFrame, spread: Dispersion | None) -> Invention:
    """Where ``output``, before it is labelled, invents, against ``beside``: the same frame without what invents.

    ``spread``: of the output's luma over its variants, None where it was not measured. Raises ``InternalError``
    (``risk.frame-mismatch``) for pictures of two frames, sizes or layouts.
    """
    if (output.timing.index, output.geometry.plane_shapes[0]) != (
        beside.timing.index, beside.geometry.plane_shapes[0],
    ) or output.geometry.layout != beside.geometry.layout:  # fmt: skip
        raise InternalError("risk.frame-mismatch", "What stands beside the generative picture is another picture.")
    deviation = None if spread is None else spread.deviation
    variants = () if spread is None else spread.transforms
    return measured(output.to_working().luma, beside.to_working().luma, deviation, variants)


def measured(
    output: np.ndarray, beside: np.ndarray, deviation: np.ndarray | None, variants: tuple[str, ...] = ()
) -> Invention:
    """As :func:`invention`, from luma planes in grey levels; ``deviation`` is the spread, of the same shape."""
    alike = contrast_alike(output, beside)
    by_contrast = cleaned(alike < ALIKE_FROM)
    marks = np.where(by_contrast, np.uint8(BY_CONTRAST), np.uint8(0))
    if deviation is not None:
        marks = marks + np.where(cleaned(deviation >= SPREAD_FROM, 0), np.uint8(BY_SPREAD), np.uint8(0))
    more = local_deviation(output) > local_deviation(beside)
    shares = tile_share(marks > 0)
    facts = {
        "status": STATUS,
        "against": "the picture beside the still",
        "share": _rounded((marks > 0).mean()),
        "tiles": int(np.count_nonzero(shares >= TILE_MARKED)),
        "tiles_marked_from_share": TILE_MARKED,
        "contrast": {
            "window_px": WINDOW,
            "sigma_px": SIGMA,
            "constant": CONSTANT,
            "marked_below": ALIKE_FROM,
            "cleaning": f"erosion {KERNEL}x{KERNEL}, {DILATIONS} dilations {KERNEL}x{KERNEL}, holes filled, areas of "
            f"{LEAST_AREA} pixels and more",
            "share": _rounded(by_contrast.mean()),
            "share_with_more_contrast": _rounded((by_contrast & more).mean()),
            "median": _rounded(np.median(alike)),
        },
        "spread": None
        if deviation is None
        else {
            "variants": list(variants),
            "marked_from": SPREAD_FROM,
            "share": _rounded((marks >= BY_SPREAD).mean()),
            **describe(deviation),
        },
        **_regions(marks, alike, deviation, shares),
    }
    return Invention(marks, facts)


def _rounded(value: Any) -> float:
    return round(float(value), 5)


def _regions(marks: np.ndarray, alike: np.ndarray, deviation: np.ndarray | None, shares: np.ndarray) -> dict[str, Any]:
    """The strongest 8-connected groups of marked tiles: by spread where it is measured, else by contrast."""
    shape = marks.shape
    tiles = (shares >= TILE_MARKED).reshape(grid_shape(shape))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(tiles.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    differs = tile_percentile((1.0 - alike).astype(np.float32))
    spread = None if deviation is None else tile_percentile(np.asarray(deviation, np.float32))
    found = []
    for label in range(1, count):
        column, row, width, height, size = (int(value) for value in stats[label])
        inside = labels == label
        x, y = column * TILE, row * TILE
        region = {
            "x": x,
            "y": y,
            "w": min(width * TILE, shape[1] - x),
            "h": min(height * TILE, shape[0] - y),
            "tiles": size,
            "contrast_differs_p90": round(float(differs[inside].max()), 3),
            "spread_p90": None if spread is None else round(float(spread[inside].max()), 2),
        }
        found.append(region)
    found.sort(
        key=lambda one: (-(one["spread_p90"] or 0.0), -one["contrast_differs_p90"], -one["tiles"], one["y"], one["x"])
    )
    return {"regions": found[:LISTED], "regions_not_listed": max(0, len(found) - LISTED)}
