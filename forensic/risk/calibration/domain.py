"""The domain of a calibration: what can be measured of a recording, and whether it was like that in calibration.

The measures need no truth and cost little. They are taken of one frame: the luma *y* of the input, the residual
*y - A x* of the output before projection, what the bitstream says of the frame's coding, the form of the picture, and
what the learned score was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.frames.frame import WorkingFrame

#: In this order in records: name, unit and what it is.
MEASURES: dict[str, tuple[str, str]] = {
    "noise": ("grey levels", "noise of the input (docs/risk-map.md)"),
    "blur": ("ratio", "mean square luma difference over two pixels divided by that over one, noise taken off both"),
    "residual": ("grey levels", "RMS of y - A x"),
    "whiteness": ("correlation", "correlation of y - A x with itself one pixel further, mean of across and down"),
    "quantiser": ("H.264 scale", "mean quantiser of the picture, or of the part of it that is worked on"),
    "bits": ("bits per luma sample", "of the whole coded picture"),
    "short": ("pixels", "shorter side of the input"),
    "long": ("pixels", "longer side of the input"),
    "depth": ("bits", "bits of a luma sample; none for RGB, whose luma is computed"),
    "range": ("1 or 0", "whether luma has the full range"),
    "features": ("ratio", "distance of the score's inputs from those that it was fitted on, in standard deviations"),
    "frames": ("number", "mean effective number of frames that a picture was made of; none of one made of one alone"),
}
#: Measures that need the output, and the one that needs the learned score.
OF_OUTPUT = ("residual", "whiteness", "features", "frames")
ROUND = 4
_QUANTISATION = 12.0**-1.0  # power of the noise of rounding to whole grey levels


def measured(
    frame: WorkingFrame, residual: np.ndarray, sigma: float, effective: np.ndarray | None = None
) -> dict[str, float | None]:
    """The measures of one frame; None where one has no value, as ``features`` before the score is made.

    ``frame``: the input; ``residual``: float32 (rows, columns), grey levels; ``sigma``: noise of the input;
    ``effective``: number of frames by place, of an output of several. The quantiser is None for codecs that have none
    on H.264's scale, where it was not read, and of a part whose blocks are not known.
    """
    y, layout, coding = codes(frame), frame.geometry.layout, frame.coding
    power = float(np.mean(np.square(residual), dtype=np.float64))
    quantiser = None if coding is None or coding.scale != "h264" else coding.here
    return {
        "noise": round(sigma, ROUND),
        "blur": _increments(y, sigma),
        "residual": round(power**0.5, ROUND),
        "whiteness": _correlation(residual),
        "quantiser": None if quantiser is None else round(quantiser, ROUND),
        "bits": None if quantiser is None or coding is None or coding.bits is None else round(coding.bits, ROUND),
        "short": float(min(y.shape)),
        "long": float(max(y.shape)),
        "depth": None if layout.family == "rgb" else float(layout.bits),
        "range": float(frame.colour.assumed_full_range()),
        "features": None,
        "frames": None if effective is None else round(float(effective.mean(dtype=np.float64)), ROUND),
    }


def measured_before(frame: WorkingFrame, sigma: float) -> dict[str, float | None]:
    """The measures that the input alone decides (as :func:`measured`): all but :data:`OF_OUTPUT`."""
    found = measured(frame, np.zeros((2, 2), np.float32), sigma)
    return {name: value for name, value in found.items() if name not in OF_OUTPUT}


def codes(frame: WorkingFrame) -> np.ndarray:
    """The luma of ``frame`` limited to its code range, as it was when it was quantised: float32, grey levels."""
    layout = frame.geometry.layout
    return np.clip(frame.luma, np.float32(0.0), np.float32(layout.maximum / layout.grey_scale))


def _increments(y: np.ndarray, sigma: float) -> float | None:
    if min(y.shape) < 3:
        return None
    floor = 2.0 * sigma**2  # what the noise adds to either

    def mean_square(lag: int) -> float:
        across = np.mean(np.square(y[:, lag:] - y[:, :-lag]), dtype=np.float64)
        down = np.mean(np.square(y[lag:] - y[:-lag]), dtype=np.float64)
        return max(float(across + down) / 2.0 - floor, _QUANTISATION)  # never divide by less

    return round(mean_square(2) / mean_square(1), ROUND)


def _correlation(residual: np.ndarray) -> float | None:
    centred = residual.astype(np.float64) - float(residual.mean(dtype=np.float64))
    power = float(np.mean(np.square(centred)))
    if min(residual.shape) < 2 or power <= 0.0:
        return None
    across = float(np.mean(centred[:, 1:] * centred[:, :-1]))
    down = float(np.mean(centred[1:] * centred[:-1]))
    return round((across + down) / 2.0 / power, ROUND)


@dataclass(frozen=True)
class Range:
    """1st to 99th percentile of a measure over the calibration recordings; ``absent``: it may have no value."""

    low: float
    high: float
    absent: bool = False


def envelope(recordings: Sequence[Mapping[str, float | None]]) -> dict[str, Range]:
    """Range of every measure over ``recordings``: nearest rank, outward. A measure that none has is left out."""
    ranges: dict[str, Range] = {}
    for name in MEASURES:
        values = sorted(value for one in recordings if (value := one[name]) is not None)
        if values:
            last = len(values) - 1
            below, above = last // 100, last - last // 100
            ranges[name] = Range(values[below], values[above], len(values) < len(recordings))
    return ranges


def outside(ranges: Mapping[str, Range], found: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Which measures of ``found`` lie outside ``ranges``, and by how much; empty if none does.

    A measure that ``found`` does not name is not looked at; one that it has as None has no value.
    """
    told: list[dict[str, Any]] = []
    for name in (one for one in MEASURES if one in found):
        value, limits = found[name], ranges.get(name)
        if limits is None:
            if value is not None:
                told.append({"measure": name, "value": value, "low": None, "high": None, "beyond": None})
        elif value is None:
            if not limits.absent:
                told.append({"measure": name, "value": None, "low": limits.low, "high": limits.high, "beyond": None})
        elif not limits.low <= value <= limits.high:
            beyond = round(limits.low - value if value < limits.low else value - limits.high, ROUND)
            told.append({"measure": name, "value": value, "low": limits.low, "high": limits.high, "beyond": beyond})
    return told
