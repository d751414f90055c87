"""Where engines are known to invent: faces of photographs, and photographs that a plate with characters is drawn into.

``places.csv`` was made by one rule before anything was enlarged. Faces: a box drawn by hand around one face of every
photograph of BSDS500 (train, val) in which one is larger than 30 pixels and not seen from behind. Plates: the remaining
photographs in the order of their SHA-256. The first faces and plates choose thresholds, the others test them.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from forensic.resources import reports_dir
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate
from tests.footage import shared_data

LIST = Path(__file__).with_name("places.csv")
FACTOR, MARGIN, FRAMES, SEED = 4, 16, 3, 20261123
SIZE = {"face": (32, 32), "plate": (16, 44)}  # recorded rows and columns
CRFS = (None, 23.0, 28.0)
CAPITAL = (4.0, 6.0)  # recorded pixels: height of a capital
LETTERS, DIGITS = "ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789"  # I, O and Q look like others and are not used on plates
_FINE = 4  # drawn so many times larger, then averaged

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Place:
    """One row of the list. ``x, y, w, h``: the face, pixels of the photograph; a plate has none. ``reduced``: the
    photograph is averaged over so many pixels each way first, where a face would fill the picture."""

    kind: str
    split: str
    collection: str
    file: str
    sha256: str
    box: Box | None
    reduced: int

    @property
    def name(self) -> str:
        """As in the tables."""
        return f"{self.kind}/{self.file}"


@dataclass(frozen=True)
class Planted:
    """A scene (float32 luma with margins) and where in the picture that it gives the face or the plate lies."""

    scene: np.ndarray
    box: Box
    text: str


def listed(split: str | None = None, path: Path = LIST) -> list[Place]:
    """The list, or a part of it: ``choose`` or ``test``."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [
            Place(
                row["kind"], row["split"], row["collection"], row["file"], row["sha256"],
                (int(row["x"]), int(row["y"]), int(row["w"]), int(row["h"])) if row["x"] else None,
                int(row["reduced"]),
            )
            for row in csv.DictReader(stream)
        ]  # fmt: skip
    return [row for row in rows if split in (None, row.split)]


def photograph(place: Place) -> np.ndarray:
    """Luma of the photograph, float32. Raises ``ValueError`` where it is missing or another one than listed."""
    shared = shared_data()
    path = None if shared is None else shared / place.collection / place.file
    if path is None or not path.is_file():
        raise ValueError(f"{place.file} is not on this machine")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != place.sha256:
        raise ValueError(f"{place.file} is not the listed file")
    plane = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE).astype(np.float32)
    step = place.reduced
    rows, columns = (side - side % step for side in plane.shape)
    return plane[:rows, :columns].reshape(rows // step, step, columns // step, step).mean(axis=(1, 3))


def planted(place: Place, number: int, picture: np.ndarray | None = None) -> Planted:
    """The scene of ``place``, the ``number``-th of the list; ``picture``: another photograph in its place (tests)."""
    plane = photograph(place) if picture is None else picture
    rows, columns = (
        min(FACTOR * side, (have - 2 * MARGIN) // (2 * FACTOR) * 2 * FACTOR)
        for side, have in zip(SIZE[place.kind], plane.shape, strict=True)
    )
    if place.box is not None:
        x, y, w, h = (value // place.reduced for value in place.box)
        centre = (y + h // 2, x + w // 2)
    else:
        x = y = w = h = 0
        centre = (plane.shape[0] // 2, plane.shape[1] // 2)
    top, left = (
        min(max(middle - side // 2, MARGIN), have - side - MARGIN)
        for middle, side, have in zip(centre, (rows, columns), plane.shape, strict=True)
    )
    scene = plane[top - MARGIN : top + rows + MARGIN, left - MARGIN : left + columns + MARGIN].copy()
    if place.box is not None:
        return Planted(scene, _within((x - left, y - top, w, h), rows, columns), "")
    scene, box, text = _with_plate(scene, number)
    return Planted(scene, _within((box[0] - MARGIN, box[1] - MARGIN, box[2], box[3]), rows, columns), text)


def _within(box: Box, rows: int, columns: int) -> Box:
    x, y, w, h = box
    left, top, right, bottom = max(0, x), max(0, y), min(columns, x + w), min(rows, y + h)
    return left, top, right - left, bottom - top


def _with_plate(scene: np.ndarray, number: int) -> tuple[np.ndarray, Box, str]:
    """A plate in the middle: characters too small to be read once recorded."""
    rng = np.random.default_rng([SEED, number])
    pattern = ("LLDD LLL", "LLL DDDD", "DDDD LLL", "LL DDD LL")[int(rng.integers(4))]
    text = "".join(" " if one == " " else str(rng.choice(list(LETTERS if one == "L" else DIGITS))) for one in pattern)
    capital = float(rng.uniform(*CAPITAL)) * FACTOR
    rows, columns = scene.shape
    ink = Image.new("L", (columns * _FINE, rows * _FINE), 0)
    # Noto Sans: capitals are 0.714 of the size high.
    font = ImageFont.truetype(str(reports_dir() / "fonts" / "NotoSans-Bold.ttf"), round(capital * _FINE / 0.714))
    left, _, right, _ = font.getbbox(text, anchor="ls")
    middle = (ink.width / 2, ink.height / 2)
    wide, high = (right - left) / 2 + 0.5 * capital * _FINE, 0.85 * capital * _FINE
    outline = (middle[0] - wide, middle[1] - high, middle[0] + wide, middle[1] + high)
    plate = Image.new("L", ink.size, 0)
    ImageDraw.Draw(plate).rounded_rectangle(outline, radius=0.2 * capital * _FINE, fill=255)
    ImageDraw.Draw(ink).text((middle[0], middle[1] + capital * _FINE / 2), text, fill=255, font=font, anchor="ms")
    under, over = (
        np.asarray(one, np.float32).reshape(rows, _FINE, columns, _FINE).mean(axis=(1, 3)) / np.float32(255)
        for one in (plate, ink)
    )
    light, dark = float(rng.uniform(170, 220)), float(rng.uniform(25, 60))
    drawn = scene * (1 - under) + light * under
    drawn = drawn * (1 - over) + dark * over
    x, y, right_, bottom = (round(value / _FINE) for value in outline)
    return drawn.astype(np.float32), (x, y, right_ - x, bottom - y), text


def recorded(scene: np.ndarray, number: int) -> Recording:
    """Three frames of the scene by the profile ``issue-table``; every third without a codec, at CRF 23, at CRF 28."""
    how = draw(np.random.default_rng([SEED, number]), "issue-table", factor=FACTOR, crf=CRFS[number % len(CRFS)])
    return simulate(scene, how, FRAMES, SEED + number, margin=MARGIN)
