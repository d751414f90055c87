"""What a laboratory's own calibration says beyond a shipped one: who, when registered, pictures, held-out test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, model_validator

from forensic.risk.calibration.binomial import clopper_pearson
from forensic.risk.calibration.form import MOST_CLAIMS, MOST_STRATA, CountOf, Digest, Name, Part, Rate, Text


class Registration(Part):
    """The entry of the laboratory's ledger that held lists, claims and method before anything was scored."""

    seq: Annotated[int, Field(ge=1)]
    hash: Digest
    utc: Name


class HeldOut(Part):
    """A stratum's test recordings: how many lay outside the domain, had no LOW, failed each claim.

    ``failures`` by claim, of the ``n - outside`` recordings in the domain, with ``low`` and ``high`` the limits of
    their rate (Clopper and Pearson, 95 %).
    """

    stratum: Name
    n: CountOf
    outside: CountOf
    abstained: CountOf
    failures: Annotated[list[CountOf], Field(max_length=MOST_CLAIMS)]
    low: Annotated[list[Rate], Field(max_length=MOST_CLAIMS)]
    high: Annotated[list[Rate], Field(max_length=MOST_CLAIMS)]

    @model_validator(mode="after")
    def _recomputed(self) -> HeldOut:
        if self.abstained > self.inside or any(failed > self.inside for failed in self.failures):
            raise ValueError("more held-out recordings failed or were empty than there are")
        limits = [rate_limits(failed, self.inside) for failed in self.failures]
        given = list(zip(self.low, self.high, strict=False))
        if len({len(self.low), len(self.high), len(limits)}) != 1 or any(
            abs(a - b) > 1e-6 for one, other in zip(limits, given, strict=True) for a, b in zip(one, other, strict=True)
        ):
            raise ValueError("the limits of a held-out rate are not those of its counts")
        return self

    @property
    def inside(self) -> int:
        """Test recordings in the domain."""
        return self.n - self.outside

    def contradicts(self, epsilon: float) -> bool:
        """Whether the test shows that some claim fails in more than ``epsilon`` of the recordings."""
        return any(low > epsilon for low in self.low)


class Laboratory(Part):
    """``pictures``: types of coded picture that a mapped frame may be of, as those of the calibration recordings.

    ``earlier``: calibrations of the same subject that this workspace had registered before, whatever became of them;
    ``seen_before``: recordings of this one that share a name, a file or a decoded picture with those
    that one of those had listed, or a file with a pair that it refused.
    """

    id: Name
    name: Name
    examiner: Name
    certificate_sha256: Digest
    workspace: Name
    registered: Registration
    pictures: list[Name]
    held_out: Annotated[list[HeldOut], Field(max_length=MOST_STRATA)]
    earlier: CountOf
    seen_before: CountOf
    refused: CountOf
    remarks: list[Text]

    def tested(self, stratum: str) -> HeldOut | None:
        """The held-out test of that stratum."""
        return next((one for one in self.held_out if one.stratum == stratum), None)


def rate_limits(failures: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % limits, rounded to six digits; everything is possible where nothing was tested."""
    if n == 0:
        return 0.0, 1.0
    low, high = clopper_pearson(failures, n)
    return round(low, 6), round(high, 6)


def usual_pictures(pictures: Iterable[tuple[str, str]]) -> list[str]:
    """The types that at least one in ten recordings has a calibration picture of: sorted, each once.

    ``pictures``: recording and type of each. However many frames of one recording there are, it counts once.
    """
    each = set(pictures)
    recordings = {recording for recording, _ in each}
    having = Counter(kind for _, kind in each)
    return sorted(kind for kind, count in having.items() if 10 * count >= len(recordings))
