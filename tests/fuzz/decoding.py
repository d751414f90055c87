"""The confined child of the campaign: reads input after input as the decoder process would, without a new start each.

Every input is described, decoded to its last frame and its sound read; what would go over the pipe is checked
as the parent checks it. One line of JSON answers each input. An error that is none of ours ends the process with
its traceback, which is a finding.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import struct
import sys
from typing import Any

from forensic.errors import ForensicError
from forensic.media.image import load_reader
from forensic.media.libav import ExhibitFile, out_of_memory
from forensic.media.reader import ExhibitReader
from forensic.media.sandbox.confinement import confine
from forensic.media.sandbox.decoder import _CODECS, _LATE_IMPORTS
from forensic.media.sandbox.facts import FLAGS, counts_of, facts_of_record, findings_of, statistics_of
from forensic.media.sandbox.framing import LONGEST_HEADER
from forensic.media.sandbox.packets import send_packets
from forensic.media.sandbox.trackentry import templates

_MEMORY = 1 << 30
_HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"\0\0\0\x0cjP  ", b"RIFF\0\0\0\0WEBP")
_MOST_FRAMES = 400


class _Bytes(ExhibitFile):
    """An exhibit in memory: nothing can be opened here."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self._on_progress = None
        self.label, self.size = "'input'", len(data)
        self.seek = self._data.seek  # type: ignore[method-assign, assignment]
        self.tell = self._data.tell  # type: ignore[method-assign, assignment]
        self.close = lambda: None  # type: ignore[method-assign, assignment]

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)

    def head(self, size: int) -> bytes:
        return self._data.getvalue()[:size]


def _examine(data: bytes) -> dict[str, Any]:
    frames = 0
    with ExhibitReader(_Bytes(data)) as reader:
        facts = _over_the_wire(reader.facts.to_record())
        assert facts_of_record(facts).to_record() == facts
        for frame in reader.frames():
            frames += 1
            assert frame.timing.index == frames - 1
            assert reader.flags <= FLAGS
            if frames >= _MOST_FRAMES:
                break
        listed = [[one.kind, one.frame, one.pts, one.detail] for one in reader.anomalies]
        assert findings_of(_over_the_wire(listed), {}) == reader.anomalies
        assert counts_of(_over_the_wire(reader.anomaly_counts)) == reader.anomaly_counts
        assert statistics_of(_over_the_wire(reader.statistics)) == reader.statistics
        more = reader.facts.has_more_than_pictures
    packets = _packets(data) if more else 0
    return {"frames": frames, "packets": packets}


def _packets(data: bytes) -> int:
    """The sound, as the writer would take it."""
    count = 0

    def say(kind: str, payload: tuple[memoryview, ...] = (), **facts: Any) -> None:
        nonlocal count
        _over_the_wire(facts)
        count += kind == "packet"
        if kind == "tracks":
            carried = sum(stream["reason"] is None for stream in facts["streams"])
            with templates(bytes(payload[0]), carried) as streams:
                assert len(streams) == carried

    send_packets(_Bytes(data), say)
    return count


def _over_the_wire(value: Any) -> Any:
    text = json.dumps(value, allow_nan=False).encode("ascii")
    assert len(text) <= LONGEST_HEADER
    return json.loads(text)


def main() -> None:
    """Answer inputs until there are no more."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    for head in _HEADS:
        load_reader(head.ljust(16, b"\0"))
    for module in _LATE_IMPORTS:
        importlib.import_module(module)
    for codec in _CODECS:
        "".encode(codec)
    confine(os.getppid(), _MEMORY, 1 << 20)
    while length := source.read(4):
        data = source.read(struct.unpack(">I", length)[0])
        try:
            answer = _examine(data)
        except ForensicError as error:
            answer = {"code": error.code}
        except MemoryError:
            answer = {"code": out_of_memory().code}
        target.write(json.dumps(answer).encode() + b"\n")
        target.flush()


if __name__ == "__main__":
    main()
