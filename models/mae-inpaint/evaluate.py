"""Measure mae-inpaint on photographs that it never saw, with damage planted at known places.

    python models/mae-inpaint/evaluate.py --scenes DIR --out DIR [--every N]

Every Nth picture of ``DIR`` (BSDS500 test), in the order of their names, is damaged by ``tests/inpainting/planted.py``
in four ways, at 2, 5 and 10 % of the picture; the place of the damage is given, as if a person had marked it. Compared
are the smooth filling that the network starts from, the two classical methods of OpenCV (A. Telea 2004; M. Bertalmio,
A. L. Bertozzi, G. Sapiro 2001; radius 3), and the network. All work on red, green and blue and are judged by luma,
rounded to 8 bits: PSNR of all damaged pixels together; LPIPS (lpips-alex) of the whole picture, mean over pictures; and
the share of damaged regions that come out right: connected, of 16 pixels at least, with a PSNR of 30 dB at least.

Writes ``measured.csv``; the weights of lpips-alex have to be fetched before.
"""

from __future__ import annotations

import argparse
import csv
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[2]))

from forensic.registry.cards import load_card
from forensic.registry.inpainting import inpainted, smoothed
from forensic.registry.loading import load_model
from forensic.validation.intervals import share_interval
from forensic.validation.perceptual import lpips
from tests.inpainting.planted import judge, plant, psnr

MODEL, STEP = "mae-inpaint", 48
KINDS = ("scratches", "blotches", "occlusion", "standing")
SHARES = (0.02, 0.05, 0.10)
LUMA = np.array([0.299, 0.587, 0.114])
Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


def methods() -> dict[str, Method]:
    """By name, what fills uint8 RGB [H, W, 3] where bool [H, W] says so."""
    model = load_model(load_card(MODEL))

    def network(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
        return inpainted(model, planes, missing, STEP).picture.transpose(1, 2, 0) * 255

    def smooth(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
        return np.stack([smoothed(plane.astype(np.float32), missing) for plane in picture.transpose(2, 0, 1)], 2)

    def classical(flag: int) -> Method:
        return lambda picture, missing: cv2.inpaint(picture, missing.astype(np.uint8), 3, flag)

    return {
        "smooth (pull-push)": smooth,
        "OpenCV Telea": classical(cv2.INPAINT_TELEA),
        "OpenCV Navier-Stokes": classical(cv2.INPAINT_NS),
        MODEL: network,
    }


@dataclass
class Tally:
    """What a method did under one kind and share of damage."""

    squared_error: float = 0.0
    pixels: int = 0
    regions: int = 0
    succeeded: int = 0
    seconds: float = 0.0
    distances: list[float] = field(default_factory=list)

    def row(self) -> list[str | int | float]:
        """As in ``measured.csv``, from the number of pictures on."""
        share, low, high = share_interval(self.succeeded, self.regions, 0.95)
        count = len(self.distances)
        return [
            count,
            round(psnr(self.squared_error, self.pixels), 2),
            round(sum(self.distances) / count, 4),
            self.regions,
            self.succeeded,
            *(round(value, 4) for value in (share, low, high)),
            round(self.seconds / count, 3),
        ]


def luma(picture: np.ndarray) -> np.ndarray:
    """Luma (BT.601) of RGB, rounded to 8 bits."""
    return np.clip(np.rint(np.clip(np.rint(picture), 0, 255) @ LUMA), 0, 255)


def evaluate(scenes: list[Path], out: Path) -> None:
    """Measure and write."""
    cv2.setNumThreads(1)
    found: dict[tuple[str, float, str], Tally] = {}
    ways = methods()
    for number, path in enumerate(scenes):
        picture = np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1])
        truth = luma(picture)
        for kind in KINDS:
            for share in SHARES:
                (missing,) = plant([truth.astype(np.uint8)], kind, share, seed=1000 * number + round(100 * share)).masks
                for name, way in ways.items():
                    begun = time.process_time()
                    filled = way(np.where(missing[..., None], np.uint8(0), picture), missing)
                    seconds = time.process_time() - begun
                    made = np.where(missing, luma(filled), truth)
                    repair, tally = judge(truth, made, missing), found.setdefault((kind, share, name), Tally())
                    tally.squared_error += repair.squared_error
                    tally.pixels += repair.pixels
                    tally.regions += repair.regions
                    tally.succeeded += repair.succeeded
                    tally.seconds += seconds
                    tally.distances.append(lpips(made, truth))
        print(path.name, flush=True)
    with (out / "measured.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        names = "damage,share,method,n,psnr_db,lpips,regions,succeeded,success,success_low,success_high,seconds"
        writer.writerow(names.split(","))
        for (kind, share, name), tally in found.items():
            writer.writerow([kind, f"{share:.2f}", name, *tally.row()])
    print("largest resident memory, MiB:", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder of photographs (BSDS500 test)")
    parser.add_argument("--out", type=Path, required=True, help="folder for measured.csv")
    parser.add_argument("--every", type=int, default=50, help="picture of the folder that is taken (default: 50th)")
    arguments = parser.parse_args()
    evaluate(sorted(arguments.scenes.glob("*.jpg"))[:: arguments.every], arguments.out)
