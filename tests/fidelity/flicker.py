"""Steadiness of five consecutive frames: of a jittering camera whose motion is known exactly, and of one at rest.

Every frame is compared with the next one moved back by the true displacement: what is left is flicker. The
clean footage, resampled in the same way, leaves a little too (``clean``), which is subtracted. tOF compares the
flow of the result with that of the clean footage. A camera at rest shows what changes where nothing moves (``still``):
above CRF 20 the encoder mostly repeats such a picture unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from forensic.simulation.simulator import Recording
from forensic.validation import fidelity, temporal
from tests.fidelity import scenes, tables
from tests.fidelity.cells import BORDER, MARGIN, SEED, SIZES, Cell
from tests.fidelity.methods import Method, digest

CRFS = ("none", "20", "28", "35")
KEEP = (2, 7)
MOST = 10  # scenes
COLUMNS = ("crf", "scene", "method", "settings", "residual", "clean", "above", "psnr_y", "tof", "still")


def flows(recording: Recording, keep: tuple[int, int]) -> list[np.ndarray]:
    """True displacement from each kept frame to the next: float32 [H, W, 2] in high-resolution pixels."""
    height, width = (side - 2 * BORDER * recording.factor for side in recording.truth[0].shape)
    steps = np.diff(recording.shifts[keep[0] : keep[1]], axis=0) * recording.factor
    return [np.broadcast_to(step.astype(np.float32), (height, width, 2)) for step in steps]


def measure(methods: Sequence[Method], count: int, *, folder: Path | None = None, until: float | None = None) -> bool:
    """Residual after true motion compensation (RMS), the clean footage's, PSNR-Y, tOF, change of a still scene; ×4."""
    found = {(row["crf"], row["scene"], row["method"]): row for row in tables.read("flicker", folder)}
    for crf in CRFS:
        cell = Cell(4, "jitter", crf)
        for number, scene in enumerate(scenes.listed()[: min(count, MOST)]):
            how = [
                cell.degradation(number).to_record(),
                SIZES[4],
                SEED + number,
                MARGIN,
                BORDER,
                KEEP,
                scene.sha256,
                "still",
            ]
            keys = [(one, digest(how, one.settings)) for one in methods]
            due = [(one, key) for one, key in keys if found.get((crf, scene.name, one.name), {}).get("settings") != key]
            if not due:
                continue
            if until is not None and time.monotonic() > until:
                return False
            recording, border = cell.record(scene, number), BORDER * cell.factor
            at_rest = Cell(4, "static", crf).record(scene, number)
            motion = flows(recording, KEEP)
            truth = [fidelity.inside(plane, border) for plane in recording.truth[slice(*KEEP)]]
            clean = temporal.warping_error(truth, motion).rms
            rows = []
            for one, key in due:
                made, _ = one(recording.frames, KEEP, recording)
                seen = [fidelity.inside(frame, border).astype(np.float32) for frame in made]
                residual = temporal.warping_error(seen, motion).rms
                rest = [
                    fidelity.inside(frame, border).astype(np.float32) for frame in one(at_rest.frames, KEEP, at_rest)[0]
                ]
                close = np.mean([fidelity.psnr(*pair) for pair in zip(seen, truth, strict=True)])
                rows.append(
                    {"crf": crf, "scene": scene.name, "method": one.name, "settings": key,
                     "residual": f"{residual:.4f}", "clean": f"{clean:.4f}",
                     "above": f"{residual - clean:.4f}", "psnr_y": f"{close:.4f}",
                     "tof": f"{temporal.t_of(seen, truth):.4f}", "still": f"{temporal.flicker(rest).deviation:.4f}"}
                )  # fmt: skip
            tables.merge("flicker", COLUMNS, ("crf", "scene", "method"), rows, folder)
            words = ", ".join(f"{row['method']} {row['above']}" for row in rows)
            print(f"flicker CRF {crf} {scene.name} (clean {clean:.2f}): {words}", flush=True)
    return True
