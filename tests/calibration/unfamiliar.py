"""Recordings of another kind than the calibrated class: how often the domain's gate tells, what the ranking loses, and
what the claims would come to if it did not tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from forensic.risk.calibration.artefact import Calibration
from forensic.risk.calibration.binomial import clopper_pearson
from forensic.risk.calibration.judging import CALIBRATED, judge
from forensic.risk.head import Head
from forensic.simulation.degradation import Codec, Optics, Recorder, Sensor
from forensic.simulation.draw import draw
from forensic.stages.pipeline import Pipeline
from tests.calibration import scenes
from tests.calibration.comparison import LEARNED, rounded
from tests.calibration.evaluation import FIELDS, Held, held, maps_of
from tests.calibration.ranking import Ranked
from tests.calibration.recordings import SEED, Region, enlarged, region

H264 = Codec("h264", crf=24.0, gop=50, preset="medium")
SHARP = Optics("gaussian", sigma_x=0.35, sigma_y=0.35)
GATE, FAILED = "no LOW label by the gate", "any claim failed, gate left out"  # rows
#: Kinds, each with what differs from the class; the quantiser lies in the first two strata as a rule.
KINDS: dict[str, dict[str, Any]] = {
    "as calibrated": {},
    "motion blur": {"optics": Optics("motion", length=3.0, angle=30.0)},
    "defocus": {"optics": Optics("defocus", radius=1.5)},
    "strong noise": {"sensor": Sensor(gain=0.06, read_noise=6.0)},
    "sharpened by the camera": {"recorder": Recorder(sharpen=1.5)},
    "MJPEG": {"codec": Codec("mjpeg", quality=8)},
    "MPEG-4": {"codec": Codec("mpeg4", quality=8)},
}


def _recorded(kind: str, number: int, pictures: list[np.ndarray], factor: int) -> Region:
    rng = np.random.default_rng([SEED, 99, number])
    how = draw(rng, "issue-table", optics=SHARP, codec=H264, factor=factor)
    return region(rng, pictures, number, replace(how, **KINDS[kind]), SEED + number)


def rows(pipeline: Pipeline, calibration: Calibration, head: Head, most: int) -> Iterator[dict[str, object]]:
    """Every kind, for the first ``most`` test scenes: rows as of ``evaluation.csv``, the kind for the stratum."""
    pictures = scenes.pictures("test")
    for kind in KINDS:
        found: list[Held] = []
        statuses = []
        for number, scene in list(enumerate(scenes.listed("test")))[:most]:
            mapped, maps = maps_of(
                enlarged(_recorded(kind, number, pictures, calibration.subject.scale), pipeline), head, pipeline
            )
            judgement = judge(calibration, mapped.measures())
            statuses.append(judgement.status)
            # Where the gate has no stratum to name: the strictest that has a threshold.
            named = [one for one in calibration.strata if one.name == judgement.stratum and one.threshold is not None]
            usable = [one for one in calibration.strata if one.threshold is not None]
            stratum = (named or sorted(usable, key=lambda one: one.threshold or 0.0))[:1] or calibration.strata[:1]
            found.append(held(scene.file, stratum[0], mapped, maps, calibration.subject.scale))
        outside = sum(status != CALIBRATED for status in statuses)
        failed, of = 0, 0
        for one in found:
            if one.counted is not None:
                threshold = next(iter(one.counted.low))
                claims = calibration.claims
                failed += any(one.counted.failed(claim, threshold, calibration.subject.scale) for claim in claims)
                of += 1
        whole = sum((one.ranks.ranked[LEARNED] for one in found[1:]), found[0].ranks.ranked[LEARNED])
        assert isinstance(whole, Ranked)
        for what, count, n in (
            (GATE, outside, len(found)),
            (FAILED, failed, of),
        ):
            limits = (rounded(one) for one in clopper_pearson(count, n))
            yield dict(zip(FIELDS, (kind, what, f"{count}/{n}", *limits, n), strict=True))
        yield dict(zip(FIELDS, (kind, f"AUROC, {LEARNED}", rounded(whole.auroc()), "", "", most), strict=True))
