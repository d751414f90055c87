"""Measures methods on a cell; what was measured before, with the same settings, is not measured again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from forensic.simulation.simulator import Recording
from forensic.validation import artefacts, fidelity
from tests.fidelity import cells, scores
from tests.fidelity.cells import BORDER, CODEC_BLOCK, MIDDLE, Cell
from tests.fidelity.methods import Method, digest
from tests.fidelity.scenes import Scene
from tests.fidelity.scores import Score


def score(name: str, settings: str, result: np.ndarray, recording: Recording, scene: str, seconds: float) -> Score:
    """All measures of one result, uint8, against the truth of the middle frame; borders are cut."""
    factor = recording.factor
    border, block = BORDER * factor, CODEC_BLOCK * factor
    phase = (-border % block, -border % block)
    truth = fidelity.inside(recording.truth[MIDDLE], border)
    seen = fidelity.inside(result, border)
    within = float("nan")
    if recording.covers is not None:
        cover = fidelity.inside(recording.covers[MIDDLE], border) > 0.5
        within = fidelity.psnr(seen[cover][None], truth[cover][None]) if cover.any() else within
    return Score(
        scene=scene,
        method=name,
        settings=settings,
        psnr_y=fidelity.psnr(seen, truth),
        ssim_y=fidelity.ssim(seen, truth),
        psnr_b=fidelity.psnr_b(seen, truth, block, phase),
        overshoot=artefacts.edge_overshoot(seen, truth, factor),
        blocks=artefacts.block_steps(seen, truth, factor, CODEC_BLOCK, phase),
        mosquito=artefacts.mosquito_energy(seen, truth, factor),
        psnr_object=within,
        seconds=seconds,
    )


def measure(
    cell: Cell,
    methods: Sequence[Method],
    chosen: Sequence[Scene],
    *,
    folder: Path | None = None,
    until: float | None = None,
    say: Callable[[str], None] = print,
) -> bool:
    """Bring the cell's scores up to date; False if time (``until``, by ``time.monotonic``) ran out first.

    The file is written after every scene, so that a stopped run loses at most one.
    """
    kept = {(each.scene, each.method): each for each in scores.read(cell.name, folder)}
    for number, scene in enumerate(chosen):
        how = [
            cell.degradation(number).to_record(), cells.FRAMES, cells.MARGIN, cells.SIZES[cell.factor],
            cells.SEED + number, BORDER, CODEC_BLOCK, scene.sha256,
        ]  # fmt: skip
        wanted = [(one, digest(how, one.settings)) for one in methods]
        due = [(one, key) for one, key in wanted if _stale(kept.get((scene.name, one.name)), key)]
        if not due:
            continue
        if until is not None and time.monotonic() > until:
            return False
        recording = cell.record(scene, number)
        for one, key in due:
            made, seconds = one(recording.frames, (MIDDLE, MIDDLE + 1), recording)
            kept[scene.name, one.name] = score(one.name, key, made[0], recording, scene.name, seconds)
        scores.write(cell.name, kept.values(), folder)
        line = ", ".join(f"{one.name} {kept[scene.name, one.name].psnr_y:.2f}" for one, _ in due)
        say(f"{cell.name} {scene.name}: {line}")
    return True


def _stale(found: Score | None, key: str) -> bool:
    return found is None or found.settings != key
