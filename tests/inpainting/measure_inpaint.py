"""Generative filling against damage of known place on real footage: ``python -m tests.inpainting.measure_inpaint OUT``.

Excerpts, kinds of damage and the judgement are those of ``measure_fill``; of its recordings three are taken, of its
starts the first, and of every damaged clip the middle frame is repaired. ``neighbours`` is the fidelity stage alone,
``inpaint`` asks it first and has mae-inpaint make up what is left, ``inpaint, no neighbours`` has all made up. Writes
``OUT/measured-footage.csv``, one line for each kind of damage, share and method over all recordings together.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from forensic.fusion.filling import Siting, View, fill
from forensic.registry.cards import load_card
from forensic.registry.inpainting import inpainted
from forensic.registry.loading import LoadedModel, load_model
from forensic.stages.fill_from_neighbours import FillFromNeighboursParameters
from forensic.validation.intervals import share_interval
from tests.inpainting.measure_fill import FRAMES, STARTS, cases
from tests.inpainting.planted import Repair, judge, plant, psnr

MODEL, STEP = "mae-inpaint", 48
SHARE = 0.03
CLIPS = ("vtest", "traffic", "bikes")


def made_up(model: LoadedModel, luma: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """uint8 luma with what is missing made up, the picture given as grey."""
    planes = np.repeat(luma.astype(np.float32)[None] / np.float32(255), 3, axis=0)
    made = inpainted(model, planes, missing, STEP).picture.mean(axis=0) * 255
    return np.where(missing, np.clip(np.rint(made), 0, 255), luma).astype(np.uint8)


def measure(out: Path) -> None:
    """Everything; one pass."""
    cv2.setNumThreads(1)
    chosen, model, at = FillFromNeighboursParameters(detector="both"), load_model(load_card(MODEL)), FRAMES // 2
    found: dict[tuple[str, str], list[tuple[Repair, float]]] = {}
    for clip, _, kind, share, seed, truth in cases():
        if seed != STARTS[0]:
            break
        if share != SHARE or clip not in CLIPS:
            continue
        damaged = plant(truth, kind, share, seed)  # type: ignore[arg-type]
        mask, own = damaged.masks[at], damaged.frames[at]
        views = [View((f.astype(np.float32),), hidden) for f, hidden in zip(damaged.frames, damaged.masks, strict=True)]
        begun = time.process_time()
        filled = fill(
            views, at, Siting(), least=chosen.least_frames, tolerance=chosen.tolerance,
            largest_mismatch=chosen.largest_mismatch,
        )  # fmt: skip
        asked = time.process_time() - begun
        neighbours = np.clip(np.rint(filled.parts[0]), 0, 255).astype(np.uint8)
        left = mask & (filled.support == 0)
        begun = time.process_time()
        completed = made_up(model, neighbours, left) if left.any() else neighbours
        rest = time.process_time() - begun
        begun = time.process_time()
        alone = made_up(model, own, mask)
        whole = time.process_time() - begun
        hidden = mask.astype(np.uint8)
        for method, picture, seconds in (
            ("unfilled", own, 0.0),
            ("OpenCV Telea", cv2.inpaint(own, hidden, 3, cv2.INPAINT_TELEA), 0.0),
            ("OpenCV Navier-Stokes", cv2.inpaint(own, hidden, 3, cv2.INPAINT_NS), 0.0),
            ("neighbours", neighbours, asked),
            ("inpaint", completed, asked + rest),
            ("inpaint, no neighbours", alone, whole),
        ):
            found.setdefault((kind, method), []).append((judge(truth[at], picture, mask), seconds))
    with (out / "measured-footage.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        names = "damage,share,method,n,psnr_db,regions,succeeded,success,success_low,success_high,seconds"
        writer.writerow(names.split(","))
        for (kind, method), rows in found.items():
            repairs = [repair for repair, _ in rows]
            regions, good = sum(one.regions for one in repairs), sum(one.succeeded for one in repairs)
            error, pixels = sum(one.squared_error for one in repairs), sum(one.pixels for one in repairs)
            shares = (round(value, 4) for value in share_interval(good, regions, 0.95))
            seconds = round(sum(each for _, each in rows) / len(rows), 3)
            level = round(psnr(error, pixels), 2)
            writer.writerow([kind, f"{SHARE:.2f}", method, len(rows), level, regions, good, *shares, seconds])


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
