"""A survey's record in words. Light: the report and the terminal need it, and no picture is looked at here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def in_words(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and answer of every number in a survey's record: value and interval, or why there is none.

    Never raises for a record of another form: what is not an answer is left out.
    """
    return [(name.replace("_", " "), _answer(entry)) for name, entry in _answers("", record)]


def _answers(prefix: str, record: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    found: list[tuple[str, Mapping[str, Any]]] = []
    for name, entry in record.items():
        if not isinstance(entry, Mapping):
            continue
        if isinstance(entry.get("determined"), bool):
            found.append((f"{prefix}{name}", entry))
        else:
            found += _answers(f"{prefix}{name}: ", entry)
    return found


def _answer(entry: Mapping[str, Any]) -> str:
    if not entry["determined"]:
        return f"not determined: {entry.get('reason')}"
    value, low, high = (entry.get(name) for name in ("value", "low", "high"))
    if not all(isinstance(number, int | float) for number in (value, low, high)):
        return "not stated"
    unit = entry.get("unit")
    if entry.get("bound") == "upper":  # as small as can be told: the interval's end says how large it may be
        said = f"at most {high:.4g} {unit}"
    else:
        said = f"{'at least ' if entry.get('bound') == 'lower' else ''}{value:.4g} {unit}"
    if low == high:
        return f"{said} (read, not estimated)"
    coverage = entry.get("coverage")
    about = f"{coverage:.0%} interval" if isinstance(coverage, int | float) else "uncalibrated"
    return f"{said} ({low:.4g} to {high:.4g}, {about})"
