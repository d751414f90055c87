"""The metrics of a suite by name, of a result against what the simulator knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensic.errors import UsageError
from forensic.fusion.registration import register
from forensic.simulation.simulator import Recording
from forensic.validation import artefacts, fidelity, perceptual, temporal
from forensic.validation.recordings import known_shifts

BORDER = 8  # recorded pixels cut from every side: what the motion brought in has no neighbours there
BLOCK = 8  # recorded pixels


def still_metric(metric: str, result: np.ndarray, recording: Recording, frame: int) -> float:
    """``metric`` of luma ``result`` (grey levels) against the truth of ``frame``; borders are cut.

    Raises ``UsageError`` (``fidelity.shape``) where the recipe did not enlarge to the truth's size.
    """
    if result.shape != recording.truth[frame].shape:
        raise UsageError(
            "fidelity.shape", f"The result has {result.shape}, the truth {recording.truth[frame].shape} pixels."
        )
    factor = recording.factor
    border, block = BORDER * factor, BLOCK * factor
    seen, truth = (fidelity.inside(plane, border) for plane in (result, recording.truth[frame]))
    phase = (-border % block, -border % block)
    match metric:
        case "psnr-y":
            return fidelity.psnr(seen, truth)
        case "ssim-y":
            return fidelity.ssim(seen, truth)
        case "psnr-b":
            return fidelity.psnr_b(seen, truth, block, phase)
        case "lpips":
            return perceptual.lpips(seen, truth)
        case "edge-overshoot":
            return artefacts.edge_overshoot(seen, truth, factor)
        case "block-steps":
            return artefacts.block_steps(seen, truth, factor, BLOCK, phase)
        case "mosquito":
            return artefacts.mosquito_energy(seen, truth, factor)
    raise UsageError("validation.metric", f"{metric!r} is no metric of a picture.")


def moving_metric(metric: str, results: Sequence[np.ndarray], recording: Recording) -> float:
    """``metric`` of all frames of the result against all of the truth; borders are cut."""
    border = BORDER * recording.factor
    seen = [fidelity.inside(plane, border) for plane in results]
    truth = [fidelity.inside(plane, border) for plane in recording.truth]
    match metric:
        case "t-of":
            return temporal.t_of(seen, truth)
        case "warping-error":
            return temporal.warping_error(seen, truth).rms
        case "flicker":
            still = temporal.static_region(truth)
            return temporal.flicker(seen, still).above(temporal.flicker(truth, still))
    raise UsageError("validation.metric", f"{metric!r} is no metric of a clip.")


def registration_error(frames: Sequence[np.ndarray], recording: Recording) -> tuple[float, int]:
    """Root mean square distance (recorded px) of found and known displacement, and how many frames were not placed.

    ``frames``: decoded luma. The frames are registered to the reference as fusion does it. NaN where one was not.
    """
    known, found = known_shifts(recording), []
    reference, lost = frames[recording.reference], 0
    for number, frame in enumerate(frames):
        if number == recording.reference:
            continue
        placed = register(reference.astype(np.float32), frame.astype(np.float32))
        if placed is None:
            lost += 1
            continue
        dx, dy = placed.motion.displacement(frame.shape)
        found.append((dx - known[number][0]) ** 2 + (dy - known[number][1]) ** 2)
    return (float(np.sqrt(np.mean(found))) if found and not lost else float("nan")), lost


def differing_samples(frames: Sequence[np.ndarray], recording: Recording) -> int:
    """Luma samples in which decoded ``frames`` differ from what the simulator's own decoder gave, all of them counted.

    A frame too many or too few counts as a whole.
    """
    size = recording.frames[0].size
    wrong = abs(len(frames) - len(recording.frames)) * size
    for one, other in zip(frames, recording.frames, strict=False):
        wrong += size if one.shape != other.shape else int(np.count_nonzero(one.astype(np.float32) != other))
    return wrong
