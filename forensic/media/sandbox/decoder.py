"""The child: ``python -m forensic.media.sandbox.decoder ORDER`` with the exhibit as standard input.

It imports what it needs, confines itself, says what is in force, and only then looks at the file. It runs
:class:`~forensic.media.reader.ExhibitReader` and sends what comes out. ORDER is JSON:
:class:`~forensic.media.sandbox.order.Order`.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from io import FileIO
from typing import Any

from forensic.errors import ForensicError
from forensic.media.image import load_reader
from forensic.media.libav import ExhibitFile, out_of_memory
from forensic.media.pixels import plane_bytes
from forensic.media.probe import probe_open
from forensic.media.reader import ExhibitReader
from forensic.media.sandbox.confinement import confine
from forensic.media.sandbox.framing import send
from forensic.media.sandbox.order import Order
from forensic.media.sandbox.packets import send_packets
from forensic.media.sandbox.sound import send_sound

_FINDINGS_AT_ONCE = 256
_SIGN_OF_LIFE_S = 1.0
# PyAV imports these when it first meets such a stream, when it is too late.
_LATE_IMPORTS = (
    "av.audio.codeccontext", "av.audio.stream", "av.subtitles.codeccontext", "av.subtitles.stream",
    "av.video.codeccontext", "av.video.stream", "av.sidedata.sidedata", "av.sidedata.motionvectors", "av.index",
)  # fmt: skip
# Codecs of text that headers of pictures and tags may ask for; none can be loaded once files cannot be opened.
_CODECS = ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252")


class Outlet:
    """The pipe to the parent."""

    def __init__(self, descriptor: int) -> None:
        self._pipe = FileIO(descriptor, "wb")
        self._last = time.monotonic()

    def say(self, kind: str, payload: tuple[memoryview, ...] = (), **facts: Any) -> None:
        """Send one message."""
        send(self._pipe, {"kind": kind, **facts}, payload)
        self._last = time.monotonic()

    def alive(self) -> None:
        """Tell, at most once a second, that work goes on."""
        if time.monotonic() - self._last >= _SIGN_OF_LIFE_S:
            self.say("alive")


def main(work: Callable[[Order, ExhibitFile, Outlet], None] | None = None) -> int:
    """Carry out the order. ``work`` stands in for the decoding in tests of misbehaviour."""
    order = Order.from_json(sys.argv[1])
    outlet = Outlet(_take_stdout())
    if order.task == "look":
        outlet.say("ready", isolation=confine(order.parent, order.memory, order.cpu_s))
        return 0
    file = ExhibitFile(0, order.label, outlet.alive)
    load_reader(file.head(16))
    for module in _LATE_IMPORTS:
        importlib.import_module(module)
    for codec in _CODECS:
        "".encode(codec)
    outlet.say("ready", isolation=confine(order.parent, order.memory, order.cpu_s))
    try:
        (work or _work)(order, file, outlet)
    except BrokenPipeError:
        return 0  # nobody wants more
    except ForensicError as error:
        outlet.say("error", code=error.code, message=error.message, remedy=error.remedy)
    except MemoryError:
        full = out_of_memory()
        outlet.say("error", code=full.code, message=full.message, remedy=full.remedy)
    return 0


def _take_stdout() -> int:
    """A private descriptor for the pipe; whatever a library prints goes nowhere."""
    pipe = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return pipe


def _work(order: Order, file: ExhibitFile, outlet: Outlet) -> None:
    if order.task == "probe":
        outlet.say("opened", facts=probe_open(file).to_record())
    elif order.task == "sound":
        send_sound(file, outlet.say, lambda: _await_grant(order))
    elif order.task == "packets":
        _await_grant(order)
        send_packets(file, outlet.say)
    else:
        _send_frames(order, file, outlet)


def _await_grant(order: Order) -> None:
    """Wait for the parent's word that its limits are set; what has a payload is a breach before."""
    if order.go is not None:
        os.read(order.go, 1)


def _send_frames(order: Order, file: ExhibitFile, outlet: Outlet) -> None:
    told = 0

    def state(reader: ExhibitReader) -> dict[str, Any]:
        nonlocal told
        while told < len(reader.anomalies):
            found = reader.anomalies[told : told + _FINDINGS_AT_ONCE]
            told += len(found)
            outlet.say("findings", listed=[[one.kind, one.frame, one.pts, one.detail] for one in found])
        return {"counts": reader.anomaly_counts, "statistics": reader.statistics}

    with ExhibitReader(file, coding=order.coding) as reader:
        outlet.say("opened", facts=reader.facts.to_record(), **state(reader))
        _await_grant(order)
        for frame in reader.frames():
            outlet.say(
                "frame",
                tuple(plane_bytes(plane) for plane in frame.planes),
                index=frame.timing.index,
                pts=frame.timing.pts,
                synthesised=frame.timing.synthesised,
                flags=sorted(reader.flags),
                **({} if reader.coding is None else {"coding": reader.coding.to_record()}),
                **state(reader),
            )
        outlet.say("end", **state(reader))


if __name__ == "__main__":
    raise SystemExit(main())
