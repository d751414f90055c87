"""Between FFmpeg's picture buffers and canonical planes: sample shuffles only, never arithmetic on values.

Two exceptions are exact as well: high-bit-packed formats (p010) are shifted right by their padding
zeros, and 1-bit pictures become 0 and 255. A format that would need a conversion with rounding is
refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from forensic.errors import BadInput
from forensic.frames.frame import CodedFrame, Geometry, Planes
from forensic.frames.layout import LAYOUTS, PixelLayout, layout_named

_BAND = 16  # rows compared at a time: two pictures of a scene differ in the first few

Unpack = Callable[[VideoFrame, PixelLayout], Planes]


@dataclass(frozen=True)
class Conversion:
    """How pictures of FFmpeg's pixel format ``source`` become planes of ``layout``."""

    source: str
    layout: PixelLayout
    how: str
    dropped: str | None
    full_range: bool
    unpack: Unpack

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {"from": self.source, "to": self.layout.name, "how": self.how, "not_carried": self.dropped}


def plane_rows(plane: Any, rows: int, row_bytes: int) -> np.ndarray:
    """View (rows, row_bytes) uint8 of an FFmpeg picture plane, top row first whatever the sign of its stride."""
    stride: int = plane.line_size
    view: np.ndarray = np.frombuffer(plane, np.uint8).reshape(-1, abs(stride))[:rows, :row_bytes]
    return view[::-1] if stride < 0 else view


def _samples(plane: Any, rows: int, columns: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Own copy (rows, columns) of a plane of single samples, in the machine-independent little-endian type."""
    view = plane_rows(plane, rows, columns * dtype.itemsize).copy()
    samples: np.ndarray = view.view(dtype)
    return samples if dtype.itemsize == 1 else samples.astype("<u2", copy=False)


def _planar(dtype: str) -> Unpack:
    def unpack(frame: VideoFrame, layout: PixelLayout) -> Planes:
        shapes = layout.plane_shapes(frame.width, frame.height)
        return tuple(
            _samples(plane, rows, columns, np.dtype(dtype))
            for plane, (rows, columns) in zip(frame.planes, shapes, strict=False)
        )

    return unpack


def _semiplanar(dtype: str, swapped: bool, shift: int) -> Unpack:
    def unpack(frame: VideoFrame, layout: PixelLayout) -> Planes:
        (rows, columns), (chroma_rows, chroma_columns), _ = layout.plane_shapes(frame.width, frame.height)
        sample = np.dtype(dtype)
        luma = _samples(frame.planes[0], rows, columns, sample)
        pairs = _samples(frame.planes[1], chroma_rows, 2 * chroma_columns, sample)
        chroma = [np.ascontiguousarray(pairs[:, offset::2]) for offset in ((1, 0) if swapped else (0, 1))]
        planes = (luma, *chroma)
        return planes if not shift else tuple(plane >> np.uint16(shift) for plane in planes)

    return unpack


def _packed422(order: tuple[int, int, int]) -> Unpack:
    """``order``: byte offsets of the first luma sample, Cb and Cr in a group of four bytes."""

    def unpack(frame: VideoFrame, layout: PixelLayout) -> Planes:
        width, height = frame.width, frame.height
        chroma_columns = -(-width // 2)
        data = plane_rows(frame.planes[0], height, 4 * chroma_columns)
        luma_at, cb_at, cr_at = order
        luma = data[:, luma_at::2][:, :width].copy()
        return luma, data[:, cb_at::4].copy(), data[:, cr_at::4].copy()

    return unpack


def _packed_rgb(order: tuple[int, int, int], step: int, dtype: str = "u1") -> Unpack:
    def unpack(frame: VideoFrame, layout: PixelLayout) -> Planes:
        sample = np.dtype(dtype)
        data = plane_rows(frame.planes[0], frame.height, frame.width * step * sample.itemsize)
        samples = np.ascontiguousarray(data).view(sample).reshape(frame.height, frame.width, step)
        return tuple(np.ascontiguousarray(samples[..., channel]).astype(layout.dtype) for channel in order)

    return unpack


def _planar_gbr(dtype: str) -> Unpack:
    def unpack(frame: VideoFrame, layout: PixelLayout) -> Planes:
        green, blue, red = (
            _samples(plane, frame.height, frame.width, np.dtype(dtype)) for plane in list(frame.planes)[:3]
        )
        return red, green, blue

    return unpack


def _palette(frame: VideoFrame, layout: PixelLayout) -> Planes:
    index = plane_rows(frame.planes[0], frame.height, frame.width)
    palette: Any = frame.planes[1]
    colours = np.frombuffer(palette, np.uint32)[:256]  # 0xAARRGGBB in the machine's order
    return tuple(((colours >> shift) & 0xFF).astype(np.uint8)[index] for shift in (16, 8, 0))


def _one_bit(zero_is_black: bool) -> Unpack:
    def unpack(frame: VideoFrame, layout: PixelLayout) -> Planes:
        packed = plane_rows(frame.planes[0], frame.height, -(-frame.width // 8))
        bits = np.unpackbits(packed, axis=1)[:, : frame.width]
        return ((bits if zero_is_black else 1 - bits) * np.uint8(255),)

    return unpack


def _gray_alpha(dtype: str) -> Unpack:
    def unpack(frame: VideoFrame, layout: PixelLayout) -> Planes:
        pairs = _samples(frame.planes[0], frame.height, 2 * frame.width, np.dtype(dtype))
        return (np.ascontiguousarray(pairs[:, ::2]),)

    return unpack


def _table() -> dict[str, Conversion]:
    table: dict[str, Conversion] = {}

    def add(
        source: str, target: str, how: str, unpack: Unpack, dropped: str | None = None, full_range: bool = False
    ) -> None:
        table[source] = Conversion(source, LAYOUTS[target], how, dropped, full_range, unpack)

    for name, layout in LAYOUTS.items():
        if layout.family == "rgb":
            continue
        if layout.bits == 8:
            add(name, name, "as decoded", _planar("u1"))
        else:
            add(name, name, "as decoded", _planar("<u2"))
            add(name[:-2] + "be", name, "byte order", _planar(">u2"))
    for sub in ("420", "422", "444", "440", "411"):
        add(f"yuvj{sub}p", f"yuv{sub}p", "renamed; full range by its name", _planar("u1"), full_range=True)
    for sub in ("420", "422", "444"):
        add(f"yuva{sub}p", f"yuv{sub}p", "first three planes", _planar("u1"), "alpha")
    for name, target, swapped in (
        ("nv12", "yuv420p", False), ("nv21", "yuv420p", True), ("nv16", "yuv422p", False),
        ("nv24", "yuv444p", False), ("nv42", "yuv444p", True),
    ):  # fmt: skip
        add(name, target, "chroma planes separated", _semiplanar("u1", swapped, 0))
    for name, target, shift in (
        ("p010", "yuv420p10le", 6), ("p012", "yuv420p12le", 4), ("p016", "yuv420p16le", 0),
        ("p210", "yuv422p10le", 6), ("p216", "yuv422p16le", 0), ("p410", "yuv444p10le", 6), ("p416", "yuv444p16le", 0),
    ):  # fmt: skip
        how = "chroma planes separated" + (f", {shift} padding bits removed" if shift else "")
        add(name + "le", target, how, _semiplanar("<u2", False, shift))
        add(name + "be", target, how + ", byte order", _semiplanar(">u2", False, shift))
    add("yuyv422", "yuv422p", "planes separated", _packed422((0, 1, 3)))
    add("yvyu422", "yuv422p", "planes separated", _packed422((0, 3, 1)))
    add("uyvy422", "yuv422p", "planes separated", _packed422((1, 0, 2)))
    for name, order, step, dropped in (
        ("rgb24", (0, 1, 2), 3, None), ("bgr24", (2, 1, 0), 3, None),
        ("rgb0", (0, 1, 2), 4, None), ("bgr0", (2, 1, 0), 4, None),
        ("0rgb", (1, 2, 3), 4, None), ("0bgr", (3, 2, 1), 4, None),
        ("rgba", (0, 1, 2), 4, "alpha"), ("bgra", (2, 1, 0), 4, "alpha"),
        ("argb", (1, 2, 3), 4, "alpha"), ("abgr", (3, 2, 1), 4, "alpha"),
    ):  # fmt: skip
        add(name, "rgb24", "channel order", _packed_rgb(order, step), dropped)
    for name, order, step, dropped in (
        ("rgb48", (0, 1, 2), 3, None), ("bgr48", (2, 1, 0), 3, None),
        ("rgba64", (0, 1, 2), 4, "alpha"), ("bgra64", (2, 1, 0), 4, "alpha"),
    ):  # fmt: skip
        add(name + "le", "rgb48le", "channel order", _packed_rgb(order, step, "<u2"), dropped)
        add(name + "be", "rgb48le", "channel and byte order", _packed_rgb(order, step, ">u2"), dropped)
    add("gbrp", "rgb24", "plane order", _planar_gbr("u1"))
    add("gbrap", "rgb24", "plane order", _planar_gbr("u1"), "alpha")
    for end, sample in (("le", "<u2"), ("be", ">u2")):
        add("gbrp16" + end, "rgb48le", "plane order", _planar_gbr(sample))
        add("gbrap16" + end, "rgb48le", "plane order", _planar_gbr(sample), "alpha")
        add("ya16" + end, "gray16le", "gray samples", _gray_alpha(sample), "alpha")
    add("ya8", "gray", "gray samples", _gray_alpha("u1"), "alpha")
    add("pal8", "rgb24", "palette looked up", _palette, "alpha of the palette")
    add("monob", "gray", "1 bit to 0 and 255", _one_bit(True))
    add("monow", "gray", "1 bit to 255 and 0", _one_bit(False))
    return table


_CONVERSIONS = _table()
CODER_FORMATS = {"rgb24": "bgr0", "rgb48le": "gbrp16le"}


def conversion_from(pixel_format: str) -> Conversion:
    """How to carry FFmpeg's ``pixel_format``. Raises ``BadInput`` (``media.pixel-format``)."""
    found = _CONVERSIONS.get(pixel_format)
    if found is None:
        layout_named(pixel_format)  # raises, with the list of those we carry
        raise BadInput("media.pixel-format", f"Pixel format {pixel_format!r} is not supported.")
    return found


def planes_of(frame: VideoFrame, conversion: Conversion) -> Planes:
    """Canonical planes (own memory) of a decoded picture."""
    return conversion.unpack(frame, conversion.layout)


def plane_bytes(plane: np.ndarray) -> memoryview:
    """The samples of a plane as they lie in memory, row by row; a view where the plane has no gaps."""
    flat: Any = np.ascontiguousarray(plane).reshape(-1).view(np.uint8)
    return memoryview(flat)


def same_planes(one: Planes, other: Planes) -> bool:
    """Whether two pictures of one geometry are the same, sample for sample."""
    return all(
        np.array_equal(a[row : row + _BAND], b[row : row + _BAND])
        for a, b in zip(one, other, strict=True)
        for row in range(0, a.shape[0], _BAND)
    )


def coder_format(geometry: Geometry) -> str:
    """FFmpeg's pixel format in which FFV1 holds this layout losslessly."""
    return CODER_FORMATS.get(geometry.layout.name, geometry.layout.name)


def picture_of(frame: CodedFrame) -> VideoFrame:
    """An FFmpeg picture holding the same samples, in :func:`coder_format`."""
    geometry = frame.geometry
    picture = VideoFrame(geometry.width, geometry.height, coder_format(geometry))
    if geometry.layout.name == "rgb24":
        pixels = plane_rows(picture.planes[0], geometry.height, 4 * geometry.width)
        for channel, plane in zip((2, 1, 0), frame.planes, strict=True):
            pixels[:, channel::4] = plane
        pixels[:, 3::4] = 0
        return picture
    planes = frame.planes
    if geometry.layout.name == "rgb48le":
        red, green, blue = planes
        planes = (green, blue, red)
    for target, plane in zip(picture.planes, planes, strict=True):
        rows, columns = plane.shape
        samples = plane_rows(target, rows, columns * plane.itemsize)
        samples[...] = np.ascontiguousarray(plane).view(np.uint8).reshape(rows, -1)
    return picture
