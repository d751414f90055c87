"""Names of files in a bundle: few characters, so that no platform can read one name in two ways."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST_PATH = 240
_SEGMENT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def name_fault(name: str) -> str | None:
    """Why ``name`` may not stand in a bundle, in plain words; None if it may.

    Relative, ``/`` between segments of ASCII letters, digits, ``.``, ``_`` and ``-`` that begin with a
    letter or digit and do not end with a dot; no Windows device; at most 240 characters.
    """
    if name.startswith("/"):
        return "a slash in front (an absolute path)"
    if "\\" in name:
        return "a backslash"
    if re.match(r"[A-Za-z]:", name):
        return "a drive letter"
    segments = name.split("/")
    if ".." in segments:
        return "a way out of the bundle (..)"
    if len(name) > LONGEST_PATH:
        return f"more than {LONGEST_PATH} characters"
    for segment in segments:
        if _SEGMENT.fullmatch(segment) is None:
            return "characters or an order of characters that names in a bundle never have"
        if segment.partition(".")[0].lower() in _DEVICES:
            return "the name of a device on Windows"
    return None


def collisions(names: Iterable[str]) -> list[str]:
    """Names that some file system takes for one that came before: twice, in other case, or a file used as a folder."""
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    found = []
    for name in names:
        folded = name.casefold()
        if folded in seen or folded in folders:
            found.append(name)
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder.casefold() in seen or folders.setdefault(folder.casefold(), folder) != folder:
                found.append(name)
                break
        seen.setdefault(folded, name)
    return found


def slug(text: str, longest: int = 40) -> str:
    """A part of a file name that reminds of ``text``: what is not allowed becomes ``_``; never empty."""
    plain = re.sub(r"[^A-Za-z0-9-]+", "_", text).strip("_-")[:longest].strip("_-")
    return plain or "x"
