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
from forensic.risk.calibration.criteria import TOLERANCES
from forensic.risk.calibration.domain import outside
from forensic.risk.calibration.evaluating import any_failed, shown
from forensic.risk.calibration.laboratory import rate_limits
from forensic.risk.calibration.losses import counts
from forensic.risk.calibration.strata import Recording
from forensic.risk.dihedral import dispersion
from forensic.risk.features import gradient
from forensic.risk.head import Head
from forensic.risk.regions import DISPERSION
from forensic.stages.pipeline import Pipeline
from tests.calibration import scenes
from tests.calibration.ranking import Ranked, spearman
from tests.calibration.recordings import STRATA, Enlarged, enlarged, recorded

#: The self-ensemble of a model of several frames, eight fusions a picture, is not measured: split halves stand there.
SCORES = (
    "quantile/2", "sum/1", "self-ensemble", "split-half", "reprojection", "interpolation", "gradient", "constant",
)  # fmt: skip
FIELDS = ("stratum", "what", "value", "low", "high", "n")
RESAMPLES = 400


@dataclass(frozen=True)
class Held:
    """What one held-out recording showed: ``measures``, counts at the stratum's threshold, each score's ranking."""

    scene: str
    stratum: str
    measures: dict[str, float | None]
    counted: Recording | None
    ranked: dict[str, Ranked]
    correlation: dict[str, float]


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
    ranked = {name: Ranked.of(score, found.error) for name, score in maps.items()}
    ranked["error"] = Ranked.of(found.error, found.error)
    correlation = {name: spearman(score, found.error) for name, score in maps.items()}
    return Held(scene, stratum.name, found.measures(), counted, ranked, correlation)


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
    yield "outside the domain", _3(1.0 - len(inside) / len(own)), _3(low), _3(high), len(own)
    if stratum.threshold is not None:
        for name, part in (("in the domain", inside), ("all", own)):
            yield from _coverage(name, [one.counted for one in part if one.counted], stratum, calibration)
        yield from _broken_down(inside, stratum, calibration)
    by_scene = list({one.scene: one for one in own}.values())
    picks = np.random.default_rng(1).integers(0, len(by_scene), (RESAMPLES, len(by_scene)))
    for name in (one for one in SCORES if one in own[0].ranked):
        yield from _ranking(name, by_scene, picks)


def _coverage(
    name: str, part: Sequence[Recording], stratum: Stratum, calibration: Calibration
) -> Iterator[tuple[object, ...]]:
    threshold = stratum.threshold or 0.0
    for claim in calibration.claims:
        failures = sum(one.failed(claim, threshold, calibration.subject.scale) for one in part)
        low, high = clopper_pearson(failures, len(part))
        label = f"claim failed, {_word(claim)}, {name}"
        yield label, f"{failures}/{len(part)}", _3(low), _3(high), len(part)
    failures = sum(any_failed(one, calibration.claims, threshold, calibration.subject.scale) for one in part)
    with_low = sum(one.low[threshold] > 0 for one in part)
    for label, count in (("", len(part)), (" with LOW", with_low)):
        # A recording without LOW cannot fail: of those with LOW the rate is higher.
        yield f"any claim failed, {name}{label}", f"{failures}/{count}", *_rate(failures, count), count
    areas = [one.low[threshold] / one.pixels for one in part]
    yield f"LOW area, {name}", _3(float(np.mean(areas))), *_interval(areas), len(part)
    empty = sum(area == 0.0 for area in areas)
    low, high = clopper_pearson(empty, len(part))
    yield f"no LOW tile, {name}", _3(empty / len(part)), _3(low), _3(high), len(part)


def _broken_down(inside: Sequence[Held], stratum: Stratum, calibration: Calibration) -> Iterator[tuple[object, ...]]:
    """By brightness of the recording and by kind of area, of the recordings in the domain."""
    part = [one.counted for one in inside if one.counted]
    for one in shown(part, calibration.claims, stratum.threshold or 0.0, calibration.subject.scale):
        label, failed = f"{one.by} {one.name}, in the domain", one.failed
        what = "any claim failed" if one.tolerance is None else f"share {one.tolerance} failed"
        limits = (_3(failed.low), _3(failed.high))
        yield f"{what}, {label} with LOW", f"{failed.failures}/{failed.n}", *limits, failed.n
        if one.n and one.tolerance != TOLERANCES[-1]:  # told once for a kind of area
            yield f"LOW area, {label}", _3(one.low_area or 0.0), "", "", one.n
            yield f"no LOW pixel, {label}", _3(one.abstained / one.n), *_rate(one.abstained, one.n), one.n


def _rate(count: int, n: int) -> tuple[float, float]:
    low, high = rate_limits(count, n)
    return _3(low), _3(high)


def _ranking(name: str, own: Sequence[Held], picks: np.ndarray) -> Iterator[tuple[object, ...]]:
    """AUROC, AUPRC, AUSE over all pixels, with 95 % intervals by drawing scenes again; mean rank correlation."""
    stacked = np.stack([one.ranked[name].stacked() for one in own])
    best = np.stack([one.ranked["error"].stacked() for one in own])

    def numbers(weights: np.ndarray) -> tuple[float, float, float]:
        whole = Ranked(*np.tensordot(weights, stacked, axes=1))
        return whole.auroc(), whole.auprc(), whole.ause(Ranked(*np.tensordot(weights, best, axes=1)))

    values = numbers(np.ones(len(own)))
    again = np.array([numbers(np.bincount(pick, minlength=len(own)).astype(np.float64)) for pick in picks])
    for place, label in enumerate(("AUROC", "AUPRC", "AUSE")):
        low, high = np.quantile(again[:, place], (0.025, 0.975))
        yield f"{label}, {name}", _3(values[place]), _3(low), _3(high), len(own)
    correlations = [one.correlation[name] for one in own]
    yield f"Spearman, {name}", _3(float(np.mean(correlations))), *_interval(correlations), len(own)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % of the mean, by drawing again."""
    rng = np.random.default_rng(2)
    means = np.asarray(values)[rng.integers(0, len(values), (2000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return _3(low), _3(high)


def _word(claim: Claim) -> str:
    return f"{claim.kind} {claim.tolerance}"


def _3(value: float) -> float:
    return round(float(value), 3)


def write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """As CSV."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
