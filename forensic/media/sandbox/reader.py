"""Reading an exhibit through a confined process: the interface of ``ExhibitReader``, and the same frames."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from forensic.errors import InternalError
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry, Planes
from forensic.frames.stageclass import StageClass
from forensic.media.anomaly import Anomaly
from forensic.media.pixels import plane_bytes
from forensic.media.probe import MediaFacts
from forensic.media.quantisers import FrameCoding
from forensic.media.sandbox.facts import (
    FLAGS,
    coding_of,
    counts_of,
    facts_of_record,
    findings_of,
    flag,
    statistics_of,
    whole,
)
from forensic.media.sandbox.framing import Breach, fill
from forensic.media.sandbox.process import DECODER, DecoderProcess, Limits
from forensic.media.timing import Cadence


class SandboxedReader:
    """Context manager over one media file; :meth:`frames` may be walked once.

    As :class:`~forensic.media.reader.ExhibitReader`, which does the work in a process that can open no file,
    reach no network and start no program (docs/media.md). Everything that comes back is checked, the frames'
    hashes are computed here. Frames are decoded ahead, at most 8 of them or 64 MiB; ``anomalies``,
    ``anomaly_counts`` and ``statistics`` stand as they were when the frame last given out was decoded.

    Raises ``BadInput`` as ``ExhibitReader``; also when the decoder crashes (``media.decoder-crashed``),
    gets nowhere (``media.decoder-timeout``), takes too much memory (``media.decoder-memory``), breaks its
    protocol (``media.decoder-breach``) or meets a defect (``media.decoder-failed``). ``module`` is for tests.
    """

    def __init__(
        self,
        path: Path,
        stage_class: StageClass = StageClass.PRESENTATION,
        *,
        limits: Limits | None = None,
        module: str = DECODER,
        coding: bool = False,
    ) -> None:
        self._process = DecoderProcess(path, "frames", limits=limits, take=self._take, module=module, coding=coding)
        self._wants_coding = coding
        self._stage_class = stage_class
        self._listed: dict[str, int] = {}
        self._times = array("q")
        self._started = False
        self.anomalies: list[Anomaly] = []
        self.anomaly_counts: dict[str, int] = {}
        self.statistics: dict[str, Any] = {}
        self.flags: frozenset[str] = frozenset()
        self.cadence: Cadence | None = None
        self.coding: FrameCoding | None = None

    def __enter__(self) -> SandboxedReader:
        self._process.__enter__()
        try:
            opened = self._next("opened")[0]
            try:
                self.facts: MediaFacts = facts_of_record(opened.get("facts"))
            except Breach as error:
                raise self._process.breach(error) from error
            if self.facts.size != self._process.size:
                raise self._process.breach(Breach("another size than the file has"))
            self._process.grant(self.facts.geometry)
        except BaseException:
            self._process.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.close()

    @property
    def isolation(self) -> dict[str, Any]:
        """What confines the decoder, JSON-able, for the record."""
        return self._process.isolation

    @property
    def geometry(self) -> Geometry:
        """Size, layout and sample aspect of every frame that is given out."""
        return self.facts.geometry

    @property
    def colour(self) -> ColourSpec:
        """Colour description of every frame that is given out."""
        return self.facts.colour

    @property
    def time_base(self) -> Any:
        """Seconds per tick."""
        return self.facts.time_base

    def frames(self) -> Iterator[CodedFrame]:
        """As :meth:`ExhibitReader.frames`."""
        if self._started:
            raise InternalError("media.read-twice", "An exhibit reader was walked twice.", "Open it again.")
        self._started = True
        while True:
            header, planes = self._next("frame", "end")
            if header["kind"] == "end":
                break
            yield self._frame(header, planes)
        self.cadence = Cadence.of(self._times, self.time_base)

    def _next(self, *kinds: str) -> tuple[dict[str, Any], Any]:
        """The next message of these kinds; what it says of findings and statistics is entered."""
        asked = time.monotonic()  # findings are no frame: however many come, patience is for one
        while True:
            header, content = self._process.expect("findings", *kinds, since=asked)
            try:
                if header["kind"] == "findings":
                    found = findings_of(header.get("listed"), self._listed)
                    if not found:
                        raise Breach("findings that are none")
                    self.anomalies += found
                    continue
                self.anomaly_counts = counts_of(header.get("counts"))
                self.statistics = statistics_of(header.get("statistics"))
            except Breach as error:
                raise self._process.breach(error) from error
            return header, content

    def _frame(self, header: dict[str, Any], planes: Planes | None) -> CodedFrame:
        try:
            index, pts = whole(header.get("index")), whole(header.get("pts"))
            words = header.get("flags")
            if planes is None or index != len(self._times) or not isinstance(words, list) or not set(words) <= FLAGS:
                raise Breach("a frame out of order")
            timing = FrameTiming(index, pts, self.time_base, flag(header.get("synthesised")))
            coding = coding_of(header.get("coding")) if self._wants_coding else None
        except (Breach, TypeError) as error:
            raise self._process.breach(Breach(str(error))) from error
        self._times.append(pts)
        self.flags = frozenset(words)
        self.coding = coding
        pixels = self.geometry.width * self.geometry.height
        summary = None if coding is None else coding.summary(pixels, self.flags)
        return CodedFrame(planes, self.geometry, self.colour, timing, self._stage_class, summary)

    def _take(self, header: dict[str, Any], length: int, pipe: RawIOBase) -> Planes:
        """On the listening thread: the planes of one frame, exactly as large as the geometry says."""
        if header["kind"] != "frame" or not hasattr(self, "facts"):
            raise Breach("a payload where none belongs")
        geometry = self.facts.geometry
        planes = tuple(np.empty(shape, geometry.layout.dtype) for shape in geometry.plane_shapes)
        if length != sum(plane.nbytes for plane in planes):
            raise Breach("a frame of another size")
        for plane in planes:
            fill(pipe, plane_bytes(plane))
        return planes


def probe_sandboxed(path: Path, *, limits: Limits | None = None, module: str = DECODER) -> MediaFacts:
    """As :func:`forensic.media.probe.probe`, in a confined process."""
    with DecoderProcess(path, "probe", limits=limits, module=module) as process:
        opened, _ = process.expect("opened")
        try:
            return facts_of_record(opened.get("facts"))
        except Breach as error:
            raise process.breach(error) from error
