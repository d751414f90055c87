"""Detector and filling against damage of known place on real footage: ``python -m tests.inpainting.measure_fill OUT``.

Writes ``OUT/fill.csv`` (one line for each repaired frame and method) and ``OUT/detector.csv``, and prints the tables of
docs/filling.md. Pictures are the middle 320x240 luma pixels of a recording (all of it where it is smaller); ``panned``
is the same recording through a window that wanders by up to 4 whole pixels a frame on either axis, as a camera would.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import layout_named
from forensic.frames.stageclass import StageClass
from forensic.fusion.filling import Siting, View, fill
from forensic.stages.blemishes import blemishes
from forensic.stages.fill_from_neighbours import FillFromNeighboursParameters
from tests.footage import fetch, shared_data
from tests.inpainting.planted import judge, plant, psnr

KINDS = ("blotches", "scratches", "occlusion", "standing")
SHARES = (0.03, 0.10)
STARTS = (20, 120)
FRAMES = 7  # 3 on either side of the one that is repaired
SIZE = (240, 320)
RESAMPLES = 2000
REPAIRS = (
    "clip", "moving", "kind", "share", "seed", "method", "pixels", "squared_error", "regions", "succeeded", "filled",
)  # fmt: skip
FINDS = ("clip", "moving", "kind", "share", "seed", "planted", "found", "near", "hit")
# Recording: (file, whether its camera moves, whether it is looked at through a wandering window).
CLIPS = {
    "vtest": ("cctv/vtest.avi", False, False),
    "traffic": ("cctv/traffic_camera.mp4", False, False),
    "one-by-one": ("cctv/one-by-one-person-detection.mp4", False, False),
    "car-detection": ("cctv/car-detection.mp4", False, False),
    "carphone": ("carphone_pristine.mp4", True, False),
    "bikes": ("bikes.mp4", True, False),
    "vtest panned": ("cctv/vtest.avi", True, True),
    "traffic panned": ("cctv/traffic_camera.mp4", True, True),
}


def excerpt(path: Path, start: int, panned: bool, seed: int) -> list[np.ndarray]:
    """``FRAMES`` luma pictures (uint8) from frame ``start`` on, modulo the length of what is read."""
    with av.open(str(path)) as container:
        last = []
        for number, frame in enumerate(container.decode(video=0)):
            if number >= start:
                last.append(frame.reformat(format="gray").to_ndarray())
            if len(last) == FRAMES:
                break
    if len(last) < FRAMES:
        return excerpt(path, start // 3, panned, seed)
    rows, columns = (min(side, most) for side, most in zip(last[0].shape, SIZE, strict=True))
    top, left = (last[0].shape[0] - rows) // 2, (last[0].shape[1] - columns) // 2
    walk = np.zeros((FRAMES, 2), int)
    if panned:
        walk = np.cumsum(np.random.default_rng(seed).integers(-4, 5, (FRAMES, 2)), axis=0)
    return [
        np.ascontiguousarray(frame[top + dy : top + dy + rows, left + dx : left + dx + columns])
        for frame, (dy, dx) in zip(last, walk, strict=True)
    ]


def working(picture: np.ndarray, index: int) -> WorkingFrame:
    """A grey frame."""
    geometry = Geometry(picture.shape[1], picture.shape[0], layout_named("gray"))
    timing = FrameTiming(index, index, Fraction(1, 10))
    return WorkingFrame((picture.astype(np.float32),), geometry, ColourSpec(), timing, StageClass.PRESENTATION)


def cases() -> Iterator[tuple[str, bool, str, float, int, list[np.ndarray]]]:
    """(clip, moving, kind, share, seed, undamaged pictures)."""
    shared = shared_data()
    for start in STARTS:
        for clip, (name, moving, panned) in CLIPS.items():
            folder = shared if name.startswith("cctv/") else fetch()
            if folder is None:
                continue
            pictures = excerpt(folder / name, start, panned, start)
            for kind in KINDS:
                for share in SHARES:
                    yield clip, moving, kind, share, start, pictures


def measure_filling(out: Path) -> None:
    """One line for each repaired frame and method."""
    chosen, at = FillFromNeighboursParameters(detector="both"), FRAMES // 2
    with (out / "fill.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(REPAIRS)
        for clip, moving, kind, share, seed, truth in cases():
            damaged = plant(truth, kind, share, seed)  # type: ignore[arg-type]
            mask = damaged.masks[at]
            views = [
                View((frame.astype(np.float32),), hidden)
                for frame, hidden in zip(damaged.frames, damaged.masks, strict=True)
            ]
            made = fill(
                views, at, Siting(), least=chosen.least_frames, tolerance=chosen.tolerance,
                largest_mismatch=chosen.largest_mismatch,
            )  # fmt: skip
            ours = np.clip(np.rint(made.parts[0]), 0, 255)
            telea = cv2.inpaint(damaged.frames[at], mask.astype(np.uint8), 3, cv2.INPAINT_TELEA)
            filled = mask & (made.support > 0)
            for method, picture, where in (
                ("unfilled", damaged.frames[at], mask),
                ("telea", telea, mask),
                ("neighbours", ours, mask),
                ("neighbours, filled", ours, filled),
                ("telea, same pixels", telea, filled),
            ):
                found = judge(truth[at], picture, where)
                lines.writerow(
                    [clip, int(moving), kind, share, seed, method, found.pixels, round(found.squared_error, 1),
                     found.regions, found.succeeded, int(filled.sum())]
                )  # fmt: skip
            stream.flush()


def measure_detector(out: Path) -> None:
    """One line for each frame that was looked at, damaged and not."""
    chosen = FillFromNeighboursParameters(detector="both")
    seen: set[tuple[str, int]] = set()
    with (out / "detector.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(FINDS)
        for clip, moving, kind, share, seed, truth in cases():
            if kind in ("blotches", "scratches"):
                damaged = plant(truth, kind, share, seed)  # type: ignore[arg-type]
                mask = damaged.masks[FRAMES // 2]
                lines.writerow([clip, int(moving), kind, share, seed, *_detected(damaged.frames, mask, chosen)])
            if (clip, seed) not in seen:
                seen.add((clip, seed))
                lines.writerow([clip, int(moving), "none", 0, seed, *_detected(truth, truth[0] != truth[0], chosen)])
            stream.flush()


def _detected(
    frames: list[np.ndarray], mask: np.ndarray, chosen: FillFromNeighboursParameters
) -> tuple[int, int, int, int]:
    """(planted, found, found within 3 px of planted damage, planted that were found), pixels, margins included."""
    at = FRAMES // 2
    near = [working(frames[place], place) for place in (at - 1, at, at + 1)]
    found = blemishes(near, 1, chosen.detector, chosen.contrast, chosen.grow).pixels
    around = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    return int(mask.sum()), int(found.sum()), int((found & around).sum()), int((found & mask).sum())


def interval(rows: list[dict[str, str]], value: Callable[[list[dict[str, str]]], float]) -> tuple[float, float]:
    """95 % of ``value`` over resampled clips (cluster bootstrap, percentiles)."""
    clips = sorted({row["clip"] for row in rows})
    by_clip = {clip: [row for row in rows if row["clip"] == clip] for clip in clips}
    generator = np.random.default_rng(0)
    values = [
        value([row for clip in generator.choice(clips, len(clips)) for row in by_clip[str(clip)]])
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _total(rows: list[dict[str, str]], name: str) -> float:
    return sum(float(row[name]) for row in rows)


def _success(rows: list[dict[str, str]]) -> float:
    return _total(rows, "succeeded") / max(_total(rows, "regions"), 1)


def _psnr(rows: list[dict[str, str]]) -> float:
    return psnr(_total(rows, "squared_error"), int(max(_total(rows, "pixels"), 1)))


def report(out: Path) -> None:
    """Print the tables."""
    repairs = list(csv.DictReader((out / "fill.csv").open(newline="")))
    print("| damage | camera | method | regions | succeeded, % (95 %) | PSNR in the mask, dB | filled, % |")
    for kind in KINDS:
        for moving in ("0", "1"):
            for method in ("unfilled", "telea", "neighbours", "neighbours, filled", "telea, same pixels"):
                rows = [row for row in repairs if (row["kind"], row["moving"], row["method"]) == (kind, moving, method)]
                if not rows:
                    continue
                low, high = interval(rows, _success)
                whole = [
                    row for row in repairs if (row["kind"], row["moving"], row["method"]) == (kind, moving, "telea")
                ]
                camera = "moving" if moving == "1" else "still"
                share = 100 * _total(rows, "filled") / max(_total(whole, "pixels"), 1)
                succeeded = f"{100 * _success(rows):.0f} ({100 * low:.0f} to {100 * high:.0f})"
                print(
                    f"| {kind} | {camera} | {method} | {_total(rows, 'regions'):.0f} | {succeeded} | "
                    f"{_psnr(rows):.1f} | {share:.1f} |"
                )
    finds = list(csv.DictReader((out / "detector.csv").open(newline="")))
    print("| damage | clip | planted px | precision, % | recall, % |")
    for kind in ("blotches", "scratches"):
        own = [row for row in finds if row["kind"] == kind]
        for clip in ["all", *CLIPS]:
            rows = own if clip == "all" else [row for row in own if row["clip"] == clip]
            if not rows:
                continue
            precision, recall = _precision(rows), _recall(rows)
            spread = ""
            if clip == "all":
                (a, b), (c, d) = interval(rows, _precision), interval(rows, _recall)
                spread = f" ({100 * a:.1f} to {100 * b:.1f}; {100 * c:.0f} to {100 * d:.0f})"
            rates = f"{100 * precision:.1f} | {100 * recall:.0f}"
            print(f"| {kind} | {clip} | {_total(rows, 'planted'):.0f} | {rates} |{spread}")
    clean = [row for row in finds if row["kind"] == "none"]
    print("undamaged frames, px found:", {c: [int(r["found"]) for r in clean if r["clip"] == c] for c in CLIPS})


def _precision(rows: list[dict[str, str]]) -> float:
    return _total(rows, "near") / max(_total(rows, "found"), 1)


def _recall(rows: list[dict[str, str]]) -> float:
    return _total(rows, "hit") / max(_total(rows, "planted"), 1)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    parts = {"--filling": measure_filling, "--detector": measure_detector}
    for option, part in parts.items():
        if option in sys.argv or not {*parts, "--report"} & {*sys.argv}:
            part(folder)
    report(folder)
