"""Measure two artefacts on the card: the strength of fine detail on sharp input, and overshoot at a step.

    python models/luma-residual-x2/artefacts.py --photos DIR --weights FILE --out DIR

Writes ``artefacts.csv``. Fine detail is what a Gaussian of one output pixel removes: its strength is the
ratio of standard deviations, result to truth, and its likeness their correlation, on the validation
photographs reduced by a 2x2 mean alone. Overshoot is the largest excess in grey levels beside a clean
vertical step from 50 to 200, after blur of the given standard deviation in input pixels.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np
import photographs
import torch
from degradation import SCALE
from evaluate import area_only, methods, quantised

STEP_BLURS = (0.0, 0.3, 0.5, 0.8, 1.2)


def fine_detail(plane: np.ndarray) -> np.ndarray:
    """What a Gaussian of one pixel removes, float32 [H, W]."""
    sharp = plane.astype(np.float32)
    return sharp - cv2.GaussianBlur(sharp, (0, 0), 1.0)


def blurred_step(sigma: float) -> np.ndarray:
    """Low-resolution step between two photosites' halves, float32 [60, 80]."""
    clean = np.full((120, 160), 50, np.float32)
    clean[:, 81:] = 200
    blurred = cv2.GaussianBlur(clean, (0, 0), SCALE * sigma) if sigma else clean
    return blurred.reshape(60, SCALE, 80, SCALE).mean(axis=(1, 3))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder that holds the listed photographs")
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors to measure")
    parser.add_argument("--out", type=Path, required=True, help="folder for artefacts.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    tools = methods(arguments.weights)
    rows: list[tuple[str, str, str, str]] = []
    for photograph in photographs.listed("validation"):
        clean = photographs.luma_planes(arguments.photos, photograph)[0]
        low = area_only(clean, np.random.default_rng(0)).astype(np.float32)
        truth = fine_detail(clean)
        for method, upscale in tools.items():
            result = fine_detail(quantised(upscale(low)))
            strength = float(result.std() / truth.std())
            likeness = float((result * truth).mean() / result.std() / truth.std())
            rows.append(("fine detail strength", photograph.file, method, f"{strength:.2f}"))
            rows.append(("fine detail likeness", photograph.file, method, f"{likeness:.3f}"))
    for sigma in STEP_BLURS:
        for method, upscale in tools.items():
            rows.append(
                ("overshoot", f"blur {sigma}", method, f"{float(upscale(blurred_step(sigma)).max()) - 200:.1f}")
            )
    with (arguments.out / "artefacts.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("measure", "of", "method", "value"))
        writer.writerows(rows)


if __name__ == "__main__":
    main()
