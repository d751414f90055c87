"""Order of characters on a line with right-to-left script (Unicode Standard Annex 9, implicit rules).

Explicit directional controls never reach this module: :mod:`forensic.report.visible` spells them
out. What is left are rules W1-W7, N0-N2, I1-I2, L1 (at the line's end) and L2 with a
left-to-right paragraph, so that a file's extension and a table's order keep their place whatever
a name contains.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_STRONG = {"L", "R", "AL"}
_RIGHT = {"R", "AL", "AN"}
_BRACKETS = {")": "(", "]": "[", "}": "{"}
_DEPTH = 63  # of open brackets, by definition BD16


def needs_reordering(text: str) -> bool:
    """Whether any character of ``text`` is written right to left (or is an Arabic digit)."""
    return not text.isascii() and any(unicodedata.bidirectional(char) in _RIGHT for char in text)


def _weak(classes: list[str]) -> None:
    previous, strong = "L", "L"
    for position, kind in enumerate(classes):
        if kind == "NSM":  # W1
            kind = previous
        if kind in _STRONG:
            strong = kind
        if kind == "EN" and strong == "AL":  # W2
            kind = "AN"
        classes[position] = previous = kind
    for position, kind in enumerate(classes):  # W3
        if kind == "AL":
            classes[position] = "R"
    for position in range(1, len(classes) - 1):  # W4
        before, kind, after = classes[position - 1 : position + 2]
        if before == after and ((kind in ("ES", "CS") and before == "EN") or (kind == "CS" and before == "AN")):
            classes[position] = before
    for order in (range(len(classes)), range(len(classes) - 1, -1, -1)):  # W5, from either side
        beside = ""
        for position in order:
            if classes[position] == "ET" and beside == "EN":
                classes[position] = "EN"
            beside = classes[position]
    strong = "L"
    for position, kind in enumerate(classes):
        if kind in ("ES", "ET", "CS"):  # W6
            classes[position] = "ON"
        elif kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":  # W7
            classes[position] = "L"


def _bracket_pairs(text: str, classes: list[str]) -> list[tuple[int, int]]:
    opened: list[int] = []
    pairs = []
    for position, char in enumerate(text):
        if classes[position] != "ON":
            continue
        if char in _BRACKETS.values():
            if len(opened) == _DEPTH:
                return []
            opened.append(position)
        elif char in _BRACKETS:
            for depth in range(len(opened) - 1, -1, -1):
                if text[opened[depth]] == _BRACKETS[char]:
                    pairs.append((opened[depth], position))
                    del opened[depth:]
                    break
    return sorted(pairs)


def _direction(kind: str) -> str:
    return "R" if kind in ("R", "EN", "AN") else kind


def _brackets(text: str, classes: list[str]) -> None:
    original = [unicodedata.bidirectional(char) for char in text]
    for first, last in _bracket_pairs(text, classes):  # N0
        inside = {_direction(kind) for kind in classes[first + 1 : last]}
        if "L" in inside:
            decided = "L"
        elif "R" in inside:
            before = (_direction(kind) for kind in reversed(classes[:first]))
            decided = next((kind for kind in before if kind in ("L", "R")), "L")
        else:
            continue
        for position in (first, last):
            classes[position] = decided
            while position + 1 < len(text) and original[position + 1] == "NSM":
                position += 1
                classes[position] = decided


def _neutral(classes: list[str]) -> None:
    start = 0
    while start < len(classes):
        if classes[start] in ("L", "R", "EN", "AN"):
            start += 1
            continue
        end = start
        while end < len(classes) and classes[end] not in ("L", "R", "EN", "AN"):
            end += 1
        before = "L" if start == 0 or classes[start - 1] == "L" else "R"
        after = "L" if end == len(classes) or classes[end] == "L" else "R"
        classes[start:end] = [before if before == after else "L"] * (end - start)  # N1, N2
        start = end


def embedding_levels(text: str) -> list[int]:
    """Level of every character of one line: 0 left to right, 1 right to left, 2 numbers within."""
    classes = [unicodedata.bidirectional(char) or "L" for char in text]
    _weak(classes)
    _brackets(text, classes)
    _neutral(classes)
    levels = [{"L": 0, "R": 1}.get(kind, 2) for kind in classes]
    for position in range(len(text) - 1, -1, -1):  # L1: white space at the line's end
        if not text[position].isspace():
            break
        levels[position] = 0
    return levels


def visual_order(levels: Sequence[int]) -> list[int]:
    """Positions in the order in which they are drawn from left to right (rule L2)."""
    order = list(range(len(levels)))
    for level in range(max(levels, default=0), 0, -1):
        start = 0
        while start < len(order):
            if levels[order[start]] < level:
                start += 1
                continue
            end = start
            while end < len(order) and levels[order[end]] >= level:
                end += 1
            order[start:end] = reversed(order[start:end])
            start = end
    return order
