"""The classic test: Set5 reduced 4 times by antialiased bicubic interpolation, no noise, no codec.

As is usual: BT.601 luma in 16..235, four pixels cut from the border. The reduction is this program's own
antialiased bicubic (Keys, a = -1/2), the kernel of MATLAB's imresize; at the border it repeats the edge
pixel, where MATLAB mirrors.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, resample
from forensic.validation import fidelity
from tests.fidelity import scenes, tables
from tests.fidelity.methods import Method, digest

FACTOR, BORDER = 4, 4
COLUMNS = ("scene", "method", "settings", "psnr_y", "ssim_y")


def reduced(plane: np.ndarray) -> np.ndarray:
    """Antialiased bicubic by ``FACTOR``, rounded to 8 bits; float32."""
    rows, columns = (AxisMap(side // FACTOR, Fraction(FACTOR), Fraction(FACTOR - 1, 2)) for side in plane.shape)
    return np.clip(np.rint(resample(plane, rows, columns, KERNELS["bicubic"])), 0, 255).astype(np.float32)


def measure(methods: Sequence[Method], count: int, *, folder: Path | None = None, until: float | None = None) -> bool:
    """Single-frame methods on Set5 (``count`` and ``until`` play no part)."""
    rows = []
    for scene in scenes.listed(scenes.CLASSIC):
        rgb = scenes.colour(scene).astype(np.float32)
        plane = 16.0 + rgb @ (np.array([65.481, 128.553, 24.966], np.float32) / 255.0)
        plane = np.ascontiguousarray(plane[: plane.shape[0] // FACTOR * FACTOR, : plane.shape[1] // FACTOR * FACTOR])
        small, truth = reduced(plane), fidelity.inside(np.rint(plane), BORDER)
        for one in methods:
            if not one.windowed:
                seen = fidelity.inside(one([small], (0, 1))[0][0], BORDER)
                rows.append(
                    {"scene": scene.name, "method": one.name, "settings": digest(one.settings, scene.sha256),
                     "psnr_y": f"{fidelity.psnr(seen, truth):.4f}", "ssim_y": f"{fidelity.ssim(seen, truth):.5f}"}
                )  # fmt: skip
    tables.merge("set5", COLUMNS, ("scene", "method"), rows, folder)
    for name in dict.fromkeys(row["method"] for row in rows):
        values = [float(row["psnr_y"]) for row in rows if row["method"] == name]
        print(f"set5 {name}: {np.mean(values):.2f} dB", flush=True)
    return True
