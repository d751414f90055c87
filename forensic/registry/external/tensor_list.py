"""The list of tensors with which a safetensors file begins, read by ourselves: what is in it, and how precisely."""

from __future__ import annotations

import json
from collections.abc import Iterable

from forensic.errors import BadInput

_NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
#: What float32 holds exactly, and whole numbers, which are positions and the like.
WIDENED = frozenset({"float32", "float16", "bfloat16", "int64", "int32"})

#: Bytes of JSON that are parsed, which take many times that in memory; a list of 100 000 tensors is shorter. The
#: safetensors library itself takes 100 MB.
_LONGEST = 16 << 20


def stored_precisions(data: bytes, name: str) -> list[str]:
    """Kinds of numbers in a safetensors file, sorted: ``bfloat16``, ``float32`` …; others by the file's own word.

    The names of tensors come first, as JSON behind their length; a pickle or an archive by that name has none. Raises
    ``BadInput`` (``model.weights-invalid``).
    """
    length = int.from_bytes(data[:8], "little")
    if _LONGEST < length <= len(data) - 8:
        raise BadInput(
            "model.weights-invalid",
            f"The list of tensors in {name} has {length} bytes; at most {_LONGEST} are read.",
            "Nothing of it was parsed.",
        )
    try:
        if not 2 <= length <= len(data) - 8:
            raise ValueError
        table = json.loads(data[8 : 8 + length])
        if not isinstance(table, dict):
            raise ValueError
        words = {str(entry["dtype"])[:32] for key, entry in table.items() if key != "__metadata__"}
    except (ValueError, RecursionError, TypeError, KeyError):
        raise BadInput(
            "model.weights-invalid",
            f"{name} is not a safetensors file, whatever its name says.",
            "Nothing of it was executed.",
        ) from None
    return sorted(_NAMES.get(word, word) for word in words)


def require_widened(data: bytes, name: str) -> None:
    """Raise ``BadInput`` (``model.external-precision``) for numbers that float32 does not hold exactly."""
    if odd := sorted(set(stored_precisions(data, name)) - WIDENED):
        raise BadInput(
            "model.external-precision",
            f"{name} holds {', '.join(odd)}: computed in float32, its numbers would not be those that are stored.",
            f"Keep it as {', '.join(sorted(kind for kind in WIDENED if 'float' in kind))} where it was made.",
        )


def spoken(precisions: Iterable[str]) -> str:
    """Kinds of numbers as a card says them."""
    return ", ".join(sorted(precisions)) or "none"
