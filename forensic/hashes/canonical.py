"""Canonical JSON (RFC 8785, JCS): one object, one byte string, so that it can be hashed."""

from __future__ import annotations

import json
from typing import Any

import rfc8785

from forensic.errors import BadInput, InternalError


class _NotPlain(ValueError):
    """Not of the plain kind: ASCII, and no numbers but integers of up to 15 digits."""


def _not_plain(text: str) -> Any:
    raise _NotPlain(text)


def _plain_integer(text: str) -> int:
    return int(text) if len(text) < 16 else _not_plain(text)


# For the plain kind RFC 8785 and Python's own serialiser agree, and that one is ten times faster.
_PLAIN_DECODER = json.JSONDecoder(parse_int=_plain_integer, parse_float=_not_plain, parse_constant=_not_plain)
_PLAIN_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":"))


def canonical_json(value: Any) -> bytes:
    """Serialise ``value`` (dict, list, str, int within ±2**53-1, finite float, bool, None).

    Raises ``InternalError`` (``canonical.unserialisable``) for anything else, so that a record
    never holds a value that two readers could understand differently.
    """
    try:
        text = _PLAIN_ENCODER.encode(value)
        if text.isascii() and _PLAIN_DECODER.decode(text) == value:
            return text.encode("ascii")
    except (TypeError, ValueError, RecursionError):
        pass  # not plain, or nothing that JSON can say: the general way decides
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        # UnicodeEncodeError: rfc8785 lets it through for a key holding a lone surrogate.
        raise InternalError("canonical.unserialisable", f"Value has no canonical JSON: {error}.") from error


def _number(text: str) -> int | float:
    """An integer literal beyond ±(2**53-1) is a double: the float 1e17 is written as an integer."""
    value = int(text)
    return value if abs(value) < 1 << 53 else float(text)


def _parse_plain(data: bytes) -> Any:
    try:
        text = data.decode("ascii")
        value = _PLAIN_DECODER.decode(text)
        if _PLAIN_ENCODER.encode(value) == text:
            return value
    except (ValueError, RecursionError) as error:
        raise _NotPlain(str(error)) from error
    raise _NotPlain("not in canonical form")


def parse_canonical(data: bytes) -> Any:
    """Parse JSON and insist that ``data`` is its canonical form, byte for byte.

    Refusing non-canonical bytes closes the door to duplicate keys and to two texts for one
    record. Raises ``BadInput`` (``canonical.invalid``).
    """
    try:
        return _parse_plain(data)
    except _NotPlain:
        pass  # the general way decides, and says what is wrong
    try:
        value = json.loads(data, parse_int=_number)
        again = rfc8785.dumps(value)
    except (ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise BadInput("canonical.invalid", f"Not canonical JSON: {error}.") from error
    if again != data:
        raise BadInput("canonical.invalid", "JSON is readable but not in its canonical form (RFC 8785).")
    return value
