"""The scenes, split before anything was measured: train and tune (free use), calibrate, test (run once)."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.footage import shared_data

LIST = Path(__file__).with_name("scenes.csv")
SPLITS = {"train": 60, "tune": 40, "calibrate": 200}
MARGIN = 16  # scene pixels around the frame that the camera's motion may uncover


@dataclass(frozen=True)
class Scene:
    """One row of the list."""

    split: str
    collection: str
    file: str
    sha256: str


def listed(split: str) -> list[Scene]:
    """Scenes of a split, in the order of the list."""
    with LIST.open(encoding="utf-8", newline="") as stream:
        return [scene for row in csv.DictReader(stream) if (scene := Scene(**row)).split == split]


def picture(scene: Scene) -> np.ndarray:
    """The scene's luma, float32. Raises ``ValueError`` if the file is not the one listed."""
    shared = shared_data()
    if shared is None:
        raise ValueError("the shared data are not here")
    data = (shared / scene.collection / scene.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != scene.sha256:
        raise ValueError(f"{scene.file} is not the listed file")
    plane = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if plane is None:
        raise ValueError(f"{scene.file} is no picture")
    return plane.astype(np.float32)


def pictures(split: str) -> list[np.ndarray]:
    """All of a split, in the order of the list."""
    return [picture(scene) for scene in listed(split)]


def write_list() -> None:
    """Make the list: the 300 files of train and val in the order of their SHA-256, cut into splits; test as it is."""
    shared = shared_data()
    if shared is None:
        raise SystemExit("The shared data are not here.")

    def found(*collections: str) -> list[tuple[str, str, str]]:
        paths = [path for name in collections for path in sorted((shared / name).glob("*.jpg"))]
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
        named = zip(digests, paths, strict=True)
        return sorted((d, f"{p.parent.parent.name}/{p.parent.name}", p.name) for d, p in named)

    rows, first = [], 0
    known = found("bsds500/train", "bsds500/val")
    for split, number in SPLITS.items():
        rows += [(split, collection, file, digest) for digest, collection, file in known[first : first + number]]
        first += number
    rows += [("test", collection, file, digest) for digest, collection, file in found("bsds500/test")]
    with LIST.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("split", "collection", "file", "sha256"))
        writer.writerows(rows)
