"""Curves: a tone curve through chosen points."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Stage, StageCard
from forensic.stages.tone import DISPLAY_WHITE, map_tones

Level = Annotated[float, Field(ge=0.0, le=DISPLAY_WHITE, allow_inf_nan=False)]
_IDENTITY = ((0.0, 0.0), (DISPLAY_WHITE, DISPLAY_WHITE))


class CurvesParameters(Parameters):
    """Points on the display scale: 0 is the video's nominal black, 255 its nominal white."""

    points: tuple[tuple[Level, Level], ...] = parameter(
        _IDENTITY,
        title="Points",
        unit="grey levels (display)",
        min_length=2,
        max_length=16,
        description="[input, output] pairs; the inputs rise, the outputs never fall. Flat before the first and "
        "after the last.",
    )

    @field_validator("points")
    @classmethod
    def _monotone(cls, points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        for (x0, y0), (x1, y1) in pairwise(points):
            if x1 - x0 < 1.0 or y1 < y0:
                raise ValueError("inputs must rise by at least 1 grey level, and outputs must not fall")
        return points


class Curves(Stage[CurvesParameters]):
    """A monotone tone curve."""

    name = "curves"
    title = "Tone curve"
    stage_class = StageClass.PRESENTATION
    parameter_model = CurvesParameters
    card = StageCard(
        explanation=(
            "Gives each brightness a new one by a smooth curve through chosen points. The curve never falls: what was "
            "brighter than something else is never made darker than it."
        ),
        artefacts=(
            "Where the curve is flat, differences in brightness are lost.",
            "What the recording holds beyond nominal black and white (in limited range, luma below 16 and above 235) "
            "is clipped by any curve that changes something. Many cameras put highlights there.",
            "Where it is steep, noise becomes visible.",
            "Colour is not changed with brightness: the picture may look less or more colourful.",
        ),
        references=(
            "F. N. Fritsch and R. E. Carlson, Monotone Piecewise Cubic Interpolation, SIAM Journal on Numerical "
            "Analysis 17 (1980), 238-246.",
        ),
    )

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        points = self.parameters.points
        if points == _IDENTITY:
            return window[at].planes
        x, y = np.array(points, dtype=np.float64).T
        slopes = _fritsch_carlson(x, y)
        return map_tones(window[at], lambda display: _hermite(display, x, y, slopes))


def _fritsch_carlson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Slopes at the points that make the cubic Hermite interpolant monotone."""
    secants = np.diff(y) / np.diff(x)
    slopes = np.concatenate([secants[:1], (secants[:-1] + secants[1:]) / 2, secants[-1:]])
    for number, secant in enumerate(secants):
        if secant == 0.0:
            slopes[number] = slopes[number + 1] = 0.0
            continue
        a, b = slopes[number] / secant, slopes[number + 1] / secant
        length = np.hypot(a, b)
        if length > 3.0:
            slopes[number], slopes[number + 1] = 3.0 * a / length * secant, 3.0 * b / length * secant
    return np.asarray(slopes)


def _hermite(display: np.ndarray, x: np.ndarray, y: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    held = np.clip(display, np.float32(x[0]), np.float32(x[-1]))
    result: np.ndarray = np.empty_like(held)
    for number in range(len(x) - 1):
        inside = held >= np.float32(x[number])
        width = x[number + 1] - x[number]
        t = (held[inside] - np.float32(x[number])) / np.float32(width)
        # Power basis of the cubic Hermite polynomial on this interval.
        rise, start, end = y[number + 1] - y[number], slopes[number] * width, slopes[number + 1] * width
        c3, c2 = np.float32(start + end - 2 * rise), np.float32(3 * rise - 2 * start - end)
        result[inside] = ((c3 * t + c2) * t + np.float32(start)) * t + np.float32(y[number])
    return result
