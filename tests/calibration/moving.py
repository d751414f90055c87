"""A thing that moves by itself through the region, for models of several frames: nothing but the camera moves in their
calibration. How often the domain's gate tells, and where it does not, what LOW is worth.

``moving.csv`` beside the card: the fields of ``evaluation.csv``, CRF and how fast the thing moves for the stratum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from forensic.risk.calibration.artefact import Calibration, Stratum
from forensic.risk.calibration.binomial import clopper_pearson
from forensic.risk.calibration.evaluating import any_failed
from forensic.risk.calibration.judging import CALIBRATED, judge
from forensic.risk.calibration.losses import low_pixels
from forensic.risk.head import Head
from forensic.simulation.degradation import MovingObject
from forensic.simulation.draw import draw
from forensic.stages.pipeline import Pipeline
from tests.calibration import scenes
from tests.calibration.comparison import interval, rounded
from tests.calibration.evaluation import FIELDS, held, maps_of
from tests.calibration.recordings import SEED, Region, enlarged, region
from tests.calibration.unfamiliar import FAILED, GATE, H264, SHARP

CRFS = (24.0, 18.0)  # as unfamiliar material; finer, where most of LOW is
SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)  # recorded pixels a frame
ANGLE = math.radians(20.0)
WIDTH, HEIGHT = 24.0, 16.0  # recorded pixels, of regions of 40 to 112
INSIDE = "any claim failed, in the domain with LOW"
LOW_THERE = "LOW area of the thing, in the domain"  # mean over recordings
WRONG_THERE = "more than 5 % of the thing's LOW off by more than 16, in the domain with LOW there"
#: What is counted, in the order of the rows.
COUNTED = (GATE, FAILED, INSIDE, WRONG_THERE)


def _recorded(crf: float, speed: float, number: int, pictures: list[np.ndarray], factor: int) -> Region:
    rng = np.random.default_rng([SEED, 98, number])
    how = draw(rng, "issue-table", optics=SHARP, codec=replace(H264, crf=crf), factor=factor)
    across, down = speed * math.cos(ANGLE), speed * math.sin(ANGLE)
    thing = MovingObject(width=WIDTH, height=HEIGHT, velocity_x=across, velocity_y=down)
    return region(rng, pictures, number, how, SEED + number, thing=thing)


def _stratum(calibration: Calibration, name: str | None) -> Stratum:
    """That named; else, where the gate has none to name, the strictest that has a threshold."""
    usable = [one for one in calibration.strata if one.threshold is not None]
    named = [one for one in usable if one.name == name]
    return (named or sorted(usable, key=lambda one: one.threshold or 0.0))[0]


@dataclass
class Told:
    """Counts of recordings; of each in the domain, the share of the thing that is LOW."""

    n: int = 0
    outside: int = 0
    failed: int = 0
    with_low: int = 0
    failed_inside: int = 0
    low_there: int = 0
    wrong_there: int = 0
    areas: list[float] = field(default_factory=list)

    def rows(self, name: str) -> Iterator[dict[str, object]]:
        """As of ``evaluation.csv``."""
        for what, count, n in (
            (GATE, self.outside, self.n),
            (FAILED, self.failed, self.n),
            (INSIDE, self.failed_inside, self.with_low),
            (WRONG_THERE, self.wrong_there, self.low_there),
        ):
            limits = tuple(map(rounded, clopper_pearson(count, n))) if n else ("", "")
            yield dict(zip(FIELDS, (name, what, f"{count}/{n}", *limits, n), strict=True))
        if self.areas:
            mean = rounded(float(np.mean(self.areas)))
            yield dict(zip(FIELDS, (name, LOW_THERE, mean, *interval(self.areas), len(self.areas)), strict=True))


def rows(pipeline: Pipeline, calibration: Calibration, head: Head, most: int) -> Iterator[dict[str, object]]:
    """Every rate and speed, for the first ``most`` test scenes."""
    pictures = scenes.pictures("test")
    for crf, speed in product(CRFS, SPEEDS):
        told = Told()
        for number, scene in list(enumerate(scenes.listed("test")))[:most]:
            made = _recorded(crf, speed, number, pictures, calibration.subject.scale)
            _add(told, made, scene.file, pipeline, calibration, head)
        yield from told.rows(f"CRF {crf:g}, {speed:g} pixels a frame")


def _add(told: Told, made: Region, scene: str, pipeline: Pipeline, calibration: Calibration, head: Head) -> None:
    scale = calibration.subject.scale
    found, maps = maps_of(enlarged(made, pipeline), head, pipeline)
    judgement = judge(calibration, found.measures())
    stratum = _stratum(calibration, judgement.stratum)
    threshold = stratum.threshold or 0.0
    counted = held(scene, stratum, found, maps, scale).counted
    assert counted is not None
    breaks = any_failed(counted, calibration.claims, threshold, scale)
    told.n += 1
    told.failed += breaks
    if judgement.status != CALIBRATED:
        told.outside += 1
        return
    told.with_low += counted.low[threshold] > 0
    told.failed_inside += breaks
    low = low_pixels(found.tile_risk, found.barred, found.error.shape, threshold) & made.cover
    told.areas.append(float(low.sum() / made.cover.sum()))
    if low.any():
        told.low_there += 1
        told.wrong_there += bool((found.error[low] > 16.0).mean() > 0.05)
