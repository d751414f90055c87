"""Colour description of coded video (ITU-T H.273 code points) and an exact conversion to RGB.

The conversion uses integers only, so that a still's pixels follow from the coded planes in the
same way on every machine, and ``forensic verify`` can repeat it without a media library.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
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
_BAND = 64  # rows converted at a time: intermediate values stay in the processor's cache
_FRACTION = 14  # bits after the point in the fixed-point coefficients, at 8 bits; one more per further bit


@dataclass(frozen=True)
class ColourSpec:
    """H.273 code points as found in the file. ``full_range`` is None where the file is silent.

    ``assumed_*`` give what is used for display where the file says nothing; the assumption is
    recorded, never written into the output's own flags. ``display_matrix`` is the assumed matrix: the
    reader fixes it by the exhibit's own height (:meth:`for_display`), so that enlarging or cropping
    does not change colours. None where the file names a usable one.
    """

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full_range: bool | None = None
    chroma_location: str = "unspecified"
    display_matrix: int | None = None

    def assumed_matrix(self, height: int) -> int:
        """Matrix used for display: the file's, else ``display_matrix``, else by ``height`` in rows.

        By height: BT.601 below 720 rows, BT.709 from there.
        """
        if self.matrix in LUMA_WEIGHTS:
            return self.matrix
        if self.display_matrix is not None and self.display_matrix in LUMA_WEIGHTS:
            return self.display_matrix
        return 1 if height >= 720 else 6

    def for_display(self, height: int) -> ColourSpec:
        """The same with the matrix for display fixed for an exhibit of ``height`` rows."""
        return replace(self, display_matrix=None if self.matrix in LUMA_WEIGHTS else self.assumed_matrix(height))

    def assumed_full_range(self) -> bool:
        """Range used for display: the file's, else limited (H.273's default for Y'CbCr video)."""
        return bool(self.full_range)

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> ColourSpec:
        """Inverse of :meth:`to_record`; records older than ``display_matrix`` lack it."""
        return cls(**record)


def _between(length: int, shift: int, place: str) -> tuple[np.ndarray, np.ndarray]:
    """Chroma samples around each of ``length`` luma positions: index of the lower one, weight of the upper.

    The weights are out of 2 * 2**shift. ``place`` is where a chroma sample sits among the 2**shift luma
    samples of its block: ``first``, ``middle`` or ``last`` (H.273 figure 1: type 0 is first horizontally
    and middle vertically).
    """
    step = 1 << shift
    offset = {"first": 0, "middle": step - 1, "last": 2 * (step - 1)}[place]  # in half luma samples
    numerator = 2 * np.arange(length) - offset
    lower = numerator // (2 * step)
    return lower, numerator - lower * 2 * step


def _widen(rows: np.ndarray, shift: int, width: int, place: str) -> np.ndarray:
    """Linear interpolation along rows by 2**shift, exact in integers, values times 2 * 2**shift.

    Beyond the borders the outermost sample continues.
    """
    step = 1 << shift
    padded = np.concatenate([rows[:, :1], rows, rows[:, -1:]], axis=1)  # padded[:, i + 1] is sample i
    result = np.empty((rows.shape[0], width), dtype=rows.dtype)
    lower, weights = _between(step, shift, place)
    for phase, (base, weight) in enumerate(zip(lower.tolist(), weights.tolist(), strict=True)):
        count = len(range(phase, width, step))
        value = padded[:, base + 1 : base + 1 + count] * (2 * step - weight)
        if weight:
            value += padded[:, base + 2 : base + 2 + count] * weight
        result[:, phase::step] = value
    return result


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
    half = 1 << (fraction - 1)
    if layout.family == "gray":
        luma = (planes[0].astype(integer) - black) * gain_y
        grey = np.clip((luma + half) >> fraction, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    height, width = planes[0].shape
    kr, kb = LUMA_WEIGHTS[colour.assumed_matrix(height)]
    kg = 1.0 - kr - kb
    sx, sy = layout.chroma_shift_x, layout.chroma_shift_y
    across = "middle" if colour.chroma_location in ("center", "top", "bottom") else "first"
    down = {"top": "first", "bottom": "last"}.get(colour.chroma_location.removesuffix("left"), "middle")
    gained = 2 + sx + sy  # bits that the two interpolations add
    gain_c = 255 / span_c * unit
    shares = (  # of Cb and Cr in R, G and B
        (0, round(2 * (1 - kr) * gain_c)),
        (round(-2 * kb * (1 - kb) / kg * gain_c), round(-2 * kr * (1 - kr) / kg * gain_c)),
        (round(2 * (1 - kb) * gain_c), 0),
    )
    lower, weights = _between(height, sy, down)
    last = planes[1].shape[0] - 1
    result = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BAND):
        band = slice(top, min(top + _BAND, height))
        above, below = np.clip(lower[band], 0, last), np.clip(lower[band] + 1, 0, last)
        weight = weights[band, None].astype(integer)
        first = int(above[0])
        chroma = []
        for plane in planes[1:3]:
            wide = _widen(plane[first : int(below[-1]) + 1].astype(integer), sx, width, across)
            mixed = wide[above - first] * ((2 << sy) - weight) + wide[below - first] * weight
            chroma.append(mixed - (1 << (bits - 1 + gained)))
        luma = ((planes[0][band].astype(integer) - black) * gain_y + half) << gained
        for channel, share in enumerate(shares):
            value = luma.copy()
            for difference, factor in zip(chroma, share, strict=True):
                if factor:
                    value += difference * factor
            value >>= fraction + gained
            np.clip(value, 0, 255, out=value)
            result[band, :, channel] = value
    return result
