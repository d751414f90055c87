"""The risk assessment of one output frame against the input that it was made from.

UNCALIBRATED, unless a calibration is given and the frame lies in its domain.

The score ``sum/1`` is R = sqrt(c² + n² + d²), in grey levels at every output pixel, of

c  range conflict: local RMS of y − A x̂ before projection, less the power of the input's noise,
n  null-space injection: local RMS of what the output holds and the input cannot determine,
d  self-ensemble dispersion, where it was measured.

c lives where the data speak and n where they do not, which makes the sum of squares their natural
size together; d overlaps with both, so that R errs on the side of more risk. R is never below the
largest of the three. The score ``quantile/2``, which a calibration may name, is what a learned head
makes of n and other features (:mod:`forensic.risk.learned`), and at least c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forensic.errors import BadInput, InternalError, UsageError
from forensic.frames.frame import CodedFrame, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.fusion.forward import ForwardModel
from forensic.fusion.options import SplitHalves
from forensic.media.opencv import opencv
from forensic.risk.calibration import domain
from forensic.risk.calibration.artefact import QUANTILE, Calibration
from forensic.risk.calibration.judging import WITH_LOW, Judgement, judge, judge_before, unusable
from forensic.risk.calibration.shelf import head_of
from forensic.risk.calibration.software import departure
from forensic.risk.dihedral import Dispersion
from forensic.risk.head import Head
from forensic.risk.learned import HIGH_FROM, NO_ENSEMBLE, learned_score, missing, not_whole, other_picture
from forensic.risk.measurement import SUM, Measurement, compare, incompatible
from forensic.risk.regions import Region, TileMeasurements, find_regions
from forensic.risk.tiles import (
    LEAST_LOW_GROUP,
    TILE,
    Level,
    Thresholds,
    grid_shape,
    in_groups,
    tile_levels,
    tile_percentile,
    tile_share,
)

STATUS = "UNCALIBRATED"
FORCED = "forced HIGH: generative"
OUTSIDE = "HIGH: these tiles hold pixels that show no recording"
REPLACED = "HIGH: these tiles hold pixels that do not show what was recorded at that moment"
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
    measures: Mapping[str, float | None] | None = None

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


def _calibrated(limits: Thresholds, judgement: Judgement) -> Thresholds:
    """``limits`` with the calibrated threshold of LOW; 0, so that nothing is LOW, where there is none."""
    if judgement.status not in WITH_LOW:
        return replace(limits, medium=0.0, status=judgement.status)
    told = (
        f"LOW: calibrated, in groups of at least {LEAST_LOW_GROUP} tiles; HIGH and clipped_share: UNCALIBRATED, "
        "engineering thresholds"
    )
    return replace(limits, medium=min(judgement.low_below, limits.high), status=told)


def _judged(
    measurement: Measurement,
    reference: WorkingFrame,
    limits: Thresholds,
    dispersion: Dispersion | None,
    calibration: Calibration | None,
    head: Head | None,
    halves: SplitHalves | None,
) -> tuple[Measurement, Thresholds, Judgement | None, dict[str, float | None]]:
    """The measurement with the score that was asked for, the thresholds, the calibration's judgement, the measures.

    Where a calibration of the learned score has no LOW for the frame, or was made with other versions of the software
    than are here, its score is worth nothing there and the measurement keeps ``sum/1``.
    """
    noise = float(measurement.facts["noise_sigma"])
    measures = domain.measured(reference, measurement.conflict, noise, None if halves is None else halves.effective)
    if head is not None:
        measurement, distance = learned_score(measurement, reference, head)
        return measurement, _learned(limits), None, measures | {"features": _rounded(distance)}
    if calibration is None:
        return measurement, limits, None, measures
    lacking = departure(calibration)
    if lacking is None and calibration.subject.frames is not None:
        lacking = not_whole(halves, calibration.subject.frames)
    if lacking is None and calibration.score == QUANTILE:
        lacking = missing(reference, calibration.pictures)
    elif lacking is None:
        lacking = None if calibration.laboratory is None else other_picture(reference, calibration.pictures)
        if dispersion is None or dispersion.note is not None:
            lacking = NO_ENSEMBLE  # the score that was calibrated has all its parts
    if lacking is not None:
        none = unusable(calibration, measures, lacking)
        return measurement, _calibrated(limits, none), none, measures
    if calibration.score != QUANTILE:
        whole = judge(calibration, measures)
        return measurement, _calibrated(limits, whole), whole, measures
    judgement = judge_before(calibration, {name: value for name, value in measures.items() if name != "features"})
    if judgement is None:
        try:
            learned, distance = learned_score(measurement, reference, head_of(calibration))
        except BadInput as error:
            judgement = unusable(calibration, measures, error.message)
        else:
            measures |= {"features": _rounded(distance)}
            judgement = judge(calibration, measures)
            if judgement.status in WITH_LOW:
                return learned, _calibrated(_learned(limits), judgement), judgement, measures
    return measurement, _calibrated(limits, judgement), judgement, measures


def _learned(limits: Thresholds) -> Thresholds:
    return replace(limits, high=max(limits.high, HIGH_FROM))


def _rounded(distance: float) -> float:
    return round(distance, 4)


def _tiles_outside(shown: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
    """Which tiles of a picture of ``shape`` hold a pixel that shows no recording, or None where all show it.

    A pixel of the picture stands for every pixel of ``shown`` that it covers a part of, whichever is larger.
    """
    if shown.all():
        return None
    counts = np.pad(~shown, ((1, 0), (1, 0))).astype(np.int64).cumsum(axis=0).cumsum(axis=1)
    first, stop = zip(*(_covered(length, part) for length, part in zip(shape, shown.shape, strict=True)), strict=True)
    (top, left), (bottom, right) = first, stop
    covered = counts[np.ix_(bottom, right)] - counts[np.ix_(top, right)]
    covered -= counts[np.ix_(bottom, left)] - counts[np.ix_(top, left)]
    return np.asarray(tile_share(covered > 0) > 0.0)


def _covered(length: int, part: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``length`` pixels of an axis, which of ``part`` along the same axis it covers: [from, to)."""
    place = np.arange(length, dtype=np.int64)
    return place * part // length, -(-(place + 1) * part // length)


def _replaced(pixels: Mapping[str, np.ndarray], tiles: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the record says of pixels that a stage replaced or left damaged, by reason."""
    return {
        why: {"share": round(float(np.mean(pixels[why])), 5), "tiles": int(np.count_nonzero(found)), "rule": REPLACED}
        for why, found in tiles.items()
    }


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
    replaced: Mapping[str, np.ndarray] | None = None,
    calibration: Calibration | None = None,
    head: Head | None = None,
    halves: SplitHalves | None = None,
) -> RiskAssessment:
    """Assess ``output`` against ``reference``, the input after presentation and geometric stages only.

    ``forward`` None takes the default model between the two geometries. ``dispersion`` is that of
    the learned stages, on the output's grid. Luma is compared in grey levels of the 8-bit scale;
    the reference is limited to its code range first, as the output was when it was quantised. ``shown``
    (boolean, of the reference's size, see ``Pipeline.shows_recording``) is False where the picture has a
    fixed value because there is no recording: such tiles are HIGH, measured or not. So are those that hold a pixel of
    ``replaced`` (by reason, boolean, of the reference's size, see ``replaced_places``). ``calibration``, made for
    exactly the stages that made the output, sets the threshold of LOW where the frame lies in its domain (and small
    groups of LOW tiles are MEDIUM: :data:`forensic.risk.tiles.LEAST_LOW_GROUP`); outside, or where it found no
    threshold, no tile is LOW. A calibration of the score ``quantile/2`` needs its
    head: without it the score is ``sum/1``, the map is UNCALIBRATED, no tile is LOW and the reason is recorded; a frame
    outside its domain has ``sum/1`` too. ``head``: take the score ``quantile/2`` of this head, to
    calibrate it; then no calibration is heeded. ``halves``: of an output that is made of several frames, what its stage
    tells of them, where the output still is that stage's picture (``stages.combining.after_combining``); a calibration
    of such outputs has no LOW without.

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
    measurement: Measurement | None = None
    reason = incompatible(reference, output)
    if reason is None:
        try:
            measurement = compare(reference, output, forward, dispersion, halves)
        except UsageError as error:
            reason = error.message
    forced = stage_class >= StageClass.GENERATIVE
    judgement, measures = None, None
    if measurement is not None:
        measurement, limits, judgement, measures = _judged(
            measurement, reference, limits, dispersion, None if forced else calibration, head, halves
        )
    measured = None if measurement is None else tile_percentile(measurement.risk)
    if measurement is None or measured is None:
        levels = np.full(grid_shape(shape), Level.NOT_ASSESSED, dtype=np.uint8)
    else:
        levels = tile_levels(measured, measurement.clipped_share, limits)
    outside = None if shown is None else _tiles_outside(shown, shape)
    if outside is not None:
        levels = np.where(outside, np.uint8(Level.HIGH), levels)
    filled = {why: found for why, px in (replaced or {}).items() if (found := _tiles_outside(~px, shape)) is not None}
    for found in filled.values():
        levels = np.where(found, np.uint8(Level.HIGH), levels)
    if judgement is not None and judgement.status in WITH_LOW:
        low = levels == Level.LOW
        levels = np.where(low & ~in_groups(low), np.uint8(Level.MEDIUM), levels)
    before_forcing = levels
    if forced:
        levels = np.full_like(levels, Level.HIGH)
    tiles = TileMeasurements(
        levels, measured, {} if measurement is None else measurement.components, limits.high, forced, outside, filled
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
        **({"replaced": _replaced(replaced, filled)} if replaced is not None and filled else {}),
        "tile_px": TILE,
        "tiles": int(levels.size),
        "levels": _level_shares(levels),
        "levels_before_forcing": _level_shares(before_forcing) if forced else None,
        "regions_not_listed": omitted,
        "worst_tiles": _worst_tiles(tiles),
        "combination": SUM if measurement is None else measurement.combination,
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
        measures=measures,
    )
