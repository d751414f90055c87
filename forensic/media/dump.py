"""FFmpeg's printed summary of a file: what PyAV gives no other way to, chroma siting and stream side data."""

from __future__ import annotations

import re
import threading
from typing import Any

import av.logging
from av.container import InputContainer

from forensic.media.visible import visible

CHROMA_LOCATIONS = ("left", "center", "topleft", "top", "bottomleft", "bottom")
_dump_lock = threading.Lock()


def _dump(container: InputContainer) -> str:
    """FFmpeg's own summary, the only place where PyAV lets chroma siting and stream side data through."""
    dumper: Any = container  # PyAV's stubs do not know dumps_format
    with _dump_lock:
        av.logging.set_libav_level(av.logging.VERBOSE)
        try:
            return str(dumper.dumps_format())
        finally:
            av.logging.set_libav_level(av.logging.INFO)


_STREAM_LINE = re.compile(r"^  Stream #0:(\d+)")


def dump_by_stream(container: InputContainer) -> dict[int, list[str]]:
    """Lines of FFmpeg's summary of ``container`` by the number of the stream that they are about."""
    lines: dict[int, list[str]] = {}
    current: list[str] | None = None
    for line in _dump(container).splitlines():
        if found := _STREAM_LINE.match(line):
            current = lines.setdefault(int(found[1]), [])
        if current is not None:
            current.append(line)
    return lines


def chroma_location(lines: list[str], pixel_format: str | None) -> str:
    """Chroma siting in the lines of a stream, ``unspecified`` if they do not say it."""
    if lines and pixel_format:
        found = re.search(rf", {re.escape(pixel_format)}\(([^)]*)\)", lines[0])
        words = found[1].split(", ") if found else []
        return next((word for word in words if word in CHROMA_LOCATIONS), "unspecified")
    return "unspecified"


def side_data_of(lines: list[str]) -> tuple[str, ...]:
    """Lines below "Side data:", which FFmpeg indents by four, its entries by six."""
    collected, inside = [], False
    for line in lines[1:]:
        if line.startswith("    Side data:"):
            inside = True
        elif inside and line.startswith("      "):
            collected.append(visible(line.strip(), 300))
        else:
            inside = False
    return tuple(collected)


def rotation_of(side_data: tuple[str, ...]) -> str | None:
    """The display matrix's turn in degrees counter-clockwise, as FFmpeg prints it."""
    for line in side_data:
        if found := re.match(r"(?i)display ?matrix: rotation of (-?[\d.]+|nan) degrees", line):
            return found[1]
    return None
