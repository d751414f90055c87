"""Overshoot at a clean step, the plainest edge there is, enlarged 4 times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from forensic.validation.artefacts import step_overshoot
from tests.fidelity import tables
from tests.fidelity.cells import FRAMES, MIDDLE
from tests.fidelity.methods import Method, digest

COLUMNS = ("method", "settings", "optics", "mean", "largest")
OPTICS = (0.0, 0.35)  # recorded pixels: none, and the profile's own


def measure(methods: Sequence[Method], count: int, *, folder: Path | None = None, until: float | None = None) -> bool:
    """Every method, multi-frame ones on nine equal frames (``count`` and ``until`` play no part)."""
    rows = []
    for one in methods:

        def enlarge(plane: np.ndarray, chosen: Method = one) -> np.ndarray:
            whole = np.rint(plane)
            return chosen([whole] * (FRAMES if chosen.windowed else 1), _middle(chosen))[0][0].astype(np.float32)

        for optics in OPTICS:
            mean, largest = step_overshoot(enlarge, one.factor, optics=optics)
            rows.append(
                {"method": one.name, "settings": digest(one.settings), "optics": f"{optics:g}", "mean": f"{mean:.2f}",
                 "largest": f"{largest:.2f}"}
            )  # fmt: skip
            print(f"step {one.name}, optics {optics:g}: {mean:.2f}, at most {largest:.2f}", flush=True)
    tables.merge("step", COLUMNS, ("method", "optics"), rows, folder)
    return True


def _middle(one: Method) -> tuple[int, int]:
    return (MIDDLE, MIDDLE + 1) if one.windowed else (0, 1)
