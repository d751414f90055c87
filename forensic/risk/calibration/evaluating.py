"""The held-out test of a calibration: what its thresholds do on recordings that chose nothing."""

from __future__ import annotations

from collections.abc import Sequence

from forensic.risk.calibration.artefact import Claim, Stratum
from forensic.risk.calibration.domain import outside
from forensic.risk.calibration.laboratory import HeldOut, rate_limits
from forensic.risk.calibration.strata import Group, Worst


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
            failures, abstained = [0] * len(claims), len(inside)
        else:
            failures = [sum(one.failed(claim, threshold, scale) for one in inside) for claim in claims]
            abstained = sum(one.low[threshold] == 0 for one in inside)
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
            )
        )
    return found
