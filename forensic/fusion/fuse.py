"""Fusion of a window of frames into one picture of ``scale`` times the size. See docs/fusion.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import cv2
import numpy as np

from forensic.errors import UsageError
from forensic.fusion.agreement import LEAST_SHARE, Agreement, agreement
from forensic.fusion.crops import SCALE, Frame
from forensic.fusion.flow import dense
from forensic.fusion.interpolation import inside, sampled, shifted
from forensic.fusion.motion import Motion
from forensic.fusion.noise import ASSUMED_QUANTISER, looks_coded, noise_between, noise_of, step_of
from forensic.fusion.options import FrameReport, Fused, FusionOptions, SplitHalves
from forensic.fusion.piecewise import piecewise
from forensic.fusion.pointspread import likeliest_sigma
from forensic.fusion.registration import Model, register
from forensic.fusion.sampling import Canvas, ShiftedSampling
from forensic.fusion.scattered import ScatteredSampling
from forensic.fusion.solver import MOST_DOUBT, Effort, Observation, reconstruct
from forensic.fusion.tiling import Piece, in_pieces
from forensic.media.opencv import opencv

_MARGIN = 4  # low-resolution px
_LEAST_SIDE = 8  # px
_SAME_PHASE = 0.25  # px: from here on two frames sample the scene at different places


def fuse(window: Sequence[np.ndarray], at: int, options: FusionOptions | None = None) -> Fused:
    """Fuse the float32 luma planes of ``window`` (grey levels, one shape) into a picture of ``window[at]``.

    Raises ``UsageError``: ``fusion.window`` for a window that is empty, of different shapes, of another type or
    smaller than 8x8; ``fusion.options`` if there are quantisers or motions, but not one for every frame.
    """
    options = options or FusionOptions()
    frames, reports, source = _registered(window, at, options)
    return joined(frames, reports, window[at].shape, at, options, source)


def _registered(
    window: Sequence[np.ndarray], at: int, options: FusionOptions
) -> tuple[list[Frame], list[FrameReport], str]:
    """The frames that take part, what became of each, and where the quantisers are from."""
    _check(window, at, options)
    opencv()
    quantisers, source = quantisers_of(window, options)
    steps = [0.0 if qp is None else step_of(qp) for qp in quantisers]
    frames, reports = [], []
    for place, luma in enumerate(window):
        frame, report = _admitted(window[at], luma, place, at, steps[place], options)
        reports.append(replace(report, quantiser=quantisers[place]))
        if frame is not None:
            frames.append(frame)
    return frames, reports, source


def joined(
    frames: Sequence[Frame],
    reports: Sequence[FrameReport],
    shape: tuple[int, int],
    at: int,
    options: FusionOptions,
    source: str,
) -> Fused:
    """Fuse registered ``frames`` into a picture of a reference of ``shape``; ``source``: where quantisers are from."""
    together = _together(frames, reports, shape, at, options, source)
    halves = together.halves() if options.halves else None
    return Fused(
        together.picture(frames), together.weights, together.effective, halves, tuple(reports), together.report(),
        together.second(),
    )  # fmt: skip


def split_halves(window: Sequence[np.ndarray], at: int, options: FusionOptions | None = None) -> SplitHalves:
    """What :func:`fuse` with ``options.halves`` says of the same frames, without the picture of all of them.

    The halves, weights and report are those of :func:`fuse`, to the bit. Raises as it does.
    """
    options = options or FusionOptions()
    frames, reports, source = _registered(window, at, options)
    together = _together(frames, reports, window[at].shape, at, options, source)
    halves = together.halves() if options.halves else None
    why = "no frame at odd distance could be used" if options.halves else "not asked for"
    return SplitHalves(halves, None if halves else why, together.weights, together.effective, together.report())


@dataclass(frozen=True)
class _Together:
    """Registered frames with all that is the same for every picture that is made of them or of some of them."""

    frames: Sequence[Frame]
    reports: Sequence[FrameReport]
    shape: tuple[int, int]
    at: int
    options: FusionOptions
    source: str
    noise: float
    sigma: float
    errors: tuple[float, ...]

    def picture(self, frames: Sequence[Frame]) -> np.ndarray:
        """The picture that ``frames`` make."""
        return _solved(frames, self.options, self.noise, self.sigma, self.shape)

    def second(self) -> np.ndarray | None:
        """The picture with the second blur, without self-similarity; None where none was asked for."""
        sigma, options = self.options.second_sigma, replace(self.options, detail=False)
        return None if sigma is None else _solved(self.frames, options, self.noise, sigma, self.shape)

    def halves(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Pictures of the frames at even and at odd distance; None without any at odd distance."""
        even = [frame for frame in self.frames if frame.distance % 2 == 0]
        odd = [frame for frame in self.frames if frame.distance % 2 == 1]
        return (self.picture(even), self.picture(odd)) if odd else None

    @cached_property
    def weights(self) -> np.ndarray:
        """Weights of all frames of the window at the reference's pixels."""
        return _on_reference(self.frames, len(self.reports), self.at, self.shape)

    @cached_property
    def effective(self) -> np.ndarray:
        """Effective number of frames at the reference's pixels."""
        return _effective(self.weights)

    def report(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "scale": self.options.scale,
            "psf_sigma_px": round(self.sigma, 4),
            "psf_source": (
                "declared" if self.options.psf_sigma is not None else "estimated" if self.errors else "default"
            ),
            "psf_prediction_errors": list(self.errors),
            "noise": round(self.noise, 4),
            "noise_source": "estimated" if self.options.noise is None else "declared",
            "quantiser_source": self.source,
            "motion_source": "given" if self.options.motions else "estimated",
            "strength": self.options.strength,
            "frames_used": len(self.frames),
            "repeating_frames": round(repeated_evenly(self.frames, self.shape), 4),
            "effective_frames": round(float(np.mean(self.effective, dtype=np.float64)), 4),
            "single_frame_share": round(float(np.mean(self.effective < 1.5)), 4),
            "frames": [each.to_record(self.shape) for each in self.reports],
        }


def _together(
    frames: Sequence[Frame],
    reports: Sequence[FrameReport],
    shape: tuple[int, int],
    at: int,
    options: FusionOptions,
    source: str,
) -> _Together:
    noise = noise_of([frame.y for frame in frames]) if options.noise is None else options.noise
    plain = partial(_solved, options=replace(options, scale=SCALE, detail=False), noise=noise)
    sigma, errors = _point_spread(frames, options, plain)
    if options.noise is None:
        noise = noise_between(frames, lambda some, width: plain(some, sigma=width), sigma) or noise
    return _Together(frames, reports, shape, at, options, source, noise, sigma, errors)


def _point_spread(
    frames: Sequence[Frame], options: FusionOptions, plain: Callable[..., np.ndarray]
) -> tuple[float, tuple[float, ...]]:
    if options.psf_sigma is not None:
        return options.psf_sigma, ()
    return likeliest_sigma(frames, lambda some, sigma: plain(some, sigma=sigma))


def _check(window: Sequence[np.ndarray], at: int, options: FusionOptions) -> None:
    if not 0 <= at < len(window):
        raise UsageError("fusion.window", f"There is no frame {at} in a window of {len(window)} frames.")
    shapes = {plane.shape for plane in window}
    if len(shapes) != 1 or window[at].ndim != 2 or any(plane.dtype != np.float32 for plane in window):
        raise UsageError("fusion.window", "Fusion needs float32 luma planes of one size.")
    if min(window[at].shape) < _LEAST_SIDE:
        raise UsageError("fusion.window", f"A picture of {window[at].shape} pixels is too small to be fused.")
    if options.quantisers and len(options.quantisers) != len(window):
        raise UsageError("fusion.options", f"{len(options.quantisers)} quantisers for {len(window)} frames.")
    if options.motions and len(options.motions) != len(window):
        raise UsageError("fusion.options", f"{len(options.motions)} motions for {len(window)} frames.")


def quantisers_of(window: Sequence[np.ndarray], options: FusionOptions) -> tuple[tuple[float | None, ...], str]:
    """QP of every frame of ``window``, and where it is from: as declared, or assumed if the pictures look coded."""
    if options.quantisers:
        return options.quantisers, "declared"
    if looks_coded(window):
        return (ASSUMED_QUANTISER,) * len(window), "assumed: the finest detail is missing, as after coding"
    return (None,) * len(window), "none: the finest detail is there"


def _admitted(
    reference: np.ndarray, luma: np.ndarray, place: int, at: int, step: float, options: FusionOptions
) -> tuple[Frame | None, FrameReport]:
    if place == at:
        still = Motion.shift(0.0, 0.0)
        return Frame(place, 0, luma, still, np.ones_like(luma), step), FrameReport(place, still, 1.0, None)
    motion, residual = _global_motion(reference, luma, place, options)
    if motion is None:
        return None, FrameReport(place, None, 0.0, "no motion given" if options.motions else "no registration")
    if max(map(abs, motion.displacement(luma.shape))) > options.largest_shift:
        return None, FrameReport(place, motion, 0.0, "shift too large", residual=residual)
    if not options.motions and options.registration == "mesh":
        motion = piecewise(reference, luma, motion)
    elif not options.motions and options.registration == "flow":
        motion = dense(reference, luma, motion)
    match: Agreement = agreement(reference, luma, motion, step)
    light = match.light
    rejected = "does not match" if match.share < LEAST_SHARE else None
    report = FrameReport(place, motion, match.share, rejected, light.gain, light.offset, residual=residual)
    if rejected is not None:
        return None, report
    return Frame(place, abs(place - at), light.applied(luma), motion, match.weight, step), report


def _global_motion(
    reference: np.ndarray, luma: np.ndarray, place: int, options: FusionOptions
) -> tuple[Motion | None, float | None]:
    """Motion of frame ``place``, as given or as found, with what it leaves unexplained where it was found."""
    if options.motions:
        return options.motions[place], None
    model: Model = "homography" if options.registration in ("mesh", "flow") else options.registration  # type: ignore[assignment]
    found = register(reference, luma, model)
    return (None, None) if found is None else (found.motion, found.residual)


def _solved(
    frames: Sequence[Frame], options: FusionOptions, noise: float, sigma: float, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """The picture of a reference of ``shape`` (by default that of the nearest frame) that ``frames`` make.

    At scale 1 it is made at ``SCALE`` and averaged: optics act on finer things than pixels, and a blur narrower than a
    pixel is none where there is nothing finer.
    """
    scale = SCALE if options.scale == 1 else options.scale
    nearest = min(frames, key=lambda frame: frame.distance)
    shape = shape or nearest.y.shape
    aligned = nearest.y if nearest.distance == 0 else sampled(nearest.y, *nearest.motion.places_in_frame(shape))
    effort = Effort() if options.detail else Effort(rounds=0)
    even = repeated_evenly(frames, shape) if options.even_priors else None
    repeats = repeated(frames, shape)
    most = MOST_DOUBT if even is None else np.inf

    def make(piece: Piece) -> np.ndarray:
        canvas = Canvas(piece.bottom - piece.top, piece.right - piece.left, scale, _MARGIN)
        seen = [_observed(frame, piece, canvas, sigma * scale) for frame in frames]
        start = cv2.copyMakeBorder(piece.of(aligned), _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_REFLECT)
        start = cv2.resize(start, (canvas.shape[1], canvas.shape[0]), interpolation=cv2.INTER_CUBIC)
        used = [each for each in seen if each is not None]
        again = _on_canvas(piece.of(repeats), canvas) if even is None else even
        made = reconstruct(canvas, used, start, noise, effort, options.strength, again, most)
        part = np.ascontiguousarray(canvas.cut(made))
        if scale == options.scale:
            return part
        size = (options.scale * canvas.width, options.scale * canvas.height)
        return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA))

    return in_pieces(shape[0], shape[1], options.scale, options.tile, make)


def repeated(frames: Sequence[Frame], shape: tuple[int, int]) -> np.ndarray:
    """How many of ``frames`` sample the scene where the reference does, at each of its pixels: float32 of ``shape``.

    That is, frames that are displaced by whole pixels, or not at all, as far as they show there what it shows.
    """
    total = np.zeros(shape, np.float32)
    for frame in frames:
        if again := _sameness(frame, shape):
            total += np.float32(again) * _weight_on_reference(frame, shape)
    return total


def repeated_evenly(frames: Sequence[Frame], shape: tuple[int, int]) -> float:
    """:func:`repeated` as one number for the whole picture."""
    return sum(_sameness(frame, shape) * float(np.mean(frame.weight, dtype=np.float64)) for frame in frames)


def _sameness(frame: Frame, shape: tuple[int, int]) -> float:
    """1 for a frame that samples the scene where the reference does, 0 for one that does not, and for the reference."""
    if not frame.distance:
        return 0.0
    off = max(abs(move - round(move)) for move in frame.motion.displacement(shape))
    return max(0.0, 1.0 - off / _SAME_PHASE)


def _on_canvas(values: np.ndarray, canvas: Canvas) -> np.ndarray:
    """``values`` of a piece's low-resolution pixels at every pixel of its canvas, the edge repeated in the margin."""
    wider = cv2.copyMakeBorder(values, *(canvas.margin,) * 4, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(wider, (canvas.shape[1], canvas.shape[0]), interpolation=cv2.INTER_LINEAR))


def _observed(frame: Frame, piece: Piece, canvas: Canvas, sigma: float) -> Observation | None:
    """``frame`` as it bears on a piece of the picture: its pixels whose footprints lie on the piece's canvas."""
    shape = frame.y.shape
    shift = frame.motion.as_shift(shape)
    if shift is not None:
        spans = [
            slice(max(0, int(np.floor(low + move)) - _MARGIN), max(0, min(length, int(np.ceil(high + move)) + _MARGIN)))
            for low, high, move, length in (
                (piece.top, piece.bottom, shift[1], shape[0]),
                (piece.left, piece.right, shift[0], shape[1]),
            )
        ]
        y = frame.y[spans[0], spans[1]]
        if y.size == 0:
            return None
        x0, y0 = spans[1].start - shift[0] - piece.left, spans[0].start - shift[1] - piece.top
        placed = ShiftedSampling(canvas, sigma, x0, y0, y.shape)
        weight = np.zeros(y.shape, np.float32)
        weight[placed.covered] = frame.weight[spans[0], spans[1]][placed.covered]
        return Observation(np.ascontiguousarray(y), placed, weight, frame.step)
    columns, rows = frame.motion.places_in_reference(shape)
    columns, rows = columns - np.float32(piece.left), rows - np.float32(piece.top)
    near = inside(columns + _MARGIN, rows + _MARGIN, (canvas.height + 2 * _MARGIN, canvas.width + 2 * _MARGIN))
    if not near.any():
        return None
    used_rows, used_columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    box = (slice(used_rows[0], used_rows[-1] + 1), slice(used_columns[0], used_columns[-1] + 1))
    scattered = ScatteredSampling(canvas, sigma, columns[box], rows[box], frame.motion.magnification(shape))
    return Observation(np.ascontiguousarray(frame.y[box]), scattered, frame.weight[box] * scattered.covered, frame.step)


def _on_reference(frames: Sequence[Frame], count: int, at: int, shape: tuple[int, int]) -> np.ndarray:
    """Weights of all ``count`` frames at the reference's pixels, float32 (count, rows, columns)."""
    weights = np.zeros((count, *shape), np.float32)
    for frame in frames:
        weights[frame.place] = frame.weight if frame.place == at else _weight_on_reference(frame, shape)
    return weights


def _weight_on_reference(frame: Frame, shape: tuple[int, int]) -> np.ndarray:
    """The weight of ``frame`` at the pixels of a reference of ``shape``; 0 where the frame does not reach."""
    columns, rows = frame.motion.places_in_frame(shape)
    shift = frame.motion.as_shift(shape)
    if shift is not None and frame.weight.shape == shape:
        seen = shifted(frame.weight, *shift)
    else:
        seen = sampled(frame.weight, columns, rows)
    return np.asarray(np.clip(seen, 0.0, 1.0) * inside(columns, rows, frame.weight.shape), np.float32)


def _effective(weights: np.ndarray) -> np.ndarray:
    """Kish's effective number: (Σ w)² / Σ w² at every pixel."""
    total, square = weights.sum(axis=0), (weights * weights).sum(axis=0)
    return np.asarray(total * total / np.maximum(square, np.float32(1e-12)))
