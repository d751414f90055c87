"""Scores of every scene and method of a cell, in one CSV file a cell, so that cells can be run apart."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "fidelity"


@dataclass(frozen=True)
class Score:
    """One scene by one method. Energies in grey levels squared, overshoot in grey levels, NaN where undefined.

    ``psnr_object``: within the moving object only. ``seconds``: of the one frame, with its neighbours.
    """

    scene: str
    method: str
    settings: str
    psnr_y: float
    ssim_y: float
    psnr_b: float
    overshoot: float
    blocks: float
    mosquito: float
    psnr_object: float
    seconds: float


_DIGITS = {
    "psnr_y": 4, "ssim_y": 5, "psnr_b": 4, "overshoot": 3, "blocks": 3, "mosquito": 3, "psnr_object": 4, "seconds": 4,
}  # fmt: skip


def path_of(cell: str, folder: Path | None = None) -> Path:
    """File of a cell."""
    return (folder or FOLDER) / f"{cell}.csv"


def read(cell: str, folder: Path | None = None) -> list[Score]:
    """Scores of a cell, empty where none were taken."""
    path = path_of(cell, folder)
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            Score(**{key: float(value) if key in _DIGITS else value for key, value in row.items()})  # type: ignore[arg-type]
            for row in csv.DictReader(stream)
        ]


def write(cell: str, scores: Iterable[Score], folder: Path | None = None) -> None:
    """Replace the file of a cell, whole or not at all."""
    path = path_of(cell, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    with scratch.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([field.name for field in fields(Score)])
        for score in scores:
            row = asdict(score)
            writer.writerow([f"{row[name]:.{_DIGITS[name]}f}" if name in _DIGITS else row[name] for name in row])
    scratch.replace(path)


def forget(cell: str, methods: Iterable[str], folder: Path | None = None) -> None:
    """Drop the scores of ``methods``, so that they are taken again: after a change of code alone."""
    if path_of(cell, folder).is_file():
        dropped = set(methods)
        write(cell, [each for each in read(cell, folder) if each.method not in dropped], folder)
