"""The calibration artefact: canonical JSON (RFC 8785), strict, versioned. docs/formats/calibration.md.

It says for which model, score, stage and class of recordings what was tested, on which recordings, with which result,
and the envelope of what they were like. Nothing here reads files.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from forensic.errors import BadInput, ForensicError
from forensic.hashes import canonical_json, parse_canonical, sha256_bytes
from forensic.risk.calibration.binomial import p_value
from forensic.risk.calibration.domain import MEASURES, Range
from forensic.risk.calibration.form import (
    MOST_CLAIMS,
    MOST_STRATA,
    CountOf,
    Digest,
    Level,
    Name,
    Part,
    Share,
    Text,
    Value,
)
from forensic.risk.calibration.laboratory import Laboratory

SCHEMA = "tag:forensic-tool,2026:calibration/v1"
SUM: Literal["sum/1"] = (
    "sum/1"  # root of the sum of squares of range conflict, injection and dispersion; 90th percentile of a tile
)
QUANTILE: Literal["quantile/2"] = "quantile/2"  # R of the learned head; 90th percentile of a tile
MOST_BYTES = 1 << 20
_MOST = 0.05  # of epsilon and delta
_MOST_STEPS = 64


class Subject(Part):
    """What was calibrated: INT8, another scale or other weights are another model. ``region``: parts cut out of larger
    recordings, not whole pictures."""

    model: Name
    weights_sha256: Digest
    precision: Name
    scale: Annotated[int, Field(ge=1, le=16)]
    stage: Name
    parameters: dict[str, float | Name]
    region: bool

    @property
    def frames(self) -> int | None:
        """Of how many frames a picture is made where the recording has them; None of one alone."""
        around = self.parameters.get("frames")
        return None if not isinstance(around, float) else 2 * int(around) + 1


class Claim(Part):
    """What is claimed of a recording. ``kind``: share of LOW pixels, share of LOW edge pixels, or connected area.

    It fails where more than ``beta`` of the pixels differ by more than ``tolerance`` grey levels (on edges: and they
    are more than ``cap`` recorded pixels, as edges within LOW may be few), or where the largest connected group of
    such pixels exceeds ``cap`` recorded pixels.
    """

    kind: Literal["share", "edges", "area"]
    tolerance: Annotated[int, Field(ge=1, le=254)]
    beta: Share | None = None
    cap: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_limit(self) -> Claim:
        given = (self.beta is not None, self.cap is not None)
        if given != {"share": (True, False), "edges": (True, True), "area": (False, True)}[self.kind]:
            raise ValueError("a share has beta, an area has a cap, edges have both")
        return self


class StepTaken(Part):
    """One test of a claim's sequence."""

    threshold: Level
    failures: CountOf
    p_value: Annotated[float, Field(ge=0, le=1)]
    passed: bool


class Sequence(Part):
    """The tests of one claim in one stratum; ``threshold`` None and ``refused`` where none passed."""

    claim: CountOf
    steps: Annotated[list[StepTaken], Field(max_length=_MOST_STEPS)]
    threshold: Level | None
    refused: Text | None


class Limits(Part):
    """1st to 99th percentile of a measure; ``absent``: it may have no value."""

    low: Value
    high: Value
    absent: bool


class Stratum(Part):
    """Recordings whose mapped frame's quantiser lies in (``above``, ``up_to``]; None: any, or none at all."""

    name: Name
    above: Value | None
    up_to: Value | None
    n: CountOf
    sequences: Annotated[list[Sequence], Field(max_length=MOST_CLAIMS)]
    threshold: Level | None
    refused: Text | None
    abstained: CountOf
    low_area: Annotated[float, Field(ge=0, le=1)] | None
    envelope: dict[str, Limits]

    @model_validator(mode="after")
    def _agrees(self) -> Stratum:
        if (self.threshold is None) == (self.refused is None):
            raise ValueError("a stratum has a threshold, or says why not")
        if (self.above is None) != (self.up_to is None) or not (self.above or 0.0) <= (self.up_to or 0.0):
            raise ValueError("a stratum has both limits of the quantiser, in order, or none")
        if self.threshold is not None and not self.envelope:
            raise ValueError("a stratum with a threshold has an envelope")
        if self.envelope.keys() - MEASURES.keys():
            raise ValueError("the envelope has a measure that is not known")
        own = [sequence.threshold for sequence in self.sequences]
        strictest = None if not own or None in own else min(value for value in own if value is not None)
        if strictest != self.threshold:
            raise ValueError("the threshold is not the strictest of the sequences'")
        return self

    def holds(self, quantiser: float | None) -> bool:
        """Whether a frame with that quantiser belongs here."""
        if self.above is None and self.up_to is None:
            return True
        if self.above is None or self.up_to is None:
            return False
        return quantiser is not None and self.above < quantiser <= self.up_to

    @property
    def ranges(self) -> dict[str, Range]:
        """The envelope."""
        return {name: Range(one.low, one.high, one.absent) for name, one in self.envelope.items()}


class Calibration(Part):
    """The artefact. ``delta_each`` is delta divided by the number of strata (Bonferroni)."""

    schema_: Annotated[Literal["tag:forensic-tool,2026:calibration/v1"], Field(alias="schema")]
    origin: Literal["shipped", "laboratory"]
    score: Literal["sum/1", "quantile/2"]
    head_sha256: Digest | None
    subject: Subject
    class_: Annotated[Text, Field(alias="class")]
    epsilon: Share
    delta: Share
    delta_each: Share
    claims: Annotated[list[Claim], Field(min_length=1, max_length=MOST_CLAIMS)]
    strata: Annotated[list[Stratum], Field(min_length=1, max_length=MOST_STRATA)]
    scenes_sha256: Digest
    recordings_sha256: Digest
    software: dict[str, str]
    laboratory: Laboratory | None = None

    @model_serializer(mode="wrap")
    def _without_what_none_has(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A shipped calibration has no key ``laboratory``."""
        written: dict[str, Any] = write(self)
        return {key: value for key, value in written.items() if key != "laboratory" or value is not None}

    @model_validator(mode="after")
    def _recomputed(self) -> Calibration:
        if (self.origin == "laboratory") != (self.laboratory is not None):
            raise ValueError("a laboratory's calibration says which laboratory's it is, and no other does")
        if self.laboratory is not None and [one.stratum for one in self.laboratory.held_out] != [
            one.name for one in self.strata
        ]:
            raise ValueError("the held-out test is not of every stratum, in order")
        if (self.score == QUANTILE) != (self.head_sha256 is not None):
            raise ValueError("a learned score has a head, and no other has")
        if self.epsilon > _MOST or self.delta > _MOST:
            raise ValueError("epsilon and delta are at most 5 %")
        if abs(self.delta_each * len(self.strata) - self.delta) > 1e-9:
            raise ValueError("delta_each is not delta divided by the number of strata")
        for stratum in self.strata:
            if [sequence.claim for sequence in stratum.sequences] != list(range(len(self.claims))):
                raise ValueError(f"stratum {stratum.name!r} does not test every claim once")
            for sequence in stratum.sequences:
                self._check(stratum, sequence)
            _check_walk(stratum)
        return self

    def _check(self, stratum: Stratum, sequence: Sequence) -> None:
        """The steps are in order, end at the first that failed, and say what the numbers say."""
        last = len(sequence.steps) - 1
        for place, step in enumerate(sequence.steps):
            if step.failures > stratum.n:
                raise ValueError("more failures than recordings")
            true = p_value(step.failures, stratum.n, self.epsilon)
            if abs(true - step.p_value) > 1e-9 or step.passed != (true <= self.delta_each):
                raise ValueError(f"a p-value of stratum {stratum.name!r} is not that of its counts")
            if place and step.threshold <= sequence.steps[place - 1].threshold:
                raise ValueError("the thresholds do not rise")
            if not step.passed and place != last:
                raise ValueError("the sequence went on after a failure")
        accepted = [step.threshold for step in sequence.steps if step.passed]
        if sequence.threshold != (accepted[-1] if accepted else None):
            raise ValueError("the threshold is not the last that passed")

    @property
    def pictures(self) -> tuple[str, ...]:
        """Types of coded picture that were calibrated; of shipped ones the middle one of nine, without B pictures."""
        return ("P",) if self.laboratory is None else tuple(self.laboratory.pictures)

    def contradicted(self, stratum: Stratum) -> bool:
        """Whether the held-out test shows that a claim fails too often in that stratum: then it has no LOW."""
        tested = None if self.laboratory is None else self.laboratory.tested(stratum.name)
        return tested is not None and tested.contradicts(self.epsilon)

    @property
    def has_low(self) -> bool:
        """Whether any stratum has a LOW label."""
        return any(one.threshold is not None and not self.contradicted(one) for one in self.strata)

    @property
    def data(self) -> bytes:
        """The artefact's bytes."""
        return canonical_json(self.model_dump(mode="json", by_alias=True))

    @property
    def sha256(self) -> str:
        """Digest of :attr:`data`: the identity of the calibration."""
        return sha256_bytes(self.data)


def _check_walk(stratum: Stratum) -> None:
    """The claims were tested by turns at every threshold, and the first failure ended it for all."""
    tested = [sequence.steps for sequence in stratum.sequences]
    turns = [(len(steps), place) for place, steps in enumerate(tested) if steps and not steps[-1].passed]
    whole = len(tested[0]) if not turns else turns[0][0]
    last = turns[0][1] if turns else len(tested) - 1
    if len(turns) > 1 or any(len(steps) != whole - (place > last) for place, steps in enumerate(tested)):
        raise ValueError(f"the claims of stratum {stratum.name!r} were not tested by turns")
    taken = [step.threshold for step in tested[0]]
    if any([step.threshold for step in steps] != taken[: len(steps)] for steps in tested):
        raise ValueError("the claims were tested at different thresholds")


def parse_calibration(data: bytes) -> Calibration:
    """Read an artefact. Every p-value is computed again; what does not agree with itself is refused.

    Raises ``BadInput`` (``calibration.invalid``).
    """
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES} bytes")
        value: Any = parse_canonical(data)
        if isinstance(value, dict):
            value = _floats(value)
        return Calibration.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise _invalid(f"{where}: {first['msg']}") from error
    except ForensicError as error:
        raise _invalid(error.message) from error
    except ValueError as error:
        raise _invalid(str(error)) from error


def _invalid(why: str) -> BadInput:
    return BadInput("calibration.invalid", f"This is no calibration: {why}.", "Take it from where it was issued again.")


_WHOLE = frozenset(
    {"claim", "failures", "n", "abstained", "scale", "tolerance", "seq", "outside", "earlier", "seen_before", "refused"}
)


def _floats(value: Any, key: str = "") -> Any:
    """RFC 8785 writes 2.0 as 2: whole numbers come back as floats where the form has floats."""
    if isinstance(value, dict):
        return {name: _floats(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [_floats(part, key) for part in value]
    if isinstance(value, int) and not isinstance(value, bool) and key not in _WHOLE:
        return float(value)
    return value
