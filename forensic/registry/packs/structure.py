"""The structure of a ``torch.save`` file, read without unpickling it: no name is imported, nothing is called.

The pickle is read as a list of instructions (``pickletools``) by a small machine of our own that knows what
a state dictionary of plain tensors needs, and builds from it dictionaries, tuples, numbers, texts and
places of tensors. Every other instruction and every other global name is a refusal, before anything of
it takes effect: there is nothing here that could take effect.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from forensic.errors import BadInput
from forensic.registry.packs.marks import MARK, since_mark

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
class Storage:
    """One array of numbers in the file: its dtype, the name of its place, and how many."""

    dtype: np.dtype[Any]
    key: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A tensor's place in a storage: first number, lengths and steps, all in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """What its numbers take."""
        return abs(math.prod(self.shape)) * self.storage.dtype.itemsize


@dataclass(frozen=True)
class Structure:
    """What a pickle describes, and every storage that it refers to, by name."""

    value: Any
    storages: Mapping[str, Storage]


def read_structure(stream: BinaryIO) -> Structure:
    """What the pickle at the stream's place describes, by instructions that only put together; reads to its end.

    Raises ``BadInput`` (``model.pack-unsafe``, ``model.pack-weights``) and, for what is no pickle, ``ValueError`` and
    the like.
    """
    stack: list[Any] = []
    memory: dict[int, Any] = {}
    storages: dict[str, Storage] = {}
    argument: Any
    for count, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
        if count > _MOST_INSTRUCTIONS:
            raise refused("its structure is too large")
        name = instruction.name
        if name in _PUSHES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PROTO", "FRAME"):
            continue
        elif name == "STOP":
            (result,) = stack
            return Structure(result, storages)
        elif name == "MARK":
            stack.append(MARK)
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
            stack.append(tuple(since_mark(stack)))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            length = int(name[-1])
            stack[-length:] = [tuple(stack[-length:])]
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark(stack)
            if not isinstance(stack[-1], dict) or any(not isinstance(key, str | int) for key in items[::2]):
                raise refused("it fills something that is no dictionary", unsafe=True)
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else since_mark(stack)
            if not isinstance(stack[-1], list):
                raise refused("it appends to something that is no list", unsafe=True)
            stack[-1].extend(items)
        elif name == "BINPERSID":
            storage = _storage(stack.pop())
            if storages.setdefault(storage.key, storage) != storage:
                raise refused("it describes one storage in two ways")
            stack.append(storage)
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_put_together(stack.pop(), arguments))
        elif name == "BUILD" and isinstance(stack[-2], dict):
            stack.pop()  # attributes of the dictionary (versions of modules), which hold no tensor
        else:
            raise refused(f"its structure uses the instruction {name}", unsafe=True)
    raise refused("its structure has no end")


def _known(name: str) -> _Global:
    if name not in _STORAGES and name not in (_TENSOR, _PARAMETER, _ORDERED):
        raise refused(f"it names {name[:200]!r}, which is no part of plain tensors", unsafe=True)
    return _Global(name)


def _storage(identity: Any) -> Storage:
    kind, of, key, _, count, *view = identity
    if view not in ([], [None]):  # the older form could say that a storage is a part of another
        raise refused("a storage is part of another")
    if kind != "storage" or not isinstance(of, _Global) or of.name not in _STORAGES:
        raise refused("it refers to something that is no storage", unsafe=True)
    if not isinstance(key, str) or not key.isascii() or not key.isdecimal() or type(count) is not int or count < 0:
        raise refused("a storage has no proper name or length", unsafe=True)
    return Storage(_STORAGES[of.name], key, count)


def _put_together(what: Any, arguments: Any) -> Any:
    if what == _Global(_ORDERED) and arguments == ():
        return {}
    if what == _Global(_TENSOR):
        storage, offset, shape, strides = arguments[:4]
        numbers = (offset, *shape, *strides)
        if isinstance(storage, Storage) and len(shape) == len(strides) and all(type(n) is int for n in numbers):
            return Tensor(storage, offset, tuple(shape), tuple(strides))
    if what == _Global(_PARAMETER) and isinstance(arguments[0], Tensor):
        return arguments[0]
    raise refused("it calls something that does not make a plain tensor", unsafe=True)


def refused(why: str, *, unsafe: bool = False) -> BadInput:
    """The refusal of a file, in words; ``unsafe``: it asks for more than plain tensors."""
    code = "model.pack-unsafe" if unsafe else "model.pack-weights"
    return BadInput(code, f"The weights are not plain tensors of a torch file: {why}.", "Nothing of it was executed.")
