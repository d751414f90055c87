"""The held-out photographs, by name and SHA-256. The photographs themselves are never committed.

``scenes.csv`` was made by one rule, before anything was measured: every fifth file of ``bsds500/test`` in
the order of the names, and all of Set5. A cell uses the first N of them.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.fidelity.synthetic import dead_leaves
from tests.footage import shared_data

LIST = Path(__file__).with_name("scenes.csv")
EVERY = 5  # file of the folder
HELD_OUT, CLASSIC = "bsds500/test", "set5"


@dataclass(frozen=True)
class Scene:
    """A photograph of the list; a ``collection`` "synthetic" is drawn by seed instead."""

    collection: str
    file: str
    sha256: str

    @property
    def name(self) -> str:
        """As in the tables."""
        return f"{self.collection}/{self.file}"


class SceneMissing(Exception):
    """The photograph is not on this machine, or is another one than listed."""


def listed(collection: str = HELD_OUT) -> list[Scene]:
    """The committed list, in its order."""
    with LIST.open(encoding="utf-8", newline="") as stream:
        scenes = [Scene(row["collection"], row["file"], row["sha256"]) for row in csv.DictReader(stream)]
    return [scene for scene in scenes if scene.collection == collection]


def synthetic(count: int) -> list[Scene]:
    """Scenes for machines without the photographs, and for tests."""
    return [Scene("synthetic", str(seed), "") for seed in range(count)]


def colour(scene: Scene) -> np.ndarray:
    """The photograph as uint8 RGB [H, W, 3]. Raises ``SceneMissing``."""
    shared = shared_data()
    path = None if shared is None else shared / scene.collection / scene.file
    if path is None or not path.is_file():
        raise SceneMissing(f"{scene.name} is not on this machine")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != scene.sha256:
        raise SceneMissing(f"{scene.name} is not the listed file")
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(picture[:, :, ::-1])


def luma(scene: Scene, height: int, width: int) -> np.ndarray:
    """The middle ``height`` x ``width`` pixels as BT.601 luma, float32 0..255; an upright picture is turned.

    Raises ``SceneMissing``, also for a photograph that is too small.
    """
    if scene.collection == "synthetic":
        return dead_leaves(height, width, int(scene.file))
    picture = colour(scene).astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    if (picture.shape[0] > picture.shape[1]) != (height > width):
        picture = picture.T
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    if top < 0 or left < 0:
        raise SceneMissing(f"{scene.name} is smaller than {width}x{height}")
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def _rows(data: Path) -> list[list[str]]:
    rows = []
    for collection, every in ((HELD_OUT, EVERY), (CLASSIC, 1)):
        files = sorted(path for path in (data / collection).iterdir() if path.suffix in (".jpg", ".png"))[::every]
        rows += [[collection, path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in files]
    return rows


def main() -> None:
    """Write the list anew: ``python -m tests.fidelity.scenes``."""
    data = shared_data()
    if data is None:
        raise SystemExit("the photographs are not on this machine")
    with LIST.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("collection", "file", "sha256"))
        writer.writerows(_rows(data))


if __name__ == "__main__":
    main()
