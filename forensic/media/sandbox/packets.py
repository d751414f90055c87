"""The child's part in copying sound and subtitles: describe the tracks, then send packet after packet."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Protocol

import av.error
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.packet import Packet

from forensic.media.libav import ExhibitFile, messages, open_exhibit, wording
from forensic.media.probe import choose_video
from forensic.media.sandbox.trackentry import entry_of
from forensic.media.visible import visible

SIDE_DATA = ("skip_samples", "matroska_block_additional", "webvtt_identifier", "webvtt_settings")
_MOST_LOOKED_AT = 4096


class Say(Protocol):
    """Sends one message to the parent."""

    def __call__(self, kind: str, payload: tuple[memoryview, ...] = (), **facts: Any) -> None: ...


def send_packets(file: ExhibitFile, say: Say) -> None:
    """Send ``tracks`` (what becomes of every stream but the examined one), ``packet`` for each, ``end``.

    Raises ``BadInput`` as ``open_exhibit``.
    """
    configurations = _adts_configurations(file)
    container = open_exhibit(file)
    try:
        carried = _describe(container, configurations, say)
        if carried:
            _send(file, container, carried, set(configurations), say)
        say("end")
    finally:
        container.close()


def _describe(container: InputContainer, configurations: dict[int, bytes], say: Say) -> list[int]:
    chosen, _ = choose_video(container)
    streams: list[dict[str, Any]] = []
    entries = []
    for stream in container.streams:
        if stream.index == chosen.index:
            continue
        context = stream.codec_context
        reason, entry = _obstacle(stream), b""
        if reason is None:
            try:
                entry = entry_of(stream, configurations.get(stream.index))
            except ValueError as error:
                reason = f"Matroska cannot hold it ({visible(str(error), 200)})"
        streams.append(
            {
                "stream": stream.index,
                "type": stream.type,
                "codec": context.name if context else None,
                "reason": reason,
                "disposition": int(stream.disposition),
                "tags": {
                    key: visible(stream.metadata[key], 200) for key in ("language", "title") if key in stream.metadata
                },
            }
        )
        entries.append(entry)
    described = b"".join(entries)
    say("tracks", (memoryview(described),), streams=streams, chapters=len(container.chapters()))
    return [facts["stream"] for facts in streams if facts["reason"] is None]


def _obstacle(stream: Any) -> str | None:
    if stream.type == "video":
        return "another video stream or picture; the master holds the examined stream only"
    if stream.type not in ("audio", "subtitle"):
        return f"{stream.type} streams are not copied"
    if stream.codec_context is None:
        return "its codec is unknown to this FFmpeg"
    return None


def _adts_configurations(file: ExhibitFile) -> dict[int, bytes]:
    """The AudioSpecificConfig of AAC that came in ADTS frames (ISO/IEC 13818-7), which Matroska keeps apart.

    Other muxers' way: FFmpeg's own ``aac_adtstoasc`` filter, applied to the first frame of each such stream.
    """
    container = open_exhibit(file)
    found: dict[int, bytes] = {}
    try:
        waiting = {
            stream.index: BitStreamFilterContext("aac_adtstoasc", stream)
            for stream in container.streams
            if stream.type == "audio" and stream.codec_context is not None
            if stream.codec_context.name == "aac" and not stream.codec_context.extradata
        }
        streams = [container.streams[index] for index in waiting]
        seen = 0
        with messages():
            for packet in container.demux(streams) if streams else ():
                seen += 1
                index = packet.stream_index
                if packet.size and index in waiting:
                    for filtered in waiting.pop(index).filter(packet):
                        if filtered.has_sidedata("new_extradata"):
                            found[index] = bytes(filtered.get_sidedata("new_extradata"))
                if not waiting or seen > _MOST_LOOKED_AT:
                    break
    except (av.error.FFmpegError, OSError, ValueError):
        return found  # reading for good will meet the same error and say so
    finally:
        container.close()
    return found


def _send(file: ExhibitFile, container: InputContainer, carried: list[int], adts: set[int], say: Say) -> None:
    streams = [container.streams[index] for index in carried]
    filters = {index: BitStreamFilterContext("aac_adtstoasc", container.streams[index]) for index in adts}
    packets: Iterator[Packet[Any]] = container.demux(streams)
    while True:
        # Not around sending: the collector of messages belongs to a thread, not to a generator.
        with messages() as logs:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                file.alive()
                if not packet.size:
                    continue
                index, base = packet.stream_index, Fraction(packet.time_base)  # filtering empties the packet
                bitstream = filters.get(index)
                parts = [packet] if bitstream is None else bitstream.filter(packet)
            except (av.error.FFmpegError, OSError, ValueError) as error:
                say("read-error", text=wording(error, logs))
                return
        for part in parts:
            _send_one(index, base, part, say)


def _send_one(index: int, base: Fraction, packet: Packet[Any], say: Say) -> None:
    side = [(one.data_type, bytes(one)) for one in packet.iter_sidedata() if one.data_type in SIDE_DATA]
    say(
        "packet",
        (memoryview(bytes(packet)), *(memoryview(data) for _, data in side)),
        stream=index,
        pts=packet.pts,
        dts=packet.dts,
        duration=packet.duration or 0,
        time_base=f"{base.numerator}/{base.denominator}",
        key=packet.is_keyframe,
        side=[[kind, len(data)] for kind, data in side],
    )
