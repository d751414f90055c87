"""What is left of a camera's known jitter after the stage ``stabilise``, smoothed and held to the first frame.

Scenes recorded at twice less than their size, every frame displaced by a normal draw of 2 recorded pixels each way.
Content of a frame, displaced by the known shift, is moved by what the stage's record says: the rest is what is left.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from forensic.simulation.degradation import Motion
from forensic.simulation.draw import draw
from forensic.simulation.simulator import simulate
from forensic.stages import catalogue
from forensic.stages.camera_path import path_against
from forensic.stages.pipeline import Pipeline
from forensic.validation import temporal
from tests.fidelity import scenes, tables
from tests.fidelity.cells import SEED, SIZES
from tests.fidelity.methods import Method, coded, digest

CRFS = ("none", "20", "28", "35")
FRAMES, JITTER, MARGIN, FACTOR = 25, 2.0, 40, 2
WAYS = ("smooth", "held")
COLUMNS = ("crf", "scene", "method", "settings", "step", "place")


def measure(methods: Sequence[Method], count: int, *, folder: Path | None = None, until: float | None = None) -> bool:
    """Shares of frame-to-frame jitter and of the wandering of place that are gone (``methods`` plays no part)."""
    found = {(row["crf"], row["scene"], row["method"]): row for row in tables.read("holding", folder)}
    height, width = (side * FACTOR + 2 * MARGIN for side in SIZES[FACTOR])
    for crf in CRFS:
        for number, scene in enumerate(scenes.listed()[:count]):
            parts = {"factor": FACTOR, "crf": None if crf == "none" else float(crf), "motion": Motion(jitter=JITTER)}
            degradation = draw(np.random.default_rng(0), "issue-table", **parts)
            key = digest(degradation.to_record(), SIZES[FACTOR], FRAMES, MARGIN, SEED + number, scene.sha256)
            if all(found.get((crf, scene.name, way), {}).get("settings") == key for way in WAYS):
                continue
            if until is not None and time.monotonic() > until:
                return False
            picture = scenes.luma(scene, height, width)
            recording = simulate(picture, degradation, FRAMES, SEED + number, margin=MARGIN)
            shifts = np.asarray(recording.shifts, np.float64)
            before = temporal.jitter(shifts)
            rows = []
            for way in WAYS:
                after = temporal.jitter(shifts + _moves(recording.frames, way))
                rows.append(
                    {"crf": crf, "scene": scene.name, "method": way, "settings": key,
                     "step": f"{temporal.reduction(before.step, after.step):.4f}",
                     "place": f"{temporal.reduction(before.place, after.place):.4f}"}
                )  # fmt: skip
            tables.merge("holding", COLUMNS, ("crf", "scene", "method"), rows, folder)
            print(f"holding CRF {crf} {scene.name}: {rows[0]['place']} smooth, {rows[1]['place']} held", flush=True)
    return True


def _moves(frames: Sequence[np.ndarray], way: str) -> np.ndarray:
    """By what the stage moves every frame, in recorded pixels."""
    lumas = [np.asarray(frame, np.float32) for frame in frames]
    values: dict[str, object] = {}
    if way == "held":
        values = path_against(0, lumas[0], enumerate(lumas), "translation").to_parameters()
    outputs = Pipeline([catalogue.build("stabilise", values)]).run(coded(frames), workers=1)
    moves = [output.notes[0]["move"] for output in outputs]
    return np.array([[move["dx"], move["dy"]] for move in moves])
