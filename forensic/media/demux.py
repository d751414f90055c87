"""Packets of the examined stream; reading goes on after an error, and every error is a finding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av.error
import av.logging
from av.container import InputContainer
from av.packet import Packet

from forensic.errors import BadInput
from forensic.media.anomaly import AnomalyLog
from forensic.media.libav import ExhibitFile, messages, refuse_exhausted, wording
from forensic.media.visible import visible

_ERRORS_IN_A_ROW = 64
_PACKETS_BEYOND_SIZE = 1 << 16


class Demuxer:
    """Reads ``stream`` of ``container``, which was opened on ``file``, and enters findings into ``log``."""

    def __init__(self, container: InputContainer, stream: Any, file: ExhibitFile, log: AnomalyLog) -> None:
        self._container = container
        self._stream = stream
        self._file = file
        self._most = file.size + _PACKETS_BEYOND_SIZE
        self._log = log
        self._parser_said: tuple[list[str], list[str]] = ([], [])
        self.ended_early = False

    def take_parser_messages(self) -> tuple[list[str], list[str]]:
        """Errors and warnings that the parser gave about the packet just read."""
        said, self._parser_said = self._parser_said, ([], [])
        return said

    def packets(self) -> Iterator[Packet[Any]]:
        """Packets with content. Raises ``BadInput`` (``media.endless``, ``media.decoder-memory``)."""
        errors = seen = 0
        while True:
            packets = self._container.demux(self._stream)
            while True:
                failure: Exception | None = None
                packet: Packet[Any] | None = None
                with messages() as logs:
                    try:
                        packet = next(packets, None)
                    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
                        failure = error
                self._container_said(logs, packet)
                if failure is not None:
                    refuse_exhausted(failure)
                    break
                if packet is None:
                    return
                seen += 1
                self._file.alive()
                if seen > self._most:
                    raise BadInput(
                        "media.endless",
                        "The file gives more packets than it has bytes: its index leads in circles.",
                        "Ask for the export again.",
                    )
                if packet.size:
                    errors = 0
                    yield packet
                elif packet.pts is not None or packet.dts is not None or packet.pos is not None:
                    self._log.add("packets-skipped", None, packet.pts, "An empty packet: a frame left out or repeated.")
            errors += 1
            self._log.add("read-error", None, None, f"Reading the container failed: {wording(failure, logs)}")
            if errors >= _ERRORS_IN_A_ROW or isinstance(failure, MemoryError):
                self.ended_early = True
                return

    def _container_said(self, logs: list[tuple[int, str, str]], packet: Packet[Any] | None) -> None:
        """Messages of the demuxer, located by the packet being read; those of a parser belong to its packet."""
        parser = self._stream.codec_context.name
        for level, source, text in logs:
            if level > av.logging.WARNING:
                continue
            line = visible(f"{source}: {text.strip()}", 300)
            if source == parser and packet is not None:
                self._parser_said[0 if level <= av.logging.ERROR else 1].append(line)
            else:
                kind = "read-error" if level <= av.logging.ERROR else "container-warning"
                self._log.add(kind, None, packet.pts if packet is not None else None, line)
