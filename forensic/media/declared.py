"""Our own output met again as a file: the class that it declares of itself.

A master says its class in the tag ``HIGHEST_STAGE_CLASS`` and, where generative, in its title; a still says it
in the chunk ``foPL``, a risk map in its texts. Remuxing or copying a file keeps some of these marks. What
somebody took away, and pixels that another program encoded anew, cannot be recognised here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.errors import BadInput, PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.frames.still import CHUNK, read_still

CLASS_TAG = "HIGHEST_STAGE_CLASS"

_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_LARGEST_TEXT = 1 << 20
_LABEL_WORDS = ("AI-GENERATED DETAIL", "NOT EVIDENCE")


@dataclass(frozen=True)
class Declaration:
    """A class, why we think so, and for a still of ours the digest of the planes it carries."""

    stage_class: StageClass
    reason: str
    planes_sha256: str | None = None


def declarations(media: dict[str, Any], path: Path) -> Iterator[Declaration]:
    """Every mark of ours in the file at ``path`` with the facts ``media`` (``MediaFacts.to_record()``).

    A mark that is there and cannot be read counts as GENERATIVE: nothing is known of such a file but
    that it passed through this program. Raises ``OSError`` as ``open`` does.
    """
    yield from _of_tags(media.get("tags") or {}, "the file")
    for stream in media.get("streams") or ():
        yield from _of_tags(stream.get("tags") or {}, f"stream {stream.get('index')}")
    with path.open("rb") as file:
        png = file.read() if file.read(len(_PNG)) == _PNG else b""
    if png:
        yield from _of_png(_PNG + png)


def _of_tags(tags: dict[str, str], owner: str) -> Iterator[Declaration]:
    for name, value in tags.items():
        if name.upper() == CLASS_TAG:
            word = str(value).partition(":")[0].strip()
            try:
                yield Declaration(StageClass.parse(word), f"{owner} carries the tag {CLASS_TAG} {word}")
            except PolicyRefused:
                yield Declaration(StageClass.GENERATIVE, f"{owner} carries the tag {CLASS_TAG}, which cannot be read")
        elif _is_label(str(value)):
            yield Declaration(StageClass.GENERATIVE, f"{owner} carries the label of generative output in its {name}")


def _is_label(text: str) -> bool:
    return all(words in text.upper() for words in _LABEL_WORDS)


def _of_png(png: bytes) -> Iterator[Declaration]:
    for kind, data in _chunks(png):
        if kind == CHUNK:
            try:
                still = read_still(png)
            except BadInput:
                yield Declaration(
                    StageClass.GENERATIVE, "the picture is a still of this program that was altered: its class is lost"
                )
            else:
                told = f"the picture is a still of this program of class {still.stage_class.label}"
                yield Declaration(still.stage_class, told, still.planes_sha256)
        elif kind in _TEXTS and _is_label(_text(kind, data)):
            yield Declaration(StageClass.GENERATIVE, "the picture carries the label of generative output in a text")


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Chunks as far as the file goes, checksums unchecked: a decoder may be as lenient."""
    at = len(_PNG)
    while at + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        yield kind, png[at + 8 : at + 8 + length]
        at += 12 + length


def _text(kind: bytes, data: bytes) -> str:
    """All text of a tEXt, zTXt or iTXt chunk (PNG, third edition, section 11.3.3), "" if it is malformed."""
    keyword, _, rest = data.partition(b"\0")
    if kind == b"iTXt":
        compressed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
    else:
        compressed, rest = kind == b"zTXt", rest[1:] if kind == b"zTXt" else rest
    if compressed:
        try:
            rest = zlib.decompressobj().decompress(rest, _LARGEST_TEXT)
        except zlib.error:
            return ""
    return f"{keyword.decode('latin-1')} {rest[:_LARGEST_TEXT].decode('utf-8', 'replace')}"
