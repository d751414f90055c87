"""The held-out test of a calibration: what its thresholds do on recordings that chose nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from forensic.risk.calibration.artefact import Claim, Stratum
from forensic.risk.calibration.breakdown import AREAS, BRIGHTNESS, brightness_class
from forensic.risk.calibration.criteria import BETA, TOLERANCES, share_failed
from forensic.risk.calibration.domain import outside
from forensic.risk.calibration.laboratory import Failed, HeldOut, Shown, rate_limits
from forensic.risk.calibration.strata import Group, Recording, Worst


def held_out(strata: Sequence[Stratum], claims: Sequence[Claim], scale: int, tests: Sequence[Group]) -> list[HeldOut]:
    """Every stratum's test recordings (``tests``, by the strata's names) at its threshold, in its domain.

    Of a recording's frames those count that lie in the domain; where none does, it lies outside. A stratum without a
    threshold has no LOW: nothing can fail there, and all abstain.
    """
    by_name = {group.name: group.recordings for group in tests}
    found = []
    for stratum in strata:
        recordings = by_name.get(stratum.name, ())
        ranges = stratum.ranges
        usable = ([one for one in whole.each() if not outside(ranges, one.measures)] for whole in recordings)
        inside = [Worst.of(frames) for frames in usable if frames]
        threshold = stratum.threshold
        if threshold is None:
            failures, some, abstained, area = [0] * len(claims), 0, len(inside), None
        else:
            failures = [sum(one.failed(claim, threshold, scale) for one in inside) for claim in claims]
            some = sum(any_failed(one, claims, threshold, scale) for one in inside)
            abstained = sum(one.low[threshold] == 0 for one in inside)
            area = _mean([one.low[threshold] / one.pixels for one in inside])
        limits = [rate_limits(failed, len(inside)) for failed in failures]
        found.append(
            HeldOut(
                stratum=stratum.name,
                n=len(recordings),
                outside=len(recordings) - len(inside),
                abstained=abstained,
                failures=failures,
                low=[low for low, _ in limits],
                high=[high for _, high in limits],
                any_claim=Failed.of(some, len(inside) - abstained),
                low_area=area,
                shown=[] if threshold is None else list(shown(inside, claims, threshold, scale)),
            )
        )
    return found


def any_failed(one: Recording, claims: Sequence[Claim], threshold: float, scale: int) -> bool:
    """Whether any of ``claims`` fails in that recording."""
    return any(one.failed(claim, threshold, scale) for claim in claims)


def shown(recordings: Sequence[Recording], claims: Sequence[Claim], threshold: float, scale: int) -> Iterator[Shown]:
    """The numbers of ``recordings`` at ``threshold`` by brightness, then by kind of area and tolerance.

    Those without content are left out. Of several frames the mean brightness decides, and any that fails.
    """
    counted = [one for one in recordings if all(frame.content is not None for frame in one.each())]
    for name in BRIGHTNESS:
        own = [one for one in counted if brightness_class(_brightness(one)) == name]
        counts = [(one.pixels, one.low[threshold]) for one in own]
        failures = [any_failed(one, claims, threshold, scale) for one in own]
        yield _shown("brightness", name, None, counts, failures)
    for name in AREAS:
        having = [one for one in counted if _area(one, name, threshold)[0]]
        counts = [_area(one, name, threshold) for one in having]
        for tolerance in TOLERANCES:
            failures = [_area_failed(one, name, tolerance, threshold) for one in having]
            yield _shown("area", name, tolerance, counts, failures)


def _shown(
    by: Literal["brightness", "area"],
    name: str,
    tolerance: int | None,
    counts: Sequence[tuple[int, int]],
    failures: Sequence[bool],
) -> Shown:
    """``counts``: pixels and LOW pixels of each recording; ``failures``: whether it failed. One without LOW cannot."""
    with_low = sum(low > 0 for _, low in counts)
    return Shown(
        by=by,
        name=name,
        tolerance=tolerance,
        n=len(counts),
        abstained=len(counts) - with_low,
        low_area=_mean([low / pixels for pixels, low in counts]),
        failed=Failed.of(sum(failures), with_low),
    )


def _brightness(one: Recording) -> float:
    values = [frame.content.brightness for frame in one.each() if frame.content is not None]
    return sum(values) / len(values)


def _area(one: Recording, kind: str, threshold: float) -> tuple[int, int]:
    """Pixels of that kind, and LOW ones, in all frames."""
    areas = [frame.content.areas[kind] for frame in one.each() if frame.content is not None]
    return sum(area.pixels for area in areas), sum(area.low[threshold] for area in areas)


def _area_failed(one: Recording, kind: str, tolerance: int, threshold: float) -> bool:
    """Whether in any frame more than the share of the first claim of the LOW pixels of that kind are wrong."""
    areas = [frame.content.areas[kind] for frame in one.each() if frame.content is not None]
    return any(share_failed(area.wrong[tolerance][threshold], area.low[threshold], BETA) for area in areas)


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None
