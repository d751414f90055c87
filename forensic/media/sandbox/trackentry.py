"""How a carried track is described across the pipe: as a Matroska TrackEntry (RFC 9559, section 5.1.4.1).

The muxer takes the description of a track only from an input stream. So that the parent need not open the
exhibit, the child lets the muxer write a TrackEntry, and the parent reads it back from a file of its own
making that holds nothing else. Before that every element is compared with the list below; what only a
demuxer of whole files would look at (attachments, encodings, cues) cannot get in.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import av.error
from av.stream import Stream

from forensic.errors import BadInput
from forensic.media.libav import messages, wording
from forensic.media.matroska import CLUSTER, EBML_HEADER, INFO, SEGMENT, TIMESTAMP_SCALE, TRACK_ENTRY, TRACKS, children
from forensic.media.sandbox.framing import Breach

LONGEST = 1 << 20
_CODEC_PRIVATE = 0x63A2
_AUDIO = 0xE1
_TRACK_TYPE, _CODEC_ID = 0x83, 0x86
_SOUND, _SUBTITLES = 2, 17
# TrackNumber, TrackUID, FlagLacing, Language, FlagDefault, FlagForced, CodecID, TrackType, DefaultDuration,
# CodecDelay, SeekPreRoll, CodecPrivate, Void, accessibility flags.
_KNOWN = frozenset(
    {0xD7, 0x73C5, 0x9C, 0x22B59C, 0x88, 0x55AA, _CODEC_ID, _TRACK_TYPE, 0x23E383, 0x56AA, 0x56BB, _CODEC_PRIVATE,
     0xEC, 0x55AB, 0x55AC, 0x55AD, 0x55AE, 0x55AF, 0x55EE, _AUDIO}
)  # fmt: skip
# Channels, SamplingFrequency, OutputSamplingFrequency, BitDepth.
_KNOWN_OF_AUDIO = frozenset({0x9F, 0xB5, 0x78B5, 0x6264})


def entry_of(stream: Stream, extradata: bytes | None = None) -> bytes:
    """The TrackEntry that FFmpeg's muxer writes for ``stream``; ``extradata`` stands in for what it lacks.

    Raises ``ValueError`` with the reason if Matroska cannot hold it.
    """
    target = io.BytesIO()
    with messages() as logs:
        try:
            output = av.open(target, "w", format="matroska", container_options={"fflags": "+bitexact"})
            output.add_stream_from_template(stream, opaque=True)
            output.start_encoding()
            output.close()
        except (av.error.FFmpegError, ValueError) as error:
            raise ValueError(wording(error, logs)) from error
    data = target.getvalue()
    (segment,) = (one for one in children(data, 0, len(data)) if one.id == SEGMENT)
    (tracks,) = (one for one in children(data, segment.data, segment.end) if one.id == TRACKS)
    (entry,) = (one for one in children(data, tracks.data, tracks.end) if one.id == TRACK_ENTRY)
    content = data[entry.data : entry.end]
    if extradata is not None:
        content += _element(_CODEC_PRIVATE, extradata)
    return _element(TRACK_ENTRY, content)


def check_entries(data: bytes, count: int) -> None:
    """Raise :class:`Breach` unless ``data`` are ``count`` track entries of sound or subtitles and nothing else."""
    if len(data) > LONGEST:
        raise Breach("a track description beyond the bound")
    try:
        entries = list(children(data, 0, len(data)))
        if len(entries) != count or any(entry.id != TRACK_ENTRY for entry in entries):
            raise Breach("another number of tracks")
        for entry in entries:
            found = {part.id: part for part in children(data, entry.data, entry.end)}
            if not found.keys() <= _KNOWN or not {_TRACK_TYPE, _CODEC_ID} <= found.keys():
                raise Breach("a track description with foreign elements")
            kind = found[_TRACK_TYPE]
            if int.from_bytes(data[kind.data : kind.end], "big") not in (_SOUND, _SUBTITLES):
                raise Breach("a track that is neither sound nor subtitles")
            audio = found.get(_AUDIO)
            inner = set() if audio is None else {part.id for part in children(data, audio.data, audio.end)}
            if not inner <= _KNOWN_OF_AUDIO:
                raise Breach("a sound description with foreign elements")
    except BadInput as error:
        raise Breach("a track description that cannot be read") from error


@contextmanager
def templates(data: bytes, count: int) -> Iterator[list[Stream]]:
    """Streams to copy a description from, one for each checked track entry in ``data``. Raises :class:`Breach`."""
    check_entries(data, count)
    file = _element(
        EBML_HEADER, _element(0x4282, b"matroska") + _element(0x4287, b"\4") + _element(0x4285, b"\2")
    ) + _element(
        SEGMENT,
        _element(INFO, _element(TIMESTAMP_SCALE, (10**6).to_bytes(3, "big")))
        + _element(TRACKS, data)
        + _element(CLUSTER, _element(0xE7, b"\0")),
    )
    options: dict[str, Any] = {"options": {"protocol_whitelist": "none"}, "metadata_errors": "backslashreplace"}
    with messages():
        try:
            container = av.open(io.BytesIO(file), "r", format="matroska", **options)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise Breach("a track description that FFmpeg refuses") from error
    try:
        streams = list(container.streams)
        if len(streams) != count:
            raise Breach("another number of tracks")
        yield streams
    finally:
        container.close()


def _element(identity: int, content: bytes) -> bytes:
    name = identity.to_bytes((identity.bit_length() + 7) // 8, "big")
    return name + (1 << 56 | len(content)).to_bytes(8, "big") + content
