"""Measure real-esrgan-x4 or real-esrgan-drawn-x4: what looking real costs, and what tiles change.

    python models/real-esrgan-x4/evaluate.py --model ID --pictures SET=DIR --recordings DIR --large DIR --out DIR

Each picture of SET (PNG, JPEG) is cut to multiples of four, reduced four times by the antialiased cubic kernel that
MATLAB's ``imresize`` uses (as in ``models/dat-light-x4/evaluate.py``), rounded to 8 bits, and enlarged in RGB; the luma
(ITU-R BT.601, 16 to 235) of the result is compared with that of the picture. The first 5 pictures of ``--recordings``
are recorded as in ``models/light-x4/evaluate.py`` (optics, noise, jitter, H.264), gray; the network gets gray as RGB.
PSNR (peak 255) and SSIM leave out the border. Writes ``measured.csv`` (means over each set, with the gain over the
stage's bicubic, its 95 % interval and how many pictures are worse), ``tiles.csv`` (on a piece of the first picture of
``--large``, taken as it is: by how much a tile's result differs from the whole picture's, and how much of that is a
step at a tile's border) and ``speed.txt`` (processor time of one thread, and the process's largest memory).
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch

from forensic.registry.cards import load_card
from forensic.registry.loading import LoadedModel, load_model
from forensic.registry.pictures import enlarged_picture
from forensic.registry.tiling import plan_tiles
from forensic.simulation.draw import draw
from forensic.simulation.simulator import simulate
from forensic.validation.fidelity import inside, psnr, ssim

SCALE, TILE, OVERLAP = 4, 128, 32  # of the recipe
PIECE = (128, 144)  # rows and columns of the picture on which tiles are compared
TILINGS = ((TILE, OVERLAP),)
RECORDED, FRAMES, MARGIN, SEED = 5, 3, 16, 20261122


def _published() -> ModuleType:
    """``models/dat-light-x4/evaluate.py``: how pictures are reduced, interpolated and summed up."""
    path = Path(__file__).resolve().parents[1] / "dat-light-x4" / "evaluate.py"
    spec = importlib.util.spec_from_file_location("dat_light_evaluate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def gray(model: LoadedModel, plane: np.ndarray) -> np.ndarray:
    """A gray plane of 0 to 255 enlarged as the stage does with gray frames."""
    seen = np.clip(np.stack([plane] * 3) / np.float32(255), 0, 1).astype(np.float32)
    made = np.clip(enlarged_picture(model, seen, TILE, OVERLAP), 0, 1)
    return np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), made, 1) * 255


def tile_rows(model: LoadedModel, picture: np.ndarray) -> list[list[object]]:
    """What tiles change in output grey levels, over all three colours."""
    seen = np.ascontiguousarray(picture[: PIECE[0], : PIECE[1]].transpose(2, 0, 1)).astype(np.float32) / 255
    whole = np.clip(enlarged_picture(model, seen, 2048, OVERLAP), 0, 1)
    rows: list[list[object]] = []
    for tile, overlap in TILINGS:
        if overlap < model.radius and model.engine.radius is not None:
            continue
        plan = plan_tiles(*PIECE, tile, overlap)
        card = model.card.model_copy(update={"overlap": 0}) if model.card.overlap else model.card
        made = np.clip(enlarged_picture(LoadedModel(card, model.engine), seen, tile, overlap), 0, 1)
        difference = 255 * (made - whole)
        steps = []
        for axis, length in ((1, plan.tile_height), (2, plan.tile_width)):
            borders = range(length * SCALE - 1, whole.shape[axis] - 1, length * SCALE)
            steps.append(np.abs(np.diff(difference, axis=axis)).take(borders, axis).ravel())
        step = np.concatenate(steps)
        rows.append(
            [tile, overlap, f"{np.abs(difference).mean():.4f}", f"{np.abs(difference).max():.3f}", f"{step.mean():.4f}",
             f"{step.max():.3f}"]
        )  # fmt: skip
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--pictures", required=True, metavar="SET=DIR", help="name and folder")
    parser.add_argument("--recordings", type=Path, required=True, help="folder of scenes (JPEG) to record")
    parser.add_argument("--large", type=Path, required=True, help="folder of pictures (JPEG) to compare tiles on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model, shared = load_model(load_card(arguments.model)), _published()
    table: list[list[object]] = []
    name, _, folder = arguments.pictures.partition("=")
    found: dict[str, list[tuple[float, float]]] = {}
    spent = pixels = 0.0
    for path in sorted([*Path(folder).glob("*.png"), *Path(folder).glob("*.jpg")]):
        picture = shared.reduced(path)
        begun = time.process_time()
        seen = np.ascontiguousarray(picture.rgb.transpose(2, 0, 1)).astype(np.float32) / 255
        made = np.clip(enlarged_picture(model, seen, TILE, OVERLAP), 0, 1)
        spent += time.process_time() - begun
        pixels += picture.luma.size
        results = {
            shared.BICUBIC: shared.interpolated(picture.luma, "bicubic"),
            arguments.model: shared.luma_of(np.rint(made.transpose(1, 2, 0) * 255)),
        }
        truth = inside(picture.truth.astype(np.float32), SCALE)
        for method, result in results.items():
            rounded = inside(np.clip(np.rint(result), 0, 255).astype(np.float32), SCALE)
            found.setdefault(method, []).append((psnr(rounded, truth), ssim(rounded, truth)))
    table += shared.summary(f"{name}; reduced 4 times, antialiased cubic", found)
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        shared.BICUBIC: lambda plane: shared.interpolated(plane, "bicubic"),
        arguments.model: lambda plane: gray(model, plane),
    }
    for crf in (None, 28):
        found = {}
        for number, path in enumerate(sorted(arguments.recordings.glob("*.jpg"))[:RECORDED]):
            plane = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            height, width = ((side - 2 * MARGIN) // 16 * 16 + 2 * MARGIN for side in plane.shape)
            how = draw(np.random.default_rng([SEED, number]), "issue-table", crf=crf)
            taken = simulate(plane[:height, :width].astype(np.float32), how, FRAMES, number, margin=MARGIN)
            truth = inside(taken.truth[taken.reference], 4 * SCALE)
            for method, way in ways.items():
                result = np.clip(np.rint(way(taken.frames[taken.reference])), 0, 255).astype(np.float32)
                result = inside(result, 4 * SCALE)
                found.setdefault(method, []).append((psnr(result, truth), ssim(result, truth)))
        codec = "no codec" if crf is None else f"H.264 CRF {crf}"
        table += shared.summary(f"BSDS500 test, simulated recordings; {codec}", found)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    first = sorted(arguments.large.glob("*.jpg"))[0]
    tiles = tile_rows(model, cv2.cvtColor(cv2.imread(str(first), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
    measured = "set,method,n,psnr_y_db,ssim_y,gain_db,gain_95_half_width,worse_than_bicubic,worst_gain_db"
    compared = "tile,overlap,mean_difference,largest_difference,mean_step_at_borders,largest_step_at_borders"
    for file, header, rows in (("measured.csv", measured, table), ("tiles.csv", compared, tiles)):
        with (arguments.out / file).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(header.split(","))
            writer.writerows(rows)
    (arguments.out / "speed.txt").write_text(
        f"{1e6 * spent / pixels:.0f} microseconds per input pixel, one thread; {memory:.2f} GiB for tiles of {TILE}\n"
    )


if __name__ == "__main__":
    main()
