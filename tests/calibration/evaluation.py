"""What a shipped calibration is worth on held-out scenes: coverage, ranking, LOW area, abstention, baselines.

``python -m tests.calibration --recipe light --model light-x4 --evaluate`` records the test scenes, once, and writes
``evaluation.csv`` beside the model's card: per stratum one row for each number, with its interval.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from forensic.risk.assessment import assess
from forensic.risk.calibration import counting
from forensic.risk.calibration.artefact import Calibration, Claim, Stratum
from forensic.risk.calibration.binomial import clopper_pearson
from forensic.risk.calibration.breakdown import BRIGHTNESS, brightness_class
from forensic.risk.calibration.criteria import TOLERANCES
from forensic.risk.calibration.domain import outside
from forensic.risk.calibration.evaluating import any_failed, shown
from forensic.risk.calibration.laboratory import Shown, rate_limits
from forensic.risk.calibration.losses import counts
from forensic.risk.calibration.strata import Recording
from forensic.risk.dihedral import dispersion
from forensic.risk.features import gradient
from forensic.risk.head import Head
from forensic.risk.regions import DISPERSION
from forensic.stages.pipeline import Pipeline
from tests.calibration import comparison, scenes
from tests.calibration.comparison import Ranks, interval, rounded
from tests.calibration.recordings import STRATA, Enlarged, enlarged, recorded

FIELDS = ("stratum", "what", "value", "low", "high", "n")


@dataclass(frozen=True)
class Held:
    """What one held-out recording showed: ``measures``, counts at the stratum's threshold, how the scores rank."""

    scene: str
    stratum: str
    measures: dict[str, float | None]
    counted: Recording | None
    ranks: Ranks


def maps_of(made: Enlarged, head: Head, pipeline: Pipeline) -> tuple[counting.Mapped, dict[str, np.ndarray]]:
    """The frame as mapped, and the map of every score at output resolution."""
    found = counting.mapped(made.frame, made.output, None, made.truth, head, made.halves)
    spread = None if pipeline.radius else dispersion(pipeline.process_window, [made.frame], 0)
    plain = assess(made.frame, made.output, dispersion=spread)
    x, y = made.output.to_working().luma, made.frame.luma
    assert found.assessment.risk is not None and plain.risk is not None and plain.conflict is not None
    size = (x.shape[1], x.shape[0])
    maps = {"quantile/2": found.assessment.risk}
    if spread is not None:
        maps |= {"sum/1": plain.risk, "self-ensemble": plain.components[DISPERSION]}
    if made.halves is not None and made.halves.halves is not None:
        maps["split-half"] = np.asarray(cv2.absdiff(*made.halves.halves))
    return found, maps | {
        "reprojection": np.asarray(cv2.resize(np.abs(plain.conflict), size, interpolation=cv2.INTER_NEAREST)),
        "interpolation": np.abs(x - cv2.resize(y, size, interpolation=cv2.INTER_CUBIC)),
        "gradient": gradient(x),
        "constant": np.zeros_like(x),
    }


def held(scene: str, stratum: Stratum, found: counting.Mapped, maps: dict[str, np.ndarray], scale: int) -> Held:
    """What is kept of a recording."""
    counted = None
    if stratum.threshold is not None:
        every = list(counts(found.tile_risk, found.barred, found.error, found.edges, (stratum.threshold,)))
        one = every[0]

        def by(values: Iterable[int]) -> dict[int, dict[float, int]]:
            return {tolerance: {one.threshold: value} for tolerance, value in zip((16, 32), values, strict=True)}

        counted = Recording(
            one.pixels, {one.threshold: one.low}, {one.threshold: one.edge_low}, by(one.wrong), by(one.edge_wrong),
            by(one.largest), found.measures(), found.content((one.threshold,)),
        )  # fmt: skip
    return Held(scene, stratum.name, found.measures(), counted, Ranks.of(found, maps))


def recordings(pipeline: Pipeline, calibration: Calibration, head: Head) -> Iterator[Held]:
    """Record and map every test scene in every stratum."""
    strata = {one.name: one for one in calibration.strata}
    pictures = scenes.pictures("test")
    for stratum in STRATA:
        for number, scene in enumerate(scenes.listed("test")):
            recording = recorded(pictures, number, stratum, "test", calibration.subject.scale)
            if recording is not None:
                found, maps = maps_of(enlarged(recording, pipeline), head, pipeline)
                yield held(scene.file, strata[stratum.name], found, maps, calibration.subject.scale)


def table(found: Sequence[Held], calibration: Calibration) -> list[dict[str, object]]:
    """The numbers of ``evaluation.csv``."""
    rows: list[dict[str, object]] = []
    for stratum in calibration.strata:
        own = [one for one in found if one.stratum == stratum.name]
        rows += [dict(zip(FIELDS, (stratum.name, *row), strict=True)) for row in _stratum(own, stratum, calibration)]
    return rows


def _stratum(own: Sequence[Held], stratum: Stratum, calibration: Calibration) -> Iterator[tuple[object, ...]]:
    inside = [one for one in own if not outside(stratum.ranges, one.measures)]
    low, high = clopper_pearson(len(own) - len(inside), len(own))
    yield "outside the domain", rounded(1.0 - len(inside) / len(own)), rounded(low), rounded(high), len(own)
    if stratum.threshold is not None:
        for name, part in (("in the domain", inside), ("all", own)):
            yield from _coverage(name, [one.counted for one in part if one.counted], stratum, calibration)
        yield from _broken_down(inside, stratum, calibration)
    by_scene = list({one.scene: one for one in own}.values())
    yield from comparison.rows([one.ranks for one in by_scene])


def _coverage(
    name: str, part: Sequence[Recording], stratum: Stratum, calibration: Calibration
) -> Iterator[tuple[object, ...]]:
    threshold = stratum.threshold or 0.0
    for claim in calibration.claims:
        failures = sum(one.failed(claim, threshold, calibration.subject.scale) for one in part)
        low, high = clopper_pearson(failures, len(part))
        label = f"claim failed, {_word(claim)}, {name}"
        yield label, f"{failures}/{len(part)}", rounded(low), rounded(high), len(part)
    failures = sum(any_failed(one, calibration.claims, threshold, calibration.subject.scale) for one in part)
    with_low = sum(one.low[threshold] > 0 for one in part)
    for label, count in (("", len(part)), (" with LOW", with_low)):
        # A recording without LOW cannot fail: of those with LOW the rate is higher.
        yield f"any claim failed, {name}{label}", f"{failures}/{count}", *_rate(failures, count), count
    areas = [one.low[threshold] / one.pixels for one in part]
    yield f"LOW area, {name}", rounded(float(np.mean(areas))), *interval(areas), len(part)
    empty = sum(area == 0.0 for area in areas)
    low, high = clopper_pearson(empty, len(part))
    yield f"no LOW tile, {name}", rounded(empty / len(part)), rounded(low), rounded(high), len(part)


def _broken_down(inside: Sequence[Held], stratum: Stratum, calibration: Calibration) -> Iterator[tuple[object, ...]]:
    """By brightness of the recording, by kind of area and by both, of the recordings in the domain."""
    part = [one.counted for one in inside if one.counted]
    yield from _parts("", part, stratum, calibration)
    for kind in BRIGHTNESS:
        own = [one for one in part if one.content is not None and brightness_class(one.content.brightness) == kind]
        if own:
            yield from _parts(f", brightness {kind}", own, stratum, calibration)


def _parts(
    label: str, part: Sequence[Recording], stratum: Stratum, calibration: Calibration
) -> Iterator[tuple[object, ...]]:
    for one in shown(part, calibration.claims, stratum.threshold or 0.0, calibration.subject.scale):
        if label and one.by == "brightness":
            continue  # there is one only
        named, failed = f"{one.by} {one.name}{label}, in the domain", one.failed
        what = "any claim failed" if one.tolerance is None else f"share {one.tolerance} failed"
        limits = (rounded(failed.low), rounded(failed.high))
        yield f"{what}, {named} with LOW", f"{failed.failures}/{failed.n}", *limits, failed.n
        if one.n and one.tolerance != TOLERANCES[-1]:  # told once for a kind of area
            areas = [low / of for of, low in _areas(part, one, stratum.threshold or 0.0)]
            yield f"LOW area, {named}", rounded(one.low_area or 0.0), *interval(areas), one.n
            yield f"no LOW pixel, {named}", rounded(one.abstained / one.n), *_rate(one.abstained, one.n), one.n


def _areas(part: Sequence[Recording], one: Shown, threshold: float) -> Iterator[tuple[int, int]]:
    """Pixels, and LOW ones, of every recording of that brightness, or with that kind of area."""
    for recording in part:
        content = recording.content
        assert content is not None
        if one.by == "area" and content.areas[one.name].pixels:
            yield content.areas[one.name].pixels, content.areas[one.name].low[threshold]
        if one.by == "brightness" and brightness_class(content.brightness) == one.name:
            yield recording.pixels, recording.low[threshold]


def _rate(count: int, n: int) -> tuple[float, float]:
    low, high = rate_limits(count, n)
    return rounded(low), rounded(high)


def _word(claim: Claim) -> str:
    return f"{claim.kind} {claim.tolerance}"


def write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """As CSV."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
