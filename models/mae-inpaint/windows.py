"""Windows of photographs that mae-inpaint learns from, cut once into one file that is mapped into memory."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "light-x4"))

import recordings
from recordings import Photograph

SEED = 20261207
SIDE = 80  # a window of 64 is cut out of each at random
SIZES = 6  # reduced versions of every photograph
SHORT_SIDES = (240.0, 1100.0)
CUTS = 70  # windows of each version
CODED = 0.4  # share of versions that went through JPEG
QUALITY = (30, 95)
FLAT = 3.0  # grey levels: most windows whose standard deviation is below are left out


def photograph(folder: Path, listed: Photograph) -> np.ndarray:
    """The photograph, uint8 RGB [H, W, 3]. Raises ``ValueError`` if the file is not the one listed."""
    data = (folder / listed.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != listed.sha256:
        raise ValueError(f"{listed.file} is not the listed photograph (SHA-256 differs)")
    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1])


def reduced(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph at a drawn size, by area, some of them coded as JPEG and decoded."""
    short = min(picture.shape[:2])
    factor = min(1.0, float(np.exp(rng.uniform(*np.log(SHORT_SIDES)))) / short)
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    if rng.random() >= CODED:
        return small
    quality = int(rng.integers(*QUALITY))
    coded = cv2.imencode(".jpg", np.ascontiguousarray(small[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[:, :, ::-1])


def cuts(picture: np.ndarray, rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """``count`` windows, uint8 [count, side, side, 3], few of them flat."""
    found: list[np.ndarray] = []
    while len(found) < count:
        top, left = (int(rng.integers(length - side + 1)) for length in picture.shape[:2])
        window = picture[top : top + side, left : left + side]
        if window.std(axis=(0, 1)).max() >= FLAT or rng.random() < 0.1:
            found.append(window)
    return np.stack(found)


def make(photos: Path, path: Path) -> np.ndarray:
    """The training windows, uint8 [N, SIDE, SIDE, 3], mapped; made if ``path`` (.npy) is not there yet."""
    if not path.is_file():
        listed = recordings.listed("train")
        partial = path.with_suffix(".partial.npy")
        shape = (len(listed) * SIZES * CUTS, SIDE, SIDE, 3)
        whole = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        for number, each in enumerate(listed):
            picture = photograph(photos, each)
            for size in range(SIZES):
                rng = np.random.default_rng([SEED, int(each.sha256[:8], 16), size])
                first = (number * SIZES + size) * CUTS
                whole[first : first + CUTS] = cuts(reduced(picture, rng), rng, CUTS, SIDE)
        whole.flush()
        partial.replace(path)
    return np.load(path, mmap_mode="r")


def validation(photos: Path, side: int) -> np.ndarray:
    """Twelve windows of every validation photograph, uint8 [N, side, side, 3]."""
    found = []
    for each in recordings.listed("validation"):
        rng = np.random.default_rng([SEED, int(each.sha256[:8], 16), 99])
        found.append(cuts(reduced(photograph(photos, each), rng), rng, 12, side))
    return np.concatenate(found)
