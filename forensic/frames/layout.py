"""Sample layouts: which planes a picture has, how wide, how deep. Names follow FFmpeg's pix_fmt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from forensic.errors import BadInput

Family = Literal["yuv", "gray", "rgb"]


@dataclass(frozen=True)
class PixelLayout:
    """A canonical sample layout.

    ``name`` is FFmpeg's name of the tightly packed, little-endian format over which frame hashes
    are taken, so that ``ffmpeg -f framehash -hash sha256 -pix_fmt NAME`` gives the same digests.
    ``bits`` is the sample depth (8 to 16), the chroma shifts are log2 of the subsampling.
    """

    name: str
    family: Family
    bits: int
    chroma_shift_x: int = 0
    chroma_shift_y: int = 0

    @property
    def dtype(self) -> np.dtype:
        """uint8 up to 8 bits, little-endian uint16 above."""
        return np.dtype(np.uint8) if self.bits <= 8 else np.dtype("<u2")

    @property
    def maximum(self) -> int:
        """Largest code value."""
        return (1 << self.bits) - 1

    @property
    def grey_scale(self) -> float:
        """Code values in one grey level of the 8-bit scale: 1.0 at 8 bits, 4.0 at 10 bits."""
        return float(1 << (self.bits - 8))

    def plane_shapes(self, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of each plane of a ``width`` x ``height`` picture, in plane order."""
        if self.family == "gray":
            return ((height, width),)
        if self.family == "rgb":
            return ((height, width),) * 3
        chroma = (-(-height >> self.chroma_shift_y), -(-width >> self.chroma_shift_x))
        return ((height, width), chroma, chroma)


def _yuv_layouts() -> dict[str, PixelLayout]:
    shifts = {"420": (1, 1), "422": (1, 0), "444": (0, 0), "411": (2, 0), "410": (2, 2), "440": (0, 1)}
    layouts = {}
    for sub, (x, y) in shifts.items():
        for bits in (8, 9, 10, 12, 14, 16):
            if bits != 8 and sub in ("411", "410"):
                continue
            if sub == "440" and bits not in (8, 10, 12):
                continue
            name = f"yuv{sub}p" + ("" if bits == 8 else f"{bits}le")
            layouts[name] = PixelLayout(name, "yuv", bits, x, y)
    return layouts


LAYOUTS: dict[str, PixelLayout] = {
    **_yuv_layouts(),
    "gray": PixelLayout("gray", "gray", 8),
    "gray10le": PixelLayout("gray10le", "gray", 10),
    "gray12le": PixelLayout("gray12le", "gray", 12),
    "gray16le": PixelLayout("gray16le", "gray", 16),
    "rgb24": PixelLayout("rgb24", "rgb", 8),
    "rgb48le": PixelLayout("rgb48le", "rgb", 16),
}


def layout_named(name: str) -> PixelLayout:
    """Look a layout up. Raises ``BadInput`` (``media.pixel-format``) for one we do not carry."""
    try:
        return LAYOUTS[name]
    except KeyError:
        raise BadInput(
            "media.pixel-format", f"Pixel format {name!r} is not supported.", "Known: " + ", ".join(LAYOUTS) + "."
        ) from None


def pack_planes(layout: PixelLayout, planes: tuple[np.ndarray, ...]) -> bytes:
    """Canonical bytes of integer ``planes``: planes in order for yuv/gray, interleaved for rgb."""
    if layout.family == "rgb":
        return np.ascontiguousarray(np.stack(planes, axis=-1)).tobytes()
    return b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes)


def unpack_planes(layout: PixelLayout, width: int, height: int, data: bytes) -> tuple[np.ndarray, ...]:
    """Inverse of :func:`pack_planes`. Raises ``BadInput`` (``frame.size``) on a wrong length."""
    shapes = layout.plane_shapes(width, height)
    expected = sum(rows * columns for rows, columns in shapes) * layout.dtype.itemsize
    if len(data) != expected:
        raise BadInput("frame.size", f"{len(data)} bytes where {expected} make a {width}x{height} {layout.name} frame.")
    samples = np.frombuffer(data, dtype=layout.dtype)
    if layout.family == "rgb":
        pixels = samples.reshape(height, width, 3)
        return tuple(np.ascontiguousarray(pixels[..., channel]) for channel in range(3))
    planes, offset = [], 0
    for rows, columns in shapes:
        planes.append(samples[offset : offset + rows * columns].reshape(rows, columns))
        offset += rows * columns
    return tuple(planes)
