"""Reads the wire format of protocol buffers: fields of a message, by number, nothing decoded that is not asked for.

Encoding as in https://protobuf.dev/programming-guides/encoding/. Groups, which are deprecated, are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Value = int | bytes | float


class WireError(ValueError):
    """The bytes are not a message."""


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Number and value of every field of ``message``, in order: int (varint), float (32 bit) or bytes.

    Raises :class:`WireError`.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field has the number 0")
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
        elif kind == 2:
            length, at = _varint(message, at)
            yield number, _slice(message, at, length)
            at += length
        elif kind == 5:
            yield number, float(struct.unpack("<f", _slice(message, at, 4))[0])
            at += 4
        else:
            raise WireError(f"a field is of wire type {kind}")


def packed(value: Value) -> list[int]:
    """Integers of a repeated field's one occurrence, packed or single; two's complement of 64 bits."""
    if isinstance(value, bytes):
        found, at = [], 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(_signed(number))
        return found
    return [_signed(integer(value))]


def integer(value: Value) -> int:
    """``value`` if it is a varint. Raises :class:`WireError`."""
    if not isinstance(value, int):
        raise WireError("a field that must be an integer is not")
    return value


def content(value: Value) -> bytes:
    """``value`` if it is bytes, a string or a message. Raises :class:`WireError`."""
    if not isinstance(value, bytes):
        raise WireError("a field that must be bytes is not")
    return value


def text(value: Value) -> str:
    """``value`` as the string that it is. Raises :class:`WireError`."""
    try:
        return content(value).decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a string is not UTF-8") from error


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >> 64:
                raise WireError("an integer has more than 64 bits")
            return number, at
    raise WireError("an integer does not end")


def _slice(message: bytes, at: int, length: int) -> bytes:
    if at + length > len(message):
        raise WireError("a field reaches past the end")
    return message[at : at + length]
