"""Pairs as a laboratory would give them: simulated recordings as files, the scene beside each as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from forensic.simulation.degradation import Codec, Optics, Recorder
from forensic.simulation.draw import draw
from forensic.simulation.simulator import simulate

BLACK, WHITE = 16.0, 235.0
MARGIN = 16


def scene(number: int, columns: int, rows: int, factor: int) -> np.ndarray:
    """Bars, a slope and a disc, another for every number: float32 grey levels from 40 to 210."""
    rng = np.random.default_rng(number)
    down, across = rows * factor + 2 * MARGIN, columns * factor + 2 * MARGIN
    y, x = np.mgrid[:down, :across].astype(np.float32)
    picture = 80 + 50 * x / across + 20 * y / down
    for _ in range(5):
        left, top = rng.integers(0, across - 24), rng.integers(0, down - 24)
        picture[top : top + rng.integers(12, 60), left : left + rng.integers(12, 60)] = rng.uniform(50, 200)
    middle, radius = rng.uniform(0.3, 0.7, 2) * (down, across), rng.uniform(16, 40)
    picture[np.hypot(y - middle[0], x - middle[1]) < radius] = rng.uniform(50, 200)
    return np.clip(picture, 40, 210).astype(np.float32)


def make_pair(
    folder: Path, number: int, *, columns: int = 48, rows: int = 32, factor: int = 4, moved: int = 0, crf: float = 20.0
) -> tuple[Path, Path]:
    """Write ``NAME.reference.png`` and ``NAME.degraded.mp4`` (nine frames) into ``folder``.

    ``moved``: output pixels by which the reference lies off.
    """
    rng = np.random.default_rng([7, number])
    optics = Optics("gaussian", sigma_x=0.4, sigma_y=0.4)
    how = draw(
        rng, "issue-table", recorder=Recorder(black=BLACK, white=WHITE), optics=optics,
        codec=Codec("h264", crf=crf, gop=50, preset="medium"),
    )  # fmt: skip
    made = simulate(scene(number, columns, rows, factor), how, 9, number, margin=MARGIN)
    truth = np.roll(made.truth[made.reference], moved, axis=1)
    full = np.clip(np.rint((truth - BLACK) * 255.0 / (WHITE - BLACK)), 0, 255).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    reference, degraded = folder / f"{number:03d}.reference.png", folder / f"{number:03d}.degraded.mp4"
    Image.fromarray(full).save(reference)
    degraded.write_bytes(made.file("mp4"))
    return reference, degraded
