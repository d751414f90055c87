"""How close colours are: CIELAB of display colours, and the colour difference CIEDE2000."""

from __future__ import annotations

import numpy as np

from forensic.errors import UsageError

# IEC 61966-2-1: linear R, G, B to X, Y, Z with white at Y = 1; its white is D65.
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _TO_XYZ.sum(axis=1)
_FAR = 25.0**7


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (L*, a*, b*), float64 [..., 3], of sRGB uint8 or float [..., 3] in 0..255, under its white D65.

    IEC 61966-2-1 for sRGB, CIE 15 for CIELAB.
    """
    coded = np.asarray(rgb, np.float64) / 255.0
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _TO_XYZ.T / _WHITE
    cubic = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(cubic, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ciede2000(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Colour difference CIEDE2000 of CIELAB colours [..., 3], all factors 1: float64 [...], about 1 just noticeable.

    ISO/CIE 11664-6, as in G. Sharma, W. Wu, E. N. Dalal, "The CIEDE2000 color-difference formula: implementation
    notes, supplementary test data, and mathematical observations", Color Research and Application 30 (2005), 21-30.
    Raises ``UsageError`` (``fidelity.shape``) for arrays of different shapes.
    """
    if first.shape != second.shape or first.shape[-1:] != (3,):
        raise UsageError("fidelity.shape", f"Colours of {first.shape} and {second.shape} cannot be compared.")
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(each, np.float64), -1, 0) for each in (first, second))
    mean = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(mean / (mean + _FAR))
    a1, a2 = stretch * a1, stretch * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360.0 for a, b in ((a1, b1), (a2, b2)))
    coloured = c1 * c2 != 0.0

    turn = h2 - h1
    turn = np.where(turn > 180.0, turn - 360.0, np.where(turn < -180.0, turn + 360.0, turn))
    turn = np.where(coloured, turn, 0.0)
    lightness, chroma = l2 - l1, c2 - c1
    hue = 2.0 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)

    mean_l, mean_c, total = (l1 + l2) / 2, (c1 + c2) / 2, h1 + h2
    mean_h = np.where(np.abs(h1 - h2) <= 180.0, total / 2, (total + np.where(total < 360.0, 360.0, -360.0)) / 2)
    mean_h = np.where(coloured, mean_h, total)
    weight = (
        1
        - 0.17 * _cos(mean_h - 30)
        + 0.24 * _cos(2 * mean_h)
        + 0.32 * _cos(3 * mean_h + 6)
        - 0.20 * _cos(4 * mean_h - 63)
    )
    middle = (mean_l - 50) ** 2
    lightness = lightness / (1 + 0.015 * middle / np.sqrt(20 + middle))
    chroma = chroma / (1 + 0.045 * mean_c)
    hue = hue / (1 + 0.015 * mean_c * weight)
    swing = np.radians(30 * np.exp(-(((mean_h - 275) / 25) ** 2)))
    mean = mean_c**7
    rotation = -2 * np.sqrt(mean / (mean + _FAR)) * np.sin(2 * swing)
    return np.asarray(np.sqrt(np.maximum(lightness**2 + chroma**2 + hue**2 + rotation * chroma * hue, 0.0)))


def _cos(degrees: np.ndarray) -> np.ndarray:
    return np.asarray(np.cos(np.radians(degrees)))
