"""What the child says about a file, taken in piece by piece: types, ranges and lengths, or a breach."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import BlockQuantisers, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.media.anomaly import KINDS, LISTED_PER_KIND, Anomaly
from forensic.media.dump import CHROMA_LOCATIONS
from forensic.media.libav import MAX_PIXELS, MAX_SIDE
from forensic.media.pixels import conversion_from
from forensic.media.probe import FIELD_ORDERS, MediaFacts, StreamFacts
from forensic.media.quantisers import PICTURE_TYPES, FrameCoding
from forensic.media.sandbox.framing import Breach
from forensic.media.visible import visible

FLAGS = frozenset({"pts-synthesised", "damaged", "decode-error", "after-damage", "duplicate"})
_LONGEST_TEXT = 50_000
_MOST_ITEMS = 100_000
_DEEPEST = 4
_RATIO = re.compile(r"(-?\d{1,20})([/:])(\d{1,20})")
_STREAM_FIELDS = (
    "index", "type", "codec", "profile", "time_base", "start", "duration", "frames_claimed", "disposition", "tags",
    "side_data",
)  # fmt: skip
_STATISTICS = ("packets", "packets_without_picture", "frames", "frames_refused", "interlaced_frames")


def text(value: Any) -> str:
    """A string of visible characters."""
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or visible(value, _LONGEST_TEXT) != value:
        raise Breach("a text that is none")
    return value


def whole(value: Any, least: int = -(1 << 63), most: int = (1 << 63) - 1) -> int:
    """An integer in a range."""
    if type(value) is not int or not least <= value <= most:
        raise Breach("a number out of range")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise Breach("a yes or no that is neither")
    return value


def _optional(check: Any, value: Any, *arguments: Any) -> Any:
    return None if value is None else check(value, *arguments)


def _long(value: Any) -> int | str:
    """An integer that may be given as text because it is beyond 2**53."""
    return text(value) if isinstance(value, str) else whole(value)


def ratio(value: Any) -> Fraction:
    """``n/d`` or ``n:d``."""
    found = _RATIO.fullmatch(value) if isinstance(value, str) else None
    if found is None or not int(found[3]):
        raise Breach("a ratio that is none")
    return Fraction(int(found[1]), int(found[3]))


def mapping(value: Any) -> dict[str, Any]:
    """An object whose keys are visible text."""
    if not isinstance(value, dict) or len(value) > _MOST_ITEMS:
        raise Breach("an object that is none")
    for key in value:
        text(key)
    return value


def sequence(value: Any, most: int = _MOST_ITEMS) -> list[Any]:
    """A list of at most ``most`` items."""
    if not isinstance(value, list) or len(value) > most:
        raise Breach("a list that is none")
    return value


def _plain(value: Any, depth: int = 0) -> Any:
    """Any JSON value whose texts are visible."""
    if depth > _DEEPEST:
        raise Breach("too deep a nesting")
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in mapping(value).items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in sequence(value)]
    if isinstance(value, str):
        return text(value)
    if value is None or type(value) is bool:
        return value
    return whole(value)


def _texts(value: Any) -> dict[str, str]:
    return {key: text(item) for key, item in mapping(value).items()}


def _one_of(value: Any, known: Iterable[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise Breach("a word that is not known")
    return value


def geometry_of(record: Any) -> Geometry:
    """Inverse of ``Geometry.to_record``."""
    fields = mapping(record)
    width, height = whole(fields.get("width"), 1, MAX_SIDE), whole(fields.get("height"), 1, MAX_SIDE)
    if width * height > MAX_PIXELS:
        raise Breach("a picture beyond the limits")
    layout = LAYOUTS[_one_of(fields.get("pixel_format"), LAYOUTS)]
    return Geometry(width, height, layout, _optional(ratio, fields.get("sample_aspect")))


def colour_of(record: Any) -> ColourSpec:
    """Inverse of ``ColourSpec.to_record``."""
    fields = mapping(record)
    return ColourSpec(
        matrix=whole(fields.get("matrix"), 0, 255),
        primaries=whole(fields.get("primaries"), 0, 255),
        transfer=whole(fields.get("transfer"), 0, 255),
        full_range=_optional(flag, fields.get("full_range")),
        chroma_location=_one_of(fields.get("chroma_location"), (*CHROMA_LOCATIONS, "unspecified")),
        display_matrix=_optional(whole, fields.get("display_matrix"), 0, 255),
    )


def _stream_of(record: Any) -> StreamFacts:
    fields = mapping(record)
    return StreamFacts(
        index=whole(fields.get("index"), 0, _MOST_ITEMS),
        type=text(fields.get("type")),
        codec=_optional(text, fields.get("codec")),
        profile=_optional(text, fields.get("profile")),
        time_base=_optional(text, fields.get("time_base")),
        start=_optional(_long, fields.get("start")),
        duration=_optional(_long, fields.get("duration")),
        frames_claimed=_optional(whole, fields.get("frames_claimed")),
        disposition=tuple(text(word) for word in sequence(fields.get("disposition"))),
        tags=_texts(fields.get("tags")),
        side_data=tuple(text(line) for line in sequence(fields.get("side_data"))),
        details={key: _plain(value) for key, value in fields.items() if key not in _STREAM_FIELDS},
    )


def facts_of_record(record: Any) -> MediaFacts:
    """Inverse of ``MediaFacts.to_record``, complete: what is made of ``record`` gives it again.

    Raises :class:`~forensic.media.sandbox.framing.Breach`.
    """
    fields = mapping(record)
    try:
        conversion = conversion_from(text(mapping(fields.get("conversion")).get("from")))
    except BadInput as error:
        raise Breach("a pixel format that is not carried") from error
    facts = MediaFacts(
        container=text(fields.get("container")),
        container_name=text(fields.get("container_name")),
        size=whole(fields.get("size"), 1),
        duration_us=_optional(_long, fields.get("duration_us")),
        start_us=_optional(_long, fields.get("start_us")),
        bit_rate=_optional(_long, fields.get("bit_rate")),
        tags=_texts(fields.get("tags")),
        streams=tuple(_stream_of(stream) for stream in sequence(fields.get("streams"))),
        video_stream=whole(fields.get("video_stream"), 0, _MOST_ITEMS),
        ignored=tuple(_plain(mapping(item)) for item in sequence(fields.get("ignored_streams"))),
        chapters=whole(fields.get("chapters"), 0),
        geometry=geometry_of(fields.get("geometry")),
        colour=colour_of(fields.get("colour")),
        conversion=conversion,
        field_order=_one_of(fields.get("field_order"), FIELD_ORDERS.values()),
        rotation=_optional(text, fields.get("rotation")),
        time_base=ratio(fields.get("time_base")),
        rate=_optional(ratio, fields.get("rate")),
        frames_claimed=_optional(whole, fields.get("frames_claimed")),
        timestamps=_one_of(fields.get("timestamps"), ("stored", "none")),
        is_image=flag(fields.get("is_image")),
        image=_plain(mapping(fields.get("image"))),
        remarks=tuple(text(line) for line in sequence(fields.get("remarks"))),
    )
    if facts.time_base <= 0 or facts.video_stream >= len(facts.streams) or facts.to_record() != fields:
        raise Breach("a description that contradicts itself")
    if facts.geometry.layout != conversion.layout:
        raise Breach("a pixel format that is not that of the pictures")
    return facts


def findings_of(listed: Any, already: dict[str, int]) -> list[Anomaly]:
    """Findings of one message. ``already`` counts those listed so far by kind and is brought up to date."""
    found = []
    for item in sequence(listed):
        if len(sequence(item, 4)) != 4:
            raise Breach("a finding that is none")
        kind = _one_of(item[0], KINDS)
        already[kind] = already.get(kind, 0) + 1
        if already[kind] > LISTED_PER_KIND:
            raise Breach("more findings than are listed")
        found.append(Anomaly(kind, _optional(whole, item[1], 0), _optional(whole, item[2]), text(item[3])))
    return found


def counts_of(value: Any) -> dict[str, int]:
    """Number of findings by kind."""
    return {_one_of(kind, KINDS): whole(count, 1) for kind, count in mapping(value).items()}


def statistics_of(value: Any) -> dict[str, Any]:
    """The statistics of :class:`~forensic.media.reader.ExhibitReader`."""
    fields = mapping(value)
    if set(fields) != {*_STATISTICS, "missing_times", "side_data"}:
        raise Breach("statistics that are none")
    for name in _STATISTICS:
        whole(fields[name], 0)
    text(fields["missing_times"])
    for count in mapping(fields["side_data"]).values():
        whole(count, 0)
    return fields


def _blocks(value: Any) -> BlockQuantisers:
    fields = mapping(value)
    columns = whole(fields.get("columns"), 1, 1 << 12)
    coded = fields.get("values")
    if not isinstance(coded, str) or len(coded) > _LONGEST_TEXT:
        raise Breach("quantisers of blocks that are none")
    try:
        values = base64.b64decode(coded, validate=True)
    except ValueError as error:
        raise Breach("quantisers of blocks that are none") from error
    if not values or len(values) % columns:
        raise Breach("quantisers of blocks that are no grid")
    side = BlockQuantisers.SIDE
    left = whole(fields.get("left"), 0, side * columns - 1)
    top = whole(fields.get("top"), 0, side * (len(values) // columns) - 1)
    return BlockQuantisers(columns, values, left, top)


def coding_of(value: Any) -> FrameCoding:
    """Inverse of ``FrameCoding.to_record``."""
    fields = mapping(value)
    counts = []
    for pair in sequence(fields.get("counts"), 512):
        if len(sequence(pair, 2)) != 2:
            raise Breach("a quantiser that is none")
        counts.append((whole(pair[0], -48, 255), whole(pair[1], 0, 1 << 32)))
    tables = [
        tuple(whole(step, 1, 65535) for step in sequence(table, 64)) for table in sequence(fields.get("tables"), 4)
    ]
    if any(len(table) != 64 for table in tables):
        raise Breach("a quantisation table that is none")
    coding = FrameCoding(
        picture_type=_one_of(fields.get("picture_type"), PICTURE_TYPES),
        scale=_optional(_one_of, fields.get("scale"), ("h264", "vp9", "mpeg", "jpeg")),
        counts=tuple(counts),
        tables=tuple(tables),
        why_not=_optional(text, fields.get("why_not")),
        blocks=_optional(_blocks, fields.get("blocks")),
        size=_optional(whole, fields.get("size"), 0, 1 << 40),
        interlaced=flag(fields.get("interlaced")),
    )
    known = bool(coding.counts) != bool(coding.tables)
    if coding.to_record() != fields or known != (coding.scale is not None) or known == (coding.why_not is not None):
        raise Breach("quantisers that contradict themselves")
    return coding
