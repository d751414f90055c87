"""What a laboratory's own calibration says beyond a shipped one: who, when registered, pictures, held-out test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from forensic.risk.calibration.binomial import clopper_pearson
from forensic.risk.calibration.breakdown import AREAS, BRIGHTNESS
from forensic.risk.calibration.criteria import TOLERANCES
from forensic.risk.calibration.form import (
    MOST_CLAIMS,
    MOST_OF_NAME,
    MOST_STRATA,
    CountOf,
    Digest,
    Name,
    Part,
    Rate,
    Text,
)

MOST_SHOWN = len(BRIGHTNESS) + len(AREAS) * len(TOLERANCES)


class Registration(Part):
    """The entry of the laboratory's ledger that held lists, claims and method before anything was scored."""

    seq: Annotated[int, Field(ge=1)]
    hash: Digest
    utc: Name


class Failed(Part):
    """So many ``failures`` of ``n``, and the limits of their rate (Clopper and Pearson, 95 %)."""

    failures: CountOf
    n: CountOf
    low: Rate
    high: Rate

    @classmethod
    def of(cls, failures: int, n: int) -> Failed:
        """With its limits."""
        low, high = rate_limits(failures, n)
        return cls(failures=failures, n=n, low=low, high=high)

    @model_validator(mode="after")
    def _recomputed(self) -> Failed:
        if self.failures > self.n:
            raise ValueError("more recordings failed than there are")
        if any(
            abs(a - b) > 1e-6 for a, b in zip(rate_limits(self.failures, self.n), (self.low, self.high), strict=True)
        ):
            raise ValueError("the limits of a rate are not those of its counts")
        return self


class Shown(Part):
    """Held-out numbers of a part of a stratum's recordings in the domain, or of their pixels. It decides nothing.

    ``by`` ``brightness``: the ``n`` recordings of that class; a failure is one that fails any claim; ``tolerance``
    None. ``area``: the ``n`` recordings with pixels of that kind; a failure is one in which more than the share of
    the first claim of the LOW pixels of that kind differ by more than ``tolerance``. ``low_area``: mean part of the
    pixels (of that kind) that is LOW. ``abstained``: recordings without a LOW pixel (of that kind). Failures are told
    of the ``n - abstained`` others, as one without LOW cannot fail.
    """

    by: Literal["brightness", "area"]
    name: Name
    tolerance: Annotated[int, Field(ge=1, le=254)] | None
    n: CountOf
    abstained: CountOf
    low_area: Rate | None
    failed: Failed

    @model_validator(mode="after")
    def _agrees(self) -> Shown:
        if self.abstained + self.failed.n != self.n or (self.low_area is None) != (self.n == 0):
            raise ValueError("the parts of a stratum do not add up")
        return self


class HeldOut(Part):
    """A stratum's test recordings: how many lay outside the domain, had no LOW, failed each claim.

    ``failures`` by claim, of the ``n - outside`` recordings in the domain, with ``low`` and ``high`` the limits of
    their rate (Clopper and Pearson, 95 %). ``any_claim``: recordings that failed at least one, of those in the domain
    with LOW. ``low_area``: mean part that is LOW, of those in the domain; None without any. ``shown``: by brightness
    and by kind of area.
    """

    stratum: Name
    n: CountOf
    outside: CountOf
    abstained: CountOf
    failures: Annotated[list[CountOf], Field(max_length=MOST_CLAIMS)]
    low: Annotated[list[Rate], Field(max_length=MOST_CLAIMS)]
    high: Annotated[list[Rate], Field(max_length=MOST_CLAIMS)]
    any_claim: Failed
    low_area: Rate | None
    shown: Annotated[list[Shown], Field(max_length=MOST_SHOWN)]

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
        if self.any_claim.n != self.inside - self.abstained or self.any_claim.failures < max(self.failures, default=0):
            raise ValueError("the failures of any claim do not follow from those of each")
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

    @staticmethod
    def called(lab: str, examiner: str) -> tuple[str, str]:
        """``name`` and ``examiner`` as they stand here, of what the workspace and the record call them."""
        return lab[:MOST_OF_NAME] or "not named", examiner[:MOST_OF_NAME]

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
