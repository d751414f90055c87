"""How well each indicator tells where an engine invented, held against the truth, tile by tile.

A pixel is *wrong* where output and truth differ by more than T grey levels once the mean of their difference around it
(Gaussian of 8 pixels) is taken away: another brightness is no invention. A tile of 16 x 16 pixels is wrong where a
quarter of its pixels are. That counts what was left out, too: only the truth could tell the two apart. An indicator's
value for a tile is its 90th percentile there. The unit is the scene: intervals of shares of tiles and of AUROC are
percentile bootstraps by scene, those of shares of faces and plates are Clopper and Pearson's.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from forensic.risk.invention import TILE_MARKED, contrast_alike, measured
from forensic.risk.tiles import TILE, tile_percentile, tile_share
from forensic.validation.intervals import share_interval
from tests.generative import places
from tests.generative.making import Made, load

TOLERANCES = (16.0, 32.0)
SMOOTH, WRONG_SHARE, LIT, RESAMPLES = 8.0, 0.25, 0.5, 1000
FIELDS = (
    "place", "split", "crf", "with_spread", "tiles", "wrong_16", "marked_wrong_16", "marked_right_16", "wrong_32",
    "marked_wrong_32", "of_object", "object_wrong_16", "object_marked_wrong_16", "share_marked", "by_contrast_wrong_16",
    "by_spread_wrong_16", "by_contrast_right_16", "by_spread_right_16",
)  # fmt: skip


@dataclass(frozen=True)
class Tiles:
    """One scene by tiles, each array flat: wrong at both tolerances, marked, by what, indicators, within the object."""

    place: places.Place
    number: int
    wrong: dict[float, np.ndarray]
    marked: np.ndarray
    contrast: np.ndarray
    spread: np.ndarray
    inside: np.ndarray
    indicators: dict[str, np.ndarray]
    share: float


def structure(output: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """|output − truth| less the mean of the difference around each pixel, grey levels."""
    difference = output.astype(np.float64) - truth.astype(np.float64)
    return np.asarray(np.abs(difference - cv2.GaussianBlur(difference, (0, 0), SMOOTH)))


def of_scene(place: places.Place, made: Made) -> Tiles:
    """What can be said of one scene."""
    error = structure(made.output, made.truth)
    found = measured(made.output, made.beside, made.spread)
    output = made.output.astype(np.float32)
    values = {
        "contrast, against what stands beside": 1.0 - contrast_alike(made.output, made.beside),
        "contrast, against the fidelity model": 1.0 - contrast_alike(made.output, made.fidelity),
        "difference from what stands beside": np.abs(output - made.beside),
        "difference from the fidelity model": np.abs(output - made.fidelity),
        "local deviation of the output": _deviation(output),
    }
    if made.spread is not None:
        values["spread"] = made.spread
    rows, columns = found.marks.shape
    across, down = np.arange(0, columns, TILE) + TILE // 2, np.arange(0, rows, TILE) + TILE // 2
    x, y, w, h = made.box
    inside = ((down >= y) & (down < y + h))[:, None] & ((across >= x) & (across < x + w))[None, :]
    return Tiles(
        place, made.number,
        {limit: (tile_share(error > limit) >= WRONG_SHARE).ravel() for limit in TOLERANCES},
        (tile_share(found.marks > 0) >= TILE_MARKED).ravel(),
        (tile_share(np.isin(found.marks, (85, 255))) >= TILE_MARKED).ravel(),
        (tile_share(found.marks >= 170) >= TILE_MARKED).ravel(),
        inside.ravel(),
        {name: tile_percentile(np.ascontiguousarray(value, np.float32)).ravel() for name, value in values.items()},
        float((found.marks > 0).mean()),
    )  # fmt: skip


def _deviation(plane: np.ndarray) -> np.ndarray:
    mean, square = cv2.blur(plane, (11, 11)), cv2.blur(plane * plane, (11, 11))
    return np.asarray(np.sqrt(np.maximum(square - mean * mean, 0)))


def auroc(score: np.ndarray, wrong: np.ndarray) -> float:
    """Probability that a wrong tile has the higher score than a right one, ties counting half; NaN without both."""
    positive, negative = np.sort(score[wrong]), np.sort(score[~wrong])
    if not positive.size or not negative.size:
        return float("nan")
    below, upto = np.searchsorted(negative, positive, "left"), np.searchsorted(negative, positive, "right")
    return float((below + upto).sum() / (2.0 * positive.size * negative.size))


def by_scene(scenes: Sequence[Tiles], statistic: Callable[[Sequence[Tiles]], float]) -> tuple[float, float, float]:
    """The statistic over all tiles, and its 95 % interval: scenes drawn again with replacement."""
    rng = np.random.default_rng(len(scenes))
    draws = [statistic([scenes[i] for i in rng.integers(0, len(scenes), len(scenes))]) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(draws, (0.025, 0.975))
    return statistic(scenes), float(low), float(high)


def _joined(scenes: Sequence[Tiles], get: Callable[[Tiles], np.ndarray]) -> np.ndarray:
    return np.concatenate([get(scene) for scene in scenes])


def _share(of: Callable[[Tiles], np.ndarray], among: Callable[[Tiles], np.ndarray]) -> Callable[..., float]:
    def statistic(scenes: Sequence[Tiles]) -> float:
        chosen = _joined(scenes, among)
        return float(_joined(scenes, of)[chosen].mean()) if chosen.any() else float("nan")

    return statistic


def lit(scenes: Sequence[Tiles], limit: float) -> tuple[int, int]:
    """Objects with wrong tiles in which half of these at least are marked, and how many have wrong tiles."""
    found = [
        scene.marked[scene.wrong[limit] & scene.inside].mean() >= LIT
        for scene in scenes
        if (scene.wrong[limit] & scene.inside).any()
    ]
    return int(sum(found)), len(found)


def _shown(three: tuple[float, float, float]) -> str:
    return f"{three[0]:.2f} [{three[1]:.2f}, {three[2]:.2f}]"


def tables(scenes: Sequence[Tiles]) -> list[str]:
    """Markdown tables of one split."""
    lines = []
    for kind in ("plate", "face"):
        own = [scene for scene in scenes if scene.place.kind == kind]
        if not own:
            continue
        for limit in TOLERANCES:
            caught, count = lit(own, limit)
            recall = by_scene(own, _share(lambda s: s.marked, lambda s: s.wrong[limit]))  # noqa: B023 - used at once
            false = by_scene(own, _share(lambda s: s.marked, lambda s: ~s.wrong[limit]))  # noqa: B023
            share, low, high = share_interval(caught, count, 0.95) if count else (float("nan"),) * 3
            wrong = int(_joined(own, lambda s: s.wrong[limit]).sum())  # noqa: B023
            lines.append(
                f"| {kind} | {limit:g} | {len(own)} | {wrong} | {_shown(recall)} | {_shown(false)} | "
                f"{caught} of {count}: {share:.2f} [{low:.2f}, {high:.2f}] |"
            )
    names = [name for name in scenes[0].indicators if all(name in scene.indicators for scene in scenes)]
    for name in names:
        cells = []
        for limit in TOLERANCES:

            def ranked(some: Sequence[Tiles], name: str = name, limit: float = limit) -> float:
                return auroc(_joined(some, lambda s: s.indicators[name]), _joined(some, lambda s: s.wrong[limit]))

            cells.append(_shown(by_scene(scenes, ranked)))
        lines.append(f"| {name} | {len(scenes)} | {cells[0]} | {cells[1]} |")
    return lines


def row(scene: Tiles) -> dict[str, object]:
    """What is kept of one scene."""
    wrong, coarse = scene.wrong[16.0], scene.wrong[32.0]
    crf = places.CRFS[scene.number % len(places.CRFS)]
    counts = (
        scene.marked.size, wrong.sum(), (scene.marked & wrong).sum(), (scene.marked & ~wrong).sum(), coarse.sum(),
        (scene.marked & coarse).sum(), scene.inside.sum(), (wrong & scene.inside).sum(),
        (wrong & scene.inside & scene.marked).sum(), round(scene.share, 4), (scene.contrast & wrong).sum(),
        (scene.spread & wrong).sum(), (scene.contrast & ~wrong).sum(), (scene.spread & ~wrong).sum(),
    )  # fmt: skip
    about = (scene.place.name, scene.place.split, "none" if crf is None else f"{crf:g}", "spread" in scene.indicators)
    return dict(zip(FIELDS, (*about, *counts), strict=True))


def judge(planes: Path, out: Path) -> None:
    """Judge what :mod:`tests.generative.making` left in ``planes``; one row a scene in ``out``, tables printed."""
    listed = places.listed()
    scenes = [of_scene(listed[made.number], made) for made in map(load, sorted(planes.glob("*.npz")))]
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(row, scenes))
    for split in ("choose", "test"):
        own = [scene for scene in scenes if scene.place.split == split]
        varied = [scene for scene in own if "spread" in scene.indicators]
        for title, some in ((f"{split}, all", own), (f"{split}, those with spread", varied)):
            if some:
                print(f"{title}: {len(some)} scenes", *tables(some), sep="\n")
