"""Read the tensors of a ``torch.save`` file as data, in both of its forms, without unpickling it.

Since PyTorch 1.6 such a file is a zip archive: a pickle of the structure, and one raw file per storage. Before,
it was five pickles one after the other (a magic number, the version, facts about the machine, the structure,
the names of the storages) and then, in that order of names, each storage as a count and its raw numbers. Pickles
are read by :mod:`forensic.registry.packs.structure`, which executes nothing.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from forensic.registry.packs.structure import Storage, Tensor, read_structure, refused

#: How a file of the older form begins, as ``torch.serialization`` has it, and the one version of it there was.
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_OLDER = b"\x80\x02\x8a\n" + _MAGIC.to_bytes(10, "little") + b"."
_COUNT = 8  # bytes: the number of numbers before a storage of the older form


def torch_tensors(data: bytes, root: str | None = None) -> dict[str, np.ndarray]:
    """The tensors of a state dictionary by name, as arrays of the file's dtype.

    ``root`` is the key under which the dictionary lies, if not at the top. Raises ``BadInput``:
    ``model.pack-unsafe`` (the file asks for anything but plain tensors), ``model.pack-weights`` (not such a file).
    """
    try:
        if data.startswith(_OLDER):
            return _older(data, root)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = _stored(archive, len(data))
            (structure,) = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
            base = structure.removesuffix("data.pkl")
            if base + "byteorder" in names and archive.read(base + "byteorder") != b"little":
                raise refused("its numbers are not little-endian")
            found = read_structure(io.BytesIO(archive.read(structure))).value
            return _arrays(found, root, lambda storage: archive.read(f"{base}data/{storage.key}"), len(data))
    except (zipfile.BadZipFile, ValueError, KeyError, IndexError, TypeError, EOFError, OSError, RuntimeError,
            NotImplementedError, RecursionError, OverflowError, struct.error) as error:  # fmt: skip
        raise refused(f"it cannot be read ({type(error).__name__}: {error})"[:300]) from error


def _stored(archive: zipfile.ZipFile, most: int) -> list[str]:
    """Names of the archive's files. PyTorch does not compress; what unpacks to more than ``most`` bytes is refused."""
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise refused("a part of it is compressed")
    if sum(member.file_size for member in members) > most:
        raise refused("its parts are more than the file holds")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise refused("two of its parts have one name: which is meant depends on who reads")
    return names


def _older(data: bytes, root: str | None) -> dict[str, np.ndarray]:
    stream = io.BytesIO(data)
    magic, version, machine = (read_structure(stream).value for _ in range(3))
    if (magic, version) != (_MAGIC, _VERSION):
        raise refused("it is of a version that is not known")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise refused("its numbers are not little-endian")
    found = read_structure(stream)
    keys = read_structure(stream).value
    if not isinstance(keys, list) or sorted(keys) != sorted(found.storages):
        raise refused("its storages are not those of its structure")
    at, places = stream.tell(), {}
    for key in keys:
        storage = found.storages[key]
        (count,) = struct.unpack_from("<q", data, at)
        if count != storage.count:
            raise refused(f"storage {key} has not the length that the structure gives")
        places[key] = at + _COUNT
        at += _COUNT + count * storage.dtype.itemsize
    if at != len(data):
        raise refused("it is longer or shorter than its storages")

    def raw(storage: Storage) -> bytes:
        first = places[storage.key]
        return data[first : first + storage.count * storage.dtype.itemsize]

    return _arrays(found.value, root, raw, len(data))


def _arrays(found: Any, root: str | None, raw: Callable[[Storage], bytes], most: int) -> dict[str, np.ndarray]:
    """The tensors of the dictionary under ``root``, of ``most`` bytes in all; ``raw`` gives the bytes of a storage."""
    if root is not None:
        found = found[root] if isinstance(found, Mapping) and root in found else None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise refused("no dictionary of tensors lies where the card says")
    wrong = [name for name, value in found.items() if not isinstance(value, Tensor)]
    if wrong:
        raise refused(f"{wrong[0]!r} is no tensor")
    if sum(tensor.bytes for tensor in found.values()) > most:
        raise refused("its tensors are more than the file holds")
    storages = {tensor.storage for tensor in found.values()}
    held = {storage.key: raw(storage) for storage in storages}
    return {name: _array(held[tensor.storage.key], tensor) for name, tensor in found.items()}


def _array(raw: bytes, tensor: Tensor) -> np.ndarray:
    storage = tensor.storage
    if len(raw) != storage.count * storage.dtype.itemsize:
        raise refused(f"storage {storage.key} has not the length that the structure gives")
    contiguous, step = [], 1
    for length in reversed(tensor.shape):
        contiguous.append(step)
        step *= length
    if step and any(
        length > 1 and stride != expected
        for length, stride, expected in zip(tensor.shape, tensor.strides, reversed(contiguous), strict=True)
    ):
        raise refused("a tensor is not stored row by row")
    if tensor.offset < 0 or min(tensor.shape, default=0) < 0 or tensor.offset + step > storage.count:
        raise refused("a tensor reaches beyond its storage")
    return np.frombuffer(raw, storage.dtype)[tensor.offset : tensor.offset + step].reshape(tensor.shape).copy()
