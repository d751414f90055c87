"""Text that came out of a file, made safe to show: nothing invisible, nothing that acts on a terminal."""

from __future__ import annotations

import unicodedata

_LIMIT = 4096


def visible(text: str, limit: int = _LIMIT) -> str:
    r"""``text`` with control, format (bidi overrides included) and unpaired surrogate characters escaped.

    ESC becomes ``\x1b``, U+202E ``\u202e``; a backslash stays one. Text beyond ``limit`` characters
    is cut, and the cut is stated in the result.
    """
    cut = text[:limit]
    shown = "".join(
        character if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else _escape(character)
        for character in cut
    )
    return shown if len(text) <= limit else f"{shown} [cut: {len(text)} characters in all]"


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
