"""Film grain of a recording: parameters, and whether what they describe is grain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.grain.fitting import (
    StrengthCurve,
    block_variances,
    covariances,
    in_whole_numbers,
    mean_over,
    rounding_variance,
    solve_filter,
    stable,
    strength_curve,
)
from forensic.grain.kind import FEWEST_BLOCKS, Evidence, Kind, evidence_of, judge
from forensic.grain.parameters import GrainParameters, neighbours
from forensic.grain.sampling import Picture, Residuals, residuals_of

VERSION = 1
LAG = 3
_WEAKEST_COLOUR = 0.25  # grey levels


@dataclass(frozen=True)
class GrainEstimate:
    """``parameters``: the model nearest to what changes from frame to frame, empty where it cannot be fitted.

    ``kind`` and ``why``: what it is. ``strengths``: (level, grey levels, blocks) of luma where there were blocks.
    ``frames``: those looked at; ``identical_pairs``: pairs left out because the second frame repeats the first.
    ``moved``: blocks left out because texture moved there. ``colour_sigma``: of Cb and Cr at their median block.
    """

    parameters: GrainParameters
    kind: Kind
    why: str
    evidence: Evidence | None
    strengths: tuple[tuple[float, float, int], ...]
    colour_sigma: tuple[float, ...]
    frames: tuple[int, ...]
    identical_pairs: int
    moved: int

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "estimator_version": VERSION,
            "kind": self.kind.value,
            "why": self.why,
            "interval": "uncalibrated",
            "evidence": None if self.evidence is None else self.evidence.to_record(),
            "strength": [{"level": level, "sigma": round(sigma, 4), "blocks": n} for level, sigma, n in self.strengths],
            "colour_sigma": [round(one, 4) for one in self.colour_sigma],
            "frames": list(self.frames),
            "identical_pairs": self.identical_pairs,
            "moved_blocks": self.moved,
            "parameters": self.parameters.to_record(),
        }


def no_filter() -> GrainParameters:
    """Parameters that add nothing."""
    count = len(neighbours(LAG))
    return GrainParameters(
        lag=LAG, luma_coefficients=(0,) * count, cb_coefficients=(0,) * (count + 1), cr_coefficients=(0,) * (count + 1)
    )


def estimate_grain(groups: Iterable[Sequence[Picture]]) -> GrainEstimate:
    """Estimate from ``groups``: pairs of consecutive pictures, at :func:`~forensic.grain.sampling.places` of a clip."""
    found = residuals_of(groups)
    if found.chosen < FEWEST_BLOCKS:
        return _without(found)
    level = np.concatenate(found.level)
    curve = strength_curve(level, block_variances(found, 0))
    luma = _normalised(found, 0, curve)
    own = _covariance(luma, found, curve)
    middle = own.shape[0] // 2
    power = max(float(own[middle, middle]), 1e-6)
    alike = float(np.clip(max(own[middle, middle + 1], own[middle + 1, middle]) / power, -1.0, 1.0))
    evidence = evidence_of(found, curve, alike)
    kind, why = judge(evidence)
    curves: list[StrengthCurve | None] = [None, None, None]
    filters: list[np.ndarray | None] = [None, None, None]
    excitations = [1.0, 1.0, 1.0]
    sigmas: list[float] = []
    if float(curve.at(np.median(level)[None])[0]) > _WEAKEST_COLOUR:
        curves[0] = curve
        weights, excitations[0] = solve_filter(own / power, None, LAG)
        filters[0] = stable(weights, excitations[0], LAG)
        for plane in (1, 2) if found.subsampling is not None else ():
            sigma = _colour(found, plane, luma, curves, filters, excitations)
            sigmas.append(sigma)
    parameters = in_whole_numbers(curves, filters, excitations, found.subsampling, LAG)
    strengths = tuple(
        (float(knot), float(sigma), int(count))
        for knot, sigma, count in zip(curve.levels, curve.sigma, curve.support, strict=True)
        if count
    )
    seen = tuple(found.frames), found.identical_pairs, found.moved
    return GrainEstimate(parameters, kind, why, evidence, strengths, tuple(sigmas), *seen)


def _without(found: Residuals) -> GrainEstimate:
    if found.identical_pairs and not found.pairs:
        kind, why = Kind.STILL, "every frame that was looked at is repeated by the next one, sample for sample"
    elif found.usable and found.repeated > 0.5 * found.usable:
        kind, why = Kind.CODING, f"{found.repeated / found.usable:.0%} of the blocks are repeated in the next frame"
    elif found.usable and found.dead > 0.5 * found.usable:
        kind, why = Kind.CODING, f"{found.dead / found.usable:.0%} of the blocks have no fine detail at all"
    else:
        kind, why = judge(None)
    return GrainEstimate(no_filter(), kind, why, None, (), (), tuple(found.frames), found.identical_pairs, found.moved)


Blocks = list[np.ndarray]


def _normalised(found: Residuals, plane: int, curve: StrengthCurve) -> Blocks:
    """What changes in flat blocks, divided by the strength at each block's level."""
    return [
        blocks * (1.0 / np.maximum(curve.at(level), 0.2)).astype(np.float32)[:, None, None]
        for blocks, level in zip(found.of_flat(plane), found.levels_of_flat, strict=True)
    ]


def _covariance(blocks: Blocks, found: Residuals, curve: StrengthCurve) -> np.ndarray:
    """Covariance of what changes, without the rounding of samples."""
    covariance = covariances(blocks, blocks)
    middle = covariance.shape[0] // 2
    level = np.concatenate(found.levels_of_flat)
    covariance[middle, middle] -= np.mean(rounding_variance(found.bits) / np.maximum(curve.at(level), 0.2) ** 2)
    return covariance


def _colour(
    found: Residuals,
    plane: int,
    luma: Blocks,
    curves: list[StrengthCurve | None],
    filters: list[np.ndarray | None],
    excitations: list[float],
) -> float:
    """Fit Cb or Cr; returns its strength at the median level. Nothing is set where that is too weak to be fitted."""
    level = np.concatenate(found.level)
    curve = strength_curve(level, block_variances(found, plane))
    sigma = float(curve.at(np.median(level)[None])[0])
    if sigma < _WEAKEST_COLOUR or found.subsampling is None:
        return sigma
    blocks = _normalised(found, plane, curve)
    own = _covariance(blocks, found, curve)
    middle = own.shape[0] // 2
    power = max(float(own[middle, own.shape[1] // 2]), 1e-6)
    means = [mean_over(one, found.subsampling) for one in luma]
    cross, of_means = covariances(blocks, means), covariances(means, means)
    variance = max(float(of_means[of_means.shape[0] // 2, of_means.shape[1] // 2]), 1e-3)
    weights, excitation = solve_filter(own / power, (cross / power**0.5, variance), LAG)
    curves[plane], filters[plane], excitations[plane] = curve, stable(weights, excitation, LAG), excitation
    return sigma
