"""Text from outside made safe to print: what a reader cannot see is spelt out.

File names and container tags may hold escape sequences, bidirectional overrides, invisible or
unassigned characters. Each is shown as its code point in angle quotes, so that nothing can hide
or reorder what stands on the page (Unicode Technical Report 36, section 2; CVE-2021-42574).
"""

from __future__ import annotations

import json
import unicodedata

_JOINERS = "\u200c\u200d"
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Letters by category that nevertheless print as nothing or as an empty cell.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
# Scripts whose spelling needs the joiners; elsewhere a joiner is only a way to hide.
_JOINING = ((0x0600, 0x08FF), (0x0900, 0x0DFF), (0x1000, 0x109F), (0x1780, 0x17FF))


def code_point(char: str) -> str:
    """``char`` as its code point between single angle quotes, for example ``‹U+202E›``."""
    number = ord(char)
    if 0xDC80 <= number <= 0xDCFF:  # PEP 383: a byte of a file name that is not UTF-8
        return f"‹byte {number - 0xDC00:02X}›"
    return f"‹U+{number:04X}›"


def _joining(char: str) -> bool:
    return any(low <= ord(char) <= high for low, high in _JOINING)


def visible(text: str) -> str:
    """Return ``text`` with every character that has no visible form of its own spelt out.

    Ordinary spaces stay; other spaces, controls, format characters (bidirectional controls
    included), surrogates, private and unassigned characters do not. Zero-width joiners stay only
    between two characters of a script that is written with them.
    """
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    for position, char in enumerate(text):
        category = unicodedata.category(char)
        if char in _JOINERS:
            neighbours = text[position - 1 : position] + text[position + 1 : position + 2]
            plain = len(neighbours) == 2 and all(_joining(other) for other in neighbours)
        else:
            plain = category not in _HIDDEN and (category != "Zs" or char == " ") and char not in _BLANK
            plain = plain and not 0xFE00 <= ord(char) <= 0xFE0F  # variation selectors
        shown.append(char if plain else code_point(char))
    return "".join(shown)


def exact_spelling(text: str) -> str:
    """``text`` as an ASCII JSON string: two names that look alike never spell alike."""
    return json.dumps(text, ensure_ascii=True)
