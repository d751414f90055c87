"""Measure what light-x4 loses by 8-bit integers, on the scenes and settings of its own evaluation.

    python models/light-x4-int8/compare.py --scenes DIR --out DIR [--most N]

Settings, recordings and scores are those of ``models/light-x4/evaluate.py``; both models run through their
cards, as the program runs them. Writes ``measured.csv``: one row per setting and method, with the gain over
bicubic and, for light-x4-int8, what it loses against light-x4 (positive: worse), the mean with its 95 %
interval over scenes and the worst scene; and ``flicker.csv``.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from pathlib import Path

import cv2
import numpy as np

from forensic.registry.cards import load_card
from forensic.registry.loading import LoadedModel, load_model
from forensic.simulation.draw import draw
from forensic.simulation.simulator import simulate
from forensic.validation.artefacts import step_overshoot

sys.path.append(str(Path(__file__).resolve().parents[1] / "light-x4"))
import evaluate  # of light-x4
from evaluate import BICUBIC, FLICKER_SCENES, FRAMES, MARGIN, SCALE, Score, Upscale

ORIGIN, MODEL = "light-x4", "light-x4-int8"
COLUMNS = (
    "setting", "method", "n", "psnr_y_db", "ssim_y", "psnr_b_db", "edge_overshoot", "gain_db", "gain_95_half_width",
    "worse_than_bicubic", "worst_gain_db", "loss_db", "loss_95_half_width", "worst_loss_db",
)  # fmt: skip


def upscaling(model: LoadedModel) -> Upscale:
    """The model on a whole plane."""
    return model.upscale_luma


def methods() -> dict[str, Upscale]:
    """Every method, from float32 [H, W] to [4H, 4W]."""
    learned = {name: upscaling(load_model(load_card(name))) for name in (ORIGIN, MODEL)}
    return {BICUBIC: lambda plane: evaluate.interpolated(plane, "bicubic"), **learned}


def summary(setting: str, found: dict[str, list[Score]]) -> list[list[object]]:
    """Rows of the table."""
    rows: list[list[object]] = []
    for method, scores in found.items():
        psnr = {name: np.array([score.psnr_y for score in each]) for name, each in found.items()}
        gains, losses = psnr[method] - psnr[BICUBIC], psnr[ORIGIN] - psnr[method]
        told = [f"{losses.mean():+.3f}", half(losses), f"{losses.max():+.3f}"] if method == MODEL else ["", "", ""]
        rows.append(
            [
                setting, method, len(scores), f"{psnr[method].mean():.2f}",
                f"{np.mean([s.ssim_y for s in scores]):.4f}", f"{np.mean([s.psnr_b for s in scores]):.2f}",
                f"{np.nanmean([s.overshoot for s in scores]):.2f}", f"{gains.mean():+.3f}", half(gains),
                int((gains < 0).sum()), f"{gains.min():+.2f}", *told,
            ]
        )  # fmt: skip
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def half(values: np.ndarray) -> str:
    """Half the width of the mean's 95 % interval."""
    return f"{1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)):.3f}"


def write(path: Path, columns: tuple[str, ...], rows: list[list[object]]) -> None:
    """A table as CSV."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder of pictures (JPEG, PNG)")
    parser.add_argument("--out", type=Path, required=True, help="folder for measured.csv and flicker.csv")
    parser.add_argument("--most", type=int, default=10_000, help="use the first N scenes only")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    tools = methods()
    found: dict[str, dict[str, list[Score]]] = {}
    still: dict[tuple[float, str], list[float]] = {}
    for number, (_, scene) in enumerate(evaluate.scenes(arguments.scenes, arguments.most)):
        for setting, how in evaluate.settings(number):
            recording = simulate(scene, how, FRAMES, number, margin=MARGIN)
            for method, upscale in tools.items():
                found.setdefault(setting, {}).setdefault(method, []).append(evaluate.scored(upscale, recording))
        if number < FLICKER_SCENES:
            for jitter in (0.0, 0.5):
                how = draw(np.random.default_rng(number), "issue-table", crf=28, jitter=jitter)
                recording = simulate(scene, how, FRAMES, number, margin=MARGIN)
                for method, upscale in tools.items():
                    still.setdefault((jitter, method), []).append(evaluate.flicker(upscale, recording))
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = [row for setting, each in found.items() for row in summary(setting, each)]
    write(arguments.out / "measured.csv", COLUMNS, rows)
    told: list[list[object]] = [
        [f"flicker, CRF 28, shake {jitter:g}", method, len(values), f"{np.mean(values):.2f}"]
        for (jitter, method), values in still.items()
    ]
    for method, upscale in tools.items():
        for what, value in zip(("mean over places", "largest"), step_overshoot(upscale, SCALE), strict=True):
            told.append([f"overshoot at a clean step of 150, {what}", method, SCALE, f"{value:.1f}"])
    write(arguments.out / "flicker.csv", ("measure", "method", "n", "value"), told)


if __name__ == "__main__":
    main()
