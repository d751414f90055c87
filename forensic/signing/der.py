"""The few DER pieces (ITU-T X.690) that are put together here by hand."""

from __future__ import annotations

_INTEGER, _BITS, _OCTETS, _SEQUENCE = 0x02, 0x03, 0x04, 0x30


def element(tag: int, content: bytes) -> bytes:
    """``content`` under ``tag`` with a definite length."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def integer(value: int) -> bytes:
    """A non-negative INTEGER."""
    return element(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(content: bytes) -> bytes:
    """An OCTET STRING."""
    return element(_OCTETS, content)


def bits(content: bytes) -> bytes:
    """A BIT STRING of whole bytes."""
    return element(_BITS, b"\0" + content)


def sequence(*items: bytes) -> bytes:
    """A SEQUENCE of encoded items."""
    return element(_SEQUENCE, b"".join(items))
