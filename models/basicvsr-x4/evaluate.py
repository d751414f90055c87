"""Measure basicvsr-x4 on sequences with known truth, reduced as in its training.

    python models/basicvsr-x4/evaluate.py --scenes DIR --out DIR

Sequences of eleven frames are made of the first ten photographs (JPEG) of ``--scenes``, upright ones turned; the sixth
frame is enlarged and compared. The camera jitters, every frame displaced by a normal draw of half a recorded pixel
each way, rounded to whole pixels of the picture, so that nothing is interpolated. Each displaced picture is blurred by
a Gaussian of 1.6 pixels (12x12 weights) and sampled in the middle of every fourth by four, rounded to 8 bits: what
the published weights were trained on. 80x60 recorded pixels. Recordings by a simulated camera are in the
benchmark (``python -m tests.fidelity --methods basicvsr``), where other methods stand beside it.

Methods: the stage ``learned-sequence`` as the recipe ``basicvsr`` has it; the same without neighbours (``one frame``);
the stage ``resize``. PSNR-Y (peak 255) and SSIM-Y leave out four recorded pixels at the border. Writes
``measured.csv`` (means, gain over bicubic, its 95 % interval over scenes, how many are worse) and ``tiles.csv`` (by
how much a sequence in tiles differs from the whole, and how much of that is a step at a tile's border).
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch

from forensic.registry.cards import load_card
from forensic.registry.loading import LoadedModel, load_model
from forensic.registry.sequences import enlarged_of
from forensic.registry.tiling import plan_tiles
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, resample
from forensic.validation.fidelity import inside, psnr, ssim

MODEL = "basicvsr-x4"
SCALE, SIDE = 4, 5  # frames on either side
TILE, OVERLAP = 512, 32  # of the recipe
ROWS, COLUMNS, MARGIN = 60, 80, 20
JITTER = 0.5  # recorded pixels
BLUR, BLUR_REACH = 1.6, 6  # pixels of the picture
SCENES, SEED = 10, 20261122
BORDER = 4 * SCALE
BICUBIC = "bicubic (stage resize)"
TILED_ROWS, TILED_COLUMNS, TILED_SIDE, SMALL_TILE = 120, 200, 2, 100
Window = list[np.ndarray]
Way = Callable[[Window, int], np.ndarray]


def blurring(length: int) -> np.ndarray:
    """Matrix [length // 4, length] of the published reduction, borders repeated; every row sums to 1."""
    matrix = np.zeros((length // SCALE, length))
    weight = np.exp(-0.5 * ((np.arange(2 * BLUR_REACH) - BLUR_REACH + 0.5) / BLUR) ** 2)
    for row in range(length // SCALE):
        places = np.arange(2 * BLUR_REACH) + SCALE * row + SCALE // 2 - BLUR_REACH
        np.add.at(matrix[row], np.clip(places, 0, length - 1), weight / weight.sum())
    return matrix


def pictures(folder: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Number and luma, float32, of the first photographs, lying."""
    for number, path in enumerate(sorted(folder.glob("*.jpg"))[:SCENES]):
        plane = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32)
        yield number, np.ascontiguousarray(plane.T if plane.shape[0] > plane.shape[1] else plane)


def reduced(picture: np.ndarray, number: int) -> tuple[Window, np.ndarray]:
    """A jittering sequence of ``picture``, reduced; and the truth of its middle frame."""
    rng = np.random.default_rng([SEED, number])
    moves = np.clip(np.rint(rng.normal(0, JITTER * SCALE, (2 * SIDE + 1, 2))), -MARGIN, MARGIN).astype(int)
    moves[SIDE] = 0
    down, across = blurring(SCALE * ROWS), blurring(SCALE * COLUMNS)
    cuts = [
        picture[MARGIN + y : MARGIN + y + SCALE * ROWS, MARGIN + x : MARGIN + x + SCALE * COLUMNS] for y, x in moves
    ]
    frames = [np.clip(np.rint(down @ cut.astype(np.float64) @ across.T), 0, 255).astype(np.float32) for cut in cuts]
    return frames, cuts[SIDE]


def interpolated(plane: np.ndarray, kernel: str) -> np.ndarray:
    """As the stage ``resize`` enlarges a plane."""
    step = Fraction(1, SCALE)
    rows, columns = (AxisMap(SCALE * side, step, (step - 1) / 2) for side in plane.shape)
    return resample(plane, rows, columns, KERNELS[kernel])


def ways(model: LoadedModel) -> dict[str, Way]:
    """Every method; the first is the reference."""
    return {
        BICUBIC: lambda window, at: interpolated(window[at], "bicubic"),
        "Lanczos (stage resize)": lambda window, at: interpolated(window[at], "lanczos"),
        f"{MODEL}, one frame": lambda window, at: enlarged_of(model, [window[at]], 0, TILE, OVERLAP),
        MODEL: lambda window, at: enlarged_of(model, window, at, TILE, OVERLAP),
    }


def summary(name: str, found: dict[str, list[tuple[float, float]]]) -> list[list[object]]:
    """Rows of the table for one set of sequences."""
    rows: list[list[object]] = []
    for method, scores in found.items():
        gains = np.array([score[0] - other[0] for score, other in zip(scores, found[BICUBIC], strict=True)])
        half = 1.96 * float(gains.std(ddof=1)) / math.sqrt(len(gains))
        psnr_y, ssim_y = np.mean(scores, axis=0)
        rows.append(
            [name, method, len(scores), f"{psnr_y:.2f}", f"{ssim_y:.4f}", f"{gains.mean():+.3f}", f"{half:.3f}",
             int((gains < 0).sum()), f"{gains.min():+.2f}"]
        )  # fmt: skip
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def measured(model: LoadedModel, folder: Path) -> list[list[object]]:
    """Rows of ``measured.csv``."""
    found: dict[str, list[tuple[float, float]]] = {}
    for number, picture in pictures(folder):
        window, truth = reduced(picture, number)
        for method, way in ways(model).items():
            result = np.clip(np.rint(way(window, SIDE)), 0, 255).astype(np.float32)
            pair = inside(result, BORDER), inside(truth, BORDER)
            found.setdefault(method, []).append((psnr(*pair), ssim(*pair)))
    return summary("BSDS500 test, jitter; reduced 4 times, blurred and sampled", found)


def tiled(model: LoadedModel, folder: Path) -> list[list[object]]:
    """One row: a larger sequence in tiles against the same at once, output grey levels; the sequence is taken as it is.

    The step is how much the difference changes from the last row or column of one tile to the first of the next.
    """
    _, picture = next(pictures(folder))
    rng = np.random.default_rng(SEED)
    window = [
        np.ascontiguousarray(picture[y : y + TILED_ROWS, x : x + TILED_COLUMNS])
        for y, x in rng.integers(0, 4, (2 * TILED_SIDE + 1, 2))
    ]
    begun = time.process_time()
    whole = enlarged_of(model, window, TILED_SIDE, TILE, OVERLAP)
    spent = time.process_time() - begun
    print(f"{1e3 * spent / whole.size * SCALE**2:.3f} ms of one core per input pixel, {len(window)} frames")
    difference = enlarged_of(model, window, TILED_SIDE, SMALL_TILE, OVERLAP) - whole
    plan, steps = plan_tiles(TILED_ROWS, TILED_COLUMNS, SMALL_TILE, OVERLAP), []
    for axis, length in enumerate((plan.tile_height, plan.tile_width)):
        borders = range(length * SCALE - 1, whole.shape[axis] - 1, length * SCALE)
        steps.append(np.abs(np.diff(difference, axis=axis)).take(borders, axis).ravel())
    step = np.concatenate(steps)
    away = np.abs(difference)
    return [
        [SMALL_TILE, OVERLAP, len(window), f"{away.mean():.3f}", f"{away.max():.2f}", f"{step.mean():.3f}",
         f"{step.max():.2f}"]
    ]  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder of photographs (JPEG)")
    parser.add_argument("--out", type=Path, required=True, help="folder for measured.csv and tiles.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model = load_model(load_card(MODEL))
    for name, columns, rows in (
        ("tiles", ("tile", "overlap", "frames", "mean_difference", "largest_difference", "mean_step_at_borders",
                   "largest_step_at_borders"), tiled),
        ("measured", ("set", "method", "n", "psnr_y_db", "ssim_y", "gain_db", "gain_95_half_width",
                      "worse_than_bicubic", "worst_gain_db"), measured),
    ):  # fmt: skip
        table = rows(model, arguments.scenes)
        with (arguments.out / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(table)


if __name__ == "__main__":
    main()
