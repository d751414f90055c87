"""Read the arrays of a pickle of nested dictionaries, as Flax keeps parameters, as data: nothing is unpickled.

The pickle is read as a list of instructions (``pickletools``) by a machine of our own that knows dictionaries with
texts as keys and NumPy arrays of numbers, and no more. Every other instruction, and every other global name, is a
refusal before anything of it takes effect: no name is imported, nothing is called.
"""

from __future__ import annotations

import io
import math
import pickletools
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.errors import BadInput
from forensic.registry.packs.marks import MARK, since_mark

_RECONSTRUCT, _ARRAY, _TYPE = "numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"
_TYPES: dict[str, np.dtype[Any]] = {"f2": np.dtype("<f2"), "f4": np.dtype("<f4"), "f8": np.dtype("<f8")}
_LITTLE_ENDIAN = (3, "<", None, None, None, -1, -1, 0)
_MOST_INSTRUCTIONS = 100_000
_MOST_DEEP = 20
_PUSHES = {"BININT", "BININT1", "BININT2", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES"}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass
class _Type:
    """A dtype that is being put together; ``whole`` once its byte order is stated."""

    dtype: np.dtype[Any]
    whole: bool = False


@dataclass
class _Array:
    """An array that is being put together; None until its state is given."""

    value: np.ndarray | None = None


def flax_tensors(data: bytes) -> dict[str, np.ndarray]:
    """The arrays by name, the keys on the way to each joined with dots; the file's own dtypes.

    Flax keeps the kernel of a convolution as rows, columns, inputs, outputs: a ``kernel`` of four dimensions comes out
    as outputs, inputs, rows, columns, and is called ``weight``. Raises ``BadInput``: ``model.pack-unsafe`` (the file
    asks for anything but plain arrays), ``model.pack-weights`` (not such a file).
    """
    try:
        found: dict[str, np.ndarray] = {}
        _collect(_read(data), (), found, set())
    except (ValueError, KeyError, IndexError, TypeError, EOFError, AttributeError, RecursionError,
            OverflowError, MemoryError) as error:  # fmt: skip
        raise _refused(f"it cannot be read ({type(error).__name__}: {error})"[:300]) from error
    if not found:
        raise _refused("there is no array in it")
    return found


def _collect(value: Any, path: tuple[str, ...], found: dict[str, np.ndarray], seen: set[int]) -> None:
    """``seen``: identities of what was met. Nothing is taken twice: few dictionaries, shared, would be billions."""
    if len(path) > _MOST_DEEP:
        raise _refused("its dictionaries lie too deep in each other")
    if id(value) in seen:
        raise _refused(f"{'.'.join(path)[:200]!r} stands in another place, too")
    seen.add(id(value))
    if isinstance(value, dict):
        for key, inside in value.items():
            _collect(inside, (*path, key), found, seen)
        return
    if not isinstance(value, _Array) or value.value is None or not path:
        raise _refused(f"{'.'.join(path)[:200]!r} is no array", unsafe=True)
    array, name = value.value, path[-1]
    if name == "kernel" and array.ndim == 4:
        array, name = array.transpose(3, 2, 0, 1), "weight"
    full = ".".join((*path[:-1], name))
    if full in found:
        raise _refused(f"there are two arrays {full[:200]!r}")
    found[full] = np.asarray(array, order="C")  # keeps a single number one of no dimensions


def _read(data: bytes) -> Any:
    stack: list[Any] = []
    memory: dict[int, Any] = {}
    stream = io.BytesIO(data)
    argument: Any
    for count, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
        name = instruction.name
        if count > _MOST_INSTRUCTIONS:
            raise _refused("its structure is too large")
        if name in _PUSHES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "PROTO":
            continue
        elif name == "STOP":
            (result,) = stack
            if stream.tell() != len(data):
                raise _refused("something comes after its end")
            return result
        elif name == "MARK":
            stack.append(MARK)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name in ("BINPUT", "LONG_BINPUT"):
            memory[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memory[argument])
        elif name == "GLOBAL":
            if argument not in (_RECONSTRUCT, _ARRAY, _TYPE):
                raise _refused(f"it names {str(argument)[:200]!r}, which is no part of plain arrays", unsafe=True)
            stack.append(_Global(str(argument)))
        elif name == "TUPLE":
            stack.append(tuple(since_mark(stack)))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            length = int(name[-1])
            stack[-length:] = [tuple(stack[-length:])]
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark(stack)
            _fill(stack[-1], items)
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_made(stack.pop(), arguments))
        elif name == "BUILD":
            state = stack.pop()
            _build(stack[-1], state)
        else:
            raise _refused(f"its structure uses the instruction {name}", unsafe=True)
    raise _refused("its structure has no end")


def _fill(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict) or not all(isinstance(key, str) and "." not in key for key in items[::2]):
        raise _refused("it fills something that is no dictionary with texts as keys", unsafe=True)
    for key, value in zip(items[::2], items[1::2], strict=True):
        if key in target or value is target:
            raise _refused(f"it gives {key[:200]!r} twice, or a dictionary within itself")
        target[key] = value


def _made(what: Any, arguments: Any) -> _Type | _Array:
    """What a call of one of the two allowed makers stands for. Nothing is called."""
    if what == _Global(_RECONSTRUCT) and arguments == (_Global(_ARRAY), (0,), b"b"):
        return _Array()
    if what == _Global(_TYPE) and type(arguments) is tuple and arguments[1:] == (False, True):
        if arguments[0] not in _TYPES:
            raise _refused(f"its numbers are of the type {str(arguments[0])[:50]!r}")
        return _Type(_TYPES[arguments[0]])
    raise _refused("it calls something that does not make a plain array", unsafe=True)


def _build(target: Any, state: Any) -> None:
    if isinstance(target, _Type) and not target.whole and state == _LITTLE_ENDIAN:
        target.whole = True
        return
    if not isinstance(target, _Array) or target.value is not None or type(state) is not tuple or len(state) != 5:
        raise _refused("it gives a state to something that is no plain array", unsafe=True)
    version, shape, of, by_columns, raw = state
    sound = isinstance(of, _Type) and of.whole and version == 1 and by_columns is False and isinstance(raw, bytes)
    if not sound or type(shape) is not tuple or not all(type(side) is int and side > 0 for side in shape):
        raise _refused("the state of an array is not that of plain numbers, row by row", unsafe=True)
    if math.prod(shape) * of.dtype.itemsize != len(raw):
        raise _refused("an array has more or fewer numbers than its shape")
    target.value = np.frombuffer(raw, of.dtype).reshape(shape)


def _refused(why: str, *, unsafe: bool = False) -> BadInput:
    code = "model.pack-unsafe" if unsafe else "model.pack-weights"
    return BadInput(code, f"The weights are not plain arrays of a Flax file: {why}.", "Nothing of it was executed.")
