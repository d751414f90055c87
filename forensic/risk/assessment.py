"""The risk assessment of one output frame against the input that it was made from.

UNCALIBRATED, unless a calibration is given and the frame lies in its domain.

R = sqrt(c² + n² + d²), in grey levels at every output pixel, of

c  range conflict: local RMS of y − A x̂ before projection, less the power of the input's noise,
n  null-space injection: local RMS of what the output holds and the input cannot determine,
d  self-ensemble dispersion, where it was measured.

c lives where the data speak and n where they do not, which makes the sum of squares their natural
size together; d overlaps with both, so that R errs on the side of more risk. R is never below the
largest of the three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from forensic.errors import InternalError, UsageError
from forensic.frames.frame import CodedFrame, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.fusion.forward import ForwardModel
from forensic.fusion.projection import PRIOR_SIGMA, noise_weight, soft_projection
from forensic.media.opencv import opencv
from forensic.risk.calibration import domain
from forensic.risk.calibration.artefact import Calibration
from forensic.risk.calibration.judging import CALIBRATED, Judgement, judge
from forensic.risk.clipping import Clipping, find_clipping
from forensic.risk.dihedral import Dispersion
from forensic.risk.noise import estimate_sigma
from forensic.risk.nullspace import local_rms, nullspace_injection, rms_window
from forensic.risk.quantiles import LARGEST_UNIT, UNITS_PER_GREY_LEVEL, describe
from forensic.risk.regions import CONFLICT, DISPERSION, INJECTION, Region, TileMeasurements, find_regions
from forensic.risk.tiles import TILE, Level, Thresholds, grid_shape, tile_levels, tile_percentile, tile_share

STATUS = "UNCALIBRATED"
COMBINATION = "root of the sum of squares of range conflict, null-space injection and self-ensemble dispersion"
FORCED = "forced HIGH: generative"
OUTSIDE = "HIGH: these tiles hold pixels that show no recording"
CONFLICT_WINDOW = 3  # input pixels
WORST_TILES = 5


@dataclass(frozen=True)
class RiskAssessment:
    """Maps and findings for one frame.

    ``risk`` and ``components`` are float32 grey levels at output resolution (``risk`` is None and
    ``components`` empty where nothing could be measured); ``conflict`` is y − A x̂, signed, at input
    resolution, before projection. ``levels`` is uint8 per tile (:class:`Level`). Heavy: write the
    maps, keep :meth:`to_record`.
    """

    frame: int
    pts: int
    shape: tuple[int, int]
    stage_class: StageClass
    levels: np.ndarray
    risk: np.ndarray | None
    conflict: np.ndarray | None
    components: Mapping[str, np.ndarray]
    regions: tuple[Region, ...]
    not_listed: Mapping[str, Mapping[str, int]]
    thresholds: Thresholds
    reason: str | None
    facts: Mapping[str, Any]
    judgement: Judgement | None = None

    @property
    def status(self) -> str:
        """``UNCALIBRATED``, or what the calibration said of this frame."""
        return STATUS if self.judgement is None else self.judgement.status

    @property
    def assessed(self) -> bool:
        """Whether the output could be measured against its input."""
        return self.risk is not None

    def summary(self) -> dict[str, Any]:
        """JSON-able: shares of levels, quantiles, noise, weights, forward model, thresholds, worst tiles."""
        return dict(self.facts)

    def to_record(self) -> dict[str, Any]:
        """The frame's entry in ``regions.json`` and in the run's record."""
        return {
            "frame": self.frame,
            "pts": self.pts,
            "summary": self.summary(),
            "regions": [region.to_record() for region in self.regions],
            "regions_not_listed": sum(entry["regions"] for entry in self.not_listed.values()),
        }


@dataclass(frozen=True)
class _Measurement:
    """What comparing one pair of pictures gives."""

    risk: np.ndarray
    conflict: np.ndarray
    components: dict[str, np.ndarray]
    clipped_share: np.ndarray
    facts: dict[str, Any]


def _incompatible(reference: WorkingFrame, output: CodedFrame) -> str | None:
    """Why luma of the two cannot be compared, or None."""
    families = reference.geometry.layout.family, output.geometry.layout.family
    if families[0] != families[1]:
        return f"The input is {families[0]}, the output {families[1]}: their luma cannot be compared."
    if families[0] != "rgb" and reference.colour.assumed_full_range() != output.colour.assumed_full_range():
        return "Input and output have different luma ranges: their luma cannot be compared."
    return None


def _measure(
    y: np.ndarray, x: np.ndarray, clipping: Clipping, forward: ForwardModel, dispersion: Dispersion | None
) -> _Measurement:
    sigma = estimate_sigma(y, clipping.mask)
    tau = noise_weight(sigma)
    projection = soft_projection(x, y, forward, tau)
    injection = nullspace_injection(projection, y, forward, tau)
    raw = local_rms(projection.conflict, CONFLICT_WINDOW)
    excess = np.sqrt(np.maximum(raw * raw - np.float32(sigma**2), np.float32(0.0)))
    components = {CONFLICT: forward.replicate(excess), INJECTION: injection.rms}
    if dispersion is not None:
        components[DISPERSION] = np.asarray(dispersion.deviation, dtype=np.float32)
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
        "tikhonov_reference": injection.reference_solution.to_record(),
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
    return _Measurement(risk, projection.conflict, components, share, facts)


def _compare(
    reference: WorkingFrame, output: CodedFrame, forward: ForwardModel | None, dispersion: Dispersion | None
) -> _Measurement:
    model = forward or ForwardModel.between(reference.geometry, output.geometry)
    inside = (reference.geometry.height, reference.geometry.width)
    if model.output_shape(inside) != (output.geometry.height, output.geometry.width):
        raise UsageError(
            "risk.geometry",
            f"The forward model's scale {model.factor} does not lead from {output.geometry.width}x"
            f"{output.geometry.height} to {inside[1]}x{inside[0]} pixels.",
        )
    y = _codes(reference)
    x = np.ascontiguousarray(output.to_working().luma)
    return _measure(y, x, find_clipping(reference, y), model, dispersion)


def _codes(reference: WorkingFrame) -> np.ndarray:
    """The luma limited to its code range."""
    layout = reference.geometry.layout
    return np.clip(reference.luma, np.float32(0.0), np.float32(layout.maximum / layout.grey_scale))


def _calibrated(limits: Thresholds, judgement: Judgement) -> Thresholds:
    """``limits`` with the calibrated threshold of LOW; 0, so that nothing is LOW, where there is none."""
    if judgement.status != CALIBRATED:
        return replace(limits, medium=0.0, status=judgement.status)
    told = "LOW: calibrated; HIGH and clipped_share: UNCALIBRATED, engineering thresholds"
    return replace(limits, medium=min(judgement.low_below, limits.high), status=told)


def _tiles_outside(shown: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
    """Which tiles of a picture of ``shape`` hold a pixel that shows no recording, or None where all show it."""
    if shown.all():
        return None
    rows, columns = (np.arange(length) * part // length for length, part in zip(shape, shown.shape, strict=True))
    return np.asarray(tile_share(~shown[np.ix_(rows, columns)]) > 0.0)


def _level_shares(levels: np.ndarray) -> dict[str, dict[str, Any]]:
    counts = {level.label: int(np.count_nonzero(levels == level)) for level in Level}
    return {name: {"tiles": count, "share": round(count / levels.size, 5)} for name, count in counts.items()}


def _worst_tiles(tiles: TileMeasurements) -> list[dict[str, Any]]:
    if tiles.risk is None:
        return []
    order = np.lexsort((-tiles.risk.ravel(), -tiles.levels.ravel().astype(np.int64)))[:WORST_TILES]
    worst = []
    for position in order:
        row, column = divmod(int(position), tiles.risk.shape[1])
        level = Level(int(tiles.levels[row, column])).label
        worst.append({"level": level, **tiles.worst(row, column).to_record()})
    return worst


def assess(
    reference: WorkingFrame,
    output: CodedFrame,
    forward: ForwardModel | None = None,
    *,
    dispersion: Dispersion | None = None,
    thresholds: Thresholds | None = None,
    shown: np.ndarray | None = None,
    calibration: Calibration | None = None,
) -> RiskAssessment:
    """Assess ``output`` against ``reference``, the input after presentation and geometric stages only.

    ``forward`` None takes the default model between the two geometries. ``dispersion`` is that of
    the learned stages, on the output's grid. Luma is compared in grey levels of the 8-bit scale;
    the reference is limited to its code range first, as the output was when it was quantised. ``shown``
    (boolean, of the reference's size, see ``Pipeline.shows_recording``) is False where the picture has a
    fixed value because there is no recording: such tiles are HIGH, measured or not. ``calibration``, made for
    exactly the stages that made the output, sets the threshold of LOW where the frame lies in its domain; outside,
    or where it found no threshold, no tile is LOW.

    Geometries, planes or ranges that do not fit each other give NOT ASSESSED everywhere and the
    reason, never an error. If ``output`` or ``reference`` is of generative class, every tile is
    HIGH, measured or not. Raises ``InternalError`` (``risk.frame-mismatch``,
    ``risk.dispersion-shape``, ``risk.not-finite``) where the caller or the machine went wrong.
    """
    opencv()  # sets this thread to the arithmetic that is the same everywhere
    if reference.timing.index != output.timing.index:
        raise InternalError(
            "risk.frame-mismatch",
            f"Frame {output.timing.index} was to be assessed against frame {reference.timing.index}.",
        )
    limits = thresholds or Thresholds()
    shape = (output.geometry.height, output.geometry.width)
    if dispersion is not None and dispersion.deviation.shape != shape:
        raise InternalError(
            "risk.dispersion-shape", f"Dispersion of {dispersion.deviation.shape} for an output of {shape}."
        )
    stage_class = max(reference.stage_class, output.stage_class)
    measurement: _Measurement | None = None
    reason = _incompatible(reference, output)
    if reason is None:
        try:
            measurement = _compare(reference, output, forward, dispersion)
        except UsageError as error:
            reason = error.message
    forced = stage_class >= StageClass.GENERATIVE
    judgement: Judgement | None = None
    whole = dispersion is not None and dispersion.note is None  # the score that was calibrated has all its parts
    if measurement is not None and calibration is not None and not forced and whole:
        sigma = float(measurement.facts["noise_sigma"])
        found = domain.measured(_codes(reference), measurement.conflict, sigma, reference.coding)
        judgement = judge(calibration, found)
        limits = _calibrated(limits, judgement)
    measured = None if measurement is None else tile_percentile(measurement.risk)
    if measurement is None or measured is None:
        levels = np.full(grid_shape(shape), Level.NOT_ASSESSED, dtype=np.uint8)
    else:
        levels = tile_levels(measured, measurement.clipped_share, limits)
    outside = None if shown is None else _tiles_outside(shown, shape)
    if outside is not None:
        levels = np.where(outside, np.uint8(Level.HIGH), levels)
    before_forcing = levels
    if forced:
        levels = np.full_like(levels, Level.HIGH)
    tiles = TileMeasurements(
        levels, measured, {} if measurement is None else measurement.components, limits.high, forced, outside
    )
    regions, omitted = find_regions(tiles, shape)
    facts: dict[str, Any] = {
        "status": STATUS if judgement is None else judgement.status,
        "class": stage_class.label,
        "assessed": measurement is not None,
        "reason_not_assessed": reason,
        "forced": FORCED if forced else None,
        "no_recording": None
        if outside is None or shown is None
        else {
            "share": round(float(np.mean(~shown)), 5),
            "tiles": int(np.count_nonzero(outside)),
            "rule": OUTSIDE,
        },
        "tile_px": TILE,
        "tiles": int(levels.size),
        "levels": _level_shares(levels),
        "levels_before_forcing": _level_shares(before_forcing) if forced else None,
        "regions_not_listed": omitted,
        "worst_tiles": _worst_tiles(tiles),
        "combination": COMBINATION,
        "thresholds": limits.to_record(),
        **({} if measurement is None else measurement.facts),
        **({} if judgement is None else {"calibration": judgement.to_record()}),
    }
    return RiskAssessment(
        frame=output.timing.index,
        pts=output.timing.pts,
        shape=shape,
        stage_class=stage_class,
        levels=levels,
        risk=None if measurement is None else measurement.risk,
        conflict=None if measurement is None else measurement.conflict,
        components=tiles.components,
        regions=tuple(regions),
        not_listed=omitted,
        thresholds=limits,
        reason=reason,
        facts=facts,
        judgement=judgement,
    )
