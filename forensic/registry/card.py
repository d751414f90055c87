"""What a model card says: the typed, frozen form of ``card.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from forensic.errors import InternalError
from forensic.frames.stageclass import StageClass
from forensic.registry.packs.description import Digest, WeightPack

#: Folder names of models. No dots or separators, so an id can never leave the models folder.
ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,63}"

_FILE_STEM = r"[A-Za-z0-9][A-Za-z0-9_-]{0,100}(\.[A-Za-z0-9_-]{1,50}){0,4}"

Text = Annotated[str, Field(min_length=1, max_length=8000)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Architecture(_Part):
    """Which network the weights belong to, and its hyper-parameters."""

    name: Annotated[str, Field(pattern=rf"\A{ID_PATTERN}\z")]
    hyperparameters: dict[str, int]


class Weights(_Part):
    """The weights file (a plain file name) and its SHA-256.

    It lies beside the card, or, if ``pack`` says where the weights can be fetched, in the models store.
    """

    file: Annotated[str, Field(pattern=rf"\A{_FILE_STEM}\.(safetensors|onnx)\z")]
    sha256: Digest
    pack: WeightPack | None = None

    @property
    def format(self) -> str:
        """``safetensors``: numbers only; ``onnx``: numbers and the operators that they go through."""
        return self.file.rpartition(".")[2]

    @model_validator(mode="after")
    def _as_it_comes(self) -> Weights:
        pack = self.pack
        if pack is not None and self.format != "safetensors":
            raise ValueError("a weight pack is kept as safetensors")
        if pack is not None and pack.format == "safetensors" and pack.member_sha256 != self.sha256:
            raise ValueError("a safetensors member is stored as it comes: its SHA-256 is that of the weights")
        return self


class Origin(_Part):
    """The model whose weights these were made from by quantisation, and the digest of those weights."""

    id: Annotated[str, Field(pattern=rf"\A{ID_PATTERN}\z")]
    version: Text
    weights_sha256: Digest


class ForwardModel(_Part):
    """How the model assumes that the camera made the input from the scene.

    ``blur_sigma`` is the range of the optical Gaussian's standard deviation in input pixels.
    """

    blur: Literal["gaussian"]
    blur_sigma: tuple[Annotated[float, Field(ge=0, le=16)], Annotated[float, Field(ge=0, le=16)]]
    downsample: Literal["area", "bicubic", "point"]  # bicubic: antialiased, as MATLAB's imresize; point: samples taken

    @model_validator(mode="before")
    @classmethod
    def _pair(cls, data: Any) -> Any:
        # TOML has arrays only; strict mode wants a tuple.
        if isinstance(data, dict) and isinstance(data.get("blur_sigma"), list):
            return {**data, "blur_sigma": tuple(data["blur_sigma"])}
        return data

    @model_validator(mode="after")
    def _ordered(self) -> ForwardModel:
        if self.blur_sigma[0] > self.blur_sigma[1]:
            raise ValueError("blur_sigma must run from low to high")
        return self


class Training(_Part):
    """What the weights were made of and how."""

    data: Text
    data_list: Text
    data_licences: Text
    degradation: Text
    loss: Text
    optimiser: Text
    schedule: Text
    seed: int
    duration: Text
    software: Text
    recipe: Text


class Measurement(_Part):
    """One measured number: ``value`` of ``metric`` for ``method`` over ``n`` pictures under ``conditions``."""

    metric: Text
    unit: str
    method: Text
    value: Number
    n: Annotated[int, Field(ge=1)]
    conditions: Text


class ModelCard(_Part):
    """A model card. Made by :func:`forensic.registry.cards.load_card` only, which adds where it came from."""

    id: Annotated[str, Field(pattern=rf"\A{ID_PATTERN}\z")]
    version: Annotated[str, Field(pattern=r"\A[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}\z")]
    title: Text
    class_label: Annotated[str, Field(alias="class")]
    architecture: Architecture
    scale: Annotated[int, Field(ge=1, le=8)]
    channels: Literal["luma", "chroma", "rgb"]
    precision: Literal["float32", "int8"]
    parameters: Annotated[int, Field(ge=1)]
    #: Radius in input pixels; "tile" where a pixel depends on all that the network is given at once.
    receptive_field: Annotated[int, Field(ge=0, le=4096)] | Literal["tile"]
    overlap: Annotated[int, Field(ge=0, le=256)] | None = None  # least overlap of tiles, where the field is the tile
    #: What it works on beside single frames; None if nothing.
    refines: Literal["fusion"] | None = None
    #: What one result is made of; None for single frames. "comparison": of two pictures it makes a number, no picture;
    #: every stage refuses it. "holes": it makes what is missing from a picture, of any form, and knows no camera.
    #: "noise": it makes pictures out of noise, in steps.
    works_on: Literal["sequence", "colour", "comparison", "holes", "noise"] | None = None
    #: For works_on = "colour": how many times the picture was enlarged whose colour it restores; ``scale`` is then 1.
    enlarged: Annotated[int, Field(ge=1, le=8)] | None = None
    #: Model whose version for another scale this is; a recipe that names that one uses this one where asked to.
    sibling_of: Annotated[str, Field(pattern=rf"\A{ID_PATTERN}\z")] | None = None
    weights: Weights
    quantised_from: Origin | None = None
    licence: Text
    explanation: Text
    calibration: Literal["uncalibrated", "calibrated"]
    #: Digest of ``calibration.json`` beside the card: no other is used.
    calibration_sha256: Digest | None = None
    #: Digest of ``evaluation.csv`` beside the card, its held-out test: of no other table are numbers told.
    held_out_sha256: Digest | None = None
    forward_model: ForwardModel | None = None
    training: Training
    measured: Annotated[list[Measurement], Field(min_length=1)]
    known_artefacts: Annotated[list[Text], Field(min_length=1)]
    limitations: Annotated[list[Text], Field(min_length=1)]
    references: Annotated[list[Text], Field(min_length=1)]

    @model_validator(mode="after")
    def _overlap_where_unbounded(self) -> ModelCard:
        if (self.receptive_field == "tile") != (self.overlap is not None):
            raise ValueError('overlap is stated if, and only if, receptive_field is "tile"')
        return self

    @model_validator(mode="after")
    def _colour_of_single_frames(self) -> ModelCard:
        single = self.works_on in (None, "holes", "noise")
        if self.channels == "rgb" and (self.refines or not single or self.precision != "float32"):
            raise ValueError('channels = "rgb" is for float32 models of single frames')
        return self

    @model_validator(mode="after")
    def _which_calibration(self) -> ModelCard:
        if (self.calibration == "calibrated") != (self.calibration_sha256 is not None):
            raise ValueError('calibration_sha256 is stated if, and only if, calibration = "calibrated"')
        if self.held_out_sha256 is not None and self.calibration_sha256 is None:
            raise ValueError("held_out_sha256 goes with calibration_sha256")
        return self

    @model_validator(mode="after")
    def _comparison(self) -> ModelCard:
        if self.works_on == "comparison" and self.stage_class is not StageClass.GENERATIVE:
            # It touches no pixel. Were it ever taken for a stage, no policy for evidence may permit it.
            raise ValueError('a model that compares pictures states class = "generative"')
        if (self.works_on in ("comparison", "holes")) != (self.forward_model is None):
            raise ValueError('forward_model is stated, except where works_on is "comparison" or "holes"')
        return self

    @model_validator(mode="after")
    def _holes(self) -> ModelCard:
        made_up = self.stage_class is StageClass.GENERATIVE and self.channels == "rgb" and self.scale == 1
        if self.works_on == "holes" and not made_up:
            raise ValueError('works_on = "holes" goes with class = "generative", channels = "rgb" and scale = 1')
        return self

    @model_validator(mode="after")
    def _noise(self) -> ModelCard:
        if self.works_on == "noise" and not (self.stage_class is StageClass.GENERATIVE and self.channels == "rgb"):
            raise ValueError('works_on = "noise" goes with class = "generative" and channels = "rgb"')
        return self

    @model_validator(mode="after")
    def _colour_of_an_enlarged_picture(self) -> ModelCard:
        colour = self.works_on == "colour"
        if colour != (self.channels == "chroma") or colour != (self.enlarged is not None):
            raise ValueError('works_on = "colour", channels = "chroma" and enlarged go together')
        if colour and (self.scale != 1 or self.refines):
            raise ValueError("a model that works on colour enlarges nothing itself (scale 1) and refines no fusion")
        return self

    @model_validator(mode="after")
    def _sibling_of_another(self) -> ModelCard:
        if self.sibling_of == self.id:
            raise ValueError("a model is no sibling of itself")
        return self

    @model_validator(mode="after")
    def _quantised(self) -> ModelCard:
        if self.precision == "int8" and self.weights.format != "onnx":
            raise ValueError("weights of precision int8 are an ONNX file")
        if (self.precision == "int8") != (self.quantised_from is not None):
            raise ValueError("quantised_from is stated if, and only if, precision is int8")
        return self

    _folder: Path | None = PrivateAttr(default=None)
    _card_sha256: str | None = PrivateAttr(default=None)

    @property
    def stage_class(self) -> StageClass:
        """Class of every pixel that the model touches."""
        return StageClass.parse(self.class_label)

    @property
    def made_for(self) -> int:
        """Factor by which siblings differ: that of enlargement, by the model or, where it restores colour, before."""
        return self.scale if self.enlarged is None else self.enlarged

    @property
    def engine(self) -> str:
        """What computes the network: ``torch`` or ``onnxruntime``."""
        return {"safetensors": "torch", "onnx": "onnxruntime"}[self.weights.format]

    @property
    def least_overlap(self) -> int:
        """Input pixels of surroundings that a tile needs on every side."""
        return self.receptive_field if isinstance(self.receptive_field, int) else self.overlap or 0

    @property
    def folder(self) -> Path:
        """Folder that holds the card and, where they are shipped, its weights."""
        if self._folder is None:
            raise InternalError("model.card-detached", f"Model card {self.id} was not loaded from a folder.")
        return self._folder

    @property
    def card_sha256(self) -> str:
        """SHA-256 of the bytes of ``card.toml``, 64 lower-case hexadecimal digits."""
        if self._card_sha256 is None:
            raise InternalError("model.card-detached", f"Model card {self.id} was not loaded from a folder.")
        return self._card_sha256

    def came_from(self, folder: Path, card_sha256: str) -> ModelCard:
        """This card, tied to the folder and the exact bytes that it was read from."""
        card = self.model_copy()
        card._folder = folder
        card._card_sha256 = card_sha256
        return card

    def facts(self) -> dict[str, Any]:
        """JSON-able identity of the model for the ledger, the attestation and the policy engine."""
        return {
            "id": self.id,
            "version": self.version,
            "title": self.title,
            "class": self.stage_class.label,
            "architecture": self.architecture.name,
            "scale": self.scale,
            "channels": self.channels,
            "precision": self.precision,
            "parameters": self.parameters,
            "weights_sha256": self.weights.sha256,
            "card_sha256": self.card_sha256,
            "licence": self.licence,
            "calibration": self.calibration,
        }

    def to_record(self) -> dict[str, Any]:
        """The whole card, JSON-able, as ``card.toml`` has it, with ``card_sha256`` added."""
        record = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {**record, "card_sha256": self.card_sha256}
