"""What a media file says about itself, before a frame of it is decoded by us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Stream

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import Geometry
from forensic.media.dump import chroma_location, dump_by_stream, rotation_of, side_data_of
from forensic.media.image import image_facts
from forensic.media.libav import MAX_PIXELS, MAX_SIDE, ExhibitFile, messages, open_exhibit, too_large
from forensic.media.metadata import describe_matrix, not_carried
from forensic.media.pixels import Conversion, conversion_from
from forensic.media.visible import visible

FIELD_ORDERS = {0: "unknown", 1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}
_RANGES = {0: None, 1: False, 2: True}
_SAFE = (1 << 53) - 1
_MOST_TAGS = 256
_FormatFlags: Any = av.format.Flags
_NO_TIMESTAMPS = int(_FormatFlags.no_timestamps.value)


def ratio(value: Fraction | None) -> str | None:
    """A fraction as ``n/d``; None for none or zero."""
    return None if not value else f"{value.numerator}/{value.denominator}"


def whole(value: int | None) -> int | str | None:
    """An integer that JSON readers keep exact; beyond ±(2**53-1) it is given as text."""
    return value if value is None or -_SAFE <= value <= _SAFE else str(value)


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    items = list(metadata.items())
    tags = {visible(key, 200): visible(value) for key, value in items[:_MOST_TAGS]}
    if len(items) > _MOST_TAGS:
        tags["(not listed)"] = f"{len(items) - _MOST_TAGS} more tags"
    return tags


@dataclass(frozen=True)
class StreamFacts:
    """One stream of the container. ``details`` holds what applies to its type, JSON-able."""

    index: int
    type: str
    codec: str | None
    profile: str | None
    time_base: str | None
    start: int | str | None
    duration: int | str | None
    frames_claimed: int | None
    disposition: tuple[str, ...]
    tags: dict[str, str]
    side_data: tuple[str, ...]
    details: dict[str, Any]

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "index": self.index,
            "type": self.type,
            "codec": self.codec,
            "profile": self.profile,
            "time_base": self.time_base,
            "start": self.start,
            "duration": self.duration,
            "frames_claimed": self.frames_claimed,
            "disposition": list(self.disposition),
            "tags": self.tags,
            "side_data": list(self.side_data),
            **self.details,
        }


@dataclass(frozen=True)
class MediaFacts:
    """Facts of a media file as its headers (and FFmpeg's look at its first packets) give them.

    ``geometry``/``colour``/``conversion`` are those of the chosen video stream. ``rotation`` is the
    container's wish for display in degrees counter-clockwise: recorded, never applied. ``timestamps``
    is ``stored`` or ``none`` (the format has no place for them).
    """

    container: str
    container_name: str
    size: int
    duration_us: int | str | None
    start_us: int | str | None
    bit_rate: int | str | None
    tags: dict[str, str]
    streams: tuple[StreamFacts, ...]
    video_stream: int
    ignored: tuple[dict[str, Any], ...]
    chapters: int
    geometry: Geometry
    colour: ColourSpec
    conversion: Conversion
    field_order: str
    rotation: str | None
    time_base: Fraction
    rate: Fraction | None
    frames_claimed: int | None
    timestamps: str
    is_image: bool
    image: dict[str, Any]
    remarks: tuple[str, ...] = ()

    @property
    def has_more_than_pictures(self) -> bool:
        """Whether there are other streams, or chapters, that the writer carries or lists as not carried."""
        return not self.is_image and (len(self.streams) > 1 or self.chapters > 0)

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts; integers beyond 2**53 are given as text."""
        return {
            "container": self.container,
            "container_name": self.container_name,
            "size": self.size,
            "duration_us": self.duration_us,
            "start_us": self.start_us,
            "bit_rate": self.bit_rate,
            "tags": self.tags,
            "streams": [stream.to_record() for stream in self.streams],
            "video_stream": self.video_stream,
            "ignored_streams": [dict(item) for item in self.ignored],
            "chapters": self.chapters,
            "geometry": self.geometry.to_record(),
            "colour": self.colour.to_record(),
            "conversion": self.conversion.to_record(),
            "field_order": self.field_order,
            "rotation": self.rotation,
            "time_base": f"{self.time_base.numerator}/{self.time_base.denominator}",
            "rate": ratio(self.rate),
            "frames_claimed": self.frames_claimed,
            "timestamps": self.timestamps,
            "is_image": self.is_image,
            "image": self.image,
            "remarks": list(self.remarks),
        }

    def not_carried_metadata(self, side_data: Mapping[str, int] | None = None) -> list[dict[str, str]]:
        """What the master does not carry beside other streams: ``{"what", "reason"}`` each, for people.

        ``side_data``: frames by type of side data (``ExhibitReader.statistics["side_data"]``).
        """
        return not_carried(self, side_data or {})


def probe(path: Path) -> MediaFacts:
    """Read the facts of the media file at ``path`` in this process.

    Raises ``BadInput``: ``media.unreadable``, ``media.empty``, ``media.no-video``,
    ``media.names-other-files``, ``media.too-large``, ``media.pixel-format``.
    """
    file = ExhibitFile.at(path)
    try:
        return probe_open(file)
    finally:
        file.close()


def probe_open(file: ExhibitFile) -> MediaFacts:
    """As :func:`probe`, of a file that is open and stays so."""
    container = open_exhibit(file)
    try:
        return facts_of(container, file)
    finally:
        container.close()


def choose_video(container: InputContainer) -> tuple[Stream, list[dict[str, Any]]]:
    """The video stream to work on: the first marked default, else the first; and why not the others.

    Cover pictures are not video. Raises ``BadInput`` (``media.no-video``).
    """
    videos = [s for s in container.streams if s.type == "video"]
    attached = int(av.stream.Disposition.attached_pic)
    footage = [s for s in videos if not int(s.disposition) & attached]
    if not footage:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise BadInput("media.no-video", f"The file holds no video stream (it holds: {kinds}).")
    default = int(av.stream.Disposition.default)
    chosen = next((s for s in footage if int(s.disposition) & default), footage[0])
    if chosen.codec_context is None:
        raise BadInput("media.unreadable", f"There is no decoder for the codec of video stream {chosen.index}.")
    ignored = []
    for stream in container.streams:
        if stream.index == chosen.index:
            continue
        if stream.type != "video":
            reason = f"{stream.type} is not examined; the writer carries it or lists it as not carried"
        elif int(stream.disposition) & attached:
            reason = "an attached picture (cover), not footage"
        else:
            reason = f"another video stream; stream {chosen.index} was chosen (first marked default, else first)"
        ignored.append({"index": stream.index, "type": stream.type, "reason": reason})
    return chosen, ignored


def _colour(stream: Any, lines: list[str]) -> ColourSpec:
    context = stream.codec_context
    full_range = _RANGES.get(context.color_range)
    if full_range is None and (context.pix_fmt or "").startswith("yuvj"):
        full_range = True
    return ColourSpec(
        matrix=int(context.colorspace),
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
        full_range=full_range,
        chroma_location=chroma_location(lines, context.pix_fmt),
    )


def _video_details(stream: Any, lines: list[str]) -> dict[str, Any]:
    context = stream.codec_context
    return {
        "width": context.width,
        "height": context.height,
        "pixel_format": context.pix_fmt,
        "sample_aspect": ratio(stream.sample_aspect_ratio),
        "field_order": FIELD_ORDERS.get(context.field_order, "unknown"),
        "colour": _colour(stream, lines).to_record(),
        "average_rate": ratio(stream.average_rate),
        "guessed_rate": ratio(stream.guessed_rate),
        "bit_rate": whole(context.bit_rate),
        "b_frames": bool(context.has_b_frames),
    }


def _audio_details(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    return {
        "sample_rate": context.sample_rate,
        "channels": context.layout.nb_channels,
        "layout": visible(context.layout.name, 100),
        "sample_format": context.format.name if context.format else None,
        "bit_rate": whole(context.bit_rate),
    }


def _stream_facts(stream: Any, lines: list[str]) -> StreamFacts:
    context = stream.codec_context
    details: dict[str, Any] = {}
    if context is not None and stream.type == "video":
        details = _video_details(stream, lines)
    elif context is not None and stream.type == "audio":
        details = _audio_details(stream)
    dispositions = int(stream.disposition)
    return StreamFacts(
        index=stream.index,
        type=stream.type,
        codec=context.name if context is not None else None,
        profile=context.profile if context is not None else None,
        time_base=ratio(stream.time_base),
        start=whole(stream.start_time),
        duration=whole(stream.duration),
        frames_claimed=stream.frames or None,
        disposition=tuple(str(d.name) for d in av.stream.Disposition if dispositions & int(d)),
        tags=_tags(stream.metadata),
        side_data=side_data_of(lines),
        details=details,
    )


def _check_size(width: int, height: int) -> None:
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise too_large(f"{width}x{height}")


def facts_of(container: InputContainer, file: ExhibitFile) -> MediaFacts:
    """Facts of an open container over ``file``. Raises as :func:`probe`."""
    stream: Any
    stream, ignored = choose_video(container)
    context = stream.codec_context
    _check_size(context.width, context.height)
    if context.pix_fmt is None or not (context.width and context.height):
        raise BadInput(
            "media.no-picture", "No picture of the file could be decoded: its size or format is unknown.",
            "Ask for the export again.",
        )  # fmt: skip
    conversion = conversion_from(context.pix_fmt)
    with messages():
        dumped = dump_by_stream(container)
    streams = tuple(_stream_facts(s, dumped.get(s.index, [])) for s in container.streams)
    own = streams[stream.index]
    is_image = container.format.name.endswith("_pipe")
    image = image_facts(file) if is_image else {}
    remarks = []
    if own.details["colour"]["full_range"] is None and conversion.layout.family == "yuv":
        remarks.append("The file does not say whether its luma is full or limited range.")
    colour = _colour(stream, dumped.get(stream.index, []))
    if conversion.layout.family == "yuv":
        colour = colour.for_display(context.height)
    if said := describe_matrix(colour, conversion.layout):
        remarks.append(said)
    if image.get("pages", 1) > 1:
        remarks.append(f"The image file holds {image['pages']} pages; the first is the exhibit's picture.")
    if image.get("complaints"):
        remarks.append(f"The image's metadata is damaged: {image['complaints'][0]}")
    if image.get("not_read"):
        remarks.append(f"Not read: {image['not_read']}.")
    if image.get("exif_orientation") not in (None, 1):
        remarks.append(f"EXIF orientation {image['exif_orientation']} is recorded and not applied.")
    rate = stream.average_rate or stream.guessed_rate or None
    no_timestamps = bool(container.format.flags & _NO_TIMESTAMPS)
    return MediaFacts(
        container=container.format.name,
        container_name=container.format.long_name or container.format.name,
        size=file.size,
        duration_us=whole(container.duration),
        start_us=whole(container.start_time),
        bit_rate=whole(container.bit_rate) or None,
        tags=_tags(container.metadata),
        streams=streams,
        video_stream=stream.index,
        ignored=tuple(ignored),
        chapters=len(container.chapters()),
        geometry=Geometry(context.width, context.height, conversion.layout, stream.sample_aspect_ratio or None),
        colour=colour,
        conversion=conversion,
        field_order=FIELD_ORDERS.get(context.field_order, "unknown"),
        rotation=rotation_of(own.side_data),
        time_base=Fraction(1) if is_image else Fraction(stream.time_base),
        rate=None if is_image else rate,
        frames_claimed=None if is_image else own.frames_claimed,
        timestamps="none" if is_image or no_timestamps else "stored",
        is_image=is_image,
        image=image,
        remarks=tuple(remarks),
    )


def with_first_frame(facts: MediaFacts, geometry: Geometry, colour: ColourSpec, conversion: Conversion) -> MediaFacts:
    """``facts`` corrected by the first decoded frame, saying so where the header was wrong."""
    if conversion.layout.family == "yuv":
        colour = colour.for_display(geometry.height)
    before = describe_matrix(facts.colour, facts.geometry.layout)
    remarks = [remark for remark in facts.remarks if remark != before]
    if said := describe_matrix(colour, geometry.layout):
        remarks.append(said)
    if geometry != facts.geometry:
        remarks.append(f"The header claims {facts.geometry.to_record()}, the first frame is {geometry.to_record()}.")
    return replace(facts, geometry=geometry, colour=colour, conversion=conversion, remarks=tuple(remarks))
