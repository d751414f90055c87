"""Rows of ``evaluation.csv`` that hold the learned score against the baselines: over all pixels, by brightness of the
recording, by kind of area and by both, each with an interval by drawing scenes again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from forensic.risk.calibration.breakdown import AREAS, BRIGHTNESS, brightness_class
from forensic.risk.calibration.counting import Mapped
from tests.calibration.ranking import Ranked, spearman

LEARNED = "quantile/2"
#: The self-ensemble of a model of several frames, eight fusions a picture, is not measured: split halves stand there.
SCORES = (
    LEARNED, "sum/1", "self-ensemble", "split-half", "reprojection", "interpolation", "gradient", "constant",
)  # fmt: skip
#: By brightness and kind of area: the learned score and those that came next to it.
BROKEN_DOWN = (LEARNED, "self-ensemble", "split-half", "gradient")
ERROR = "error"  # the score that ranks best
RESAMPLES = 400
Row = tuple[str, object, object, object, int]


@dataclass(frozen=True)
class Ranks:
    """How each score ranks the pixels of one recording: of all, and by kind of area; rank correlation over tiles."""

    brightness: str
    ranked: Mapping[str, Ranked]
    by_area: Mapping[str, Mapping[str, Ranked]]
    correlation: Mapping[str, float]

    @classmethod
    def of(cls, found: Mapped, maps: Mapping[str, np.ndarray]) -> Ranks:
        """``maps``: of every score, float32 per output pixel."""
        every = {**maps, ERROR: found.error}
        parts = {}
        for place, kind in enumerate(AREAS):
            there = found.kinds == place
            if there.any():
                names = [one for one in (*BROKEN_DOWN, ERROR) if one in every]
                parts[kind] = {name: Ranked.of(every[name][there], found.error[there]) for name in names}
        return cls(
            brightness_class(found.brightness),
            {name: Ranked.of(score, found.error) for name, score in every.items()},
            parts,
            {name: spearman(score, found.error) for name, score in maps.items()},
        )


def rows(own: Sequence[Ranks]) -> Iterator[Row]:
    """Of the recordings of a stratum, one for each scene: what, value, lower and upper limit (95 %), n."""
    named = [one for one in SCORES if one in own[0].ranked]
    picks = _picks(len(own))
    for name in named:
        yield from _of("", name, [one.ranked for one in own], picks)
        yield spearman_row("", name, own)
    for name in (one for one in named if one not in (LEARNED, "constant")):
        yield _lead(name, own, picks)
    parts = {f", brightness {kind}": [one for one in own if one.brightness == kind] for kind in BRIGHTNESS}
    for label, part in parts.items():
        for name in (one for one in BROKEN_DOWN if part and one in named):
            yield from _of(label, name, [one.ranked for one in part], _picks(len(part)))
            yield spearman_row(label, name, part)
    for label, part in ({"": list(own)} | parts).items():
        for kind in AREAS:
            there = [one.by_area[kind] for one in part if kind in one.by_area]
            for name in (one for one in BROKEN_DOWN if there and one in named):
                yield from _of(f", area {kind}{label}", name, there, _picks(len(there)))


def spearman_row(label: str, name: str, own: Sequence[Ranks]) -> Row:
    """Mean over recordings of the rank correlation over tiles."""
    correlations = [one.correlation[name] for one in own]
    return f"Spearman, {name}{label}", rounded(float(np.mean(correlations))), *interval(correlations), len(own)


def _picks(n: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, n, (RESAMPLES, n))


def _stack(own: Sequence[Mapping[str, Ranked]], name: str) -> np.ndarray:
    return np.stack([one[name].stacked() for one in own])


def _weights(pick: np.ndarray) -> np.ndarray:
    return np.bincount(pick, minlength=len(pick)).astype(np.float64)


def _of(label: str, name: str, own: Sequence[Mapping[str, Ranked]], picks: np.ndarray) -> Iterator[Row]:
    """AUROC, AUPRC, AUSE over the pixels. A draw of scenes without a wrong pixel, or without a right one, has none."""
    stacked, best = _stack(own, name), _stack(own, ERROR)

    def numbers(weights: np.ndarray) -> tuple[float, float, float] | None:
        whole = Ranked(*np.tensordot(weights, stacked, axes=1))
        if not 0.0 < whole.wrong.sum() < whole.pixels.sum():
            return None
        return whole.auroc(), whole.auprc(), whole.ause(Ranked(*np.tensordot(weights, best, axes=1)))

    values = numbers(np.ones(len(own)))
    if values is None:
        return
    again = np.array([drawn for drawn in (numbers(_weights(pick)) for pick in picks) if drawn is not None])
    for place, what in enumerate(("AUROC", "AUPRC", "AUSE")):
        low, high = np.quantile(again[:, place], (0.025, 0.975))
        yield f"{what}, {name}{label}", rounded(values[place]), rounded(low), rounded(high), len(own)


def _lead(name: str, own: Sequence[Ranks], picks: np.ndarray) -> Row:
    """By how much the learned score's AUROC is above that of ``name``, both on the same draws of scenes."""
    stacks = [_stack([one.ranked for one in own], score) for score in (LEARNED, name)]

    def lead(weights: np.ndarray) -> float:
        first, second = (Ranked(*np.tensordot(weights, stack, axes=1)).auroc() for stack in stacks)
        return first - second

    low, high = np.quantile([lead(_weights(pick)) for pick in picks], (0.025, 0.975))
    return f"AUROC, {LEARNED} less {name}", rounded(lead(np.ones(len(own)))), rounded(low), rounded(high), len(own)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % of the mean, by drawing again."""
    rng = np.random.default_rng(2)
    means = np.asarray(values)[rng.integers(0, len(values), (2000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return rounded(low), rounded(high)


def rounded(value: float) -> float:
    """To three decimals."""
    return round(float(value), 3)
