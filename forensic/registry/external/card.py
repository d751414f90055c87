"""The card of a laboratory's own model: what was enrolled, its digests, and what the laboratory says of it.

Whatever the laboratory declares, the class under which the model runs is ``generative``: nothing here has examined it.
A declaration of another class stands on the card, in the record and in the report as what it is, with the name of who
made it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from forensic.errors import InternalError, PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.hashes import sha256_bytes
from forensic.registry.card import ID_PATTERN, Text
from forensic.registry.external.tensor_list import spoken
from forensic.registry.packs.description import Digest

SCHEMA = "tag:forensic-tool,2026:external-model/v1"
NOT_STATED = "not stated by the laboratory"
COMPUTED = "float32"
"""What spandrel and diffusers compute in here, whatever precision a file has: numbers of half precision fit exactly."""
NO_WORDS: Final = "none: the prompt is the empty text, always"
EngineName = Literal["spandrel", "onnxruntime", "diffusers"]
Version = Annotated[str, Field(pattern=r"\A[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}\z")]
#: Names inside a model's folder: at most one folder deep, nothing that leads out of it.
_FILE = r"\A([A-Za-z0-9][A-Za-z0-9_-]{0,63}/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\z"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class EnrolledFile(_Part):
    """One file of the model as it lies beside the card; ``precision``, of safetensors: the kinds of its numbers."""

    name: Annotated[str, Field(pattern=_FILE)]
    size: Annotated[int, Field(ge=0)]
    sha256: Digest
    precision: Text | None = None


class Conditions(_Part):
    """What an upscaler with words is given beside the picture, the same for every picture; no parameter changes it.

    ``words`` says that there are none, ``prompt_tokens`` are the token numbers of the empty text; ``noise_level`` is
    the strength of the noise over the recording; ``guidance`` 1 is none (with an empty text there is nothing to guide
    by); ``scaling_factor`` is by what latents are divided before they are decoded.
    """

    words: Literal["none: the prompt is the empty text, always"]
    prompt_tokens: Text
    noise_level: Annotated[int, Field(ge=0)]
    guidance: float
    scaling_factor: float


class Source(_Part):
    """What was given to be enrolled: name and digest (of a folder: of the list of its files), and its form."""

    name: Text
    sha256: Digest
    form: Literal["safetensors", "torch", "onnx", "diffusers"]
    root: Text | None = None  # torch: the key under which the state dictionary lay


class LaboratoryCard(_Part):
    """What a laboratory may say of its model (``models add --card FILE``); what it leaves out is not stated."""

    title: Text | None = None
    version: Version = "1.0.0"
    class_label: Annotated[str | None, Field(alias="class", max_length=64)] = None
    class_declared_by: Text | None = None
    licence: Text = NOT_STATED
    explanation: Text = NOT_STATED
    training: Text = NOT_STATED
    known_artefacts: list[Text] = Field(default_factory=list, max_length=100)
    limitations: list[Text] = Field(default_factory=list, max_length=100)
    references: list[Text] = Field(default_factory=list, max_length=100)

    @model_validator(mode="after")
    def _who_says_so(self) -> LaboratoryCard:
        if declared(self.class_label) < StageClass.GENERATIVE and self.class_declared_by is None:
            raise ValueError("a class other than generative needs class_declared_by: who declares it")
        return self


class ExternalCard(_Part):
    """The card of an enrolled model, made by this program; read by
    :func:`forensic.registry.external.shelf.load_external`.
    """

    schema_id: Annotated[Literal["tag:forensic-tool,2026:external-model/v1"], Field(alias="schema")]
    id: Annotated[str, Field(pattern=rf"\A{ID_PATTERN}\z")]
    version: Version
    title: Text
    class_label: Annotated[Literal["generative"], Field(alias="class")]
    class_statement: Text
    declared_class: Annotated[str, Field(max_length=64)] | None = None
    declared_by: Text | None = None
    engine: EngineName
    architecture: Text
    scale: Annotated[int, Field(ge=1, le=8)]
    alignment: Annotated[int, Field(ge=1, le=256)]
    parameters: Annotated[int, Field(ge=0)]
    noise: bool  # its result depends on a seed
    computed_precision: Literal["float32"] | None = None  # of ONNX it is what the file says, operator by operator
    licence: Text
    explanation: Text
    training: Text
    known_artefacts: list[Text]
    limitations: list[Text]
    references: list[Text]
    source: Source
    conditions: Conditions | None = None
    files: Annotated[list[EnrolledFile], Field(min_length=1, max_length=64)]

    _folder: Path | None = PrivateAttr(default=None)
    _card_sha256: str | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _each_file_once(self) -> ExternalCard:
        if len({file.name.casefold() for file in self.files}) != len(self.files):
            raise ValueError("two files have one name")
        return self

    @model_validator(mode="after")
    def _class_as_declared(self) -> ExternalCard:
        if declared(self.declared_class) < StageClass.GENERATIVE and self.declared_by is None:
            raise ValueError("declared_class needs declared_by: who declares it")
        if self.class_statement != class_statement(self.declared_class, self.declared_by):
            raise ValueError("class_statement is not what follows from declared_class and declared_by")
        return self

    @property
    def stage_class(self) -> StageClass:
        """Generative, whatever is declared."""
        return StageClass.GENERATIVE

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the one file; of several, that of their list as ``sha256sum`` prints it, sorted by name."""
        return files_digest(self.files)

    @property
    def stored_precision(self) -> str | None:
        """Kinds of numbers in its safetensors files together; None if it has none."""
        kinds = {kind for file in self.files if file.precision is not None for kind in file.precision.split(", ")}
        return spoken(kinds) if kinds else None

    @property
    def folder(self) -> Path:
        """Folder that holds the card and the files."""
        if self._folder is None:
            raise InternalError("model.card-detached", f"Model card {self.id} was not loaded from a folder.")
        return self._folder

    @property
    def card_sha256(self) -> str:
        """SHA-256 of the bytes of the card's file."""
        if self._card_sha256 is None:
            raise InternalError("model.card-detached", f"Model card {self.id} was not loaded from a folder.")
        return self._card_sha256

    def came_from(self, folder: Path, card_sha256: str) -> ExternalCard:
        """This card, tied to the folder and the exact bytes that it was read from."""
        card = self.model_copy()
        card._folder, card._card_sha256 = folder, card_sha256
        return card

    def facts(self) -> dict[str, Any]:
        """JSON-able identity of the model for the ledger, the attestation and the policy engine."""
        return {
            "id": self.id,
            "version": self.version,
            "title": self.title,
            "class": self.stage_class.label,
            "class_statement": self.class_statement,
            "external": True,
            "engine": self.engine,
            "architecture": self.architecture,
            "scale": self.scale,
            "channels": "rgb",
            "parameters": self.parameters,
            **self.how_computed(),
            "weights_sha256": self.weights_sha256,
            "card_sha256": self.card_sha256,
            "licence": self.licence,
            "calibration": "uncalibrated",
        }

    def how_computed(self) -> dict[str, Any]:
        """Precision of the files and of the arithmetic, and what is the same for every picture, where there is such."""
        told = {"stored_precision": self.stored_precision, "computed_precision": self.computed_precision}
        given = {} if self.conditions is None else {"conditions": self.conditions.model_dump()}
        return {name: value for name, value in told.items() if value is not None} | given

    def to_record(self) -> dict[str, Any]:
        """The whole card, JSON-able, with ``card_sha256`` added."""
        record = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {**record, "card_sha256": self.card_sha256}


def declared(label: str | None) -> StageClass:
    """The class that a laboratory's word declares. No word, or one that is no class, is generative."""
    try:
        return StageClass.parse(label)
    except PolicyRefused:
        return StageClass.GENERATIVE


def class_statement(label: str | None, by: str | None) -> str:
    """What record and report say of the class, in a sentence or two."""
    if label is None:
        return "The laboratory declares no class: an unknown class is generative."
    if declared(label).label != label:
        return f"The laboratory's word {label!r} is no class: an unknown class is generative."
    if label == StageClass.GENERATIVE.label:
        return "Declared generative by the laboratory."
    return (
        f"Class {label!r} declared by the laboratory ({by}), not examined. It is run as generative: a declaration "
        f"alone "
        "lowers no class."
    )


def files_digest(files: list[EnrolledFile]) -> str:
    """As :attr:`ExternalCard.weights_sha256`."""
    if len(files) == 1:
        return files[0].sha256
    lines = [f"{file.sha256}  {file.name}\n" for file in sorted(files, key=lambda file: file.name)]
    return sha256_bytes("".join(lines).encode("utf-8"))


def card_text(card: dict[str, Any]) -> str:
    """``card``, a JSON-able table of an :class:`ExternalCard`, as TOML (a JSON text is one too, but for U+007F)."""
    tables = ("source", "conditions", "files")
    lines = ["# A laboratory's own model, enrolled by `forensic models add`. The program refuses it if a file differs."]
    lines += [f"{name} = {_value(value)}" for name, value in card.items() if name not in tables]
    for table in ("source", "conditions"):
        if table in card:
            lines += ["", f"[{table}]", *(f"{name} = {_value(value)}" for name, value in card[table].items())]
    for file in card["files"]:
        lines += ["", "[[files]]", *(f"{name} = {_value(value)}" for name, value in file.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
