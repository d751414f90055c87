"""The lossless master: FFV1 version 3 (RFC 9043) in Matroska (RFC 9559), the same bytes every time.

Intra frames only, a CRC in every slice, a slice count that depends on the picture's size alone. Times are
exact (see :mod:`forensic.media.matroska`). The writer takes nothing but classed frames, and a generative
frame leaves it with the label burned in: there is no way around.
"""

from __future__ import annotations

import os
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
from av.codec.context import Flags as CodecFlags
from av.codec.context import ThreadType
from av.video.frame import VideoFrame

from forensic.errors import InternalError, StorageFailed
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, Geometry
from forensic.frames.stageclass import StageClass
from forensic.hashes import sha256_stream
from forensic.media.dump import CHROMA_LOCATIONS
from forensic.media.label import EVERYWHERE, LABEL
from forensic.media.libav import messages, storage_failed, sync, wording
from forensic.media.matroska import PLACEHOLDER_NAME, TimeScale, finish
from forensic.media.pixels import coder_format, picture_of
from forensic.media.probe import FIELD_ORDERS
from forensic.media.tracks import PRETENDED, CarriedTracks, TrackReport
from forensic.media.visible import visible
from forensic.media.watermark import sealed
from forensic.media.watermark_keys import PUBLIC_MARK, Mark

_BLOCK = 1 << 20
_FIELD_CODES = {name: code for code, name in FIELD_ORDERS.items()}
_CLASS_TAG = "HIGHEST_STAGE_CLASS"
_RESERVED = " " * 64
_LIMIT = 1 << 62
_INTERLEAVE_SECONDS = Fraction(1, 2)


class _Target:
    """Binary stream that writes all or raises; remembers the error that the muxer may swallow."""

    name = "master"

    def __init__(self, path: Path) -> None:
        # Never through a link: one planted under the output's name would empty what it leads to.
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self.file = os.fdopen(os.open(path, flags, 0o666), "w+b", buffering=0)
        self.read = self.file.read
        self.seek = self.file.seek
        self.tell = self.file.tell
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        try:
            while view:
                view = view[self.file.write(view) or 0 :]
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def seekable(self) -> bool:
        return True


def _coder_options(geometry: Geometry, slices: int) -> dict[str, str]:
    """FFV1 options: version 3, slice CRCs, Golomb-Rice for 8 bits (as fast as FFmpeg's default), else range coder."""
    return {
        "level": "3",
        "slices": str(slices),
        "slicecrc": "1",
        "coder": "rice" if geometry.layout.bits == 8 else "range_def",
        "context": "0",
    }


def _accepted(geometry: Geometry, slices: int) -> bool:
    context: Any = av.CodecContext.create("ffv1", "w")
    context.width, context.height = geometry.width, geometry.height
    context.pix_fmt = coder_format(geometry)
    context.time_base = PRETENDED
    context.thread_count = 1
    context.options = _coder_options(geometry, slices)
    try:
        with messages():
            context.open()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


@lru_cache(maxsize=32)
def slice_count(geometry: Geometry) -> int:
    """FFV1 slices for a picture: near 4 up to about SD, 16 up to full HD, 24 above.

    FFV1 version 3 cannot cut every size into every number of slices (subsampled planes of odd sizes), so
    the accepted count nearest to the wanted one is taken, the smaller of two. It follows from size and
    layout alone. Raises ``InternalError`` (``media.encoder``) if FFV1 cannot hold the picture.
    """
    pixels = geometry.width * geometry.height
    wanted = 4 if pixels <= 512 * 1024 else 16 if pixels <= 2304 * 1024 else 24
    for count in sorted(range(1, 257), key=lambda count: (abs(count - wanted), count)):
        if _accepted(geometry, count):
            return count
    raise InternalError("media.encoder", f"FFV1 cannot hold a picture of {geometry.to_record()}.")


class MasterWriter:
    """Context manager that writes one master file to ``path`` (overwriting what is there).

    ``geometry``, ``colour`` and ``time_base`` hold for every frame. ``field_order`` is one of
    ``progressive``, ``tt``, ``bb``, ``tb``, ``bt`` or None (unknown, left open). ``carry_from`` names the
    exhibit whose audio and subtitles are copied, within ``carry_span`` seconds. ``rate`` is stated in the
    container only if given. ``label_form`` and ``mark`` are those of generative frames
    (``media.label``, ``media.watermark``): none has no label, and None is for repeating a run from before the mark.
    ``threads`` (default: all processors) changes speed, not one byte.

    Once closed, ``digest`` is the SHA-256 of the file in hexadecimal, read through the descriptor that it was
    written with, and ``status`` what the system said of that descriptor before (size, device, inode, times).

    Raises ``StorageFailed`` (``media.disk-full``, ``media.write-failed``) and ``InternalError``.
    """

    digest: str
    status: os.stat_result

    def __init__(
        self,
        path: Path,
        geometry: Geometry,
        colour: ColourSpec,
        time_base: Fraction,
        *,
        field_order: str | None = None,
        carry_from: Path | None = None,
        carry_span: tuple[Fraction | None, Fraction | None] = (None, None),
        tags: dict[str, str] | None = None,
        rate: Fraction | None = None,
        threads: int | None = None,
        label_form: int = EVERYWHERE,
        mark: Mark | None = PUBLIC_MARK,
    ) -> None:
        self._path = path
        self._geometry = geometry
        self._colour = colour
        self._scale = TimeScale.of(time_base)
        self._field_order = field_order or "unknown"
        if self._field_order not in _FIELD_CODES:
            raise InternalError("media.field-order", f"Unknown field order {field_order!r}.")
        self._carry_from = carry_from
        self._carry_span = carry_span
        self._tags = {visible(key, 100).upper(): visible(value) for key, value in (tags or {}).items()}
        self._rate = rate
        self._label_form = label_form
        self._mark_in_pixels = mark
        self._threads = max(1, threads or os.cpu_count() or 1)
        self._class = StageClass.PRESENTATION
        self._count = 0
        self._shift: int | None = None
        self._last: int | None = None
        self._closed = False
        self._carried: CarriedTracks | None = None
        self._fields: av.filter.Graph | None = None
        self.tracks = TrackReport()

    def __enter__(self) -> MasterWriter:
        try:
            self._target = _Target(self._path)
        except OSError as error:
            raise storage_failed(error, self._path) from error
        try:
            self._open()
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._abandon()

    def _open(self) -> None:
        self._container = av.open(
            self._target,
            "w",
            format="matroska",
            container_options={
                "fflags": "+bitexact",
                "avoid_negative_ts": "disabled",
                # In pretended microseconds: how long one track may wait for another before memory fills.
                "max_interleave_delta": str(max(1, round(_INTERLEAVE_SECONDS * 10**9 / self._scale.scale) * 1000)),
            },
            buffer_size=_BLOCK,
        )
        self._container.metadata["title"] = _RESERVED
        self._container.metadata[_CLASS_TAG] = _RESERVED
        base = self._scale.time_base
        self._container.metadata["SOURCE_TIME_BASE"] = f"{base.numerator}/{base.denominator}"
        self._container.metadata.update(self._tags)
        stream: Any = self._container.add_stream("ffv1", rate=1)
        self._stream = stream
        context = stream.codec_context
        context.width, context.height = self._geometry.width, self._geometry.height
        context.pix_fmt = coder_format(self._geometry)
        context.framerate = self._rate or Fraction(0)
        context.time_base = PRETENDED
        stream.time_base = PRETENDED
        context.gop_size = 1
        context.field_order = _FIELD_CODES[self._field_order]
        context.colorspace = self._colour.matrix
        context.color_primaries = self._colour.primaries
        context.color_trc = self._colour.transfer
        context.color_range = {None: 0, False: 1, True: 2}[self._colour.full_range]
        if self._geometry.sample_aspect is not None:
            context.sample_aspect_ratio = self._geometry.sample_aspect
        context.thread_type = ThreadType.SLICE
        context.thread_count = self._threads
        context.flags |= int(CodecFlags.bitexact)
        self._options = _coder_options(self._geometry, slice_count(self._geometry))
        if self._colour.chroma_location in CHROMA_LOCATIONS:
            self._options["chroma_sample_location"] = self._colour.chroma_location
        context.options = dict(self._options)
        stream.metadata["title"] = PLACEHOLDER_NAME
        stream.disposition = int(av.stream.Disposition.default)
        if self._carry_from is not None:
            self._carried = CarriedTracks(self._carry_from, self._container, self._scale, self.tracks, self._carry_span)
        try:
            with messages() as logs:
                self._container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            raise InternalError("media.encoder", f"The encoder cannot be set up: {wording(error, logs)}.") from error
        except OSError as error:
            raise storage_failed(error, self._path) from error

    def write(self, frame: CodedFrame, *, again: bool = False) -> CodedFrame:
        """Encode ``frame`` and return it as written: with mark and label burned in if it is generative.

        ``again``: a writer of this very run returned it, so its mark is there. Frames come in order of time.
        Raises ``InternalError`` (``media.not-a-frame``, ``media.frame-geometry``, ``media.frame-order``) and
        ``StorageFailed``.
        """
        if type(frame) is not CodedFrame or not isinstance(frame.stage_class, StageClass):
            raise InternalError("media.not-a-frame", f"The writer takes classed frames, not {type(frame).__name__}.")
        if self._closed:
            raise InternalError("media.closed", "A frame came after the master was closed.")
        if frame.geometry != self._geometry:
            raise InternalError(
                "media.frame-geometry",
                f"Frame {frame.timing.index} is {frame.geometry.to_record()}, the master {self._geometry.to_record()}.",
            )
        if frame.timing.time_base != self._scale.time_base:
            raise InternalError(
                "media.frame-geometry",
                f"Frame {frame.timing.index} counts in {frame.timing.time_base} s, not in {self._scale.time_base} s.",
            )
        if frame.stage_class is StageClass.GENERATIVE:
            frame = sealed(frame, None if again else self._mark_in_pixels, self._label_form)
        self._class = max(self._class, frame.stage_class)
        at = self._place(frame)
        picture = self._marked(picture_of(frame))
        picture.pts = at
        picture.time_base = PRETENDED
        try:
            if self._carried is not None:
                self._carried.until(frame.timing.seconds, self._shift or 0)
            with messages() as logs:
                self._container.mux(self._stream.encode(picture))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._failed(error, logs if "logs" in locals() else []) from error
        self._count += 1
        return frame

    def _place(self, frame: CodedFrame) -> int:
        """Time of the frame in units of the scale; an offset brings a negative first time to zero."""
        at = self._scale.ticks(frame.timing.pts)
        if self._shift is None:
            self._shift = -at if at < 0 or at >= _LIMIT >> 1 else 0
            self._offset_pts = -frame.timing.pts if self._shift else 0
        at += self._shift
        if self._last is not None and at <= self._last:
            raise InternalError(
                "media.frame-order", f"Frame {frame.timing.index} (PTS {frame.timing.pts}) is not later than the last."
            )
        if at >= _LIMIT:
            raise InternalError("media.frame-order", f"PTS {frame.timing.pts} is beyond Matroska's range.")
        self._last = at
        return at

    def _marked(self, picture: VideoFrame) -> VideoFrame:
        """Mark the picture as interlaced where the master is (PyAV can do so only through a filter)."""
        if self._field_order in ("unknown", "progressive"):
            return picture
        if self._fields is None:
            graph = av.filter.Graph()
            graph.threads = 1
            source = graph.add_buffer(
                width=picture.width, height=picture.height, format=picture.format, time_base=PRETENDED
            )
            top_first = self._field_order in ("tt", "tb")
            graph.link_nodes(
                source, graph.add("setfield", "tff" if top_first else "bff"), graph.add("buffersink")
            ).configure()
            self._fields = graph
        self._fields.push(picture)
        return self._fields.pull()  # type: ignore[return-value]

    def _failed(self, error: Exception, logs: list[tuple[int, str, str]]) -> Exception:
        if self._target.error is not None:
            return storage_failed(self._target.error, self._path)
        if isinstance(error, OSError) and not isinstance(error, av.error.FFmpegError):
            return storage_failed(error, self._path)
        return InternalError("media.encoder", f"Writing the master failed: {wording(error, logs)}.")

    def close(self) -> None:
        """Finish the file: index, exact times, reserved texts, and everything on the disk."""
        if self._closed:
            return
        self._closed = True
        generative = self._class is StageClass.GENERATIVE
        label = self._class.label + (f": {LABEL}" if generative else "")
        try:
            if self._carried is not None:
                self._carried.until(None, self._shift or 0)
            with messages() as logs:
                self._container.mux(self._stream.encode(None))
                self._container.close()
            if self._target.error is not None:
                raise self._target.error
            finish(
                self._target,  # type: ignore[arg-type]
                self._scale.scale,
                title=LABEL if generative else f"Lossless master, highest stage class: {self._class.label}",
                texts={_CLASS_TAG: label},
                width=self._geometry.width,
                height=self._geometry.height,
                aspect=self._geometry.sample_aspect,
            )
            sync(self._target.file.fileno())
            # By descriptor: under the path there may be another file by now.
            self.status = os.fstat(self._target.file.fileno())
            self._target.seek(0)
            self.digest = sha256_stream(self._target.file)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error, logs if "logs" in locals() else []) from error
        finally:
            self._release()

    def _abandon(self) -> None:
        """Stop after an error; what stands in the file is not a master."""
        self._closed = True
        try:
            if hasattr(self, "_container"):
                with messages():
                    self._container.close()
        except (av.error.FFmpegError, OSError):
            pass  # the first error is the one that matters
        finally:
            self._release()

    def _release(self) -> None:
        if self._carried is not None:
            self._carried.close()
        self._target.file.close()

    def codec_facts(self) -> dict[str, Any]:
        """How the master is coded and timed, JSON-able."""
        return {
            "codec": "ffv1",
            "container": "matroska",
            "coder_pixel_format": coder_format(self._geometry),
            "intra_only": True,
            "options": dict(sorted(self._options.items())),
            "field_order": self._field_order,
            "timestamp_scale_ns": self._scale.scale,
            "times_exact": self._scale.exact,
            "times": "whole ticks" if self._scale.exact else "each rounded to the nearest nanosecond",
            "pts_offset": getattr(self, "_offset_pts", 0),
            "frames": self._count,
        }


__all__ = ["MasterWriter", "StorageFailed", "slice_count"]
