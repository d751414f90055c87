"""How coarsely each picture was quantised, as far as the bitstream says and FFmpeg (or the JPEG header) tells.

FFmpeg exports the quantisers of H.264, VP9 and the MPEG-1/2/4, H.263 family as side data of type
AV_FRAME_DATA_VIDEO_ENC_PARAMS (libavutil/video_enc_params.h) when a decoder is given
``export_side_data=venc_params``. For JPEG the tables stand in the packet (ITU-T T.81, clause B.2.4.1).
H.265 and AV1 decoders of FFmpeg export nothing: there the answer is "not exported".
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forensic.errors import BadInput
from forensic.frames.frame import BlockQuantisers, Coding
from forensic.media.parametersets import CodedPicture

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

EXPORT_OPTION = {"export_side_data": "venc_params"}
EXPORT_TYPE = "VIDEO_ENC_PARAMS"
PICTURE_TYPES = ("unknown", "I", "P", "B", "S", "SI", "SP", "BI")
JPEG_CODECS = frozenset({"mjpeg", "mjpegb"})

# unsigned nb_blocks; size_t blocks_offset, block_size; enum type; int32 qp; int32 delta_qp[4][2]
_PARAMETERS = struct.Struct("@INNii8i")
# int src_x, src_y, w, h; int32 delta_qp
_BLOCK = np.dtype([("x", "i4"), ("y", "i4"), ("width", "i4"), ("height", "i4"), ("delta", "i4")])
_MOST_BLOCKS = 1 << 22  # 4x4 blocks of the largest picture that is carried
_LARGEST_BLOCK = 128
#: Of a frame, by the words for its manifest row: then quantisers need not be of the samples that are shown.
_FAULTS = {
    "damaged": "the frame is damaged",
    "decode-error": "the decoder reported an error in the frame",
    "after-damage": "the frame may carry on the damage of an earlier one",
}
_MOST_PLACED = 36_864  # macroblocks of 4096x2304
_SCALES = {0: "vp9", 1: "h264", 2: "mpeg"}
# H.264 at 14 bits: QP'Y = QPY + 36 (clause 7.4.2.1.1). MPEG-2's non-linear scale ends at 112.
_RANGES = {"vp9": (0, 255), "h264": (-48, 87), "mpeg": (0, 255)}
_NATURAL = np.argsort(
    [u * 8 + v for u, v in sorted(
        ((u, v) for u in range(8) for v in range(8)),
        key=lambda p: (p[0] + p[1], p[0] if (p[0] + p[1]) % 2 else p[1]),
    )]
)  # fmt: skip


@dataclass(frozen=True)
class EncodingParameters:
    """One AVVideoEncParams. ``scale``: ``h264`` (QP, 6 to a doubling), ``vp9`` (base_q_idx 0..255) or ``mpeg``.

    On the ``mpeg`` scale the number is the step of an AC coefficient at weight 16, twice the ``qscale`` of encoders.
    ``quantisers``: int32, one for each block; ``pixels``: int64, luma samples of each block. Where the codec
    gives no blocks there is one for the whole picture, of zero pixels. ``blocks``: the same in their places, where they
    are the macroblocks of an H.264 picture, each once.
    """

    scale: str
    quantisers: np.ndarray
    pixels: np.ndarray
    blocks: BlockQuantisers | None = None


def parse_encoding_parameters(data: bytes) -> EncodingParameters:
    """Take apart the bytes of the side data, as they lie in memory on this machine.

    Raises ``BadInput`` (``media.quantisers``) for anything that an FFmpeg decoder does not write.
    """
    if len(data) < _PARAMETERS.size:
        raise _malformed(f"{len(data)} bytes, fewer than the header's {_PARAMETERS.size}")
    count, offset, size, kind, base, *_ = _PARAMETERS.unpack_from(data)
    scale = _SCALES.get(kind)
    if scale is None:
        raise _malformed(f"type {kind} is not known")
    least, most = _RANGES[scale]
    if not count:
        if not least <= base <= most:
            raise _malformed(f"quantiser {base} is out of range")
        return EncodingParameters(scale, np.array([base], np.int32), np.zeros(1, np.int64))
    if count > _MOST_BLOCKS or size < _BLOCK.itemsize or offset < _PARAMETERS.size or offset + count * size > len(data):
        raise _malformed(f"{count} blocks of {size} bytes from byte {offset} do not lie in {len(data)} bytes")
    raw = np.frombuffer(data, np.uint8, count * size, offset).reshape(count, size)[:, : _BLOCK.itemsize]
    blocks = np.ascontiguousarray(raw).view(_BLOCK).reshape(count)
    sides = np.stack([blocks["width"], blocks["height"]])
    if sides.min() < 1 or sides.max() > _LARGEST_BLOCK:
        raise _malformed("a block has no sensible size")
    quantisers = blocks["delta"].astype(np.int64) + base
    if quantisers.min() < least or quantisers.max() > most:
        raise _malformed("a block's quantiser is out of range")
    pixels = blocks["width"].astype(np.int64) * blocks["height"]
    placed = _placed(blocks, quantisers) if scale == "h264" else None
    return EncodingParameters(scale, quantisers.astype(np.int32), pixels, placed)


def _placed(blocks: np.ndarray, quantisers: np.ndarray) -> BlockQuantisers | None:
    """``quantisers`` row by row, if ``blocks`` are a whole grid of macroblocks; else None."""
    side = BlockQuantisers.SIDE
    if blocks.size > _MOST_PLACED or (blocks["width"] != side).any() or (blocks["height"] != side).any():
        return None
    columns, rows = (int(blocks[axis].max()) // side + 1 for axis in ("x", "y"))
    if min(int(blocks[axis].min()) for axis in ("x", "y")) < 0 or rows * columns != blocks.size:
        return None
    places = blocks["y"].astype(np.int64) // side * columns + blocks["x"] // side
    whole = ((blocks["x"] % side == 0) & (blocks["y"] % side == 0)).all()
    if not whole or np.bincount(places, minlength=blocks.size).max() > 1:
        return None
    values = np.empty(blocks.size, np.int8)
    values[places] = quantisers
    return BlockQuantisers(columns, values.tobytes())


def parse_jpeg_tables(data: bytes) -> tuple[tuple[int, ...], ...]:
    """Quantisation tables of the first scan's components, luma first: 64 steps each, row by row (v, then u).

    ``data`` is one JPEG picture. Tables used twice are given once. Raises ``BadInput`` (``media.quantisers``).
    """
    tables: dict[int, tuple[int, ...]] = {}
    used: list[int] = []
    place = 2
    if data[:2] != b"\xff\xd8":
        raise _malformed("no start of a JPEG picture")
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            raise _malformed("no marker where one belongs")
        marker = data[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        segment = data[place + 4 : place + 2 + length]
        if length < 2 or len(segment) != length - 2:
            raise _malformed("a segment runs past the end")
        if marker == 0xDB:
            _take_tables(segment, tables)
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if len(segment) < 6 or len(segment) < 6 + 3 * segment[5]:
                raise _malformed("a frame header that is too short")
            used = [segment[6 + 3 * number + 2] for number in range(segment[5])]
        elif marker == 0xDA:
            break
        place += 2 + length
    if not used or any(number not in tables for number in used):
        raise _malformed("no tables for the picture's components")
    return tuple(tables[number] for number in dict.fromkeys(used))


def _take_tables(segment: bytes, tables: dict[int, tuple[int, ...]]) -> None:
    place = 0
    while place < len(segment):
        precision, number = segment[place] >> 4, segment[place] & 15
        length = 64 * (precision + 1)
        steps = segment[place + 1 : place + 1 + length]
        if precision > 1 or number > 3 or len(steps) != length:
            raise _malformed("a quantisation table that is none")
        values = np.frombuffer(steps, ">u2" if precision else np.uint8)[_NATURAL]
        if not values.min():
            raise _malformed("a quantisation step of zero")
        tables[number] = tuple(int(value) for value in values)
        place += 1 + length


def _malformed(what: str) -> BadInput:
    return BadInput("media.quantisers", f"The quantisers of a picture cannot be read: {what}.")


@dataclass(frozen=True)
class FrameCoding:
    """How one decoded picture was coded.

    ``picture_type``: one of :data:`PICTURE_TYPES`. ``scale``: as :class:`EncodingParameters`, ``jpeg``, or None
    where nothing is known (``why_not`` says why). ``counts``: (quantiser, luma samples) in rising order; zero
    samples mean that the number holds for the whole picture. ``blocks``: where which was used, for H.264. ``tables``:
    for ``jpeg``, see :func:`parse_jpeg_tables`. ``size``: of the packet that gave the picture, in bytes.
    ``interlaced``: whether the picture was coded as two fields, or is flagged so.
    """

    picture_type: str
    scale: str | None = None
    counts: tuple[tuple[int, int], ...] = ()
    tables: tuple[tuple[int, ...], ...] = ()
    why_not: str | None = None
    blocks: BlockQuantisers | None = None
    size: int | None = None
    interlaced: bool = False

    @property
    def mean(self) -> float | None:
        """Mean quantiser, by area; for JPEG the mean of the luma table; None where unknown."""
        if self.tables:
            return float(np.mean(self.tables[0]))
        if not self.counts:
            return None
        area = sum(pixels for _, pixels in self.counts)
        if not area:
            return float(self.counts[0][0])
        return sum(quantiser * pixels for quantiser, pixels in self.counts) / area

    def summary(self, samples: int, flags: Collection[str]) -> Coding:
        """What goes along with the frame, whose picture has that many luma samples and was found to be ``flags``."""
        bits = None if self.size is None else 8.0 * self.size / samples
        told = [words for flag, words in _FAULTS.items() if flag in flags]
        if self.interlaced:
            told.append("the picture is interlaced")
        fault = told[0] if told else None
        return Coding(self.picture_type, self.scale, self.mean, self.why_not, self.blocks, bits, fault=fault)

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts; inverse: :func:`forensic.media.sandbox.facts.coding_of`."""
        return {
            "picture_type": self.picture_type,
            "scale": self.scale,
            "counts": [list(pair) for pair in self.counts],
            "tables": [list(table) for table in self.tables],
            "why_not": self.why_not,
            "blocks": None
            if self.blocks is None
            else {
                "columns": self.blocks.columns,
                "left": self.blocks.left,
                "top": self.blocks.top,
                "values": base64.b64encode(self.blocks.values).decode("ascii"),
            },
            "size": self.size,
            "interlaced": self.interlaced,
        }


def coding_of_picture(
    picture: VideoFrame,
    jpeg: bytes | None = None,
    size: int | None = None,
    *,
    interlaced: bool = False,
    coded: CodedPicture | None = None,
) -> FrameCoding:
    """What is known of how ``picture`` was coded. ``jpeg``: its packet, if it is a JPEG picture; ``size``: its length;
    ``interlaced``: what is known of that beside the picture's own flag; ``coded``: what the stream says of the coded
    picture that this one was cut out of.

    Never raises for what the file says: a malformed description is given as ``why_not``. Blocks are told only where
    ``coded`` tells where they lie: FFmpeg gives them for the coded picture, of which a stream can cut off every side.
    """
    found = _coding_of(picture, jpeg)
    blocks = None if found.blocks is None else _seen(found.blocks, picture, coded)
    return replace(found, blocks=blocks, size=size, interlaced=interlaced or bool(picture.interlaced_frame))


def _seen(blocks: BlockQuantisers, picture: VideoFrame, coded: CodedPicture | None) -> BlockQuantisers | None:
    """``blocks`` of the coded picture from where ``picture`` begins; None where that is not known."""
    side = BlockQuantisers.SIDE
    sides = (side * blocks.columns, side * (len(blocks.values) // blocks.columns))
    if coded is None or (coded.width, coded.height) != sides:
        return None
    first = coded.first_sample(picture.width, picture.height)
    return None if first is None else blocks.moved(*first)


def _coding_of(picture: VideoFrame, jpeg: bytes | None) -> FrameCoding:
    number = int(picture.pict_type)
    kind = PICTURE_TYPES[number] if 0 <= number < len(PICTURE_TYPES) else "unknown"
    try:
        if jpeg is not None:
            return FrameCoding(kind, "jpeg", tables=parse_jpeg_tables(jpeg))
        found = next((bytes(one) for one in picture.side_data if one.type.name == EXPORT_TYPE), None)  # type: ignore
        if found is None:
            return FrameCoding(kind, why_not="FFmpeg's decoder gives no quantisers for this picture")
        parsed = parse_encoding_parameters(found)
    except BadInput as error:
        return FrameCoding(kind, why_not=error.message)
    except ValueError:
        return FrameCoding(kind, why_not="the frame carries side data of a type that PyAV does not name")
    values, places = np.unique(parsed.quantisers, return_inverse=True)
    areas = np.bincount(places, weights=parsed.pixels, minlength=values.size)
    counts = tuple((int(value), int(area)) for value, area in zip(values, areas, strict=True))
    return FrameCoding(kind, parsed.scale, counts, blocks=parsed.blocks)
