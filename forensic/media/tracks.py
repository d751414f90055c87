"""Audio and subtitle tracks of the exhibit, copied packet by packet beside the master, or said not to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from io import RawIOBase
from pathlib import Path
from typing import Any

import av.error
from av.container import OutputContainer
from av.packet import Packet, PacketSideData, packet_sidedata_type_from_literal

from forensic.media.matroska import TimeScale
from forensic.media.sandbox.facts import flag, mapping, ratio, sequence, text, whole
from forensic.media.sandbox.framing import Breach, fill
from forensic.media.sandbox.packets import SIDE_DATA
from forensic.media.sandbox.process import DECODER, DecoderProcess, Limits
from forensic.media.sandbox.trackentry import LONGEST, templates
from forensic.media.visible import visible

PRETENDED = Fraction(1, 1000)
_LIMIT = 1 << 62
_LARGEST_PACKET = 64 << 20
_LARGEST_SIDE_DATA = 1 << 16
_AHEAD = 8
# A track may have its next packet at the far end of a long recording.
_PATIENCE = 24


@dataclass
class TrackReport:
    """What became of the exhibit's other tracks, and of every packet of those that were copied."""

    carried: list[dict[str, Any]] = field(default_factory=list)
    not_carried: list[dict[str, Any]] = field(default_factory=list)

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {"carried": self.carried, "not_carried": self.not_carried}


class CarriedTracks:
    """Takes the exhibit's audio and subtitle packets from a confined process and hands them to the muxer in time.

    ``span`` (start inclusive, end exclusive, seconds of the exhibit's clock; None for no bound) limits
    what is copied: packets outside are counted in the report. Raises ``BadInput`` as
    :class:`~forensic.media.sandbox.reader.SandboxedReader`.
    """

    def __init__(
        self,
        path: Path,
        output: OutputContainer,
        scale: TimeScale,
        report: TrackReport,
        span: tuple[Fraction | None, Fraction | None],
        *,
        module: str = DECODER,
    ) -> None:
        limits = Limits()
        limits = replace(limits, barren_s=limits.barren_s * _PATIENCE)
        self._process = DecoderProcess(path, "packets", limits=limits, take=_take, module=module)
        self._output = output
        self._scale = scale
        self._report = report
        self._span = span
        self._targets: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._last: dict[int, int] = {}
        self._process.__enter__()
        try:
            self._process.go_on(_AHEAD)
            self._choose()
        except Breach as error:
            self._process.close()
            raise self._process.breach(error) from error
        except BaseException:
            self._process.close()
            raise
        self._packets = self._read()
        self._waiting: tuple[int, Packet[Any], Fraction] | None = None

    def close(self) -> None:
        """Let go of the exhibit."""
        self._packets.close()  # type: ignore[attr-defined]
        self._process.close()

    def _choose(self) -> None:
        header, described = self._process.expect("tracks")
        streams = [_stream_of(item) for item in sequence(header.get("streams"))]
        carried = [stream for stream in streams if stream["reason"] is None]
        with templates(described or b"", len(carried)) as sources:
            waiting = iter(sources)
            for stream in streams:
                facts = {name: stream[name] for name in ("stream", "type", "codec")}
                reason = stream["reason"]
                if reason is None:
                    try:
                        target: Any = self._output.add_stream_from_template(next(waiting), opaque=True)
                    except (av.error.FFmpegError, ValueError) as error:
                        reason = f"Matroska cannot hold it ({visible(str(error), 200)})"
                    else:
                        target.time_base = PRETENDED
                        target.disposition = stream["disposition"]
                        target.metadata.update(stream["tags"])
                        record: dict[str, Any] = {**facts, "packets": 0, "not_carried_packets": {}}
                        self._targets[stream["stream"]] = (target, record)
                        self._report.carried.append(record)
                        continue
                self._report.not_carried.append({**facts, "reason": reason})
        if count := whole(header.get("chapters"), 0):
            self._report.not_carried.append({"type": "chapters", "count": count, "reason": "chapters are not copied"})

    def _read(self) -> Iterator[tuple[int, Packet[Any], Fraction]]:
        """Packets of the carried streams with their stream and their time in seconds, in file order."""
        while self._targets:
            header, content = self._process.expect("packet", "read-error", "end")
            if header["kind"] == "end":
                return
            try:
                if header["kind"] == "read-error":
                    for _, record in self._targets.values():
                        record["read_error"] = text(header.get("text"))
                    return
                packet = self._packet(header, content)
            except Breach as error:
                raise self._process.breach(error) from error
            time = packet.pts if packet.pts is not None else packet.dts
            if time is None:
                self._miss(header["stream"], "without a timestamp")
                continue
            yield header["stream"], packet, time * Fraction(packet.time_base)

    def _packet(self, header: dict[str, Any], content: tuple[bytes, list[tuple[str, bytes]]] | None) -> Packet[Any]:
        if content is None or whole(header.get("stream")) not in self._targets:
            raise Breach("a packet of no track")
        data, side = content
        packet: Any = Packet(data)
        packet.pts, packet.dts = (None if header.get(n) is None else whole(header[n]) for n in ("pts", "dts"))
        packet.duration = whole(header.get("duration"), 0)
        base = ratio(header.get("time_base"))
        if base <= 0 or max(base.numerator, base.denominator) >= 1 << 31:
            raise Breach("a time base that is none")
        packet.time_base = base
        packet.is_keyframe = flag(header.get("key"))
        for kind, value in side:
            name: Any = kind
            make: Any = PacketSideData  # PyAV's stubs do not know its arguments
            extra = make(packet_sidedata_type_from_literal(name), len(value))
            extra.update(value)
            packet.set_sidedata(extra)
        return packet

    def _miss(self, index: int, why: str) -> None:
        missed = self._targets[index][1]["not_carried_packets"]
        missed[why] = missed.get(why, 0) + 1

    def until(self, seconds: Fraction | None, shift: int) -> None:
        """Hand over packets that start before ``seconds`` (None: all that are left).

        ``shift`` is the offset in units of the scale that the video's times were given.
        """
        while True:
            if self._waiting is None:
                self._waiting = next(self._packets, None)
            if self._waiting is None:
                return
            index, packet, time = self._waiting
            if seconds is not None and time >= seconds:
                return
            self._waiting = None
            self._hand_over(index, packet, time, shift)

    def _hand_over(self, index: int, packet: Packet[Any], time: Fraction, shift: int) -> None:
        target, record = self._targets[index]
        start, end = self._span
        if (start is not None and time < start) or (end is not None and time >= end):
            self._miss(index, "outside the frames of this run")
            return
        base = Fraction(packet.time_base)
        at = self._scale.ticks(1, time) + shift if time else shift
        if at < 0:
            self._miss(index, "before time zero, which Matroska cannot hold")
            return
        if at >= _LIMIT:
            self._miss(index, "with a time beyond Matroska's range")
            return
        if at < self._last.get(index, 0):
            self._miss(index, "with a time earlier than the packet before it")
            return
        self._last[index] = at
        packet.duration = self._scale.ticks(packet.duration or 0, base)
        packet.pts = packet.dts = at
        packet.time_base = PRETENDED
        packet.stream = target
        self._output.mux(packet)
        record["packets"] += 1


def _stream_of(record: Any) -> dict[str, Any]:
    fields = mapping(record)
    if set(fields) != {"stream", "type", "codec", "reason", "disposition", "tags"}:
        raise Breach("a track that is none")
    for name in ("codec", "reason"):
        if fields[name] is not None:
            text(fields[name])
    tags = mapping(fields["tags"])
    if not set(tags) <= {"language", "title"}:
        raise Breach("tags that are not carried")
    return {
        "stream": whole(fields["stream"], 0, 1 << 20),
        "type": text(fields["type"]),
        "codec": fields["codec"],
        "reason": fields["reason"],
        "disposition": whole(fields["disposition"], 0, (1 << 31) - 1),
        "tags": {key: text(value) for key, value in tags.items()},
    }


def _take(header: dict[str, Any], length: int, pipe: RawIOBase) -> bytes | tuple[bytes, list[tuple[str, bytes]]]:
    """On the listening thread: the description of the tracks, or a packet and what hangs on it."""
    if header["kind"] == "tracks" and length <= LONGEST:
        return _exactly(pipe, length)
    if header["kind"] != "packet":
        raise Breach("a payload where none belongs")
    sizes = []
    for item in sequence(header.get("side"), len(SIDE_DATA)):
        if len(sequence(item, 2)) != 2 or item[0] not in SIDE_DATA:
            raise Breach("side data that is not carried")
        sizes.append((str(item[0]), whole(item[1], 0, _LARGEST_SIDE_DATA)))
    own = length - sum(size for _, size in sizes)
    if not 0 < own <= _LARGEST_PACKET:
        raise Breach("a packet of another size")
    return _exactly(pipe, own), [(kind, _exactly(pipe, size)) for kind, size in sizes]


def _exactly(pipe: RawIOBase, length: int) -> bytes:
    data = bytearray(length)
    fill(pipe, memoryview(data))
    return bytes(data)
