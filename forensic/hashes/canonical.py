"""Canonical JSON (RFC 8785, JCS): one object, one byte string, so that it can be hashed."""

from __future__ import annotations

import json
from typing import Any

import rfc8785

from forensic.errors import BadInput, InternalError


def canonical_json(value: Any) -> bytes:
    """Serialise ``value`` (dict, list, str, int within ±2**53-1, finite float, bool, None).

    Raises ``InternalError`` (``canonical.unserialisable``) for anything else, so that a record
    never holds a value that two readers could understand differently.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        # UnicodeEncodeError: rfc8785 lets it through for a key holding a lone surrogate.
        raise InternalError("canonical.unserialisable", f"Value has no canonical JSON: {error}.") from error


def _number(text: str) -> int | float:
    """An integer literal beyond ±(2**53-1) is a double: the float 1e17 is written as an integer."""
    value = int(text)
    return value if abs(value) < 1 << 53 else float(text)


def parse_canonical(data: bytes) -> Any:
    """Parse JSON and insist that ``data`` is its canonical form, byte for byte.

    Refusing non-canonical bytes closes the door to duplicate keys and to two texts for one
    record. Raises ``BadInput`` (``canonical.invalid``).
    """
    try:
        value = json.loads(data, parse_int=_number)
        again = rfc8785.dumps(value)
    except (ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise BadInput("canonical.invalid", f"Not canonical JSON: {error}.") from error
    if again != data:
        raise BadInput("canonical.invalid", "JSON is readable but not in its canonical form (RFC 8785).")
    return value
