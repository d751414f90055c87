"""Lossy coding and decoding in memory: what a recorder's codec does to pictures, by the codecs themselves.

A real encoder of FFmpeg's libraries writes the stream, a fresh decoder reads it back; nothing is
imitated. Both run on one thread, with options that give the same bytes every time on one build of
the libraries, and every option stands in :attr:`Encoded.settings`. Times are the codec's: the
pictures go in at ticks 0, 1, 2, ... of 1/fps and :attr:`Encoded.pts` is what the decoder gives back.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import av
import av.error
import numpy as np
from av.codec.context import ThreadType
from av.packet import Packet
from av.sidedata.encparams import VideoEncParams
from av.video.frame import PictureType, VideoFrame

from forensic.errors import InternalError, UsageError
from forensic.media.libav import messages, wording
from forensic.media.parametersets import ParameterSets
from forensic.media.quantisers import EXPORT_OPTION, FrameCoding, coding_of_picture

CodecName = Literal["h264", "h265", "mpeg4", "mjpeg"]

#: Encoder and decoder of FFmpeg's libraries that stand for each codec.
CODERS: Mapping[str, tuple[str, str]] = {
    "h264": ("libx264", "h264"),
    "h265": ("libx265", "hevc"),
    "mpeg4": ("mpeg4", "mpeg4"),
    "mjpeg": ("mjpeg", "mjpeg"),
}
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_SHIFTS = {"yuv420p": (1, 1), "yuv422p": (1, 0), "yuv444p": (0, 0)}
_HIGHEST = {"crf": 51, "qp": 51, "quality": 31}
_CONTROLS = {"h264": ("crf", "qp"), "h265": ("crf", "qp"), "mpeg4": ("quality",), "mjpeg": ("quality",)}
_SMALLEST = {"h264": 16, "h265": 32, "mpeg4": 16, "mjpeg": 16}  # below, libx265 does not repeat itself
_LARGEST = 4096

Planes = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Encoded:
    """A coded stream and what its decoder made of it.

    ``data``: the elementary stream (Annex B for H.264 and H.265, MPEG-4 Visual, JPEG pictures one after
    the other). ``packets``: the same cut into packets in coding order, with ``packet_pts``,
    ``packet_dts``. ``frames``: decoded pictures in presentation order, each a tuple of uint8 planes
    (Y, Cb, Cr); ``pts`` their times in ``time_base`` seconds; ``frame_types`` ``I``, ``P`` or ``B``.
    ``codings``: what the bitstream says of each frame's quantisers (:mod:`forensic.media.quantisers`);
    ``qps`` their means, on the codec's own scale, None where the decoder does not export them (H.265).
    ``qp_maps``: quantiser of every 16x16 macroblock, int16 (rows, columns) per frame, or None (H.265,
    MJPEG). ``packet_sizes``: bytes per frame, in presentation order. ``settings``: encoder, options and
    library versions, JSON-able.
    """

    data: bytes = field(repr=False)
    packets: tuple[bytes, ...] = field(repr=False)
    packet_pts: tuple[int, ...]
    packet_dts: tuple[int, ...]
    frames: tuple[Planes, ...] = field(repr=False)
    pts: tuple[int, ...]
    time_base: Fraction
    frame_types: tuple[str, ...]
    packet_sizes: tuple[int, ...]
    codings: tuple[FrameCoding, ...] = field(repr=False)
    qps: tuple[float | None, ...]
    qp_maps: tuple[np.ndarray | None, ...] = field(repr=False)
    settings: dict[str, Any]


def transcode(
    planes_per_frame: Sequence[Planes],
    *,
    codec: CodecName,
    crf: float | None = None,
    qp: int | None = None,
    quality: int | None = None,
    gop: int = 50,
    bframes: int = 0,
    fps: Fraction | int = 25,
    pixel_format: str = "yuv420p",
    preset: str = "medium",
    full_range: bool = True,
    interlaced: Literal["tff", "bff"] | None = None,
) -> Encoded:
    """Encode pictures (uint8 planes Y, Cb, Cr of one size, 16 (H.265: 32) to 4096 px a side) and decode them again.

    Rate control is one of ``crf`` (H.264, H.265: 0 to 51), ``qp`` (H.264, H.265: 0 to 51, constant
    quantiser) and ``quality`` (MPEG-4 Part 2, MJPEG: quantiser scale, 1 best to 31). ``gop`` is the
    distance of key frames at most, ``bframes`` the most B frames in a row (0 to 4; none in MJPEG).
    ``pixel_format``: yuv420p, yuv422p or yuv444p (MPEG-4: yuv420p only). ``full_range`` is only noted in
    the stream. ``interlaced`` turns on interlaced coding (H.264, MPEG-4), top or bottom field first.

    Raises ``UsageError`` ``media.encode-parameter`` or ``media.encode-picture``, and ``InternalError``
    ``media.encode-failed`` if a coder fails on what it should take.
    """
    rate = Fraction(fps)
    _check(codec, {"crf": crf, "qp": qp, "quality": quality}, gop, bframes, rate, preset, pixel_format, interlaced)
    width, height = _checked_size(planes_per_frame, _SMALLEST[codec], pixel_format, interlaced is not None)
    options = _options(codec, crf, qp, quality, gop, bframes, preset, interlaced)
    time_base = 1 / rate
    with messages() as said:
        try:
            encoder = _encoder(codec, width, height, pixel_format, rate, options, full_range, gop, bframes)
            packets = _encode(encoder, planes_per_frame, width, height, interlaced)
            pictures = _decode(codec, packets, time_base)
        except (av.error.FFmpegError, ValueError, MemoryError) as error:
            raise InternalError("media.encode-failed", f"{CODERS[codec][0]}: {wording(error, said)}") from error
    if len(pictures) != len(planes_per_frame):
        raise InternalError(
            "media.encode-failed", f"{len(pictures)} pictures came back where {len(planes_per_frame)} went in."
        )
    arrived = {packet.pts: bytes(packet) for packet in packets}
    jpegs = arrived if codec == "mjpeg" else {}
    sizes = tuple(len(arrived.get(picture.pts, b"")) for picture in pictures)
    coded = tuple(bytes(packet) for packet in packets)
    sets = ParameterSets(None)
    for packet in coded if codec == "h264" else ():
        sets.take(packet)
    codings = tuple(
        coding_of_picture(picture, jpegs.get(picture.pts), size, coded=sets.picture)
        for picture, size in zip(pictures, sizes, strict=True)
    )
    return Encoded(
        data=b"".join(coded),
        packets=coded,
        packet_pts=tuple(int(packet.pts or 0) for packet in packets),
        packet_dts=tuple(int(packet.dts or 0) for packet in packets),
        frames=tuple(_planes_of(picture) for picture in pictures),
        pts=tuple(int(picture.pts or 0) for picture in pictures),
        time_base=time_base,
        frame_types=tuple(PictureType(picture.pict_type).name for picture in pictures),
        packet_sizes=sizes,
        codings=codings,
        qps=tuple(coding.mean for coding in codings),
        qp_maps=tuple(_qp_map(picture) for picture in pictures),
        settings={
            "codec": codec,
            "encoder": CODERS[codec][0],
            "decoder": CODERS[codec][1],
            "options": options,
            "gop": gop,
            "bframes": 0 if codec == "mjpeg" else bframes,
            "fps": f"{rate.numerator}/{rate.denominator}",
            "pixel_format": pixel_format,
            "full_range": full_range,
            "interlaced": interlaced,
            "threads": 1,
            "libraries": {name: ".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libavutil")},
        },
    )


def contained(encoded: Encoded, container: Literal["mp4", "matroska", "avi", "mpegts"]) -> bytes:
    """The coded stream in a container, as an exporting recorder would write it; nothing is coded again.

    Raises ``InternalError`` ``media.encode-failed`` if the container cannot hold the stream.
    """
    settings = encoded.settings
    buffer = io.BytesIO()
    with messages() as said:
        try:
            with av.open(buffer, "w", format=container, options={"fflags": "+bitexact"}) as output:
                stream: Any = output.add_stream(settings["encoder"], rate=Fraction(settings["fps"]))
                stream.height, stream.width = encoded.frames[0][0].shape
                stream.pix_fmt = _coder_format(settings["codec"], settings["pixel_format"])
                stream.time_base = encoded.time_base
                stream.options = dict(settings["options"])
                stream.codec_context.thread_count = 1
                stream.codec_context.gop_size = settings["gop"]
                stream.codec_context.max_b_frames = settings["bframes"]
                first = min(encoded.packet_dts)
                for number, data in enumerate(encoded.packets):
                    packet = _packet(data)
                    packet.time_base = encoded.time_base
                    # AVI and MPEG-TS know no negative times: the whole stream moves so that decoding starts at 0.
                    packet.pts = encoded.packet_pts[number] - first
                    packet.dts = encoded.packet_dts[number] - first
                    packet.stream = stream
                    packet.is_keyframe = (
                        number == 0 or encoded.frame_types[encoded.pts.index(encoded.packet_pts[number])] == "I"
                    )
                    output.mux(packet)
        except (av.error.FFmpegError, ValueError) as error:
            raise InternalError("media.encode-failed", f"{container}: {wording(error, said)}") from error
    return buffer.getvalue()


def _wrong(message: str) -> UsageError:
    return UsageError("media.encode-parameter", message)


def _check(
    codec: str,
    controls: Mapping[str, float | None],
    gop: int,
    bframes: int,
    rate: Fraction,
    preset: str,
    pixel_format: str,
    interlaced: str | None,
) -> None:
    if codec not in CODERS:
        raise _wrong(f"Codec {codec!r} is none of {', '.join(CODERS)}.")
    given = {name: value for name, value in controls.items() if value is not None}
    allowed = _CONTROLS[codec]
    if len(given) != 1 or next(iter(given)) not in allowed:
        raise _wrong(f"{codec} needs exactly one of {' or '.join(allowed)}; got {', '.join(given) or 'none'}.")
    name, value = next(iter(given.items()))
    lowest = 1 if name == "quality" else 0
    if not lowest <= value <= _HIGHEST[name] or (name != "crf" and value != int(value)):
        raise _wrong(f"{name} is {value:g}; {codec} takes {lowest} to {_HIGHEST[name]}.")
    if not 1 <= gop <= 1000:
        raise _wrong(f"GOP length {gop} is not from 1 to 1000.")
    if not 0 <= bframes <= 4:
        raise _wrong(f"{bframes} B frames in a row are not from 0 to 4.")
    if not 0 < rate <= 240 or rate.denominator > 65535 or rate.numerator > 65535:
        # MPEG-4 Part 2 has 16 bits for the ticks of a second.
        raise _wrong(f"A frame rate of {rate} is not from 0 to 240 with numbers below 65536.")
    if preset not in PRESETS:
        raise _wrong(f"Preset {preset!r} is none of {', '.join(PRESETS)}.")
    if pixel_format not in _SHIFTS or (codec == "mpeg4" and pixel_format != "yuv420p"):
        raise _wrong(f"{codec} does not take pixel format {pixel_format!r} here.")
    if interlaced not in (None, "tff", "bff") or (interlaced and codec not in ("h264", "mpeg4")):
        raise _wrong(f"{codec} has no interlaced coding {interlaced!r} here.")


def _checked_size(frames: Sequence[Planes], smallest: int, pixel_format: str, interlaced: bool) -> tuple[int, int]:
    if not frames:
        raise UsageError("media.encode-picture", "There is no picture to encode.")
    if len(frames[0]) != 3 or frames[0][0].ndim != 2:
        raise UsageError("media.encode-picture", "A picture is three planes (Y, Cb, Cr) of rows and columns.")
    height, width = frames[0][0].shape
    shift_x, shift_y = _SHIFTS[pixel_format]
    if not (smallest <= width <= _LARGEST and smallest <= height <= _LARGEST):
        raise UsageError("media.encode-picture", f"{width}x{height} is not within {smallest} to {_LARGEST} pixels.")
    if width % (1 << shift_x) or height % (1 << shift_y) or (interlaced and height % (2 << shift_y)):
        raise UsageError("media.encode-picture", f"{width}x{height} does not divide as {pixel_format} needs it.")
    chroma = (height >> shift_y, width >> shift_x)
    expected = ((height, width), chroma, chroma)
    for planes in frames:
        if tuple(plane.shape for plane in planes) != expected or any(plane.dtype != np.uint8 for plane in planes):
            raise UsageError("media.encode-picture", f"Every picture must be uint8 planes of {expected}.")
    return width, height


def _options(
    codec: str,
    crf: float | None,
    qp: int | None,
    quality: int | None,
    gop: int,
    bframes: int,
    preset: str,
    interlaced: str | None,
) -> dict[str, str]:
    control = f"crf={crf:g}" if crf is not None else f"qp={qp}"
    if codec == "h264":
        fields = {"tff": ":tff=1", "bff": ":bff=1"}.get(interlaced or "", "")
        own = f"{control}:keyint={gop}:bframes={bframes}:threads=1:lookahead-threads=1:sliced-threads=0:log-level=-1"
        # libx264's assembly for the macroblock tree gives varying streams for small pictures, one thread or
        # not; its C code gives the same bytes every time and on every processor.
        return {"preset": preset, "x264-params": own + ":no-asm=1" + fields}
    if codec == "h265":
        # Behind cutree libx265's assembly writes beyond its tables where pictures are small, and coding tree
        # units that reach beyond the picture's edge give varying streams unless they are of the smallest size.
        own = f"{control}:keyint={gop}:bframes={bframes}:cutree=0:ctu=16"
        alone = "pools=none:frame-threads=1:wpp=0:pmode=0:pme=0:info=0:log-level=none"
        return {"preset": preset, "x265-params": f"{own}:{alone}"}
    # With both bounds equal FFmpeg's rate control has no choice left: a constant quantiser scale.
    fixed = {"qmin": str(quality), "qmax": str(quality), "mblmin": str(quality), "mblmax": str(quality)}
    if codec == "mjpeg":
        return {**fixed, "flags": "+bitexact", "huffman": "default"}
    # B frames would else have a coarser quantiser than the bounds say.
    flags = "+bitexact+ildct+ilme" if interlaced else "+bitexact"
    return {**fixed, "b_qfactor": "1.0", "b_qoffset": "0.0", "flags": flags}


def _coder_format(codec: str, pixel_format: str) -> str:
    return pixel_format.replace("yuv", "yuvj") if codec == "mjpeg" else pixel_format


def _encoder(
    codec: str,
    width: int,
    height: int,
    pixel_format: str,
    rate: Fraction,
    options: dict[str, str],
    full_range: bool,
    gop: int,
    bframes: int,
) -> Any:
    encoder: Any = av.CodecContext.create(CODERS[codec][0], "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = _coder_format(codec, pixel_format)
    encoder.time_base, encoder.framerate = 1 / rate, rate
    encoder.thread_count = 1
    encoder.color_range = 2 if full_range or codec == "mjpeg" else 1
    encoder.colorspace = 6  # BT.601, as smpte170m
    if codec == "mpeg4":
        encoder.gop_size, encoder.max_b_frames = gop, bframes
        encoder.bit_rate = 1 << 30  # the bounds on the quantiser rule, not the rate
    if codec == "mjpeg":
        encoder.bit_rate = 1 << 30
    encoder.options = dict(options)
    encoder.open()
    return encoder


def _encode(encoder: Any, frames: Sequence[Planes], width: int, height: int, interlaced: str | None) -> list[Any]:
    packets: list[Any] = []
    for number, planes in enumerate(frames):
        frame: Any = VideoFrame(width, height, encoder.pix_fmt)
        for target, plane in zip(frame.planes, planes, strict=True):
            rows, columns = plane.shape
            np.frombuffer(target, np.uint8).reshape(-1, target.line_size)[:rows, :columns] = plane
        frame.pts, frame.time_base = number, encoder.time_base
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [packet for packet in packets if packet.size]


def _decode(codec: str, packets: Sequence[Any], time_base: Fraction) -> list[VideoFrame]:
    decoder: Any = av.CodecContext.create(CODERS[codec][1], "r")
    decoder.thread_count = 1
    decoder.thread_type = ThreadType.SLICE
    decoder.options = dict(EXPORT_OPTION)
    pictures: list[VideoFrame] = []
    for packet in packets:
        arrived = _packet(bytes(packet))  # bytes and times alone: nothing else passes from encoder to decoder
        arrived.pts, arrived.dts, arrived.time_base = packet.pts, packet.dts, time_base
        pictures += decoder.decode(arrived)
    pictures += decoder.decode(None)
    return pictures


def _packet(data: bytes) -> Any:
    """A packet with the zeroed padding that FFmpeg's decoders read beyond the end.

    ``Packet(data)`` of PyAV 18 has none: it points into the Python object, and what a decoder makes of the last
    bits then depends on the memory behind it.
    """
    packet: Any = Packet(len(data))
    packet.update(data)
    return packet


def _planes_of(picture: VideoFrame) -> Planes:
    planes = []
    for plane in picture.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
        planes.append(np.ascontiguousarray(rows[: plane.height, : plane.width]))
    return tuple(planes)


def _qp_map(picture: VideoFrame) -> np.ndarray | None:
    for side in picture.side_data:
        if isinstance(side, VideoEncParams):
            parameters: Any = side
            block = np.dtype(
                {"names": ["x", "y", "w", "h", "delta"], "formats": ["<i4"] * 5, "itemsize": parameters.block_size}
            )
            blocks = np.frombuffer(bytes(parameters), block, parameters.nb_blocks, parameters.blocks_offset)
            # Interlaced H.264 codes whole macroblock pairs: rows below the picture are left out.
            rows, columns = blocks["y"] // 16, blocks["x"] // 16
            result = np.zeros(((picture.height + 15) // 16, (picture.width + 15) // 16), np.int16)
            inside = (rows >= 0) & (rows < result.shape[0]) & (columns >= 0) & (columns < result.shape[1])
            result[rows[inside], columns[inside]] = parameters.qp + blocks["delta"][inside]
            return result
    return None
