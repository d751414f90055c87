"""Measure dat-light-x4 on the classic test pictures, as its paper does and as the stage runs it.

    python models/dat-light-x4/evaluate.py --pictures SET=DIR [...] --recordings DIR --large DIR --out DIR

Each picture (PNG, JPEG) is cut to multiples of four and reduced four times by the antialiased cubic kernel
that MATLAB's ``imresize`` uses (a = -0.5, borders mirrored), rounded to 8 bits. Three ways back:

- ``published protocol``: the network on RGB, the whole picture at once, without padding; the luma
  (ITU-R BT.601, 16 to 235) of its result, rounded to 8 bits, against the luma of the picture.
- ``dat-light-x4``: the luma plane alone, as the stage ``learned-upscale`` runs it with the tile and overlap of
  the recipe ``dat``; ``full range`` says that the plane's black is 0 and its white 255.
- interpolation of the luma plane, by the stage ``resize`` and by OpenCV.

PSNR (peak 255) and SSIM leave out four pixels at the border, as the paper does. The first 20 pictures of
``--recordings`` are recorded as in ``models/light-x4/evaluate.py`` (x4, optics, noise, jitter, H.264), which this
model was not trained for. Writes ``measured.csv`` (means over each set, with the gain over the stage's bicubic, its
95 % interval and how many pictures are worse) and ``tiles.csv`` (for the first picture of ``--large``, taken as it
is: by how much a tile's result differs from the whole picture's, and how much of that is a step at a tile's border).
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch

from forensic.registry.architectures.dat.network import Dat
from forensic.registry.cards import load_card
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import LoadedModel, load_model
from forensic.registry.tiling import plan_tiles
from forensic.simulation.draw import draw
from forensic.simulation.simulator import simulate
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, resample
from forensic.validation.fidelity import inside, psnr, ssim

SCALE = 4
TILE, OVERLAP = 256, 32  # of the recipe
LARGE = 1  # pictures of which tiles are compared with the whole
TILES = (256, 128)
RECORDED, FRAMES, MARGIN = 20, 3, 16
SEED = 20261122
BORDER = SCALE
BICUBIC = "bicubic (stage resize)"
MODEL = "dat-light-x4"
Way = Callable[["Reduced"], np.ndarray]


@dataclass(frozen=True)
class Reduced:
    """A picture and what is left of it: RGB 8 bits [h, w, 3], its luma 16..235 rounded, and the true luma."""

    rgb: np.ndarray
    luma: np.ndarray
    truth: np.ndarray


def cubic_weights(length: int) -> np.ndarray:
    """Matrix [length // 4, length] of the antialiased cubic reduction, borders mirrored; every row sums to 1."""
    small = length // SCALE
    centre = (np.arange(small) + 0.5) * SCALE - 0.5
    reach = 2 * SCALE
    first = np.floor(centre - reach).astype(int) + 1
    matrix = np.zeros((small, length))
    for row in range(small):
        places = np.arange(first[row], first[row] + 2 * reach)
        distance = np.abs(places - centre[row]) / SCALE
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        weight = np.where(distance <= 1, near, np.where(distance <= 2, far, 0.0))
        mirrored = places % (2 * length)
        mirrored = np.where(mirrored < length, mirrored, 2 * length - 1 - mirrored)
        np.add.at(matrix[row], mirrored, weight / weight.sum())
    return matrix


def luma_of(rgb: np.ndarray) -> np.ndarray:
    """BT.601 luma, 16 to 235, float64, of 8-bit RGB."""
    luma: np.ndarray = 16 + (rgb.astype(np.float64) @ np.array([65.481, 128.553, 24.966])) / 255
    return luma


def reduced(path: Path) -> Reduced:
    """The picture at ``path``, cut and reduced."""
    picture = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    rows, columns = (side - side % SCALE for side in picture.shape[:2])
    picture = picture[:rows, :columns]
    down, across = cubic_weights(rows), cubic_weights(columns)
    small = np.stack([down @ picture[..., c].astype(np.float64) @ across.T for c in range(3)], -1)
    rgb = np.clip(np.rint(small), 0, 255).astype(np.uint8)
    return Reduced(rgb, np.rint(luma_of(rgb)).astype(np.float32), luma_of(picture))


def interpolated(plane: np.ndarray, kernel: str) -> np.ndarray:
    """As the stage ``resize`` enlarges a plane."""
    step = Fraction(1, SCALE)
    rows, columns = (AxisMap(SCALE * side, step, (step - 1) / 2) for side in plane.shape)
    return resample(plane, rows, columns, KERNELS[kernel])


def ways(model: LoadedModel) -> dict[str, Way]:
    """Every method, from a reduced picture to luma 16..235, float, not rounded; the first is the reference."""
    assert isinstance(model.engine, TorchEngine)
    network = model.engine.network
    assert isinstance(network, Dat)

    def published(picture: Reduced) -> np.ndarray:
        with torch.inference_mode():
            rgb = torch.from_numpy(picture.rgb.astype(np.float32) / 255).permute(2, 0, 1)[None]
            out = network.upscale_rgb(rgb)[0].permute(1, 2, 0).numpy()
        return luma_of(np.rint(np.clip(out, 0, 1) * 255))

    def full(picture: Reduced) -> np.ndarray:
        stretched = ((picture.luma - 16) * np.float32(255 / 219)).astype(np.float32)
        return 16 + model.upscale_luma_tiled(stretched, TILE, OVERLAP) * (219 / 255)

    return {
        BICUBIC: lambda picture: interpolated(picture.luma, "bicubic"),
        "Lanczos (stage resize)": lambda picture: interpolated(picture.luma, "lanczos"),
        "bicubic (OpenCV INTER_CUBIC)": lambda picture: cv2.resize(
            picture.luma, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC
        ),
        "DAT-light, published protocol (RGB, whole picture)": published,
        MODEL: lambda picture: model.upscale_luma_tiled(picture.luma, TILE, OVERLAP),
        f"{MODEL}, full range": full,
    }


def summary(name: str, found: dict[str, list[tuple[float, float]]]) -> list[list[object]]:
    """Rows of the table for one set of pictures."""
    rows: list[list[object]] = []
    for method, scores in found.items():
        gains = np.array([score[0] - other[0] for score, other in zip(scores, found[BICUBIC], strict=True)])
        half = 1.96 * float(gains.std(ddof=1)) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
        rows.append(
            [
                name, method, len(scores), f"{np.mean([s[0] for s in scores]):.2f}",
                f"{np.mean([s[1] for s in scores]):.4f}", f"{gains.mean():+.3f}", f"{half:.3f}",
                int((gains < 0).sum()), f"{gains.min():+.2f}",
            ]
        )  # fmt: skip
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def recorded(model: LoadedModel, folder: Path) -> list[list[object]]:
    """Rows of the table for simulated recordings: the middle frame, four recorded pixels left out at the border."""
    enlargers: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        BICUBIC: lambda plane: interpolated(plane, "bicubic"),
        "Lanczos (stage resize)": lambda plane: interpolated(plane, "lanczos"),
        MODEL: lambda plane: model.upscale_luma_tiled(plane, TILE, OVERLAP),
    }
    rows: list[list[object]] = []
    for crf in (None, 20, 28, 35):
        found: dict[str, list[tuple[float, float]]] = {}
        for number, path in enumerate(sorted(folder.glob("*.jpg"))[:RECORDED]):
            plane = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            height, width = ((side - 2 * MARGIN) // 16 * 16 + 2 * MARGIN for side in plane.shape)
            how = draw(np.random.default_rng([SEED, number]), "issue-table", crf=crf)
            seen = simulate(plane[:height, :width].astype(np.float32), how, FRAMES, number, margin=MARGIN)
            truth = inside(seen.truth[seen.reference], 4 * SCALE)
            for method, enlarge in enlargers.items():
                result = np.clip(np.rint(enlarge(seen.frames[seen.reference])), 0, 255).astype(np.float32)
                result = inside(result, 4 * SCALE)
                found.setdefault(method, []).append((psnr(result, truth), ssim(result, truth)))
        codec = "no codec" if crf is None else f"H.264 CRF {crf}"
        rows += summary(f"BSDS500 test, simulated recordings; {codec}", found)
    return rows


def tile_table(model: LoadedModel, folder: Path) -> list[list[object]]:
    """What tiles change, in output grey levels: everywhere, and as a step across the borders of tiles.

    The step is how much the difference from the whole changes from the last row or column of one tile to the
    first of the next.
    """
    rows: list[list[object]] = []
    planes = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(folder.glob("*.jpg"))[:LARGE]]
    wholes = [model.upscale_luma(plane.astype(np.float32)) for plane in planes]
    for tile in TILES:
        found = []
        for plane, whole in zip(planes, wholes, strict=True):
            plan = plan_tiles(*plane.shape, tile, OVERLAP)
            difference = model.upscale_luma_tiled(plane.astype(np.float32), tile, OVERLAP) - whole
            steps = []
            for axis, length in enumerate((plan.tile_height, plan.tile_width)):
                borders = range(length * SCALE - 1, whole.shape[axis] - 1, length * SCALE)
                steps.append(np.abs(np.diff(difference, axis=axis)).take(borders, axis).ravel())
            step = np.concatenate(steps)
            found.append((np.abs(difference).mean(), np.abs(difference).max(), step.mean(), step.max()))
        mean, largest, seam, worst = np.array(found).T
        rows.append(
            [tile, OVERLAP, len(found), f"{mean.mean():.3f}", f"{largest.max():.2f}", f"{seam.mean():.3f}",
             f"{worst.max():.2f}"]
        )  # fmt: skip
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", action="append", required=True, metavar="SET=DIR", help="name and folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for measured.csv and tiles.csv")
    parser.add_argument("--recordings", type=Path, required=True, help="folder of scenes (JPEG) to record")
    parser.add_argument("--large", type=Path, required=True, help="folder of pictures (JPEG) to compare tiles on")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model = load_model(load_card(MODEL))
    tools = ways(model)
    table: list[list[object]] = []
    spent = pixels = 0.0
    for given in arguments.pictures:
        name, _, folder = given.partition("=")
        found: dict[str, list[tuple[float, float]]] = {}
        paths = sorted([*Path(folder).glob("*.png"), *Path(folder).glob("*.jpg")])
        for path in paths:
            picture = reduced(path)
            truth = inside(picture.truth.astype(np.float32), BORDER)
            for method, way in tools.items():
                begun = time.perf_counter()
                result = np.clip(np.rint(way(picture)), 0, 255).astype(np.float32)
                if method == MODEL:
                    spent += time.perf_counter() - begun
                    pixels += picture.luma.size
                found.setdefault(method, []).append(
                    (psnr(inside(result, BORDER), truth), ssim(inside(result, BORDER), truth))
                )
        table += summary(f"{name}; reduced 4 times, antialiased cubic", found)
    table += recorded(model, arguments.recordings)
    print(f"{1e6 * spent / pixels:.0f} microseconds per input pixel, one thread")
    with (arguments.out / "measured.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            (
                "set", "method", "n", "psnr_y_db", "ssim_y", "gain_db", "gain_95_half_width", "worse_than_bicubic",
                "worst_gain_db",
            )
        )  # fmt: skip
        writer.writerows(table)
    with (arguments.out / "tiles.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            (
                "tile", "overlap", "n", "mean_difference", "largest_difference", "mean_step_at_borders",
                "largest_step_at_borders",
            )
        )  # fmt: skip
        writer.writerows(tile_table(model, arguments.large))


if __name__ == "__main__":
    main()
