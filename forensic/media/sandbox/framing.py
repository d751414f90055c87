"""Messages over a pipe: a length, JSON, and raw bytes. Nothing that is received can name a type or a function.

A message is ``>IQ`` (length of the header, length of the payload), the header (UTF-8 JSON object with
``kind``), the payload. The child is not trusted once it has read the file: every length has a bound, every
value is checked by the reader of the message.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from io import RawIOBase
from typing import Any, NoReturn

_LENGTHS = struct.Struct(">IQ")
LONGEST_HEADER = 8 << 20


class Breach(Exception):
    """The other side said something that no honest decoder says."""


def send(pipe: RawIOBase, header: dict[str, Any], payload: Sequence[memoryview] = ()) -> None:
    """Write one message. Raises ``ValueError`` for a header beyond the bound, ``OSError`` as the pipe does."""
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(text) > LONGEST_HEADER:
        raise ValueError(f"a header of {len(text)} bytes")
    _write(pipe, memoryview(_LENGTHS.pack(len(text), sum(part.nbytes for part in payload)) + text))
    for part in payload:
        _write(pipe, part.cast("B") if part.nbytes else part)


def _write(pipe: RawIOBase, data: memoryview) -> None:
    while data.nbytes:
        data = data[pipe.write(data) or 0 :]


def receive(pipe: RawIOBase) -> tuple[dict[str, Any], int] | None:
    """Header of the next message and the length of its payload, which the caller reads; None at the end.

    Raises :class:`Breach`.
    """
    lengths = bytearray(_LENGTHS.size)
    if not fill(pipe, memoryview(lengths), may_end=True):
        return None
    header_length, payload_length = _LENGTHS.unpack(lengths)
    if not 2 <= header_length <= LONGEST_HEADER:
        raise Breach(f"a header of {header_length} bytes")
    text = bytearray(header_length)
    fill(pipe, memoryview(text))
    try:
        header = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Breach("a header that is not JSON") from error
    if not isinstance(header, dict) or not isinstance(header.get("kind"), str):
        raise Breach("a header without a kind")
    return header, payload_length


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def fill(pipe: RawIOBase, target: memoryview, *, may_end: bool = False) -> bool:
    """Read exactly ``target`` full. False if the pipe ended before the first byte and ``may_end``.

    Raises :class:`Breach` if it ends in the middle.
    """
    done = 0
    while done < target.nbytes:
        count = pipe.readinto(target[done:])
        if not count:
            if may_end and not done:
                return False
            raise Breach("a message that ends in the middle")
        done += count
    return True
