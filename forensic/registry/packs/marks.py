"""Marks of a pickle's stack, as its instructions for lists and dictionaries of any length use them."""

from __future__ import annotations

from typing import Any

MARK = object()


def since_mark(stack: list[Any]) -> list[Any]:
    """Take from ``stack`` what lies above its last mark, and the mark. Raises ``ValueError`` where there is none."""
    at = next((place for place in reversed(range(len(stack))) if stack[place] is MARK), None)
    if at is None:
        raise ValueError("its structure ends a list that it has not begun")
    items = stack[at + 1 :]
    del stack[at:]
    return items
