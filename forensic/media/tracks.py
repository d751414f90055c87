"""Audio and subtitle tracks of the exhibit, copied packet by packet beside the master, or said not to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from forensic.media.libav import messages, open_exhibit, wording
from forensic.media.matroska import TimeScale
from forensic.media.probe import choose_video
from forensic.media.visible import visible

PRETENDED = Fraction(1, 1000)
_LIMIT = 1 << 62


@dataclass
class TrackReport:
    """What became of the exhibit's other tracks, and of every packet of those that were copied."""

    carried: list[dict[str, Any]] = field(default_factory=list)
    not_carried: list[dict[str, Any]] = field(default_factory=list)

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {"carried": self.carried, "not_carried": self.not_carried}


class CarriedTracks:
    """Reads the exhibit's audio and subtitle packets and hands them to the muxer in time.

    ``span`` (start inclusive, end exclusive, seconds of the exhibit's clock; None for no bound) limits
    what is copied: packets outside are counted in the report.
    """

    def __init__(
        self,
        path: Path,
        output: OutputContainer,
        scale: TimeScale,
        report: TrackReport,
        span: tuple[Fraction | None, Fraction | None],
    ) -> None:
        self._source: InputContainer = open_exhibit(path)
        self._output = output
        self._scale = scale
        self._report = report
        self._span = span
        self._targets: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._last: dict[int, int] = {}
        try:
            self._choose()
        except BaseException:
            self._source.close()
            raise
        self._packets = self._read()
        self._waiting: tuple[Packet[Any], Fraction] | None = None

    def close(self) -> None:
        """Let go of the exhibit."""
        self._packets.close()  # type: ignore[attr-defined]
        self._source.close()

    def _choose(self) -> None:
        chosen, _ = choose_video(self._source)
        for stream in self._source.streams:
            if stream.index == chosen.index:
                continue
            context = stream.codec_context
            facts = {"stream": stream.index, "type": stream.type, "codec": context.name if context else None}
            reason = self._obstacle(stream)
            if reason is None:
                try:
                    target = self._output.add_stream_from_template(stream, opaque=True)
                except (av.error.FFmpegError, ValueError) as error:
                    reason = f"Matroska cannot hold it ({visible(str(error), 200)})"
                else:
                    target.time_base = PRETENDED
                    self._carry_tags(stream, target)
                    record: dict[str, Any] = {**facts, "packets": 0, "not_carried_packets": {}}
                    self._targets[stream.index] = (target, record)
                    self._report.carried.append(record)
                    continue
            self._report.not_carried.append({**facts, "reason": reason})
        if count := len(self._source.chapters()):
            self._report.not_carried.append({"type": "chapters", "count": count, "reason": "chapters are not copied"})

    @staticmethod
    def _carry_tags(stream: Any, target: Any) -> None:
        target.disposition = int(stream.disposition)
        for key in ("language", "title"):
            if key in stream.metadata:
                target.metadata[key] = visible(stream.metadata[key], 200)

    @staticmethod
    def _obstacle(stream: Any) -> str | None:
        if stream.type == "video":
            return "another video stream or picture; the master holds the examined stream only"
        if stream.type not in ("audio", "subtitle"):
            return f"{stream.type} streams are not copied"
        if stream.codec_context is None:
            return "its codec is unknown to this FFmpeg"
        return None

    def _read(self) -> Iterator[tuple[Packet[Any], Fraction]]:
        """Packets of the carried streams with their time in seconds, in file order."""
        if not self._targets:
            return
        streams = [self._source.streams[index] for index in self._targets]
        packets = self._source.demux(streams)
        while True:
            # Not around the yield: the collector of messages belongs to a thread, not to a generator.
            with messages() as logs:
                try:
                    packet = next(packets, None)
                except (av.error.FFmpegError, OSError, ValueError) as error:
                    for _, record in self._targets.values():
                        record["read_error"] = wording(error, logs)
                    return
            if packet is None:
                return
            if not packet.size:
                continue
            time = packet.pts if packet.pts is not None else packet.dts
            if time is None:
                self._miss(packet.stream_index, "without a timestamp")
                continue
            yield packet, time * Fraction(packet.time_base)

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
            packet, time = self._waiting
            if seconds is not None and time >= seconds:
                return
            self._waiting = None
            self._hand_over(packet, time, shift)

    def _hand_over(self, packet: Packet[Any], time: Fraction, shift: int) -> None:
        index = packet.stream_index
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
