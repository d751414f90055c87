"""Stills: PNG pictures that carry the coded planes they were made from (docs/formats/frames.md).

The picture is what the eye gets; the private chunk ``foPL`` holds the planes over which the frame hash is
taken. A reader hashes the planes, repeats the conversion to RGB and sees whether the picture follows from
them. Written and read with zlib and numpy only; the reader accepts exactly what the writer makes.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from forensic.errors import BadInput, InternalError, PolicyRefused
from forensic.frames.colour import LUMA_WEIGHTS, ColourSpec, to_rgb
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry, Planes
from forensic.frames.layout import LAYOUTS, pack_planes, unpack_planes
from forensic.frames.png import LEVEL, SIGNATURE, chunk, filtered
from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json, parse_canonical

CHUNK = b"foPL"  # ancillary, private, not safe to copy: an editor that changes the picture drops it
FORMAT = 1
MAX_SIDE = 16384
MAX_PIXELS = 1 << 27

_HEADER_LIMIT = 4096
_IDAT = 1 << 20
_FIELDS = {
    "format", "width", "height", "pixel_format", "sample_aspect", "colour", "frame", "pts", "time_base",
    "pts_synthesised", "class", "sha256",
}  # fmt: skip


@dataclass(frozen=True)
class Still:
    """A still as read back.

    ``planes`` are the coded planes, ``planes_sha256`` the digest recomputed from them, ``rgb_matches``
    whether the picture that a viewer shows follows from them.
    """

    planes: Planes
    geometry: Geometry
    colour: ColourSpec
    timing: FrameTiming
    stage_class: StageClass
    planes_sha256: str
    rgb_matches: bool


def _filtered(rgb: np.ndarray) -> np.ndarray:
    return filtered(rgb.reshape(rgb.shape[0], -1))


def still_png(frame: CodedFrame, *, labelled: Callable[[CodedFrame], bool] | None = None) -> bytes:
    """PNG (8-bit RGB) of ``frame`` with its planes inside.

    The picture is :func:`forensic.frames.colour.to_rgb` of the planes: neither scaled to square samples nor
    rotated. The bytes depend on the frame and on the zlib version only.

    A GENERATIVE frame is refused unless ``labelled`` finds the label in its pixels. Only
    :func:`forensic.media.stills.write_still` has that eye; raises ``InternalError`` (``still.unlabelled``).
    """
    if frame.stage_class is StageClass.GENERATIVE and (labelled is None or not labelled(frame)):
        raise InternalError("still.unlabelled", "A generative picture without its label is not written.")
    geometry, timing = frame.geometry, frame.timing
    rgb = to_rgb(frame.planes, geometry.layout, frame.colour)
    header = canonical_json(
        {
            "format": FORMAT,
            **geometry.to_record(),
            "colour": frame.colour.to_record(),
            "frame": timing.index,
            "pts": timing.pts,
            "time_base": f"{timing.time_base.numerator}/{timing.time_base.denominator}",
            "pts_synthesised": timing.synthesised,
            "class": frame.stage_class.label,
            "sha256": frame.sha256,
        }
    )
    planes = zlib.compress(pack_planes(geometry.layout, frame.planes), LEVEL)
    picture = zlib.compress(_filtered(rgb).tobytes(), LEVEL)
    parts = [
        SIGNATURE,
        chunk(b"IHDR", struct.pack(">IIBBBBB", geometry.width, geometry.height, 8, 2, 0, 0, 0)),
        chunk(CHUNK, struct.pack(">I", len(header)) + header + planes),
    ]
    parts += [chunk(b"IDAT", picture[at : at + _IDAT]) for at in range(0, len(picture), _IDAT)]
    return b"".join([*parts, chunk(b"IEND", b"")])


def _invalid(why: str) -> BadInput:
    return BadInput("still.invalid", f"Not a still of this tool: {why}.")


def _chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    if not png.startswith(SIGNATURE):
        raise _invalid("it is no PNG file")
    at, found = len(SIGNATURE), []
    while at < len(png):
        if at + 12 > len(png):
            raise _invalid("it is cut off")
        length, kind = struct.unpack_from(">I4s", png, at)
        end = at + 12 + length
        if length > len(png) or end > len(png):
            raise _invalid("a chunk is cut off")
        data = png[at + 8 : end - 4]
        if struct.unpack_from(">I", png, end - 4)[0] != zlib.crc32(data, zlib.crc32(kind)):
            raise _invalid(f"the checksum of chunk {kind!r} is wrong")
        found.append((kind, data))
        at = end
    kinds = [kind for kind, _ in found]
    pictures = len(kinds) - 3
    if pictures < 1 or kinds != [b"IHDR", CHUNK, *[b"IDAT"] * pictures, b"IEND"] or found[-1][1]:
        raise _invalid("its chunks are not IHDR, foPL, IDAT…, IEND")
    return found


def _inflate(data: bytes, size: int, what: str) -> bytes:
    """Exactly ``size`` bytes out of ``data``; never allocates more than that."""
    engine = zlib.decompressobj()
    try:
        out = engine.decompress(data, size)
        tail = engine.decompress(engine.unconsumed_tail, 1) if len(out) == size else b""
    except zlib.error as error:
        raise _invalid(f"its {what} cannot be unpacked") from error
    if len(out) != size or tail or not engine.eof or engine.unused_data or engine.unconsumed_tail:
        raise _invalid(f"its {what} do not have the stated size")
    return out


def _fraction(text: object, separator: str) -> Fraction:
    parts = text.split(separator) if isinstance(text, str) else []
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() and len(p) < 20 for p in parts) or not int(parts[1]):
        raise _invalid("a fraction in its header is malformed")
    value = Fraction(int(parts[0]), int(parts[1]))
    if value <= 0 or f"{value.numerator}{separator}{value.denominator}" != text:
        raise _invalid("a fraction in its header is malformed")
    return value


def _integer(value: object, lowest: int, highest: int) -> int:
    if type(value) is not int or not lowest <= value <= highest:
        raise _invalid("a number in its header is malformed")
    return value


def _colour(value: object) -> ColourSpec:
    fields = set(ColourSpec().to_record())
    # Stills made before the matrix for display was recorded lack that field.
    if not isinstance(value, dict) or set(value) not in (fields, fields - {"display_matrix"}):
        raise _invalid("the colour description in its header is malformed")
    if value.get("display_matrix") is not None and _integer(value["display_matrix"], 0, 255) not in LUMA_WEIGHTS:
        raise _invalid("the colour description in its header is malformed")
    for name in ("matrix", "primaries", "transfer"):
        _integer(value[name], 0, 255)
    if not (value["full_range"] is None or isinstance(value["full_range"], bool)):
        raise _invalid("the colour description in its header is malformed")
    if not isinstance(value["chroma_location"], str):
        raise _invalid("the colour description in its header is malformed")
    return ColourSpec.from_record(value)


def _header(data: bytes) -> tuple[dict[str, Any], Geometry, ColourSpec, FrameTiming, StageClass]:
    try:
        value = parse_canonical(data)
    except BadInput as error:
        raise _invalid("its header is not canonical JSON") from error
    if not isinstance(value, dict) or set(value) != _FIELDS or value["format"] != FORMAT:
        raise _invalid("its header does not have the fields of format 1")
    layout = LAYOUTS.get(value["pixel_format"]) if isinstance(value["pixel_format"], str) else None
    if layout is None:
        raise _invalid("its pixel format is unknown")
    width, height = (_integer(value[name], 1, MAX_SIDE) for name in ("width", "height"))
    if width * height > MAX_PIXELS:
        raise _invalid("it is too large")
    aspect = None if value["sample_aspect"] is None else _fraction(value["sample_aspect"], ":")
    if type(value["pts_synthesised"]) is not bool or not isinstance(value["sha256"], str):
        raise _invalid("its header has a field of the wrong type")
    timing = FrameTiming(
        _integer(value["frame"], 0, 1 << 53),
        _integer(value["pts"], -(1 << 53), 1 << 53),
        _fraction(value["time_base"], "/"),
        value["pts_synthesised"],
    )
    try:
        stage_class = StageClass.parse(value["class"])
    except PolicyRefused as error:
        raise _invalid("its stage class is unknown") from error
    return value, Geometry(width, height, layout, aspect), _colour(value["colour"]), timing, stage_class


def read_still(png: bytes) -> Still:
    """Read a still and recompute what it claims.

    Raises ``BadInput`` (``still.invalid``) for anything that :func:`still_png` cannot have written, a
    header digest that its planes do not have included. A picture that does not follow from the planes is
    *not* an error here: ``rgb_matches`` says so.
    """
    found = _chunks(png)
    if len(found[0][1]) != 13:
        raise _invalid("its IHDR is malformed")
    width, height, *rest = struct.unpack(">IIBBBBB", found[0][1])
    private = found[1][1]
    length = struct.unpack_from(">I", private)[0] if len(private) >= 4 else _HEADER_LIMIT + 1
    if length > _HEADER_LIMIT or 4 + length > len(private):
        raise _invalid("its header is cut off or too long")
    value, geometry, colour, timing, stage_class = _header(private[4 : 4 + length])
    if (width, height, rest) != (geometry.width, geometry.height, [8, 2, 0, 0, 0]):
        raise _invalid("its picture has another size or type than its planes")
    layout = geometry.layout
    size = sum(rows * columns for rows, columns in geometry.plane_shapes) * layout.dtype.itemsize
    packed = _inflate(private[4 + length :], size, "planes")
    digest = hashlib.sha256(packed).hexdigest()
    if digest != value["sha256"]:
        raise _invalid("its planes do not have the digest in its header")
    planes = unpack_planes(layout, width, height, packed)
    if layout.bits not in (8, 16) and any(int(plane.max()) > layout.maximum for plane in planes):
        raise _invalid("a sample is out of range")
    lines = _inflate(b"".join(data for _, data in found[2:-1]), height * (3 * width + 1), "picture data")
    matches = bool(np.array_equal(np.frombuffer(lines, np.uint8), _filtered(to_rgb(planes, layout, colour)).ravel()))
    return Still(planes, geometry, colour, timing, stage_class, digest, matches)
