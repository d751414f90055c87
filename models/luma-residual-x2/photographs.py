"""The photographs: the committed list, and the luma planes made of them."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

LIST = Path(__file__).with_name("photographs.csv")
LONG_SIDE = 1600


@dataclass(frozen=True)
class Photograph:
    """One row of the list: ``split`` is train, validation or excluded (then ``remark`` says why)."""

    split: str
    file: str
    sha256: str
    licence: str
    author: str
    source: str
    remark: str


def listed(split: str) -> list[Photograph]:
    """Photographs of one split, in the order of the list."""
    with LIST.open(encoding="utf-8", newline="") as stream:
        rows = [Photograph(**row) for row in csv.DictReader(stream)]
    return [row for row in rows if row.split == split]


def luma_planes(folder: Path, photograph: Photograph) -> list[np.ndarray]:
    """Clean luma planes, uint8 [H, W]: one of at most 1600 pixels on the long side, one of half that.

    Area reduction removes the photograph's own JPEG artefacts and demosaicing blur. Sides are cut
    to multiples of 4 (H.264 4:2:0 at half size). Raises ``ValueError`` if the file is not the one listed.
    """
    data = (folder / photograph.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != photograph.sha256:
        raise ValueError(f"{photograph.file} is not the listed photograph (SHA-256 differs)")
    full = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    longest = max(full.shape)
    planes = []
    for target in (LONG_SIDE, LONG_SIDE // 2):
        factor = min(1.0, target / longest)
        size = (round(full.shape[1] * factor), round(full.shape[0] * factor))
        plane = full if factor == 1.0 else cv2.resize(full, size, interpolation=cv2.INTER_AREA)
        planes.append(np.ascontiguousarray(plane[: plane.shape[0] // 4 * 4, : plane.shape[1] // 4 * 4]))
    return planes
