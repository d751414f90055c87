"""True resolution: how many columns and lines of detail a picture holds, whatever its size is.

Two independent traces, along each axis. (1) Interpolation leaves the variance of the second difference periodic
with the enlargement (Gallagher, "Detection of linear and cubic interpolation in JPEG compressed images", CRV
2005): a line in its spectrum at 1/factor, or at 1 - 1/factor below two. It gives the factor to a fraction of a
percent, and is destroyed by strong compression; an enlargement by exactly two, or whose line falls on a multiple of
1/16, where coding has lines of its own, leaves none that can be told. (2) The sharpest detail there is: the width
of edges (:mod:`pointspread`), against the width of an edge in a picture that its pixels just resolve; or, where
there are too few edges, the spectrum: natural pictures fall off as a power of frequency, and where the measured
amplitude has fallen to half of what that power law would give, the resolution ends. A blurred picture ends early as
well: "holds 480 lines" does not say why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forensic.estimation.estimate import Answer, Estimate, NotDetermined, value_of
from forensic.estimation.sampling import Group

_SEGMENT = 128
_FIT_LOW, _FIT_HIGH = 2.0 / _SEGMENT, 0.075
_SLOPES = (0.9, 2.4)  # of the power spectrum of the lines of natural pictures
_HALF = 0.5
_MOST_FACTOR = 6.0
# Half-width of the stated interval of ln(resolution), set on the simulator (docs/estimation.md).
_LOG_SPREAD, _LOG_SPREAD_SPECTRUM = 0.35, 0.9
_NATIVE_WIDTH = 0.55  # of an edge that is as sharp as its pixels, after interpolation, in pixels of the smaller picture
_TRACE_ALONE, _TRACE_BOTH = 14.0, 8.0
_CLEAR = 0.2  # of the logarithm of an edge's width


@dataclass(frozen=True)
class AxisResolution:
    """Along one axis: ``samples`` there are, ``held``: how many hold the detail; ``factor``: traced enlargement."""

    samples: int
    held: Answer
    factor: Answer

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {"samples": self.samples, "held": self.held.to_record(), "enlargement": self.factor.to_record()}


@dataclass(frozen=True)
class TrueResolution:
    """Along columns (``x``) and lines (``y``)."""

    x: AxisResolution
    y: AxisResolution

    @property
    def enlarged(self) -> float | None:
        """The traced enlargement, if both axes agree on one within three percent, or one axis alone shows one."""
        across, down = value_of(self.x.factor), value_of(self.y.factor)
        if across is not None and down is not None and abs(across / down - 1.0) > 0.03:
            return None
        return across if across is not None else down

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "columns": self.x.to_record(),
            "lines": self.y.to_record(),
            "means": "a picture of that size would hold the detail; it does not say what limited it",
        }


def estimate_resolution(
    groups: Sequence[Group],
    noise_sigma: float | None = None,
    width_x: Answer | None = None,
    width_y: Answer | None = None,
    blocks: bool = False,
) -> TrueResolution:
    """Resolution of the frames of ``groups`` (the first of each: neighbours hold the same).

    ``noise_sigma``: of white noise in the picture, grey levels; it is taken off the spectrum. ``width_x``,
    ``width_y``: blur across columns and rows, from :func:`~forensic.estimation.pointspread.estimate_point_spread`.
    ``blocks``: there is a block grid, whose lines are left out generously.
    """
    frames = [group[0].levels for group in groups]
    turned = [frame.T for frame in frames]
    lines_x = _lines(frames, value_of(width_x), blocks)
    lines_y = _lines(turned, value_of(width_y), blocks)
    # A period along one axis alone may be a fence; a picture is enlarged along both, mostly by the same factor.
    pairs = [(a, b) for a in lines_x for b in lines_y if abs(a.frequency / b.frequency - 1.0) < 0.03]
    if pairs:
        best_x, best_y = max(pairs, key=lambda pair: pair[0].score + pair[1].score)
        both = tuple(
            factor for factor in best_x.factors if any(abs(factor / one - 1.0) < 0.03 for one in best_y.factors)
        )
        if len(both) == 1:  # the edges along one axis settle it for the other
            best_x, best_y = (replace(best, factors=_nearest(best, both[0])) for best in (best_x, best_y))
        lines_x, lines_y = [best_x], [best_y]
    else:
        lines_x, lines_y = ([line for line in lines if line.score >= _TRACE_ALONE][:1] for lines in (lines_x, lines_y))
    return TrueResolution(_axis(frames, noise_sigma, lines_x, width_x), _axis(turned, noise_sigma, lines_y, width_y))


@dataclass(frozen=True)
class _Line:
    factors: tuple[float, ...]
    score: float
    frequency: float
    samples: int

    @property
    def error(self) -> float:
        """Of the enlargement, in times."""
        return 0.9 / self.samples / max(self.score / 4.0, 1.0) * self.factors[0] ** 2 + 2e-3


def _axis(
    frames: Sequence[np.ndarray], sigma: float | None, lines: Sequence[_Line], width: Answer | None
) -> AxisResolution:
    samples = frames[0].shape[1] if frames else 0
    if not frames or samples < _SEGMENT or frames[0].shape[0] < 16:
        small = NotDetermined(f"fewer than {_SEGMENT} samples along this axis")
        return AxisResolution(samples, small, small)
    factor: Answer = NotDetermined("no period of interpolation stands out")
    if lines and len(lines[0].factors) == 1:
        line = lines[0]
        (times,) = line.factors
        method = (
            f"period of the second difference's variance (line at {line.frequency:.4f} per sample, "
            f"{line.score:.1f} times the background)"
        )
        factor = Estimate(times, times - line.error, times + line.error, "times", method, len(frames))
        held = Estimate(samples / times, samples / (times + line.error), samples / (times - line.error),
                        "samples", "traced enlargement", len(frames))  # fmt: skip
        return AxisResolution(samples, held, factor)
    if lines:
        either = " or ".join(f"{times:.3f}" for times in lines[0].factors)
        factor = NotDetermined(f"enlarged by {either}; the edges do not tell which")
    if isinstance(width, Estimate):
        share, spread = min(_NATIVE_WIDTH / width.value, 1.0), _LOG_SPREAD
        method, count = "width of the edges", width.samples
    else:
        cut = spectral_cut_off(frames, sigma)
        if cut is None:
            reason = "there are too few edges, and too little detail for the spectrum to be judged"
            return AxisResolution(samples, NotDetermined(reason), factor)
        share, spread = min(2.0 * cut, 1.0), _LOG_SPREAD_SPECTRUM
        method, count = "half modulation of the spectrum", len(frames)
    low, high = samples * share * np.exp(-spread), min(samples * share * np.exp(spread), samples)
    answer = Estimate(samples * share, float(low), float(high), "samples", method, count,
                      bound="lower" if share >= 1.0 else None)  # fmt: skip
    return AxisResolution(samples, answer, factor)


def line_spectrum(frames: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(frequency in cycles per sample, power per sample) along rows; Welch's method, Hann window, all rows."""
    window = np.hanning(_SEGMENT).astype(np.float32)
    norm = float(np.sum(window**2))
    total = np.zeros(_SEGMENT // 2 + 1)
    count = 0
    for frame in frames:
        for start in range(0, frame.shape[1] - _SEGMENT + 1, _SEGMENT // 2):
            part = frame[:, start : start + _SEGMENT]
            part = (part - part.mean(axis=1, keepdims=True)) * window
            total += np.mean(np.abs(np.fft.rfft(part, axis=1)) ** 2, axis=0) / norm
            count += 1
    return np.fft.rfftfreq(_SEGMENT), total / max(count, 1)


def spectral_cut_off(frames: Sequence[np.ndarray], sigma: float | None) -> float | None:
    """Frequency (cycles per sample) of half modulation, 0.5 if it is not reached; None without enough detail."""
    frequency, power = line_spectrum(frames)
    floor = (sigma or 0.0) ** 2 + 1.0 / 12.0
    fit = (frequency >= _FIT_LOW) & (frequency <= _FIT_HIGH)
    if float(power[fit].min()) < 8.0 * floor:
        return None
    slope, intercept = np.polyfit(np.log(frequency[fit]), np.log(power[fit]), 1)
    if -slope > _SLOPES[1]:
        return None  # blurred so much that the fall-off begins below the frequencies of the fit
    bounded = -max(-slope, _SLOPES[0])
    if bounded != slope:
        intercept = float(np.mean(np.log(power[fit]) - bounded * np.log(frequency[fit])))
    expected = np.exp(intercept) * frequency[1:] ** bounded
    modulation = np.sqrt(np.maximum(power[1:] - floor, 0.0) / expected)
    smooth = np.convolve(np.pad(modulation, 2, mode="edge"), np.full(5, 0.2), "valid")
    beyond = frequency[1:] > _FIT_HIGH
    below = np.flatnonzero((smooth < _HALF) & beyond)
    if below.size == 0:
        return 0.5
    place = int(below[0])
    before, after = smooth[place - 1], smooth[place]
    part = (before - _HALF) / max(before - after, 1e-9)
    step = frequency[1]
    return float(frequency[1:][place - 1] + np.clip(part, 0.0, 1.0) * step)


def _lines(frames: Sequence[np.ndarray], width: float | None, blocks: bool) -> list[_Line]:
    """Lines in the spectrum of the second difference that stand out, as enlargements, the strongest first."""
    if not frames or frames[0].shape[1] < _SEGMENT:
        return []
    profile = np.mean([_second_difference(frame) for frame in frames], axis=0)
    length = profile.size
    smooth = np.array([np.median(profile[max(0, i - 15) : i + 16]) for i in range(length)])
    relative = np.clip(profile / np.maximum(smooth, 1e-3) - 1.0, -0.5, 0.5)
    for phase in range(16):  # coded blocks have lines of their own at all multiples of 1/16
        relative[phase::16] -= relative[phase::16].mean()
    padded = 8 * length
    amplitude = np.abs(np.fft.rfft((relative - relative.mean()) * np.hanning(length), padded))
    frequency = np.fft.rfftfreq(padded)
    band = 4.0 / length
    scale = float(np.median(amplitude[frequency > 0.05])) / 1.1774  # the median of Rayleigh's law in its sigma
    score = amplitude / max(scale, 1e-9)
    # A grid whose strength varies over the picture has broad lines.
    for multiple in range(9):
        broad = 0.012 if blocks and multiple % 2 == 0 else band
        score[np.abs(frequency - multiple / 16.0) < broad] = 0.0
    score[frequency < 0.07] = 0.0  # scenes have structure of their own there
    found = []
    for _ in range(3):
        place = int(np.argmax(score))
        height = float(score[place])
        if height < _TRACE_BOTH:
            break
        line = float(frequency[place])
        found.append(_Line(_factors_of(line, width), height, line, length))
        score[np.abs(frequency - line) < band] = 0.0
    return found


def _nearest(line: _Line, factor: float) -> tuple[float, ...]:
    return (min((1.0 / line.frequency, 1.0 / (1.0 - line.frequency)), key=lambda one: abs(one - factor)),)


def _factors_of(line: float, width: float | None) -> tuple[float, ...]:
    """Enlargements by which a line can have come about: 1 / line, 1 / (1 - line) below two, or both.

    Both leave the same line; the width of the edges tells them apart where it lies clearly on one side of what
    lies between them, and the scene was not blurred before.
    """
    large, small = 1.0 / line, 1.0 / (1.0 - line)
    if large > _MOST_FACTOR:
        return (small,)
    if width is None:
        return small, large
    lean = float(np.log(width / (_NATIVE_WIDTH * np.sqrt(large * small))))
    if abs(lean) < min(_CLEAR, 0.45 * float(np.log(large / small))):
        return small, large
    return (small,) if lean < 0.0 else (large,)


def _second_difference(frame: np.ndarray) -> np.ndarray:
    second = np.abs(frame[:, :-2] - 2.0 * frame[:, 1:-1] + frame[:, 2:])
    return np.asarray(np.minimum(second, 12.0).mean(axis=0))
