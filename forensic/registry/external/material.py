"""What a laboratory brings to be enrolled, read once into memory: one file, or the folder of a diffusers pipeline.

Nothing is unpickled and nothing is executed: a torch file is read by :mod:`forensic.registry.packs.torchfile` and kept
as safetensors, an ONNX file is held against a list of operators, and of a pipeline's folder only settings (JSON) and
numbers (safetensors) are taken (:mod:`forensic.registry.external.pipeline_folder`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from forensic.errors import BadInput, UsageError
from forensic.hashes import sha256_bytes
from forensic.registry.external import pipeline_folder
from forensic.registry.external.card import EngineName, EnrolledFile, Source, files_digest
from forensic.registry.external.shelf import MAXIMUM_FILE_BYTES, MOST_TOLD, told
from forensic.registry.external.tensor_list import spoken, stored_precisions
from forensic.registry.packs.torchfile import torch_tensors

WEIGHTS, PROGRAM = "weights.safetensors", "network.onnx"
_TORCH = (".pth", ".pt", ".ckpt")
#: Keys under which training programs store the network: averaged weights come before the last ones.
_ROOTS = ("params_ema", "params-ema", "params", "state_dict", "model")


@dataclass(frozen=True)
class Material:
    """What was brought: the engine that runs it, its files by name, where they came from, and what was left behind."""

    engine: EngineName
    files: dict[str, bytes]
    source: Source
    left_out: tuple[str, ...] = ()

    def enrolled(self) -> list[EnrolledFile]:
        """The files with size, digest and, where they are safetensors, kinds of numbers, sorted by name."""
        return [_described(name, data) for name, data in sorted(self.files.items())]


def told_name(path: Path) -> str:
    """The last part of ``path`` as a text that can be recorded (:func:`told`)."""
    return told(path.name) or "folder"


def source_digest(path: Path) -> str | None:
    """SHA-256 of the file at ``path``, for the record of an attempt; None for a folder, or what cannot be read."""
    digest = hashlib.sha256()
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
    except OSError:
        return None
    return digest.hexdigest()


def read_material(path: Path, root: str | None = None) -> Material:
    """Read what lies at ``path``; ``root`` is the key of the state dictionary in a torch file, else it is looked for.

    Raises ``UsageError`` (``model.external-not-local``, ``model.external-root``), ``BadInput``:
    ``model.external-format``, ``model.weights-invalid``, ``model.external-size``, ``model.pack-unsafe``,
    ``model.pack-weights``, and what :mod:`forensic.registry.external.pipeline_folder` raises.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", str(path)) or not (path.is_file() or path.is_dir()):
        raise UsageError(
            "model.external-not-local",
            f"{path} is no file or folder on this machine.",
            "Nothing is downloaded: get the model yourself, check it, and name the file or folder.",
        )
    form = path.suffix.lower()
    if root is not None and form not in _TORCH:
        raise UsageError("model.external-root", "--root names a key in a torch file, which this is not.")
    if root is not None and (not root or told(root) != root):
        raise UsageError("model.external-root", f"--root is a text of 1 to {MOST_TOLD} characters.")
    if path.is_dir():
        files, left_out = pipeline_folder.read_folder(path)
        listed = [_described(name, data) for name, data in files.items()]
        source = Source(name=told_name(path), sha256=files_digest(listed), form="diffusers")
        return Material("diffusers", files, source, left_out)
    data = _read(path)
    digest = sha256_bytes(data)
    if form == ".safetensors":
        stored_precisions(data, told_name(path))  # else it is no safetensors
        return Material("spandrel", {WEIGHTS: data}, Source(name=told_name(path), sha256=digest, form="safetensors"))
    if form == ".onnx":
        return Material("onnxruntime", {PROGRAM: data}, Source(name=told_name(path), sha256=digest, form="onnx"))
    if form in _TORCH:
        tensors, found = _state(data, root)
        source = Source(name=told_name(path), sha256=digest, form="torch", root=found)
        return Material("spandrel", {WEIGHTS: safetensors.numpy.save(tensors)}, source)
    raise BadInput(
        "model.external-format",
        f"{path.name} is of no form that is known: safetensors, ONNX, a torch file (.pth), or a folder of diffusers.",
        "Convert it to safetensors where it was made.",
    )


def _described(name: str, data: bytes) -> EnrolledFile:
    precision = spoken(stored_precisions(data, name)) if name.endswith(".safetensors") else None
    return EnrolledFile(name=name, size=len(data), sha256=sha256_bytes(data), precision=precision)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAXIMUM_FILE_BYTES + 1)
    except OSError as error:
        raise BadInput("model.weights-unreadable", f"{path.name} cannot be read: {error.strerror}.") from error
    if len(data) > MAXIMUM_FILE_BYTES:
        raise BadInput("model.external-size", f"{path.name} exceeds 4 GiB.")
    return data


def _state(data: bytes, root: str | None) -> tuple[dict[str, np.ndarray], str | None]:
    """The tensors of a torch file, and the key under which they lay. What asks for more than tensors is refused."""
    places: tuple[str | None, ...] = (None, *_ROOTS) if root is None else (root,)
    refusal: BadInput | None = None
    for place in places:
        try:
            return torch_tensors(data, place), place
        except BadInput as error:
            if error.code == "model.pack-unsafe":
                raise
            refusal = refusal or error
    raise refusal or BadInput("model.pack-weights", "The torch file holds no state dictionary.")
