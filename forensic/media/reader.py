"""Linear decoding of every frame of an exhibit, with everything that was wrong on the record.

One decoding thread: FFmpeg's H.264 decoder turns its error concealment (and the reporting of it) off
under slice threads, and messages can be tied to a packet only if no other packet is being decoded at
the time. The same file therefore gives the same frames and the same findings on every machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import av.error
import av.logging
from av.codec.context import Flags as CodecFlags
from av.packet import Packet
from av.video.frame import VideoFrame

from forensic.errors import BadInput, InternalError
from forensic.frames.colour import UNSPECIFIED, ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry, Planes
from forensic.frames.stageclass import StageClass
from forensic.media.anomaly import Anomaly, AnomalyLog
from forensic.media.damage import PacketNote, Propagation
from forensic.media.demux import Demuxer
from forensic.media.libav import (
    ExhibitFile,
    Serial,
    messages,
    open_exhibit,
    refuse_exhausted,
    refuse_too_large,
    wording,
)
from forensic.media.metadata import FrameMetadata, colour_of_picture, completed_colour, describe_matrix
from forensic.media.parametersets import ParameterSets
from forensic.media.pixels import Conversion, conversion_from, planes_of, same_planes
from forensic.media.probe import facts_of, with_first_frame
from forensic.media.quantisers import EXPORT_OPTION, JPEG_CODECS, FrameCoding, coding_of_picture
from forensic.media.timing import Cadence, Timeline
from forensic.media.visible import visible

_PACKETS_IN_FLIGHT = 256
_NEW_HEAD: Final = "new_extradata"


class ExhibitReader:
    """Context manager over one media file, decoded in this process; :meth:`frames` may be walked once.

    ``facts``, ``geometry``, ``colour``, ``time_base`` hold once it is entered (the first frame has then
    been decoded). ``anomalies`` grows while frames are read and is complete after the last one.
    ``stage_class`` is what the file's pixels are known to be (``Exhibit.stage_class``): every frame
    starts with it, so that generative output read again stays generative. A file that is given open
    stays so. With ``coding``, ``self.coding`` says how the frame last given out was coded. Exhibits of a
    case are read by :class:`~forensic.media.sandbox.reader.SandboxedReader`, whose process runs this class.
    """

    def __init__(
        self,
        source: Path | ExhibitFile,
        stage_class: StageClass = StageClass.PRESENTATION,
        *,
        coding: bool = False,
    ) -> None:
        self._source_file = source
        self._wants_coding = coding
        self._stage_class = stage_class
        self._log = AnomalyLog()
        self._notes: dict[int, PacketNote] = {}
        self._serial = 0
        self._propagation = Propagation()
        self._metadata = FrameMetadata()
        self._without_picture = 0
        self._pictures = 0
        self._refused = 0
        self._started = False
        self.flags: frozenset[str] = frozenset()
        self.cadence: Cadence | None = None
        self.coding: FrameCoding | None = None

    def __enter__(self) -> ExhibitReader:
        given = self._source_file
        self._file = ExhibitFile.at(given) if isinstance(given, Path) else given
        try:
            self._container = open_exhibit(self._file)
        except BaseException:
            self._let_go()
            raise
        try:
            self.facts = facts_of(self._container, self._file)
            self._stream: Any = self._container.streams[self.facts.video_stream]
            context = self._stream.codec_context
            context.thread_count = 1
            context.options = {"err_detect": "crccheck", "max_pixels": str(1 << 27)}
            if self._wants_coding:
                context.options |= EXPORT_OPTION
            self._is_jpeg = self._wants_coding and context.name in JPEG_CODECS
            h264 = self._wants_coding and context.name == "h264"
            self._sets = ParameterSets(context.extradata) if h264 else None
            context.flags |= int(CodecFlags.output_corrupt) | int(CodecFlags.copy_opaque)
            self._demuxer = Demuxer(self._container, self._stream, self._file, self._log)
            self._source = self._decoded()
            self._first = deque(self._prime())
        except BaseException:
            self._container.close()
            self._let_go()
            raise
        self._timeline = Timeline(self.time_base, self.facts.rate, self.facts.timestamps == "stored", self._log)
        self._timeline.announce(self.facts.is_image)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()
        self._container.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not self._source_file:
            self._file.close()

    @property
    def geometry(self) -> Geometry:
        """Size, layout and sample aspect of every frame that is given out."""
        return self.facts.geometry

    @property
    def colour(self) -> ColourSpec:
        """Colour description of every frame that is given out."""
        return self.facts.colour

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick."""
        return self.facts.time_base

    @property
    def anomalies(self) -> list[Anomaly]:
        """Findings so far, the first 10 000 of each kind; ``anomaly_counts`` counts them all."""
        return self._log.listed

    @property
    def anomaly_counts(self) -> dict[str, int]:
        """Number of findings by kind."""
        return dict(sorted(self._log.counts.items()))

    @property
    def statistics(self) -> dict[str, Any]:
        """Packets read, frames given out and refused so far, the rule for missing times, frames marked as
        interlaced, and frames by type of side data.
        """
        return {
            "packets": self._serial,
            "packets_without_picture": self._without_picture,
            "frames": self._pictures,
            "frames_refused": self._refused,
            "missing_times": self._timeline.rule,
            "interlaced_frames": self._metadata.interlaced,
            "side_data": self._metadata.side_data,
        }

    def frames(self) -> Iterator[CodedFrame]:
        """Every frame in presentation order, of the reader's class, in the canonical layout.

        ``flags`` holds the words for the manifest of the frame last given out. Frames whose size or
        format differs from the first one's are not decoded further: each is recorded as
        ``geometry-change`` and left out. Raises ``InternalError`` on a second walk.
        """
        if self._started:
            raise InternalError("media.read-twice", "An exhibit reader was walked twice.", "Open it again.")
        self._started = True
        previous: Planes | None = None
        while self._first:
            picture = self._first.popleft()
            frame = self._accept(picture, previous)
            if frame is not None:
                previous = frame.planes
                yield frame
            if self.facts.is_image:
                break
        for picture in self._source:
            if self.facts.is_image:
                self._log.add("extra-picture", None, None, "The image file holds a further picture; it was not used.")
                continue
            frame = self._accept(picture, previous)
            if frame is not None:
                previous = frame.planes
                yield frame
        self._finish()

    def _prime(self) -> Iterator[VideoFrame]:
        """Decode up to the first picture and let it settle geometry and colour."""
        picture = next(self._source, None)
        if picture is None:
            said = f" ({self._log.listed[-1].detail})" if self._log.listed else ""
            raise BadInput(
                "media.no-picture", f"No picture of the file could be decoded{said}.", "Ask for the export again."
            )
        conversion = conversion_from(picture.format.name)
        declared = self.facts
        geometry = Geometry(picture.width, picture.height, conversion.layout, declared.geometry.sample_aspect)
        colour = completed_colour(declared.colour, colour_of_picture(picture, conversion))
        self.facts = with_first_frame(declared, geometry, colour, conversion)
        self._change = colour_of_picture(picture, conversion)
        if colour.matrix != UNSPECIFIED and (assumed := describe_matrix(self.facts.colour, conversion.layout)):
            self._log.add("colour-matrix", None, None, assumed)
        yield picture

    def _accept(self, picture: VideoFrame, previous: Planes | None) -> CodedFrame | None:
        note = self._take_note(picture)
        format_name = picture.format.name
        conversion = self.facts.conversion
        if format_name != conversion.source:
            try:
                conversion = conversion_from(format_name)
            except BadInput:
                conversion = replace(conversion, source=format_name, layout=None)  # type: ignore[arg-type]
        geometry = self.facts.geometry
        if (picture.width, picture.height, conversion.layout) != (geometry.width, geometry.height, geometry.layout):
            self._refused += 1
            self._log.add(
                "geometry-change", None, picture.pts,
                f"A frame is {picture.width}x{picture.height} {format_name}, the exhibit is {geometry.width}x"
                f"{geometry.height} {geometry.layout.name}; frames of another shape are not used.",
            )  # fmt: skip
            return None
        index = self._pictures
        self._pictures += 1
        self._metadata.note(picture)
        if self._wants_coding:
            fields = self.facts.field_order not in ("progressive", "unknown")
            jpeg = note.jpeg if self._is_jpeg else None
            coded = None if self._sets is None else self._sets.picture
            self.coding = coding_of_picture(picture, jpeg, note.size, interlaced=fields, coded=coded)
        if self.facts.is_image:
            time, made_up = 0, True
        else:
            time, made_up = self._timeline.place(index, picture.pts, picture.dts)
        self._watch_colour(picture, conversion, index, time)
        timing = FrameTiming(index, time, self.time_base, made_up)
        frame = CodedFrame(planes_of(picture, conversion), geometry, self.facts.colour, timing, self._stage_class)
        self.flags = self._judge(picture, note, frame, previous)
        if self.coding is None:
            return frame
        told = self.coding.summary(geometry.width * geometry.height, self.flags)
        return CodedFrame(frame.planes, geometry, frame.colour, timing, self._stage_class, told)

    def _judge(
        self, picture: VideoFrame, note: PacketNote, frame: CodedFrame, previous: Planes | None
    ) -> frozenset[str]:
        """Findings about one frame; the words for its manifest row."""
        index, time = frame.timing.index, frame.timing.pts
        flags = {"pts-synthesised"} if frame.timing.synthesised else set()
        serial = picture.opaque
        if picture.is_corrupt or note.concealed or note.corrupt:
            flags.add("damaged")
            by_decoder = picture.is_corrupt or note.concealed
            who = "The decoder marks the frame as damaged" if by_decoder else "The container marks it as corrupt"
            said = f": {note.errors[0]}" if note.errors else ""
            self._log.add("damaged", index, time, f"{who}{said}.")
        if note.errors:
            flags.add("decode-error")
            more = f" (and {len(note.errors) - 1} more)" if len(note.errors) > 1 else ""
            self._log.add("decode-error", index, time, f"{note.errors[0]}{more}")
        for warning in note.warnings:
            self._log.add("decoder-warning", index, time, warning)
        if isinstance(serial, int):
            if picture.is_corrupt and note.after is None:
                self._propagation.damaged(serial)
            if serial in self._propagation.found:
                self._propagation.found[serial].source = index
        if note.after is not None and "damaged" not in flags:
            flags.add("after-damage")
            self._propagation.touched(note.after, index)
        if previous is not None and same_planes(previous, frame.planes):
            flags.add("duplicate")
            self._log.add("duplicate", index, time, f"Identical, sample for sample, to frame {index - 1}.")
        return frozenset(flags)

    def _report_propagation(self) -> None:
        for record in self._propagation.found.values():
            if record.count:
                source = "a packet without a picture" if record.source is None else f"frame {record.source}"
                self._log.add(
                    "after-damage", record.first, None,
                    f"{record.count} frame(s) between {record.first} and {record.last} may carry on the damage of "
                    f"{source}: they are decoded after it and before the next key frame.",
                )  # fmt: skip

    def _watch_colour(self, picture: VideoFrame, conversion: Conversion, index: int, time: int) -> None:
        colour = colour_of_picture(picture, conversion)
        if colour != self._change:
            self._change = colour
            self._log.add(
                "colour-change", index, time,
                f"From this frame on the stream describes its colour as {colour.to_record()}; "
                "the exhibit's description is unchanged.",
            )  # fmt: skip

    def _take_note(self, picture: VideoFrame) -> PacketNote:
        serial = picture.opaque
        note = self._notes.pop(serial, None) if isinstance(serial, int) else None
        if isinstance(serial, int):
            self._retire(serial - _PACKETS_IN_FLIGHT)
        return note or PacketNote(picture.pts)

    def _retire(self, before: int) -> None:
        """Settle packets that can no longer give a frame."""
        for serial in [number for number in self._notes if number < before]:
            note = self._notes.pop(serial)
            self._without_picture += 1
            if note.hidden:
                self._log.add("not-presented", None, note.pts, "The file's edit list hides the picture of this packet.")
            elif note.errors:
                self._log.add("decode-error", None, note.pts, f"No picture from this packet: {note.errors[0]}")
            elif note.corrupt:
                self._log.add("packets-skipped", None, note.pts, "A packet marked as corrupt gave no picture.")

    def _finish(self) -> None:
        self._retire(self._serial + 1)
        self._report_propagation()
        self.cadence = self._timeline.finish()
        interlaced, order = self._metadata.interlaced, self.facts.field_order
        if interlaced and order in ("unknown", "progressive"):
            self._log.add(
                "interlaced-frames", None, None,
                f"{interlaced} of {self._pictures} frames are marked as interlaced; the header says {order!r}.",
            )  # fmt: skip
        claimed = self.facts.frames_claimed
        counted = self._pictures + self._refused
        left_out = self._log.counts["not-presented"] + self._log.counts["packets-skipped"]
        if claimed is not None and claimed > counted + left_out:
            self._log.add(
                "truncated", None, None, f"The container claims {claimed} frames, {counted} could be decoded."
            )
        elif self._demuxer.ended_early:
            self._log.add("truncated", None, None, "Reading ended in an error before the end of the file.")

    def _decoded(self) -> Generator[VideoFrame, None, None]:
        """Pictures in presentation order, as the decoder gives them."""
        for packet in self._demuxer.packets():
            self._serial += 1
            note = PacketNote(packet.pts, corrupt=packet.is_corrupt, hidden=packet.is_discard, size=packet.size)
            self._notes[self._serial] = note
            packet.opaque = Serial(self._serial)
            note.jpeg = bytes(packet) if self._is_jpeg else None
            if self._sets is not None:
                if packet.has_sidedata(_NEW_HEAD):
                    self._sets.announce(bytes(packet.get_sidedata(_NEW_HEAD)))
                self._sets.take(bytes(packet))
            note.after = self._propagation.before(packet)
            note.errors, note.warnings = self._demuxer.take_parser_messages()
            pictures = self._decode(packet, note)
            if note.errors or note.concealed or note.corrupt:
                self._propagation.damaged(self._serial)
            yield from pictures
        note = PacketNote(None)
        yield from self._decode(None, note)
        for text in note.errors:
            self._log.add("decode-error", None, None, f"While the last frames were fetched: {text}")

    def _decode(self, packet: Packet[Any] | None, note: PacketNote) -> list[VideoFrame]:
        pictures: list[VideoFrame] = []
        failure: Exception | None = None
        with messages() as logs:
            try:
                pictures = self._stream.codec_context.decode(packet)
            except av.error.EOFError:
                pass
            except (av.error.FFmpegError, ValueError, MemoryError) as error:
                failure = error
        if failure is not None:
            refuse_exhausted(failure)
        refuse_too_large(logs)
        for level, source, text in logs:
            line = visible(f"{source}: {text.strip()}", 300)
            if level > av.logging.WARNING:
                note.concealed |= text.startswith("concealing ")
            else:
                (note.errors if level <= av.logging.ERROR else note.warnings).append(line)
        if failure is not None and not note.errors:
            note.errors.append(wording(failure))
        return pictures
