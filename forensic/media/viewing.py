"""Viewing copies: a master as an H.264 MP4 that every player shows. Lossy, and never the evidence.

Generative pixels have their label here as in every other writer; those of a master from before 0.3.0 get the
invisible mark, which it has not, and the label of today.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av import AudioFrame, VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from forensic.errors import InternalError
from forensic.frames.frame import CodedFrame
from forensic.frames.stageclass import StageClass
from forensic.media.label import LABEL
from forensic.media.libav import messages, storage_failed, wording
from forensic.media.pixels import picture_of
from forensic.media.sandbox.listening import SandboxedSound
from forensic.media.sandbox.reader import SandboxedReader
from forensic.media.sandbox.sound import BLOCK, RATE
from forensic.media.watermark import sealed_once

_TICKS = 90_000  # per second: the clock of MPEG systems, fine enough for any frame rate
ENCODER = {"codec": "libx264", "crf": "18", "preset": "veryfast", "pixel_format": "yuv420p"}


def write_viewing_copy(master: Path, target: Path, *, stage_class: StageClass, title: str) -> dict[str, Any]:
    """Encode ``master`` as the new MP4 ``target``; return what was done, JSON-able.

    ``stage_class`` is that of the master in the signed record. Sound is encoded anew as AAC, one
    track at most. Raises ``StorageFailed``, ``InternalError`` (``media.encoder``), ``BadInput`` as the reader.
    """
    generative = stage_class is StageClass.GENERATIVE
    count = 0
    try:
        with (
            messages() as logs,
            SandboxedReader(master, stage_class=stage_class) as reader,
            SandboxedSound(master) as heard,
            av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container,
        ):
            container.metadata["title"] = LABEL if generative else title
            container.metadata["comment"] = f"{title}. Class {stage_class.label}. Lossy viewing copy, not the master."
            stream: Any = None
            sound = _Sound(heard, container)
            for frame in reader.frames():
                picture = _picture(sealed_once(frame) if generative else frame)
                if stream is None:
                    stream = _stream(container, picture, frame)
                picture.pts = round(frame.timing.seconds * _TICKS)
                picture.time_base = Fraction(1, _TICKS)
                container.mux(stream.encode(picture))
                count += 1
            if stream is None:
                raise InternalError("media.encoder", "The master holds no frame.")
            container.mux(stream.encode(None))
            sound.copy()
    except av.error.FFmpegError as error:
        target.unlink(missing_ok=True)
        raise InternalError("media.encoder", f"The viewing copy cannot be made: {wording(error, logs)}.") from error
    except OSError as error:
        target.unlink(missing_ok=True)
        raise storage_failed(error, target) from error
    return {
        "frames": count,
        "encoder": dict(ENCODER),
        "colour": "converted to BT.709, limited range; odd sides enlarged by one sample",
        "sound": sound.said,
        "times": f"rounded to 1/{_TICKS} s",
    }


def frame_of(master: Path, number: int, stage_class: StageClass) -> CodedFrame | None:
    """Frame ``number`` (its index among the master's frames, from 0), sealed if generative; None if there is none."""
    with SandboxedReader(master, stage_class=stage_class) as reader:
        for index, frame in enumerate(reader.frames()):
            if index == number:
                return sealed_once(frame) if stage_class is StageClass.GENERATIVE else frame
    return None


def _picture(frame: CodedFrame) -> VideoFrame:
    picture = picture_of(frame)
    return picture.reformat(
        width=picture.width + picture.width % 2,  # chroma at half size needs even sides
        height=picture.height + picture.height % 2,
        format=ENCODER["pixel_format"],
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
    )


def _stream(container: Any, picture: VideoFrame, frame: CodedFrame) -> Any:
    stream = container.add_stream(ENCODER["codec"], rate=25)
    context = stream.codec_context
    context.width, context.height = picture.width, picture.height
    context.pix_fmt = ENCODER["pixel_format"]
    context.time_base = stream.time_base = Fraction(1, _TICKS)
    context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 1
    if frame.geometry.sample_aspect is not None:
        context.sample_aspect_ratio = frame.geometry.sample_aspect
    context.options = {"crf": ENCODER["crf"], "preset": ENCODER["preset"]}
    return stream


class _Sound:
    """The first audio track of the master, if it has one, decoded in a confined process."""

    def __init__(self, source: SandboxedSound, container: Any) -> None:
        self._source, self._container = source, container
        self.said = "none in the master"
        if source.tracks:
            self._stream = container.add_stream("aac", rate=RATE, layout=source.layout)
            others = f"; {source.tracks - 1} more left out" if source.tracks > 1 else ""
            self.said = f"first track, encoded as AAC, {source.layout}{others}"

    def copy(self) -> None:
        """Encode the track into the container."""
        if not self._source.tracks:
            return
        due: int | None = None
        gaps = 0
        for at, samples in self._source.blocks():
            due = at if due is None else due
            while at > due:  # the encoder takes samples that follow each other
                silence = np.zeros((self._source.channels, min(at - due, BLOCK)), np.float32)
                due, gaps = self._encode(silence, due), gaps + silence.shape[1]
            due = self._encode(samples, due)
        self._container.mux(self._stream.encode(None))
        if gaps:
            self.said += f"; {gaps / RATE:.3f} s without sound filled with silence"
        if self._source.lost:
            self.said += f"; {self._source.lost} packets could not be decoded"

    def _encode(self, samples: np.ndarray, at: int) -> int:
        frame = AudioFrame.from_ndarray(samples, format="fltp", layout=self._source.layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        self._container.mux(self._stream.encode(frame))
        return at + samples.shape[1]
