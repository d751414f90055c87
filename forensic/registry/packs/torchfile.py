"""Read the tensors of a ``torch.save`` file without unpickling it: no name is imported, nothing is called.

The zip form of ``torch.save`` (since PyTorch 1.6) holds a pickle of the structure and one raw file per storage.
The pickle is read as a list of instructions (``pickletools``) by a small machine of our own that knows what
a state dictionary of plain tensors needs, and builds from it dictionaries, tuples, numbers, texts and
places of tensors. Every other instruction and every other global name is a refusal, before anything of
it takes effect: there is nothing here that could take effect.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.errors import BadInput

#: Storage classes of torch and what lies in their files, little-endian.
_STORAGES: dict[str, np.dtype[Any]] = {
    "torch FloatStorage": np.dtype("<f4"), "torch DoubleStorage": np.dtype("<f8"), "torch HalfStorage": np.dtype("<f2"),
    "torch LongStorage": np.dtype("<i8"), "torch IntStorage": np.dtype("<i4"), "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"), "torch ByteStorage": np.dtype("u1"), "torch BoolStorage": np.dtype("?"),
}  # fmt: skip
_TENSOR, _PARAMETER, _ORDERED = (
    "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict",
)  # fmt: skip
_MOST_INSTRUCTIONS = 1_000_000
_PUSHES = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "INT", "UNICODE",
}  # fmt: skip
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Storage:
    dtype: np.dtype[Any]
    key: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_MARK = object()


def torch_tensors(data: bytes, root: str | None = None) -> dict[str, np.ndarray]:
    """The tensors of a state dictionary by name, as arrays of the file's dtype.

    ``root`` is the key under which the dictionary lies, if not at the top. Raises ``BadInput``:
    ``model.pack-unsafe`` (the file asks for anything but plain tensors), ``model.pack-weights`` (not such a file).
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            (structure,) = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
            base = structure.removesuffix("data.pkl")
            if base + "byteorder" in names and archive.read(base + "byteorder") != b"little":
                raise _refused("its numbers are not little-endian")
            found: Any = _structure(archive.read(structure))
            if root is not None:
                found = found[root] if isinstance(found, Mapping) and root in found else None
            if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
                raise _refused("no dictionary of tensors lies where the card says")
            wrong = [name for name, value in found.items() if not isinstance(value, _Tensor)]
            if wrong:
                raise _refused(f"{wrong[0]!r} is no tensor")
            return {name: _array(archive, base, tensor) for name, tensor in found.items()}
    except (zipfile.BadZipFile, ValueError, KeyError, IndexError, TypeError, EOFError, OSError, RuntimeError,
            NotImplementedError, RecursionError, OverflowError, struct.error, zlib.error) as error:  # fmt: skip
        raise _refused(f"it cannot be read ({type(error).__name__}: {error})"[:300]) from error


def _array(archive: zipfile.ZipFile, base: str, tensor: _Tensor) -> np.ndarray:
    storage = tensor.storage
    raw = archive.read(f"{base}data/{storage.key}")
    if len(raw) != storage.count * storage.dtype.itemsize:
        raise _refused(f"storage {storage.key} has not the length that the structure gives")
    contiguous, step = [], 1
    for length in reversed(tensor.shape):
        contiguous.append(step)
        step *= length
    if step and any(
        length > 1 and stride != expected
        for length, stride, expected in zip(tensor.shape, tensor.strides, reversed(contiguous), strict=True)
    ):
        raise _refused("a tensor is not stored row by row")
    if tensor.offset < 0 or min(tensor.shape, default=0) < 0 or tensor.offset + step > storage.count:
        raise _refused("a tensor reaches beyond its storage")
    return np.frombuffer(raw, storage.dtype)[tensor.offset : tensor.offset + step].reshape(tensor.shape).copy()


def _structure(data: bytes) -> Any:
    """What the pickle describes, by instructions that only put together."""
    stack: list[Any] = []
    memory: dict[int, Any] = {}
    argument: Any
    for count, (instruction, argument, _) in enumerate(pickletools.genops(data)):
        if count > _MOST_INSTRUCTIONS:
            raise _refused("its structure is too large")
        name = instruction.name
        if name in _PUSHES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PROTO", "FRAME"):
            continue
        elif name == "STOP":
            (result,) = stack
            return result
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memory[argument] = stack[-1]
        elif name == "MEMOIZE":
            memory[len(memory)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memory[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(_known(argument if name == "GLOBAL" else " ".join(reversed((stack.pop(), stack.pop())))))
        elif name == "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            length = int(name[-1])
            stack[-length:] = [tuple(stack[-length:])]
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _since_mark(stack)
            if not isinstance(stack[-1], dict) or any(not isinstance(key, str | int) for key in items[::2]):
                raise _refused("it fills something that is no dictionary", unsafe=True)
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else _since_mark(stack)
            if not isinstance(stack[-1], list):
                raise _refused("it appends to something that is no list", unsafe=True)
            stack[-1].extend(items)
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_put_together(stack.pop(), arguments))
        elif name == "BUILD" and isinstance(stack[-2], dict):
            stack.pop()  # attributes of the dictionary (versions of modules), which hold no tensor
        else:
            raise _refused(f"its structure uses the instruction {name}", unsafe=True)
    raise _refused("its structure has no end")


def _since_mark(stack: list[Any]) -> list[Any]:
    at = next((i for i in reversed(range(len(stack))) if stack[i] is _MARK), None)
    if at is None:
        raise _refused("its structure ends a list that it has not begun")
    items = stack[at + 1 :]
    del stack[at:]
    return items


def _known(name: str) -> _Global:
    if name not in _STORAGES and name not in (_TENSOR, _PARAMETER, _ORDERED):
        raise _refused(f"it names {name[:200]!r}, which is no part of plain tensors", unsafe=True)
    return _Global(name)


def _storage(identity: Any) -> _Storage:
    kind, of, key, _, count = identity
    if kind != "storage" or not isinstance(of, _Global) or of.name not in _STORAGES:
        raise _refused("it refers to something that is no storage", unsafe=True)
    if not isinstance(key, str) or not key.isascii() or not key.isdecimal() or not isinstance(count, int):
        raise _refused("a storage has no proper name", unsafe=True)
    return _Storage(_STORAGES[of.name], key, count)


def _put_together(what: Any, arguments: Any) -> Any:
    if what == _Global(_ORDERED) and arguments == ():
        return {}
    if what == _Global(_TENSOR):
        storage, offset, shape, strides = arguments[:4]
        numbers = (offset, *shape, *strides)
        if isinstance(storage, _Storage) and len(shape) == len(strides) and all(type(n) is int for n in numbers):
            return _Tensor(storage, offset, tuple(shape), tuple(strides))
    if what == _Global(_PARAMETER) and isinstance(arguments[0], _Tensor):
        return arguments[0]
    raise _refused("it calls something that does not make a plain tensor", unsafe=True)


def _refused(why: str, *, unsafe: bool = False) -> BadInput:
    code = "model.pack-unsafe" if unsafe else "model.pack-weights"
    return BadInput(code, f"The weights are not plain tensors of a torch file: {why}.", "Nothing of it was executed.")
