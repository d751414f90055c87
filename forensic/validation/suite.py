"""A validation suite: what is required, how it is measured and when it is met. Data, read strictly, known by digest.

The suite is settled before anything is measured: its file is what a ledger registers. Nothing here touches a
picture, so that a verifier can judge a recorded result by the suite again (``forensic.validation.verdicts``).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from forensic.errors import BadInput, UsageError
from forensic.hashes import sha256_bytes
from forensic.resources import validation_dir

FORMAT = 1
LARGEST_FILE = 256 * 1024
OWN = "own"
DEFAULT_SUITE = "standard"

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,47}$")]
Box = Annotated[list[Annotated[int, Field(ge=0, le=65536)]], Field(min_length=4, max_length=4)]
RequirementId = Annotated[str, Field(pattern=r"^[A-Z]{1,2}-[0-9]{2}$")]
Words = Annotated[str, Field(min_length=1, max_length=1200)]

#: Unit of every metric of pictures, and which way is better.
METRICS: dict[str, tuple[str, Literal["more", "less"]]] = {
    "psnr-y": ("dB", "more"),
    "ssim-y": ("", "more"),
    "psnr-b": ("dB", "more"),
    "lpips": ("", "less"),
    "edge-overshoot": ("grey levels", "less"),
    "block-steps": ("grey levels squared", "less"),
    "mosquito": ("grey levels squared", "less"),
    "t-of": ("px", "less"),
    "warping-error": ("grey levels", "less"),
    "flicker": ("grey levels", "less"),
    "registration-error": ("recorded px", "less"),
    "quantiser-error": ("QP", "less"),
    "blur-covered": ("1 or 0", "more"),
    "differing-samples": ("samples", "less"),
    "low-tiles": ("tiles", "less"),
}
Still = Literal["psnr-y", "ssim-y", "psnr-b", "lpips", "edge-overshoot", "block-steps", "mosquito"]
Moving = Literal["t-of", "warping-error", "flicker"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Condition(_Strict):
    """Under which circumstances recordings are made: scene, and the simulator's parameters by part.

    ``scene``: ``leaves`` or ``chart`` (drawn by program), or ``own`` (pictures of the laboratory). ``size``: columns
    and rows of the truth. ``scenes``: how many; ``first_seed`` and the following ones draw and record them.
    """

    id: Identifier
    text: Words
    scene: Literal["leaves", "chart", "own"]
    scenes: int = Field(ge=1, le=500)
    first_seed: int = Field(ge=0, le=2**31)
    frames: int = Field(ge=1, le=120)
    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    degradation: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _sizes(self) -> Condition:
        if any(not 64 <= side <= 2048 for side in self.size):
            raise ValueError("size must be two sides of 64 to 2048 pixels")
        return self


class Fidelity(_Strict):
    """Middle frame of every recording, through ``recipe``, against the truth; ``against``: less another recipe's."""

    kind: Literal["fidelity"]
    condition: Identifier
    recipe: Identifier
    metric: Still
    against: Identifier | None = None


class Temporal(_Strict):
    """All frames of every recording, through ``recipe``, against the truth; ``against``: less another recipe's."""

    kind: Literal["temporal"]
    condition: Identifier
    recipe: Identifier
    metric: Moving
    against: Identifier | None = None


class Estimation(_Strict):
    """What the program measures in a recording, against what the simulator did."""

    kind: Literal["registration", "quantiser", "blur", "decoding"]
    condition: Identifier


class Determinism(_Strict):
    """The same frames from the same recording: again, with other numbers of workers, by ``reproduce``."""

    kind: Literal["determinism"]
    condition: Identifier
    recipe: Identifier
    variant: Literal["repeat", "workers", "tiles", "reproduce"]


class Integrity(_Strict):
    """What a run leaves untouched, and what ``verify`` says of what it made."""

    kind: Literal["integrity"]
    check: Literal["original-untouched", "copy-verified", "run-verifies", "workspace-verifies", "report-verifies"]


class Tamper(_Strict):
    """Change one bit of ``target``, at ``place`` (share of its length): the check or code ``expect`` must say so."""

    kind: Literal["tamper"]
    target: Literal["output", "frames", "attestation", "report", "policy", "recipe", "still", "still-proof", "risk-map",
                    "manifest", "added-file", "removed-file", "ledger", "original", "weights", "card", "policy-file",
                    "reproduced-policy"]  # fmt: skip
    place: float = Field(default=0.5, ge=0.0, le=1.0)
    expect: Annotated[str, Field(pattern=r"^([A-Z][0-9]{1,2}|[a-z-]+\.[a-z-]+)$")]


class Refusal(_Strict):
    """An attempt that must be refused with code ``expect``, and be on the record."""

    kind: Literal["refusal"]
    attempt: Literal["generative-stage", "generative-in-creative-unapproved", "learned-under-classical-only",
                     "too-large-scale", "no-video", "changed-copy"]  # fmt: skip
    expect: Annotated[str, Field(pattern=r"^[a-z-]+\.[a-z-]+$")]


class LowStands(_Strict):
    """The risk map of every recording's middle frame, cut to ``region`` (x, y, columns, rows recorded) by the run.

    ``low-present``: 1 where there is LOW. ``low-kept``: 1 where LOW keeps every claim of its calibration against the
    truth. ``low-planted``: LOW tiles among those in which strokes were planted that the forward model cannot see. A
    scene without LOW is no case of the last two.
    """

    kind: Literal["low-present", "low-kept", "low-planted"]
    condition: Identifier
    recipe: Identifier
    region: Box


class LowWithheld(_Strict):
    """1 for every recording whose middle frame's map gives no tested LOW. ``region``: None for the whole picture.

    ``expect``: ``no-low``, a map by a calibration in which no tile is LOW; ``no-claim``, one that cites no calibration
    and says UNCALIBRATED: its LOW is an engineering threshold.
    """

    kind: Literal["low-withheld"]
    condition: Identifier
    recipe: Identifier
    region: Box | None = None
    expect: Literal["no-low", "no-claim"]


Method = Annotated[
    Fidelity | Temporal | Estimation | Determinism | Integrity | Tamper | Refusal | LowStands | LowWithheld,
    Field(discriminator="kind"),
]


class Acceptance(_Strict):
    """When the requirement is met. Exactly one limit.

    ``rule`` ``mean``: the whole confidence interval of the mean over scenes lies on the right side of the limit.
    ``every``: each single value does. ``share``: the share of ones does, counted; its interval is stated.
    """

    rule: Literal["mean", "every", "share"] = "every"
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one(self) -> Acceptance:
        if (self.at_least is None) is (self.at_most is None):
            raise ValueError("exactly one of at_least and at_most must be stated")
        return self

    @property
    def limit(self) -> float:
        """The one limit."""
        return float(self.at_least if self.at_least is not None else self.at_most or 0.0)


class Requirement(_Strict):
    """One requirement, with its method, its acceptance criterion and why that criterion."""

    id: RequirementId
    text: Words
    why: Words
    mandatory: bool = True
    method: Method
    accept: Acceptance = Field(default_factory=lambda: Acceptance(at_least=1.0))

    @property
    def metric(self) -> str | None:
        """The metric that its values are in; None where a value is 1 (held) or 0."""
        if isinstance(self.method, Fidelity | Temporal):
            return self.method.metric
        return {"registration": "registration-error", "quantiser": "quantiser-error", "blur": "blur-covered",
                "decoding": "differing-samples", "low-planted": "low-tiles"}.get(self.method.kind)  # fmt: skip


class _SuiteFile(_Strict):
    format: Literal[1]
    id: Identifier
    version: int = Field(ge=1)
    title: Words
    scope: Words
    confidence: float = Field(ge=0.5, le=0.999)
    tolerance: dict[str, float]
    condition: list[Condition] = Field(min_length=1, max_length=50)
    requirement: list[Requirement] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _consistent(self) -> _SuiteFile:
        conditions = {one.id for one in self.condition}
        if len(conditions) != len(self.condition) or len({one.id for one in self.requirement}) != len(self.requirement):
            raise ValueError("two conditions or two requirements have one id")
        for one in self.requirement:
            named = getattr(one.method, "condition", None)
            if named is not None and named not in conditions:
                raise ValueError(f"{one.id} names condition {named!r}, which does not exist")
            if one.metric is not None and one.metric not in self.tolerance:
                raise ValueError(f"{one.id} uses {one.metric}, for which no tolerance is stated")
        strange = self.tolerance.keys() - METRICS.keys()
        if strange or any(value < 0 for value in self.tolerance.values()):
            raise ValueError(f"tolerance: unknown or negative {sorted(strange)}")
        return self


@dataclass(frozen=True)
class Suite:
    """A suite as read: its bytes are ``data``, and ``sha256`` is their digest."""

    id: str
    version: int
    title: str
    scope: str
    confidence: float
    tolerance: dict[str, float]
    conditions: dict[str, Condition]
    requirements: tuple[Requirement, ...]
    data: bytes
    source: str

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return sha256_bytes(self.data)

    @property
    def wants_pictures(self) -> bool:
        """Whether a condition is about the laboratory's own pictures."""
        return any(one.scene == OWN for one in self.conditions.values())

    def facts(self) -> dict[str, Any]:
        """JSON-able: which suite this is."""
        return {
            "id": self.id,
            "version": self.version,
            "title": self.title,
            "scope": self.scope,
            "confidence": self.confidence,
            "tolerance": dict(self.tolerance),
            "sha256": self.sha256,
            "source": self.source,
        }

    def registered(self) -> list[dict[str, Any]]:
        """JSON-able: every requirement with method and criterion, as it goes on the record before it is measured."""
        return [requirement_record(one) for one in self.requirements]


def requirement_record(one: Requirement) -> dict[str, Any]:
    """JSON-able."""
    return {
        "id": one.id,
        "text": one.text,
        "why": one.why,
        "mandatory": one.mandatory,
        "method": one.method.model_dump(mode="json"),
        "accept": {key: value for key, value in one.accept.model_dump(mode="json").items() if value is not None},
    }


def suite_names(folder: Path | None = None) -> list[str]:
    """Names of the shipped suites."""
    return sorted(path.stem for path in (folder or validation_dir()).glob("*.toml"))


def load_suite(name_or_path: str, folder: Path | None = None) -> Suite:
    """A shipped suite by name, else a file of that path.

    Raises ``UsageError`` (``suite.unknown``), ``BadInput`` (``suite.invalid``).
    """
    names = suite_names(folder)
    path = (folder or validation_dir()) / f"{name_or_path}.toml" if name_or_path in names else Path(name_or_path)
    try:
        data = path.read_bytes() if path.stat().st_size <= LARGEST_FILE else b""
    except (OSError, ValueError) as error:
        raise UsageError(
            "suite.unknown", f"{name_or_path!r} is neither a shipped suite nor a file.", f"Shipped: {', '.join(names)}."
        ) from error
    if not data:
        raise BadInput("suite.invalid", f"The suite {path.name} is empty or larger than {LARGEST_FILE} bytes.")
    return parse_suite(data, "built-in" if name_or_path in names else path.name)


def parse_suite(data: bytes, source: str) -> Suite:
    """A suite from the bytes of its file. Raises ``BadInput`` (``suite.invalid``) with what is wrong and where."""
    try:
        read = _SuiteFile.model_validate(tomllib.loads(data.decode("utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInput("suite.invalid", f"The suite {source} is not valid: {place}: {first['msg']}.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput("suite.invalid", f"The suite {source} is not TOML in UTF-8: {error}.") from error
    return Suite(
        read.id, read.version, read.title, read.scope, read.confidence, read.tolerance,
        {one.id: one for one in read.condition}, tuple(read.requirement), data, source,
    )  # fmt: skip
