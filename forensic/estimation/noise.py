"""Noise level and gain curve: variance against grey level, from the flattest blocks of every level.

A Poisson-Gaussian sensor has variance = gain x level + offset (Foi, Trimeche, Katkovnik, Egiazarian, IEEE TIP 17,
2008). Variance is taken from Immerkaer's residual (CVIU 64, 1996), to which planes and parabolas do not
contribute, in blocks; within a band of levels the blocks that carry texture lie above those that carry noise
alone, so that the noise is read off the lower tail of the blocks' variances, whose place is known from the
chi-square law once the share of flat blocks is (found by iteration).

Where nothing is predicted from frame to frame, the difference of neighbouring frames is used as well: it holds
no texture at all where nothing moves. Coding removes noise that is weak against its quantiser step. What is left,
in units of the step, tells what there was, as measured on the simulator with FFmpeg's encoders; below a third
of the step it could as well be texture, and the answer is a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from forensic.estimation.estimate import Answer, Estimate, NotDetermined
from forensic.estimation.sampling import Group

BLOCK = 16
_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6.0  # unit gain for white noise
# Degrees of freedom of a block's mean square residual: samples over the sum of squared autocorrelations.
_FREEDOM = BLOCK * BLOCK / (70.0 / 36.0) ** 2
_ROUNDING = 1.0 / 12.0
_BAND = 16
_FEWEST_BLOCKS = 24
_TAIL = 0.08
_DEAD_SHARE = 0.5
_CLIP_LOW, _CLIP_HIGH = 4.0, 251.0
# Half-widths of the stated intervals, set so that they cover COVERAGE on the simulator (docs/estimation.md).
_LOG_SIGMA_BELOW, _LOG_SIGMA_ABOVE = 0.14, 0.12
_TEXTURE = 2.2  # grey levels that the flattest blocks of a picture without flat blocks may hold
_GAIN_SPREAD = 0.035
_LOG_TRANSFER, _LOG_TRANSFER_FINE = 0.25, 0.2
_LEAST_SIGMA = 0.3
_UNKNOWN_STEP = NotDetermined("the pictures were coded, how coarsely is not known: noise may have been removed")
_METHOD = "lower tail of block variances of Immerkaer's residual"
# Noise left after coding and noise before it, both in quantiser steps (measured: docs/estimation.md).
_TRANSFER = {
    "h264": (np.array([0.1, 0.125, 0.175, 0.25, 0.35, 0.5, 0.7, 1.0]),
             np.array([0.31, 0.35, 0.40, 0.43, 0.50, 0.60, 0.73, 1.0])),
    "mpeg": (np.array([0.1, 0.175, 0.35, 0.45, 0.7, 1.0, 1.5]), np.array([0.47, 0.53, 0.7, 0.8, 1.03, 1.35, 1.77])),
}  # fmt: skip
_LEAST_SHARE, _MOST_DEAD = 0.3, 0.15
_SURVIVES = (0.42, 0.55)  # steps: noise that is stronger leaves more than a tenth of a step


@dataclass(frozen=True)
class NoiseLevel:
    """Noise of the decoded picture, in grey levels of the 8-bit scale.

    ``sigma``: standard deviation of the sensor's noise at ``level``, the median level of the picture. ``left``: of
    what is left of it in the decoded pictures. ``gain``: rise of the variance per grey level. ``curve``:
    (level, variance, blocks) of the decoded pictures. ``dead_share``: share of blocks without any residual.
    """

    sigma: Answer
    left: Answer
    gain: Answer
    level: float
    curve: tuple[tuple[float, float, int], ...]
    dead_share: float
    temporal: bool

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "sigma": self.sigma.to_record(),
            "left_in_the_picture": self.left.to_record(),
            "gain": self.gain.to_record(),
            "level": round(self.level, 2),
            "curve": [{"level": round(at, 1), "variance": round(v, 4), "blocks": n} for at, v, n in self.curve],
            "dead_share": round(self.dead_share, 4),
            "between_frames": self.temporal,
        }


@dataclass(frozen=True)
class _Blocks:
    level: np.ndarray
    variance: np.ndarray
    dead: np.ndarray


def estimate_noise(
    groups: Sequence[Group],
    step: float | None = None,
    inter_coded: bool | None = None,
    scale: str | None = None,
    coded: bool = False,
) -> NoiseLevel:
    """Noise over all frames of ``groups``.

    ``step``: quantiser step of the coding in grey levels (orthonormal transform), where known, on ``scale``
    (``h264``, ``mpeg`` or ``jpeg``). ``inter_coded``: whether frames are predicted from one another; None if
    unknown, which is then judged by the blocks that do not change at all. ``coded``: the pictures were coded with
    loss, by a step that is not known if ``step`` is None.
    """
    spatial: list[_Blocks] = []
    temporal: list[_Blocks] = []
    for group in groups:
        residuals = [_residual(one.levels) for one in group]
        for number, (one, residual) in enumerate(zip(group, residuals, strict=True)):
            spatial.append(_blocks(one.levels, residual))
            if number and not np.array_equal(residuals[number - 1], residual):
                between = (residual - residuals[number - 1]) * np.float32(0.5**0.5)
                temporal.append(_blocks(one.levels, between))
    blocks = _joined(spatial)
    if blocks.level.size < _FEWEST_BLOCKS:
        nothing = NotDetermined("the picture is too small, or almost all of it is clipped")
        return NoiseLevel(nothing, nothing, nothing, 0.0, (), 0.0, False)
    dead_share = float(blocks.dead.mean())
    level = float(np.median(blocks.level))
    sources = [blocks]
    between_blocks = _joined(temporal) if temporal else None
    use_temporal = between_blocks is not None and inter_coded is not True and float(between_blocks.dead.mean()) < 0.02
    if use_temporal and between_blocks is not None:
        sources.append(between_blocks)
    curve = _curve(sources)
    if not curve:
        nothing = NotDetermined(
            f"{dead_share:.0%} of the blocks carry no fine detail at all: compression or a filter removed the noise"
        )
        return NoiseLevel(_removed(step) or nothing, nothing, nothing, level, (), dead_share, use_temporal)
    gain, offset, gain_error = _line(curve)
    variance = max(offset + gain * level, 0.0)
    sigma = float(np.sqrt(variance))
    count = sum(n for _, _, n in curve)
    # The flattest blocks may hold a little texture.
    low = float(np.sqrt(max(variance - _TEXTURE**2, 0.0)) * np.exp(-_LOG_SIGMA_BELOW))
    high = sigma * float(np.exp(_LOG_SIGMA_ABOVE))
    left = Estimate(sigma, low, high, "grey levels",
                    _METHOD + (", within and between frames" if use_temporal else ""), count,
                    calibrated=step is None and not coded)  # fmt: skip
    return NoiseLevel(
        _UNKNOWN_STEP if coded and step is None else _sensor_noise(left, step, scale or "h264", dead_share), left,
        _UNKNOWN_STEP if coded and step is None else _gain_answer(gain, gain_error, curve, dead_share, step, sigma),
        level, tuple(curve), dead_share, use_temporal,
    )  # fmt: skip


def _residual(levels: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.filter2D(levels, cv2.CV_32F, _MASK, borderType=cv2.BORDER_REFLECT))


def _tiles(plane: np.ndarray) -> np.ndarray:
    rows, columns = plane.shape[0] // BLOCK, plane.shape[1] // BLOCK
    cut = plane[: rows * BLOCK, : columns * BLOCK]
    return cut.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(rows * columns, BLOCK * BLOCK)


def _blocks(levels: np.ndarray, residual: np.ndarray) -> _Blocks:
    tiles, fine = _tiles(levels), _tiles(residual)
    if not tiles.size:
        return _Blocks(np.zeros(0), np.zeros(0), np.zeros(0, bool))
    usable = (tiles.min(axis=1) >= _CLIP_LOW) & (tiles.max(axis=1) <= _CLIP_HIGH)
    tiles, fine = tiles[usable], fine[usable]
    dead = np.mean(np.abs(fine) < 0.2, axis=1) > _DEAD_SHARE
    return _Blocks(tiles.mean(axis=1), np.mean(fine * fine, axis=1), dead)


def _joined(parts: Sequence[_Blocks]) -> _Blocks:
    return _Blocks(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("level", "variance", "dead")))


def _floor(variances: np.ndarray) -> float:
    """Variance of the flat blocks among ``variances``, from their lower tail."""
    ordered = np.sort(variances)
    spread = np.sqrt(2.0 / _FREEDOM)
    share = 0.5
    floor = 0.0
    for _ in range(6):
        place = min(0.5, _TAIL / max(share, 2 * _TAIL))
        floor = float(np.quantile(ordered, _TAIL)) / max(1.0 + spread * _normal_quantile(place), 0.3)
        share = max(float(np.mean(ordered < floor * (1.0 + 2.0 * spread))), 2 * _TAIL)
    return floor


def _normal_quantile(share: float) -> float:
    """Of the standard normal law; Tukey's lambda approximation, within 0.01 where it is used."""
    return float((share**0.135 - (1.0 - share) ** 0.135) / 0.1975)


def _curve(sources: Sequence[_Blocks]) -> list[tuple[float, float, int]]:
    points = []
    for low in range(0, 256, _BAND):
        best: tuple[float, float, int] | None = None
        for blocks in sources:
            chosen = (blocks.level >= low) & (blocks.level < low + _BAND) & ~blocks.dead
            count = int(chosen.sum())
            if count < _FEWEST_BLOCKS:
                continue
            floor = max(_floor(blocks.variance[chosen]) - _ROUNDING, 0.0)
            if best is None or floor < best[1]:
                best = (float(blocks.level[chosen].mean()), floor, count)
        if best is not None:
            points.append(best)
    return points


def _line(curve: Sequence[tuple[float, float, int]]) -> tuple[float, float, float]:
    """(gain, offset, standard error of the gain): robust weighted line through the curve, gain not negative."""
    level, variance, count = (np.array(column, dtype=np.float64) for column in zip(*curve, strict=True))
    if level.size < 3 or np.ptp(level) < 2 * _BAND:
        return 0.0, float(np.average(variance, weights=count)), np.inf
    weight = np.minimum(count, 400) / (variance + 0.05) ** 2
    design = np.stack([level, np.ones_like(level)], axis=1)
    robust: np.ndarray = np.ones_like(level)
    solution: np.ndarray = np.zeros(2)
    for _ in range(10):
        scaled = weight * robust
        normal = design.T @ (design * scaled[:, None])
        solution = np.linalg.solve(normal, design.T @ (scaled * variance))
        gap = variance - design @ solution
        scale = 1.4826 * float(np.median(np.abs(gap))) + 1e-6
        # Texture only adds: what lies above the line weighs less.
        robust = np.where(gap > scale, scale / np.maximum(gap, 1e-9), 1.0) ** 2
    gain, offset = float(solution[0]), float(solution[1])
    if gain < 0.0:
        gain, offset = 0.0, float(np.average(variance, weights=weight * robust))
    residual = variance - gain * level - offset
    centred = level - np.average(level, weights=weight * robust)
    error = np.sqrt(np.average(residual**2, weights=weight * robust) / max(level.size - 2, 1)) / np.sqrt(
        np.average(centred**2, weights=weight * robust)
    )
    return gain, offset, float(error)


def survives(sigma: float, step: float | None) -> bool:
    """Whether measured noise of ``sigma`` is strong enough against ``step`` to be all but untouched by the coding."""
    return step is None or sigma > step


def _sensor_noise(left: Estimate, step: float | None, scale: str, dead_share: float) -> Answer:
    """The noise before coding, from what is ``left`` of it."""
    if step is None:
        if dead_share < _DEAD_SHARE:
            high = max(left.high, _LEAST_SIGMA)
            return Estimate(left.value, left.low, high, left.unit, left.method, left.samples)
        return Estimate(left.value, left.low, max(left.high, 3.0 * left.value), left.unit,
                        left.method + "; much of the picture has no fine detail at all: noise was removed",
                        left.samples, bound="lower", calibrated=False)  # fmt: skip
    share = left.value / step
    before, after = _TRANSFER["mpeg" if scale == "mpeg" else "h264"]
    if share < _LEAST_SHARE or dead_share > _MOST_DEAD:
        high = max(_SURVIVES[scale == "mpeg"] * step, 1.25 * step * float(np.interp(share, before, after)), left.high)
        return Estimate(left.value, 0.0, high, left.unit, left.method + "; what the coding left", left.samples,
                        bound="lower")  # fmt: skip
    value = step * float(np.interp(share, before, after)) if share < before[-1] else left.value * after[-1] / before[-1]
    spread = _LOG_TRANSFER if share < 0.5 else _LOG_TRANSFER_FINE
    return Estimate(value, value * np.exp(-spread), value * np.exp(spread), left.unit,
                    left.method + "; what the coding removed is added", left.samples)  # fmt: skip


def _removed(step: float | None) -> Answer | None:
    if step is None:
        return None
    return Estimate(0.0, 0.0, _SURVIVES[1] * step, "grey levels", "nothing is left in the picture", 0, bound="lower")


def _gain_answer(
    gain: float, error: float, curve: Sequence[Any], dead: float, step: float | None, sigma: float
) -> Answer:
    if len(curve) < 4 or not np.isfinite(error):
        return NotDetermined("too few grey levels occur in flat places")
    if not survives(sigma, step) or dead >= 0.5:
        return NotDetermined("compression removed part of the noise, at dark and bright levels differently")
    half = 1.645 * float(np.hypot(error, _GAIN_SPREAD))
    return Estimate(gain, max(gain - half, 0.0), gain + half, "grey levels (variance per level)",
                    "robust line through variance against level", sum(n for _, _, n in curve))  # fmt: skip
