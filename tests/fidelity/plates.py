"""Number plates on a moving car, drawn here, recorded by the simulator and read by an independent OCR.

The car is a textured panel with lamps and a grille that moves with its plate over a drawn background, turns
and grows a little; characters are 2.5 to 4.5 recorded pixels high. Text is set in Noto Sans Bold (SIL Open Font
License), shipped with the report.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from forensic.fusion.tracking import Region, Track, joined, track_region
from forensic.resources import reports_dir
from forensic.simulation.degradation import Degradation, Motion, MovingObject
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate
from forensic.stages.objectlock import locked
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import load_recipe
from tests.fidelity import ocr, tables
from tests.fidelity.cells import FRAMES, MIDDLE
from tests.fidelity.methods import LOCKED, Method, digest, of_luma
from tests.fidelity.synthetic import dead_leaves

FACTOR, CRFS = 4, ("none", "20", "28", "35")
SIZE = (64, 112)  # recorded rows and columns
CAR = (40, 76)
CAPITAL = (2.5, 4.5)  # recorded pixels: height of a capital
SEED = 7000
LETTERS, DIGITS = "ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789"  # I, O and Q look like others and are not used on plates
COLUMNS = ("crf", "scene", "method", "settings", "text", "read", "accuracy", "seconds")
_FINE = 4  # drawn so many times larger, then averaged


@dataclass(frozen=True)
class Plate:
    """A car with its plate: ``sprite`` float32 at high resolution, ``box`` of the plate in it (x, y, width, height)."""

    text: str
    sprite: np.ndarray
    box: tuple[float, float, float, float]
    motion: Motion


def plate(seed: int) -> Plate:
    """Draw car and plate number ``seed``."""
    rng = np.random.default_rng([SEED, seed])
    pattern = ("LLDD LLL", "LLL DDDD", "L LL DDDD", "DDDD LLL")[int(rng.integers(4))]
    text = "".join(
        " " if mark == " " else str(rng.choice(list(LETTERS if mark == "L" else DIGITS))) for mark in pattern
    )
    cap = float(rng.uniform(*CAPITAL)) * FACTOR  # height of a capital, high-resolution pixels
    rows, columns = CAR[0] * FACTOR, CAR[1] * FACTOR
    paint = float(rng.uniform(50, 170))
    canvas = Image.new("L", (columns * _FINE, rows * _FINE), round(paint))
    pen = ImageDraw.Draw(canvas)
    width, height = canvas.size
    for bar in range(6):
        top = height * (0.12 + 0.055 * bar)
        pen.rectangle((width * 0.2, top, width * 0.8, top + height * 0.025), fill=round(0.4 * paint))
    for left in (0.03, 0.82):
        pen.ellipse((width * left, height * 0.12, width * (left + 0.15), height * 0.45), fill=235, outline=30, width=6)
    # Noto Sans: capitals are 0.714 of the size high.
    font = ImageFont.truetype(str(reports_dir() / "fonts" / "NotoSans-Bold.ttf"), round(cap * _FINE / 0.714))
    left, _, right, _ = font.getbbox(text, anchor="ls")
    middle = (width / 2, height * 0.72)
    half = ((right - left) / 2 + 0.5 * cap * _FINE, cap * _FINE * 0.85)
    box = (middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1])
    pen.rounded_rectangle(box, radius=0.2 * cap * _FINE, fill=215, outline=35, width=max(2, round(0.07 * cap * _FINE)))
    pen.text((middle[0], middle[1] + cap * _FINE / 2), text, fill=30, font=font, anchor="ms")
    drawn = np.asarray(canvas, np.float32).reshape(rows, _FINE, columns, _FINE).mean(axis=(1, 3))
    shade = cv2.GaussianBlur(rng.standard_normal((rows, columns)).astype(np.float32), (0, 0), 6.0)
    sprite = np.clip(drawn + 6.0 * shade / float(shade.std()), 0, 255)
    thing = MovingObject(
        width=float(CAR[1]), height=float(CAR[0]), sprite=0,
        velocity_x=float(rng.choice([-1, 1]) * rng.uniform(0.8, 2.5)), velocity_y=float(rng.uniform(-0.6, 0.6)),
        turn=float(rng.uniform(-0.15, 0.15)), zoom=float(rng.uniform(-0.008, 0.012)),
    )  # fmt: skip
    x, y = box[0] / _FINE, box[1] / _FINE
    return Plate(text, sprite, (x, y, box[2] / _FINE - x, box[3] / _FINE - y), Motion(jitter=0.3, objects=(thing,)))


def degradation(drawn: Plate, crf: str) -> Degradation:
    """The profile ``issue-table`` at ``crf`` with the car's motion and a hand-held camera's."""
    level = None if crf == "none" else float(crf)
    return draw(np.random.default_rng(0), "issue-table", factor=FACTOR, crf=level, motion=drawn.motion)


def record(drawn: Plate, seed: int, crf: str) -> Recording:
    """Nine frames of the car passing; in the middle one it is in the middle, unturned."""
    margin = 16
    scene = dead_leaves(SIZE[0] * FACTOR + 2 * margin, SIZE[1] * FACTOR + 2 * margin, SEED + seed)
    how = degradation(drawn, crf)
    return simulate(scene, how, FRAMES, SEED + seed, margin=margin, sprites=[drawn.sprite])


def cut(result: np.ndarray, recording: Recording, drawn: Plate) -> np.ndarray:
    """The plate with a margin of a tenth of its height, upright, from the middle frame's result."""
    corners = recording.object_corners[0][MIDDLE]  # the sprite's outline; unturned in the middle frame
    x, y = corners[0] + np.array(drawn.box[:2])
    space = 0.1 * drawn.box[3]
    left, top = max(0, round(x - space)), max(0, round(y - space))
    return np.ascontiguousarray(result[top : round(y + drawn.box[3] + space), left : round(x + drawn.box[2] + space)])


def marked(recording: Recording, drawn: Plate) -> Region:
    """What a user would mark in the middle frame: the plate with four recorded pixels around it."""
    x, y = recording.object_corners[0][MIDDLE][0] + np.array(drawn.box[:2])
    left, top = max(0, math.floor(x / FACTOR) - 4), max(0, math.floor(y / FACTOR) - 4)
    right = min(SIZE[1], math.ceil((x + drawn.box[2]) / FACTOR) + 4)
    bottom = min(SIZE[0], math.ceil((y + drawn.box[3]) / FACTOR) + 4)
    return Region(left, top, right - left, bottom - top)


def tracked(recording: Recording, region: Region) -> Track:
    """The marked region followed both ways from the middle frame, as ``enhance --track`` does."""
    numbered = [(number, frame.astype(np.float32)) for number, frame in enumerate(recording.frames)]
    forwards = track_region(iter(numbered[MIDDLE:]), region)
    return joined(track_region(reversed(numbered[: MIDDLE + 1]), region), forwards)


def following(one: Method, recording: Recording, drawn: Plate) -> tuple[np.ndarray, float]:
    """The plate cut out of what ``enhance --roi … --track`` makes with the method's recipe, uint8; and the seconds.

    Around the marked region the picture is black: nothing but the region is made.
    """
    region = marked(recording, drawn)
    start = time.perf_counter()
    recipe = locked(load_recipe(LOCKED[one.name]), tracked(recording, region), one.name)
    behind = Method(one.name, FACTOR, Pipeline(of_luma(recipe.bind(scale=FACTOR).stages)))
    made, _ = behind(recording.frames, (MIDDLE, MIDDLE + 1), recording)
    seconds = time.perf_counter() - start
    whole = np.zeros((SIZE[0] * FACTOR, SIZE[1] * FACTOR), np.uint8)
    rows = slice(region.y * FACTOR, (region.y + region.height) * FACTOR)
    columns = slice(region.x * FACTOR, (region.x + region.width) * FACTOR)
    whole[rows, columns] = made[0]
    return cut(whole, recording, drawn), seconds


def measure(methods: Sequence[Method], count: int, *, folder: Path | None = None, until: float | None = None) -> bool:
    """Read ``count`` plates of every CRF after each method; the truth is read too, as the reader's own limit."""
    found = {(row["crf"], row["scene"], row["method"]): row for row in tables.read("plates", folder)}
    for crf in CRFS:
        texts: list[tuple[str, str, str, str, float]] = []
        pictures: list[np.ndarray] = []
        for seed in range(count):
            drawn = plate(seed)
            how = degradation(drawn, crf).to_record()
            keys = [(one.name, _digest(how, one)) for one in methods] + [("truth", digest(how))]
            due = {name: key for name, key in keys if found.get((crf, str(seed), name), {}).get("settings") != key}
            if not due:
                continue
            if until is not None and time.monotonic() > until:
                _store(crf, texts, pictures, folder)
                return False
            recording = record(drawn, seed, crf)
            for one in methods:
                if one.name not in due:
                    continue
                if one.name in LOCKED:
                    piece, seconds = following(one, recording, drawn)
                else:
                    made, seconds = one(recording.frames, (MIDDLE, MIDDLE + 1), recording)
                    piece = cut(made[0], recording, drawn)
                pictures.append(piece)
                texts.append((str(seed), one.name, due[one.name], drawn.text, seconds))
            if "truth" in due:
                truth = np.clip(np.rint(recording.truth[MIDDLE]), 0, 255).astype(np.uint8)
                pictures.append(cut(truth, recording, drawn))
                texts.append((str(seed), "truth", due["truth"], drawn.text, 0.0))
        if not _store(crf, texts, pictures, folder):
            return True
    return True


def _digest(how: dict[str, object], one: Method) -> str:
    """Of a plate's score; methods that follow the plate say so."""
    return digest(how, one.settings, SEED, SIZE, *(["tracked"] if one.name in LOCKED else []))


def _store(
    crf: str, texts: list[tuple[str, str, str, str, float]], pictures: list[np.ndarray], folder: Path | None
) -> bool:
    """Read and keep; False, with a word, where there is no reader."""
    if not texts:
        return True
    try:
        seen = ocr.read(pictures)
    except ocr.NoReader as reason:
        print(f"plates: not measured: {reason}")
        return False
    rows = [
        {"crf": crf, "scene": scene, "method": method, "settings": settings, "text": text, "read": got,
         "accuracy": f"{ocr.accuracy(got, text):.4f}", "seconds": f"{seconds:.4f}"}
        for (scene, method, settings, text, seconds), got in zip(texts, seen, strict=True)
    ]  # fmt: skip
    tables.merge("plates", COLUMNS, ("crf", "scene", "method"), rows, folder)
    for name in sorted({row["method"] for row in rows}):
        values = [float(row["accuracy"]) for row in rows if row["method"] == name]
        print(f"plates CRF {crf} {name}: {np.mean(values):.3f} of {len(values)}", flush=True)
    return True
