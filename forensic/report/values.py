"""Recorded values as words: nothing rounded away, nothing made up for what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from forensic.report.wording import words, words_of

_ACRONYMS = {
    "pts": "PTS", "sha256": "SHA-256", "utc": "UTC", "id": "ID", "cpu": "CPU", "psf": "PSF", "ffmpeg": "FFmpeg",
    "opencv": "OpenCV", "pyav": "PyAV", "roi": "region of interest", "vfr": "variable frame rate", "px": "(px)",
    "url": "URL", "p90": "P90", "fps": "frames per second",
}  # fmt: skip


# Keys whose null says that there is none, not that nobody said.
_NONE_WHERE_NULL = frozenset({"rotation", "approval", "forced", "not_carried", "levels_before_forcing", "note"})


def spoken(value: Any) -> str:
    """``value`` as text: exact numbers, yes or no, "none" for an empty list, "not stated" for what is missing."""
    if value is None or value == "":
        return words("notes", "not_stated")
    if value == [] or value == {} or value == ():
        return words("notes", "none")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Sequence) and all(not isinstance(item, (Mapping, list, tuple)) for item in value):
        return joined([spoken(item) for item in value])
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def joined(parts: Sequence[str]) -> str:
    """``parts`` in one line: sentences follow one another, what holds commas is set apart by semicolons."""
    if any(part.rstrip().endswith((".", "!", "?")) for part in parts):
        ended = (part if part.rstrip().endswith((".", "!", "?")) else f"{part}." for part in parts)
        return " ".join(ended)
    return ("; " if any("," in part for part in parts) else ", ").join(parts)


def label(key: str) -> str:
    """A record's key as a row's label: ``sample_aspect`` becomes ``Sample aspect``.

    Keys that say little by themselves have a label of their own in the wording file.
    """
    explained = words_of("labels").get(key)
    if explained is not None:
        return explained
    parts = [_ACRONYMS.get(part, part) for part in key.replace("-", "_").split("_") if part]
    text = " ".join(parts) or key
    return text[:1].upper() + text[1:]


def bytes_size(size: Any) -> str:
    """A file size with separators, exact."""
    return f"{size:,} bytes" if isinstance(size, int) and not isinstance(size, bool) else spoken(size)


def flatten(
    record: Any, prefix: str = "", name: Callable[[str], str] = label, last: str = ""
) -> Iterator[tuple[str, str]]:
    """Rows (label, value) of a nested record, depth first, in its own order; nothing is left out.

    ``name`` makes labels of keys; ``last`` is the key under which ``record`` stands.
    """
    if isinstance(record, Mapping) and record:
        for key, value in record.items():
            yield from flatten(value, f"{prefix} · {name(str(key))}" if prefix else name(str(key)), name, str(key))
    elif isinstance(record, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in record):
        for number, item in enumerate(record):
            yield from flatten(item, f"{prefix} {number}" if prefix else str(number), name, last)
    else:
        empty = words("notes", "none") if last in _NONE_WHERE_NULL and record in (None, "") else spoken(record)
        yield prefix or "Value", empty


def given(value: Any) -> str:
    """Like :func:`spoken`, for something that a person may leave out."""
    return words("notes", "none_given") if value in (None, "", []) else spoken(value)


def percent(share: float) -> str:
    """``share`` (0 to 1) in per cent; what is not nothing is never shown as 0.0."""
    return "below 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def stated(value: Any) -> str:
    """Like :func:`spoken`, for something that a media file may leave unsaid."""
    return words("notes", "unspecified") if value is None else spoken(value)


def at(record: Any, *path: str) -> Any:
    """The value at ``path`` in nested mappings; None where any step is missing."""
    for key in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(key)
    return record


def in_one_line(record: Any) -> str:
    """A small record on one line: ``scale 2; why …``."""
    return "; ".join(f"{name.lower()} {value}" for name, value in flatten(record))


def items(value: Any) -> list[Any]:
    """``value`` if it is a list, else an empty list."""
    return list(value) if isinstance(value, (list, tuple)) else []


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{count} {one if count == 1 else many or one + 's'}"
