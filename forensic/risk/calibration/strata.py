"""Recordings as counts, and the strata that follow from them: whoever verifies computes them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forensic.risk.calibration import artefact
from forensic.risk.calibration.breakdown import Content
from forensic.risk.calibration.criteria import BETA, area_failed, edges_failed, share_failed
from forensic.risk.calibration.domain import envelope
from forensic.risk.calibration.testing import DELTA, EPSILON, Tested, fixed_walk

#: The claims, fixed before anything was measured; LOW must keep all of them.
CLAIMS = (
    artefact.Claim(kind="share", tolerance=16, beta=BETA),
    artefact.Claim(kind="edges", tolerance=32, beta=BETA, cap=9.0),
    artefact.Claim(kind="area", tolerance=32, cap=9.0),
)


@dataclass(frozen=True)
class Recording:
    """Counts of one recording, by threshold, and what it was like; ``wrong`` and those below it by tolerance first.

    ``content``: what its numbers are broken down by, where that was counted.
    """

    pixels: int
    low: Mapping[float, int]
    edge_low: Mapping[float, int]
    wrong: Mapping[int, Mapping[float, int]]
    edge_wrong: Mapping[int, Mapping[float, int]]
    largest: Mapping[int, Mapping[float, int]]
    measures: Mapping[str, float | None]
    content: Content | None = None

    def each(self) -> Sequence[Recording]:
        """Its frames: itself, where it is one."""
        return (self,)

    def failed(self, claim: artefact.Claim, threshold: float, scale: int) -> bool:
        """Whether ``claim`` fails in this recording when LOW is what lies below ``threshold``."""
        if claim.kind == "area":
            return area_failed(self.largest[claim.tolerance][threshold], claim.cap or 0.0, scale)
        if claim.kind == "edges":
            wrong, low = self.edge_wrong[claim.tolerance][threshold], self.edge_low[threshold]
            return edges_failed(wrong, low, claim.cap or 0.0, scale, claim.beta or 0.0)
        return share_failed(self.wrong[claim.tolerance][threshold], self.low[threshold], claim.beta or 0.0)


@dataclass(frozen=True)
class Worst(Recording):
    """Several frames of one recording, which count once: it fails where any of them fails.

    Counts are sums, of which only ``low`` and ``pixels`` are used. Each frame has measures of its own;
    those here are the first's and decide nothing.
    """

    frames: Sequence[Recording] = ()

    @classmethod
    def of(cls, frames: Sequence[Recording]) -> Recording:
        """The recording of ``frames``: that frame itself where there is one."""
        first = frames[0]
        if len(frames) == 1:
            return first
        low = {one: sum(frame.low[one] for frame in frames) for one in first.low}
        pixels = sum(frame.pixels for frame in frames)
        return cls(pixels, low, {}, {}, {}, {}, first.measures, None, tuple(frames))

    def each(self) -> Sequence[Recording]:
        """Its frames."""
        return self.frames

    def failed(self, claim: artefact.Claim, threshold: float, scale: int) -> bool:
        """Whether ``claim`` fails in any frame."""
        return any(frame.failed(claim, threshold, scale) for frame in self.frames)


@dataclass(frozen=True)
class Group:
    """The recordings of a stratum."""

    name: str
    above: float | None
    up_to: float | None
    recordings: Sequence[Recording]


def fit(
    groups: Sequence[Group],
    scale: int,
    claims: Sequence[artefact.Claim] = CLAIMS,
    epsilon: float = EPSILON,
    delta: float = DELTA,
) -> tuple[float, list[artefact.Stratum]]:
    """delta of each stratum, and every stratum tested. Each recording must be of another scene than the others."""
    each = delta / len(groups)
    return each, [_stratum(group, scale, claims, epsilon, each) for group in groups]


def _stratum(
    group: Group, scale: int, claims: Sequence[artefact.Claim], epsilon: float, each: float
) -> artefact.Stratum:
    recordings = group.recordings
    thresholds = sorted(recordings[0].low) if recordings else [0.0]
    losses = [
        {one: [recording.failed(claim, one, scale) for recording in recordings] for one in thresholds}
        for claim in claims
    ]
    sequences, refused = [], None
    for number, (claim, tested) in enumerate(zip(claims, fixed_walk(losses, epsilon, each), strict=True)):
        sequences.append(_sequence(number, tested))
        if tested.refused is not None and refused is None:
            refused = f"claim {number + 1} ({claim.kind}, {claim.tolerance} grey levels): {tested.refused}"
    accepted = [one.threshold for one in sequences if one.threshold is not None]
    threshold = min(accepted) if refused is None else None
    areas = [] if threshold is None else [one.low[threshold] / one.pixels for one in recordings]
    ranges = envelope([frame.measures for one in recordings for frame in one.each()])
    return artefact.Stratum(
        name=group.name,
        above=group.above,
        up_to=group.up_to,
        n=len(recordings),
        sequences=sequences,
        threshold=threshold,
        refused=refused,
        abstained=len(recordings) if threshold is None else sum(area == 0.0 for area in areas),
        low_area=round(sum(areas) / len(areas), 4) if areas else None,
        envelope={name: artefact.Limits(low=r.low, high=r.high, absent=r.absent) for name, r in ranges.items()},
    )


def _sequence(number: int, tested: Tested) -> artefact.Sequence:
    steps = [
        artefact.StepTaken(threshold=s.threshold, failures=s.failures, p_value=s.p_value, passed=s.passed)
        for s in tested.steps
    ]
    return artefact.Sequence(claim=number, steps=steps, threshold=tested.threshold, refused=tested.refused)
