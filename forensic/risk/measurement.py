"""Comparing one output with the input that it was made from: the parts of the risk, and the sum of their squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from forensic.errors import InternalError, UsageError
from forensic.frames.frame import CodedFrame, WorkingFrame
from forensic.fusion.forward import ForwardModel
from forensic.fusion.options import SplitHalves
from forensic.fusion.projection import PRIOR_SIGMA, noise_weight, soft_projection
from forensic.risk.calibration.domain import codes
from forensic.risk.clipping import Clipping, find_clipping
from forensic.risk.dihedral import Dispersion
from forensic.risk.noise import estimate_sigma
from forensic.risk.nullspace import local_rms, nullspace_injection, rms_window
from forensic.risk.quantiles import LARGEST_UNIT, UNITS_PER_GREY_LEVEL, describe
from forensic.risk.regions import CONFLICT, DISPERSION, FRAMES, INJECTION
from forensic.risk.tiles import tile_share

CONFLICT_WINDOW = 3  # input pixels
SUM = "root of the sum of squares of range conflict, null-space injection and self-ensemble dispersion"
SUM_OF_FRAMES = f"{SUM}, and half of the difference between the halves of the frames"
TIKHONOV, FUSION = "the smoothest picture that explains the frame (Tikhonov)", "the fusion of the frames, without model"


@dataclass(frozen=True)
class Measurement:
    """What comparing one pair of pictures gives. ``y``, ``x``: luma of input and output that were compared."""

    y: np.ndarray
    x: np.ndarray
    forward: ForwardModel
    risk: np.ndarray
    conflict: np.ndarray
    components: dict[str, np.ndarray]
    clipped_share: np.ndarray
    facts: dict[str, Any]
    combination: str = SUM


def incompatible(reference: WorkingFrame, output: CodedFrame) -> str | None:
    """Why luma of the two cannot be compared, or None."""
    families = reference.geometry.layout.family, output.geometry.layout.family
    if families[0] != families[1]:
        return f"The input is {families[0]}, the output {families[1]}: their luma cannot be compared."
    if families[0] != "rgb" and reference.colour.assumed_full_range() != output.colour.assumed_full_range():
        return "Input and output have different luma ranges: their luma cannot be compared."
    return None


def _measure(
    y: np.ndarray,
    x: np.ndarray,
    clipping: Clipping,
    forward: ForwardModel,
    dispersion: Dispersion | None,
    halves: SplitHalves | None,
) -> Measurement:
    sigma = estimate_sigma(y, clipping.mask)
    tau = noise_weight(sigma)
    projection = soft_projection(x, y, forward, tau)
    fused, apart = _taken_apart(halves)
    injection = nullspace_injection(projection, y, forward, tau, fused)
    raw = local_rms(projection.conflict, CONFLICT_WINDOW)
    excess = np.sqrt(np.maximum(raw * raw - np.float32(sigma**2), np.float32(0.0)))
    components = {CONFLICT: forward.replicate(excess), INJECTION: injection.rms}
    if dispersion is not None:
        components[DISPERSION] = np.asarray(dispersion.deviation, dtype=np.float32)
    if apart is not None:
        components[FRAMES] = local_rms(apart, rms_window(forward.factor))
    power = np.zeros_like(x)
    for component in components.values():
        cv2.accumulateSquare(component, power)
    risk = np.asarray(cv2.sqrt(power))
    if not np.isfinite(np.sum(risk, dtype=np.float64)):
        raise InternalError("risk.not-finite", "The risk map holds a value that is not a finite number.")
    facts = {
        "noise_sigma": round(sigma, 4),
        "prior_sigma": PRIOR_SIGMA,
        "tau": round(tau, 8),
        "forward_model": forward.to_record(),
        "projection": projection.solution.to_record(),
        "null_space_reference": TIKHONOV if fused is None else FUSION,
        "tikhonov_reference": None if (made := injection.reference_solution) is None else made.to_record(),
        "windows": {"conflict_input_px": CONFLICT_WINDOW, "injection_output_px": rms_window(forward.factor)},
        "risk": describe(risk),
        "range_conflict": {
            "mean_signed": round(float(projection.conflict.mean(dtype=np.float64)), 3),
            "before_projection": describe(np.abs(projection.conflict)),
            "above_noise": describe(excess),
        },
        "null_space_injection": describe(injection.rms),
        "dispersion": None
        if dispersion is None
        else {
            **describe(components[DISPERSION]),
            "transforms": list(dispersion.transforms),
            "note": dispersion.note,
        },
        "split_half": None if apart is None else describe(components[FRAMES]),
        "clipped_input": {
            "share": round(float(clipping.mask.mean()), 5),
            "black_level": clipping.black,
            "white_level": clipping.white,
        },
        "risk_png": {
            "unit_grey_levels": 1 / UNITS_PER_GREY_LEVEL,
            "clipped_pixels": int(np.count_nonzero(risk * np.float32(UNITS_PER_GREY_LEVEL) > LARGEST_UNIT)),
        },
    }
    share = tile_share(forward.replicate(clipping.mask.astype(np.uint8)) > 0)
    combination = SUM if apart is None else SUM_OF_FRAMES
    return Measurement(y, x, forward, risk, projection.conflict, components, share, facts, combination)


def _taken_apart(halves: SplitHalves | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The fusion without model that a refined picture is compared with, and half of the difference between the halves.

    The mean of the halves stands for the fusion of all frames, which holds about half of what differs between them.
    """
    if halves is None or halves.halves is None:
        return None, None
    even, odd = halves.halves
    apart = np.asarray(cv2.addWeighted(even, 0.5, odd, -0.5, 0.0))
    return (np.asarray(cv2.addWeighted(even, 0.5, odd, 0.5, 0.0)) if halves.refined else None), apart


def compare(
    reference: WorkingFrame,
    output: CodedFrame,
    forward: ForwardModel | None,
    dispersion: Dispersion | None,
    halves: SplitHalves | None = None,
) -> Measurement:
    """Compare the luma of ``output`` with ``reference``, its input; ``halves``: of an output of several frames.

    Raises ``UsageError`` (``risk.geometry``) where the forward model does not lead from one size to the other, and
    ``InternalError`` (``risk.halves-shape``, ``risk.not-finite``).
    """
    model = forward or ForwardModel.between(reference.geometry, output.geometry)
    inside = (reference.geometry.height, reference.geometry.width)
    if model.output_shape(inside) != (output.geometry.height, output.geometry.width):
        raise UsageError(
            "risk.geometry",
            f"The forward model's scale {model.factor} does not lead from {output.geometry.width}x"
            f"{output.geometry.height} to {inside[1]}x{inside[0]} pixels.",
        )
    y = codes(reference)
    x = np.ascontiguousarray(output.to_working().luma)
    if halves is not None and halves.halves is not None and {one.shape for one in halves.halves} != {x.shape}:
        raise InternalError("risk.halves-shape", f"Halves of {halves.halves[0].shape} for an output of {x.shape}.")
    return _measure(y, x, find_clipping(reference, y), model, dispersion, halves)
