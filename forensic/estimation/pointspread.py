"""Blur: width, shape, and the line of a motion, from edges and from the cepstrum.

Width. Along the normal of an isolated straight edge the gradient, after blurring with a Gaussian of known width, has
height A / sqrt(2 pi (s^2 + a^2)) for a step of height A seen through a point spread function of variance s^2. The
ratio of the heights at two widths a gives s^2 without A (Zhuo and Sim, "Defocus map estimation from a single
image", Pattern Recognition 44, 2011). Thin lines seem sharper, shadows and round edges softer than the blur;
the middle of the edges counts. Wide blurs are measured at half the size. Edges across x and y are taken apart.

Shape. A straight uniform motion and a defocus disc have zeros in their spectra at regular distances; their logarithm's
transform (cepstrum; Cannon, IEEE TASSP 24, 1976) has a negative peak at the motion's length and direction. A
disc's spectrum, averaged over all directions, has a dark ring at 0.61 / radius and rises again beyond it, which no
other blur's does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from forensic.estimation.edges import along, derivatives
from forensic.estimation.estimate import Answer, Estimate, NotDetermined
from forensic.estimation.sampling import Group

_FINE, _COARSE = 1.0, 2.0
_DIRECTIONS = 8
_FEWEST_EDGES = 60
_SHARE = 0.45  # quantile of the edges' variances: lines and texture lie below, shadows and round edges above
_WIDE = 1.7  # standard deviation above which edges are measured at half the size
_LEAST_HEIGHT = 24.0  # step of an edge, grey levels
_TILE = 128
_CEPSTRAL_Z = 7.0
_REBOUND, _REBOUND_LOW = 0.45, 0.65  # rise of the log power beyond the first dark ring of a disc
_SHORTEST, _LONGEST = 7, 48
_FINE_STEP = 3.0
PIXEL_VARIANCE = 1.0 / 12.0  # of a photosite's square aperture, along either axis
# Set on the simulator (docs/estimation.md): half-width of ln(width), degrees, half-width of ln(length).
_LOG_WIDTH_BELOW, _LOG_WIDTH_ABOVE = 0.25, 0.2
_LOG_WIDTH_CODED = 0.45  # above, for wide blurs under coding, which sharpens them
_SOFT_SCENE = 0.9  # scenes without sharp edges look like this through sharp optics
_LEAST_WIDTH = 0.65  # below it sampling decides, and the value is an upper bound
_ANGLE, _LOG_LENGTH, _LOG_RADIUS = 6.0, 0.12, 0.15


@dataclass(frozen=True)
class PointSpread:
    """Blur of the recorded picture, in its pixels, the pixel's own aperture included.

    ``width``: standard deviation along the sharper of the two principal axes; ``across_x``/``across_y``: along
    columns and rows. ``shape``: ``motion``, ``defocus``, ``no zeros`` (Gaussian or alike) or ``unknown``. ``angle`` in
    degrees counter-clockwise from the horizontal, 0 to 180, and ``length`` in pixels: of a motion.
    ``radius``: of a defocus disc.
    """

    shape: str
    width: Answer
    across_x: Answer
    across_y: Answer
    angle: Answer
    length: Answer
    radius: Answer
    edges: int

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "shape": self.shape,
            "sigma": self.width.to_record(),
            "sigma_x": self.across_x.to_record(),
            "sigma_y": self.across_y.to_record(),
            "motion_angle": self.angle.to_record(),
            "motion_length": self.length.to_record(),
            "defocus_radius": self.radius.to_record(),
            "edges": self.edges,
        }


def estimate_point_spread(
    groups: Sequence[Group], noise_sigma: float | None = None, step: float | None = None
) -> PointSpread:
    """Blur in the frames of ``groups`` (the first of each).

    ``noise_sigma`` in grey levels sets the least edge. ``step``: quantiser step of the coding in grey levels,
    None if the pictures were not coded: coding fills zeros of the spectrum, so that their absence then says nothing.
    """
    frames = [group[0].levels for group in groups]
    width, across_x, across_y, count = _widths(frames, noise_sigma or 1.0, (step or 0.0) > _FINE_STEP)
    no_motion = NotDetermined("no line of zeros stands out in the spectrum")
    no_disc = NotDetermined("no ring of zeros stands out in the spectrum")
    cepstrum = _cepstrum(frames)
    motion = None if cepstrum is None else _motion(cepstrum)
    if motion is not None:
        length, angle, score = motion
        return PointSpread(
            "motion", width, across_x, across_y,
            Estimate(angle, angle - _ANGLE, angle + _ANGLE, "degrees",
                     f"cepstrum, {score:.1f} deviations", len(frames)),
            Estimate(length, length * np.exp(-_LOG_LENGTH), length * np.exp(_LOG_LENGTH), "pixels",
                     f"cepstrum, {score:.1f} deviations", len(frames)), no_disc, count,
        )  # fmt: skip
    ring = _dark_ring(frames)
    if ring is not None:
        radius, rise = ring
        found = Estimate(radius, radius * np.exp(-_LOG_RADIUS), radius * np.exp(_LOG_RADIUS), "pixels",
                         f"first dark ring of the spectrum, {4.34 * rise:.1f} dB deep", len(frames))  # fmt: skip
        return PointSpread("defocus", width, across_x, across_y, no_motion, no_motion, found, count)
    shape = "no zeros" if isinstance(width, Estimate) and (step or 0.0) <= _FINE_STEP else "unknown"
    return PointSpread(shape, width, across_x, across_y, no_motion, no_motion, no_disc, count)


def _edges(frames: Sequence[np.ndarray], noise: float) -> tuple[np.ndarray, np.ndarray]:
    """(variance of the blur along the normal, direction of the normal in 0..pi) of every isolated edge."""
    variances, directions = [], []
    for levels in frames:
        if min(levels.shape) < 32:
            continue
        across, down = derivatives(levels, _FINE)
        wide_across, wide_down = derivatives(levels, _COARSE)
        height = np.hypot(across, down)
        least = max(_LEAST_HEIGHT, 12.0 * noise) / np.sqrt(2 * np.pi * (1.5**2 + _FINE**2))
        margin = 12
        inner = np.zeros(height.shape, bool)
        inner[margin:-margin, margin:-margin] = True
        rows, columns = np.nonzero((height > least) & inner)
        if rows.size == 0:
            continue
        here = height[rows, columns]
        ux, uy = across[rows, columns] / here, down[rows, columns] / here
        peak = (here >= along(across, down, rows, columns, ux, uy, 1.0)) & (
            here >= along(across, down, rows, columns, ux, uy, -1.0)
        )
        rows, columns, here, ux, uy = (part[peak] for part in (rows, columns, here, ux, uy))
        alone = np.ones(rows.size, bool)
        for distance in range(2, 9):
            for sign in (-1.0, 1.0):
                beside = along(across, down, rows, columns, ux, uy, sign * distance)
                # A line has its other edge near by; a sharpened edge swings back a little.
                alone &= beside > -0.15 * here
                if distance >= 5:
                    alone &= beside < 0.35 * here
        rows, columns, top, ux, uy = (part[alone] for part in (rows, columns, here, ux, uy))
        # The height between pixels: a parabola through three points along the normal.
        left, right = (along(across, down, rows, columns, ux, uy, distance) for distance in (-1.0, 1.0))
        top = top + (right - left) ** 2 / (8 * np.maximum(2 * top - left - right, 1e-3))
        wide = np.hypot(wide_across, wide_down)[rows, columns]
        ratio = np.clip((top / np.maximum(wide, 1e-3)) ** 2, 1.0 + 1e-3, None)
        variances.append((_COARSE**2 - ratio * _FINE**2) / (ratio - 1.0))
        directions.append(np.mod(np.arctan2(-uy, ux), np.pi))
    if not variances:
        return np.zeros(0), np.zeros(0)
    return np.concatenate(variances), np.concatenate(directions)


def _widths(frames: Sequence[np.ndarray], noise: float, coded: bool) -> tuple[Answer, Answer, Answer, int]:
    """Width over all edges, over those across x, over those across y; number of edges."""
    scale, added = 1.0, 0.0
    variances, directions = _edges(frames, noise)
    for _ in range(2):
        if variances.size >= _FEWEST_EDGES and np.quantile(variances, _SHARE) < _WIDE**2:
            break
        if not frames or min(frames[0].shape) < 64:
            break
        frames = [cv2.resize(f, (f.shape[1] // 2, f.shape[0] // 2), interpolation=cv2.INTER_AREA) for f in frames]
        halved, turned = _edges(frames, noise)
        if halved.size < _FEWEST_EDGES:
            break
        # Averaging two samples adds (4 - 1) / 12 of the then smaller pixel's variance.
        scale, added = 2.0 * scale, 4.0 * added + 3.0 / 12.0
        variances, directions = halved * scale**2 - added, turned
        if np.quantile(halved, _SHARE) < _WIDE**2:
            break
    few = NotDetermined(f"fewer than {_FEWEST_EDGES} isolated edges of enough contrast")

    def width(chosen: np.ndarray) -> Answer:
        if chosen.size < _FEWEST_EDGES:
            return few
        value = float(np.sqrt(max(float(np.quantile(chosen, _SHARE)), PIXEL_VARIANCE)))
        spread = 0.5 / np.sqrt(chosen.size)
        above = _LOG_WIDTH_CODED if coded and value > 1.4 else _LOG_WIDTH_ABOVE
        low, high = value * np.exp(-_LOG_WIDTH_BELOW - spread), value * np.exp(above + spread)
        if value < _SOFT_SCENE:
            low = PIXEL_VARIANCE**0.5
        fine = value < _LEAST_WIDTH
        return Estimate(value, PIXEL_VARIANCE**0.5 if fine else low, max(high, _LEAST_WIDTH) if fine else high,
                        "pixels (standard deviation)", "middle of the isolated edges", int(chosen.size),
                        bound="upper" if fine else None)  # fmt: skip

    away = np.minimum(directions, np.pi - directions)  # of the normal from the horizontal
    across_x, across_y = width(variances[away < np.pi / 6]), width(variances[away > np.pi / 3])
    return width(variances), across_x, across_y, int(variances.size)


def _cepstrum(frames: Sequence[np.ndarray]) -> np.ndarray | None:
    """Mean cepstrum of overlapping tiles, zero lag in the middle; None for pictures smaller than a tile."""
    window = np.outer(np.hanning(_TILE), np.hanning(_TILE)).astype(np.float32)
    total = np.zeros((_TILE, _TILE))
    count = 0
    for levels in frames:
        for top in range(0, levels.shape[0] - _TILE + 1, _TILE // 2):
            for left in range(0, levels.shape[1] - _TILE + 1, _TILE // 2):
                tile = levels[top : top + _TILE, left : left + _TILE]
                if float(tile.std()) < 4.0:
                    continue
                power = np.abs(np.fft.fft2((tile - tile.mean()) * window)) ** 2
                total += np.log(power + 1e-2 * float(np.median(power)) + 1e-3)
                count += 1
    if not count:
        return None
    log_power = np.fft.fftshift(total / count)
    place = np.arange(_TILE) - _TILE // 2
    radius = np.hypot(*np.meshgrid(place, place))
    # Beyond the Nyquist circle there are no zeros to see; fade it out, or its corners ring.
    centred = log_power - cv2.GaussianBlur(log_power, (0, 0), 9.0)
    centred *= np.clip((_TILE / 2 - radius) / 8.0, 0.0, 1.0)
    return np.asarray(np.fft.fftshift(np.real(np.fft.ifft2(np.fft.ifftshift(centred)))))


def _radius() -> np.ndarray:
    """Distance from zero lag, in samples, of every lag."""
    place = np.arange(_TILE) - _TILE // 2
    return np.hypot(*np.meshgrid(place, place))


def _deviation(values: np.ndarray) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) + 1e-12


def _motion(cepstrum: np.ndarray) -> tuple[float, float, float] | None:
    """(length, angle in degrees, score) of the deepest negative peak."""
    radius = _radius()
    place = np.arange(_TILE) - _TILE // 2
    x, y = np.meshgrid(place, place)
    # Block grids repeat at multiples of 8 along the axes.
    grid = ((np.abs(x) <= 1) & (y % 8 == 0)) | ((np.abs(y) <= 1) & (x % 8 == 0))
    smooth = cv2.GaussianBlur(cepstrum, (0, 0), 0.7)
    score = np.zeros_like(smooth)
    for near in range(_SHORTEST, _LONGEST):
        ring = (radius >= near - 0.5) & (radius < near + 0.5)
        wide = (radius >= near - 2.5) & (radius < near + 2.5)
        score[ring] = (np.median(smooth[wide]) - smooth[ring]) / _deviation(smooth[wide])
    score[grid] = 0.0
    top, left = np.unravel_index(int(np.argmax(score)), score.shape)
    best = float(score[top, left])
    if best < _CEPSTRAL_Z or not 1 <= top < _TILE - 1 or not 1 <= left < _TILE - 1:
        return None
    # Centre of gravity of the peak.
    weight = np.clip(score[top - 1 : top + 2, left - 1 : left + 2], 0.0, None)
    row = float((weight * np.arange(-1, 2)[:, None]).sum() / weight.sum()) + top - _TILE // 2
    column = float((weight * np.arange(-1, 2)[None, :]).sum() / weight.sum()) + left - _TILE // 2
    return float(np.hypot(row, column)), float(np.rad2deg(np.mod(np.arctan2(-row, column), np.pi))), best


def _dark_ring(frames: Sequence[np.ndarray]) -> tuple[float, float] | None:
    """(radius of the disc, rise of the log power beyond its first zero), None if the spectrum only falls."""
    total, count = np.zeros(_TILE // 2), 0
    window = np.outer(np.hanning(_TILE), np.hanning(_TILE)).astype(np.float32)
    place = np.arange(_TILE) - _TILE // 2
    x, y = np.meshgrid(place, place)
    bins = np.rint(np.hypot(x, y)).astype(np.intp)
    # Block grids and interlacing lie on the axes.
    inside = (bins < _TILE // 2) & (np.abs(x) > 3) & (np.abs(y) > 3)
    occupied = np.bincount(bins[inside], minlength=_TILE // 2)[: _TILE // 2]
    for levels in frames:
        for top in range(0, levels.shape[0] - _TILE + 1, _TILE // 2):
            for left in range(0, levels.shape[1] - _TILE + 1, _TILE // 2):
                tile = levels[top : top + _TILE, left : left + _TILE]
                if float(tile.std()) < 4.0:
                    continue
                power = np.fft.fftshift(np.abs(np.fft.fft2((tile - tile.mean()) * window)) ** 2)
                ring = np.bincount(bins[inside], weights=np.log(power[inside] + 1e-3), minlength=_TILE // 2)
                total += ring[: _TILE // 2] / np.maximum(occupied, 1)
                count += 1
    if not count:
        return None
    profile = np.convolve(np.pad(total / count, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    first, last = 7, _TILE // 2 - 4
    for ring_at in range(first, last):
        if profile[ring_at] > profile[ring_at - 3 : ring_at + 4].min():
            continue
        reach = min(int(1.6 * ring_at) + 1, _TILE // 2 - 1)
        rise = float(profile[ring_at:reach].max() - profile[ring_at])
        # Scenes with a scale of their own have slight rises at low frequencies.
        if rise > (_REBOUND_LOW if ring_at < 16 else _REBOUND):
            left, here, right = profile[ring_at - 1 : ring_at + 2]
            exact_place = ring_at + 0.5 * (left - right) / max(left - 2 * here + right, 1e-9)
            # What seems the first ring may be the second, at 1.117 / radius.
            first_at = round(0.546 * exact_place)
            if first_at >= 8:
                near = profile[first_at - 1 : first_at + 2]
                if near.min() + 0.3 < profile[first_at + 2 : ring_at].max():
                    exact_place = first_at - 1 + int(np.argmin(near))
            return 0.6098 * _TILE / float(exact_place), rise
    return None
