"""Read the numbers of an ncnn model, a ``.param`` and a ``.bin``, as data: nothing is executed, no ncnn is needed.

The ``.param`` is a text: how many layers and blobs there are, and a line for every layer with its kind, its name,
the blobs that it takes and gives, and its settings by number. The ``.bin`` holds the numbers of the layers that have
some, one after the other, without names. Tencent, ncnn, ``docs/developer-guide/param-and-model-file-structure.md``
and ``operators.md``; how numbers lie in the ``.bin``: ``src/modelbin.cpp``.

Only what networks of the ESRGAN family consist of is known here. Every other kind, setting and value is refused, so
that a file which asks for something else than it seems to is not taken for one of these.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from forensic.errors import BadInput

_MAGIC = "7767517"
_LARGEST_TEXT = 1 << 20
_MOST_LAYERS, _MOST_BLOBS = 4096, 16
_HALF = b"\x47\x6b\x30\x01"  # before numbers in half precision; four zeros stand before numbers in single precision
_SINGLE = bytes(4)
_NAME = re.compile(r"[A-Za-z0-9_.]{1,100}")
_WHOLE = re.compile(r"-?[0-9]{1,9}")
_REAL = re.compile(r"-?[0-9]\.[0-9]{6}e[+-][0-9]{2}")

Value = int | float | tuple[float, ...]


@dataclass(frozen=True)
class Layer:
    """One line of a ``.param``: ``values`` are its settings by number, lists under -23300 less the number."""

    kind: str
    name: str
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    values: Mapping[int, Value]

    def whole(self, number: int) -> int:
        """A setting that is a whole number of at least 1."""
        value = self.values.get(number)
        if not isinstance(value, int) or value < 1:
            raise refused(f"layer {self.name} has no proper setting {number}")
        return value


#: Kind to the numbers of blobs that it may take and give, and its settings with the values that are known; None: any.
#: Convolution: 0 channels given, 1 kernel, 4 padding, 5 bias, 6 weights, 9 activation (2: leaky, slope in -23310).
#: Eltwise: 0 kind (1: sum), -23301 factors. Interp: 0 kind (1: nearest), 1 and 2 factors. PixelShuffle: 0 factor.
_ONE, _TWO, _MANY = (1,), (2,), tuple(range(2, _MOST_BLOBS + 1))
_KINDS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[int, tuple[Value, ...] | None]]] = {
    "Input": ((0,), _ONE, {}),
    "Split": (_ONE, _MANY, {}),
    "Concat": (_MANY, _ONE, {}),
    "BinaryOp": (_TWO, _ONE, {}),
    "Eltwise": (_TWO, _ONE, {0: (1,), -23301: ((0.2, 1.0),)}),
    "Convolution": (_ONE, _ONE, {0: None, 1: (3,), 4: (1,), 5: (1,), 6: None, 9: (2,), -23310: ((0.2,),)}),
    "PReLU": (_ONE, _ONE, {0: None}),
    "Interp": (_ONE, _ONE, {0: (1,), 1: (2.0, 4.0), 2: (2.0, 4.0)}),
    "PixelShuffle": (_ONE, _ONE, {0: (2, 3, 4)}),
}  # fmt: skip
_OPTIONAL = {9, -23310}  # together or not at all


@dataclass(frozen=True)
class _Picture:
    channels: int
    scale: int


def ncnn_layers(text: bytes) -> list[Layer]:
    """The layers that a ``.param`` lists, checked one by one and in how they fit together.

    Every blob is given once, before it is taken, and taken once; one is left, the result. Channels and sizes are
    followed from the input, a picture of three channels. Raises ``BadInput`` (``model.pack-unsafe`` for what is not
    known here, ``model.pack-weights`` for what is no such text).
    """
    if len(text) > _LARGEST_TEXT or not text.isascii():
        raise refused("its list of layers is too long or no plain text")
    lines = [line.split() for line in text.decode("ascii").splitlines()]
    if len(lines) < 3 or lines[0] != [_MAGIC] or len(lines[1]) != 2 or not all(map(_WHOLE.fullmatch, lines[1])):
        raise refused("its list of layers does not begin as one does")
    layers = [_layer(words) for words in lines[2 : 3 + _MOST_LAYERS]]
    blobs = sum(len(layer.gives) for layer in layers)
    if [len(lines) - 2, blobs] != [int(word) for word in lines[1]] or len(layers) > _MOST_LAYERS:
        raise refused("it has not as many layers and blobs as it says")
    if len({layer.name for layer in layers}) != len(layers):
        raise refused("two layers have one name")
    _fitted(layers)
    return layers


def ncnn_tensors(text: bytes, data: bytes) -> dict[str, np.ndarray]:
    """The numbers of ``data``, the ``.bin``, for the layers of ``text``, the ``.param``: float32 arrays by name.

    Convolutions and PReLUs are each numbered from 0 as the layers follow: ``convolutions.N.weight`` [out, in, 3, 3],
    ``convolutions.N.bias`` [out], ``slopes.N.weight`` [channels]. Half precision becomes single precision without
    loss. Every byte is accounted for. Raises ``BadInput`` as :func:`ncnn_layers`.
    """
    found: dict[str, np.ndarray] = {}
    numbers = _Numbers(data)
    count = {"Convolution": 0, "PReLU": 0}
    for layer in ncnn_layers(text):
        if layer.kind == "Convolution":
            place, given = f"convolutions.{count[layer.kind]}", layer.whole(0)
            found[f"{place}.weight"] = numbers.tagged(layer.whole(6)).reshape(given, -1, 3, 3)
            found[f"{place}.bias"] = numbers.plain(given)
        elif layer.kind == "PReLU":
            found[f"slopes.{count[layer.kind]}.weight"] = numbers.plain(layer.whole(0))
        else:
            continue
        count[layer.kind] += 1
    if numbers.at != len(data):
        raise refused("its numbers are more than its layers have")
    return found


class _Numbers:
    """The ``.bin``, read from front to end and never beyond."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def _take(self, length: int) -> bytes:
        self.at += length
        if self.at > len(self._data):
            raise refused("its numbers are fewer than its layers have")
        return self._data[self.at - length : self.at]

    def plain(self, count: int) -> np.ndarray:
        """``count`` numbers in single precision."""
        return _finite(np.frombuffer(self._take(4 * count), "<f4"))

    def tagged(self, count: int) -> np.ndarray:
        """A tag, and ``count`` numbers in the precision that it says; half precision is filled up to whole words."""
        tag = self._take(4)
        if tag == _SINGLE:
            return self.plain(count)
        if tag != _HALF:
            raise refused(f"its numbers have the form 0x{struct.unpack('<I', tag)[0]:08X}, which is not known")
        length = 2 * count
        raw = self._take(length + -length % 4)
        if any(raw[length:]):
            raise refused("something stands where numbers are filled up to whole words")
        return _finite(np.frombuffer(raw[:length], "<f2").astype(np.float32))


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise refused("a number is not finite")
    return values.astype(np.float32)


def _layer(words: list[str]) -> Layer:
    if len(words) < 4 or words[0] not in _KINDS:
        raise refused(
            f"it has a layer of the kind {words[0][:100] if words else ''!r}, which is not known", unsafe=True
        )
    takes, gives, settings = _KINDS[words[0]]
    if not all(map(_NAME.fullmatch, words[1:2])) or not all(map(_WHOLE.fullmatch, words[2:4])):
        raise refused("a layer is not described as one is")
    taken, given = int(words[2]), int(words[3])
    if taken not in takes or given not in gives or len(words) < 4 + taken + given:
        raise refused(f"layer {words[1]} takes {taken} and gives {given} blobs")
    blobs = words[4 : 4 + taken + given]
    if not all(map(_NAME.fullmatch, blobs)):
        raise refused(f"a blob of layer {words[1]} has no proper name")
    values: dict[int, Value] = {}
    for word in words[4 + taken + given :]:
        key, _, value = word.partition("=")
        if not _WHOLE.fullmatch(key) or int(key) not in settings or int(key) in values:
            raise refused(f"layer {words[1]} has the setting {word[:100]!r}, which is not known", unsafe=True)
        values[int(key)] = _value(words[1], value, int(key) < 0)
        known = settings[int(key)]
        if known is not None and not any(
            type(values[int(key)]) is type(one) and values[int(key)] == one for one in known
        ):
            raise refused(f"layer {words[1]} has the setting {word[:100]!r}, which is not known", unsafe=True)
    missing = settings.keys() - values.keys()
    if missing and missing != _OPTIONAL:
        raise refused(f"layer {words[1]} lacks the setting {min(missing)}")
    return Layer(words[0], words[1], tuple(blobs[:taken]), tuple(blobs[taken:]), values)


def _value(name: str, text: str, several: bool) -> Value:
    if several:
        count, *parts = text.split(",")
        if all(map(_REAL.fullmatch, parts)) and count == str(len(parts)):
            return tuple(float(part) for part in parts)
    elif _WHOLE.fullmatch(text):
        return int(text)
    elif _REAL.fullmatch(text):
        return float(text)
    raise refused(f"layer {name} has a setting that is no number")


def _fitted(layers: list[Layer]) -> None:
    """Follow channels and sizes through the layers."""
    waiting: dict[str, _Picture] = {}
    seen: set[str] = set()
    for layer in layers:
        if seen.intersection(layer.gives) or len(set(layer.gives)) != len(layer.gives):
            raise refused(f"layer {layer.name} gives a blob that was given before")
        if (layer.kind == "Input") != (not seen):
            raise refused("it has not one input, at the beginning")
        try:
            taken = [waiting.pop(blob) for blob in layer.takes]
        except KeyError:
            raise refused(f"layer {layer.name} takes a blob that is not there") from None
        made = _made(layer, taken)
        waiting.update(dict.fromkeys(layer.gives, made))
        seen.update(layer.gives)
    if len(waiting) != 1 or next(iter(waiting.values())).channels != 3:
        raise refused("it has not one result of three channels")


def _made(layer: Layer, taken: list[_Picture]) -> _Picture:
    if not taken:
        return _Picture(3, 1)
    first, fits = taken[0], len({one.scale for one in taken}) == 1
    made = first
    if layer.kind == "Convolution":
        made = _Picture(layer.whole(0), first.scale)
        fits &= layer.whole(6) == 9 * made.channels * first.channels
    elif layer.kind == "PReLU":
        fits &= layer.whole(0) == first.channels
    elif layer.kind == "Concat":
        made = _Picture(sum(one.channels for one in taken), first.scale)
    elif layer.kind == "Interp":
        fits &= layer.values[1] == layer.values[2]
        made = _Picture(first.channels, first.scale * int(layer.values[1]))  # type: ignore[arg-type]
    elif layer.kind == "PixelShuffle":
        factor = layer.whole(0)
        fits &= first.channels % (factor * factor) == 0
        made = _Picture(first.channels // (factor * factor), first.scale * factor)
    else:
        fits &= len({one.channels for one in taken}) == 1
    if not fits:
        raise refused(f"layer {layer.name} does not fit what it is given")
    return made


def refused(why: str, *, unsafe: bool = False) -> BadInput:
    """The refusal of a file, in words; ``unsafe``: it asks for more than is known here."""
    code = "model.pack-unsafe" if unsafe else "model.pack-weights"
    return BadInput(code, f"The weights are not those of a known ncnn model: {why}.", "Nothing of it was executed.")
