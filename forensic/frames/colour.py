"""Colour description of coded video (ITU-T H.273 code points) and an exact conversion to RGB.

The conversion uses integers only, so that a still's pixels follow from the coded planes in the
same way on every machine, and ``forensic verify`` can repeat it without a media library.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from forensic.frames.layout import PixelLayout

UNSPECIFIED = 2

# Kr, Kb by H.273 MatrixCoefficients (table 4).
LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_FRACTION = 14  # bits after the point in the fixed-point coefficients, at 8 bits; one more per further bit


@dataclass(frozen=True)
class ColourSpec:
    """H.273 code points as found in the file. ``full_range`` is None where the file is silent.

    ``assumed_*`` give what is used for display where the file says nothing; the assumption is
    recorded, never written into the output's own flags.
    """

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full_range: bool | None = None
    chroma_location: str = "unspecified"

    def assumed_matrix(self, height: int) -> int:
        """Matrix used for display: the file's, else BT.601 below 720 rows and BT.709 from there."""
        if self.matrix in LUMA_WEIGHTS:
            return self.matrix
        return 1 if height >= 720 else 6

    def assumed_full_range(self) -> bool:
        """Range used for display: the file's, else limited (H.273's default for Y'CbCr video)."""
        return bool(self.full_range)

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> ColourSpec:
        """Inverse of :meth:`to_record`."""
        return cls(**record)


def _upsample(plane: np.ndarray, shift: int, axis: int, length: int, place: str) -> np.ndarray:
    """Linear interpolation of a chroma plane by 2**shift along ``axis``, exact in integers.

    Returns values multiplied by 2 * 2**shift. ``place`` is where a chroma sample sits among the
    2**shift luma samples of its block: ``first``, ``middle`` or ``last`` (H.273 figure 1: type 0 is
    first horizontally and middle vertically). Beyond the borders the outermost sample continues.
    """
    step = 1 << shift
    offset = {"first": 0, "middle": step - 1, "last": 2 * (step - 1)}[place]  # in half luma samples
    samples = np.moveaxis(plane, axis, 0)
    padded = np.concatenate([samples[:1], samples, samples[-1:]])  # padded[i + 1] is sample i
    result = np.empty((length, *samples.shape[1:]), dtype=plane.dtype)
    for phase in range(step):
        count = len(range(phase, length, step))
        numerator = 2 * phase - offset  # in 1/(2*step) chroma samples
        base = numerator // (2 * step)
        weight = numerator - base * 2 * step
        low = padded[base + 1 : base + 1 + count] * (2 * step - weight)
        if weight:
            low += padded[base + 2 : base + 2 + count] * weight
        result[phase::step] = low
    return np.moveaxis(result, 0, axis)


def _to_8_bits(values: np.ndarray, bits: int) -> np.ndarray:
    if bits == 8:
        return values.astype(np.uint8)
    shift = bits - 8
    return np.clip((values.astype(np.int64) + (1 << (shift - 1))) >> shift, 0, 255).astype(np.uint8)


def to_rgb(planes: tuple[np.ndarray, ...], layout: PixelLayout, colour: ColourSpec) -> np.ndarray:
    """Convert coded integer ``planes`` to RGB for the eye.

    ``planes`` are as :class:`PixelLayout` says (uint8/uint16 code values). Returns uint8 of shape
    (rows, columns, 3). Gray and RGB layouts are carried over (reduced to 8 bits with rounding; a
    gray layout flagged as limited range is stretched like luma). Y'CbCr follows ITU-R BT.601/709/2020
    through H.273 equations, linear chroma interpolation, 14-bit coefficients, round half up.
    """
    bits = layout.bits
    if layout.family == "rgb":
        return np.stack([_to_8_bits(plane, bits) for plane in planes], axis=-1)
    limited = not (
        colour.full_range
        if layout.family == "gray" and colour.full_range is not None
        else (layout.family == "gray" or colour.assumed_full_range())
    )
    scale = 1 << (bits - 8)
    black, span_y, span_c = (16 * scale, 219 * scale, 224 * scale) if limited else (0, layout.maximum, layout.maximum)
    fraction = _FRACTION + bits - 8
    integer: Any = np.int32 if bits == 8 else np.int64  # at 8 bits nothing below reaches 2**29
    unit = float(1 << fraction)
    gain_y = round(255 / span_y * unit)
    luma = (planes[0].astype(integer) - black) * gain_y
    half = 1 << (fraction - 1)
    if layout.family == "gray":
        grey = np.clip((luma + half) >> fraction, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    height, width = planes[0].shape
    kr, kb = LUMA_WEIGHTS[colour.assumed_matrix(height)]
    kg = 1.0 - kr - kb
    sx, sy = layout.chroma_shift_x, layout.chroma_shift_y
    across = "middle" if colour.chroma_location in ("center", "top", "bottom") else "first"
    down = {"top": "first", "bottom": "last"}.get(colour.chroma_location.removesuffix("left"), "middle")
    gained = 2 + sx + sy  # bits that the two interpolations add
    chroma = []
    for plane in planes[1:3]:
        wide = _upsample(plane.astype(integer), sx, 1, width, across)
        chroma.append(_upsample(wide, sy, 0, height, down) - (1 << (bits - 1 + gained)))
    cb, cr = chroma
    gain_c = 255 / span_c * unit
    luma = (luma + half) << gained

    def mix(blue: float, red: float) -> np.ndarray:
        value = luma.copy()
        for difference, share in ((cb, blue), (cr, red)):
            if share:
                value += difference * round(share * gain_c)
        value >>= fraction + gained
        return np.clip(value, 0, 255, out=value).astype(np.uint8)

    red = mix(0.0, 2 * (1 - kr))
    green = mix(-2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg)
    blue = mix(2 * (1 - kb), 0.0)
    return np.stack([red, green, blue], axis=-1)
