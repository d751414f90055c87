"""Cut a plane into equal tiles with context, and put the enlarged tiles back without a seam.

The schedule depends on the plane's size and the two logged parameters only, never on workers: each
tile is computed from the same pixels in the same shape whoever computes it, so its bytes are equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from forensic.errors import InternalError, UsageError

SMALLEST_TILE = 16


@dataclass(frozen=True)
class TilePlan:
    """Tiles of a ``height`` x ``width`` plane: all of ``tile_height`` x ``tile_width``, plus ``overlap`` around."""

    height: int
    width: int
    tile_height: int
    tile_width: int
    overlap: int
    origins: tuple[tuple[int, int], ...]  # (row, column) of each tile's first own pixel, row by row


def plan_tiles(height: int, width: int, tile: int, overlap: int, alignment: int = 1) -> TilePlan:
    """Divide a plane into the fewest equal tiles of at most ``tile`` pixels a side.

    Tiles begin and end at multiples of ``alignment`` (at most 16); the last may reach past the plane.
    Raises ``UsageError`` (``model.tile-size``) for a tile under 16 or a negative overlap.
    """
    if tile < SMALLEST_TILE or overlap < 0:
        raise UsageError(
            "model.tile-size",
            f"Tile {tile} with overlap {overlap} cannot be used.",
            f"Use a tile of at least {SMALLEST_TILE} pixels.",
        )
    tile -= tile % alignment
    rows, columns = -(-height // tile), -(-width // tile)
    tile_height = round_up(-(-height // rows), alignment)
    tile_width = round_up(-(-width // columns), alignment)
    rows, columns = -(-height // tile_height), -(-width // tile_width)
    origins = tuple((row * tile_height, column * tile_width) for row in range(rows) for column in range(columns))
    return TilePlan(height, width, tile_height, tile_width, overlap, origins)


def round_up(length: int, multiple: int) -> int:
    """Least multiple of ``multiple`` that is not below ``length``."""
    return -(-length // multiple) * multiple


def cut_tiles(plane: np.ndarray, plan: TilePlan) -> list[np.ndarray]:
    """Tiles with context, [tile_height + 2*overlap, tile_width + 2*overlap] each; edges are replicated."""
    if plane.shape != (plan.height, plan.width):
        raise InternalError("model.tile-plan", f"A plan for {plan.height}x{plan.width} met a plane {plane.shape}.")
    bottom = max(row for row, _ in plan.origins) + plan.tile_height - plan.height
    right = max(column for _, column in plan.origins) + plan.tile_width - plan.width
    around = plan.overlap
    padded = np.pad(plane, ((around, around + bottom), (around, around + right)), mode="edge")
    return [
        padded[row : row + plan.tile_height + 2 * around, column : column + plan.tile_width + 2 * around]
        for row, column in plan.origins
    ]


def cut_inside(plane: np.ndarray, plan: TilePlan) -> list[np.ndarray]:
    """Tiles with what surroundings the plane has, up to the plan's overlap: nothing is repeated at its borders.

    ``plane`` is [H, W], or [C, H, W] for planes that are cut alike.
    """
    if plane.shape[-2:] != (plan.height, plan.width):
        raise InternalError("model.tile-plan", f"A plan for {plan.height}x{plan.width} met a plane {plane.shape}.")
    around = plan.overlap
    return [
        plane[
            ...,
            max(row - around, 0) : row + plan.tile_height + around,
            max(column - around, 0) : column + plan.tile_width + around,
        ]
        for row, column in plan.origins
    ]


def blend_tiles(tiles: Iterable[np.ndarray], plan: TilePlan, scale: int, *, faded: bool = True) -> np.ndarray:
    """Put enlarged pieces of :func:`cut_inside` in their places, cross-faded where tiles meet.

    Each tile's share falls linearly from 1 to 0 over half the overlap (at most half a tile) on either
    side of a border, along rows and columns alike, so that shares sum to 1 and nothing steps.
    Not ``faded``, each tile gives its own place alone: for networks whose field of view the overlap covers.
    The sums are formed in the order of the plan. One tile alone comes out as it is, to the byte.
    """
    whole = np.zeros(0, np.float32)
    for (row, column), tile in zip(plan.origins, tiles, strict=True):
        if not whole.size:
            whole = np.zeros((*tile.shape[:-2], scale * plan.height, scale * plan.width), np.float32)
        above, left = row - min(row, plan.overlap), column - min(column, plan.overlap)
        reach = plan.overlap if faded else 0
        down = _share(row, plan.tile_height, plan.height, reach, scale)[scale * above :][: tile.shape[-2]]
        across = _share(column, plan.tile_width, plan.width, reach, scale)[scale * left :][: tile.shape[-1]]
        own = whole[..., scale * above :, scale * left :][..., : tile.shape[-2], : tile.shape[-1]]
        own += down[:, None] * across[None] * tile
    return whole


def _share(first: int, length: int, side: int, overlap: int, scale: int) -> np.ndarray:
    """Share of the tile that begins at ``first``, for every output row (or column): float32 [scale * side], 0 to 1."""
    fade = min(overlap, length) // 2
    share = np.ones(scale * side, np.float32)
    if not fade:
        share[: scale * first] = share[scale * (first + length) :] = 0
        return share
    place = (np.arange(scale * side) + 0.5) / scale  # centre of the output row, in input rows from the edge
    if first > 0:
        share = np.minimum(share, np.clip((place - first) / (2 * fade) + 0.5, 0, 1).astype(np.float32))
    if first + length < side:
        share = np.minimum(share, np.clip((first + length - place) / (2 * fade) + 0.5, 0, 1).astype(np.float32))
    return share


def join_tiles(tiles: Iterable[np.ndarray], plan: TilePlan, scale: int) -> np.ndarray:
    """Put enlarged tiles without context, [scale*tile_height, scale*tile_width] each, in their places."""
    whole = np.empty((scale * plan.height, scale * plan.width), np.float32)
    for (row, column), tile in zip(plan.origins, tiles, strict=True):
        own = whole[scale * row : scale * (row + plan.tile_height), scale * column : scale * (column + plan.tile_width)]
        own[...] = tile[: own.shape[0], : own.shape[1]]
    return whole
