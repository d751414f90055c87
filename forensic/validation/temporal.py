"""How steady a clip is: tOF, warping error, flicker where nothing moves, jitter of the camera's path.

Clips are sequences of luma planes [H, W] of one shape, in grey levels of the 8-bit scale (0..255). Flow
is dense inverse search (T. Kroeger, R. Timofte, D. Dai, L. Van Gool, Fast Optical Flow using Dense
Inverse Search, ECCV 2016) on pictures rounded to 8 bits, one thread, without IPP: equal clips give equal
figures on one platform. ``flow[y, x] = (dx, dy)`` says: what the first picture shows at (x, y) the second
shows at (x + dx, y + dy).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from forensic.errors import UsageError
from forensic.media.opencv import opencv

Clip = Sequence[np.ndarray]
Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]

_LEAST_SIDE = 16  # pixels: below, neither flow nor registration means anything
_ROUNDS, _PRECISION = 60, 1e-5  # of the registration of enhanced correlation
_SMOOTHING = 5  # pixels, of the registration: it must see detail, not noise


def _checked(clip: Clip, least: int = 2) -> list[np.ndarray]:
    planes = [np.ascontiguousarray(plane, dtype=np.float32) for plane in clip]
    shapes = {plane.shape for plane in planes}
    if len(planes) < least or len(shapes) != 1 or planes[0].ndim != 2 or min(planes[0].shape) < _LEAST_SIDE:
        raise UsageError(
            "temporal.clip",
            f"{len(planes)} planes of {sorted(shapes)} are no clip that can be measured.",
            f"Give at least {least} luma planes of one shape, {_LEAST_SIDE} pixels or more on each side.",
        )
    return planes


def _paired(first: Clip, second: Clip) -> tuple[list[np.ndarray], list[np.ndarray]]:
    a, b = _checked(first), _checked(second)
    if len(a) != len(b) or a[0].shape != b[0].shape:
        raise UsageError(
            "temporal.clip",
            f"Clips of {len(a)} and {len(b)} pictures, {a[0].shape} and {b[0].shape}, cannot be compared.",
        )
    return a, b


def dense_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Flow from ``first`` to ``second``: float32 [H, W, 2] in pixels, (dx, dy)."""
    cv2 = opencv()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    one, two = (np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in (first, second))
    return np.asarray(search.calc(one, two, None), dtype=np.float32)


def warped(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """``picture`` taken where ``flow`` points: float32 [H, W]; the edge is repeated outside (mask it)."""
    cv2 = opencv()
    rows, columns = picture.shape
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    moved = cv2.remap(
        np.ascontiguousarray(picture, dtype=np.float32), x + flow[..., 0], y + flow[..., 1],
        cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(moved)


def followed(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Boolean [H, W]: where ``forward`` can be trusted: not occluded, not at a motion boundary, inside the picture.

    M. Ruder, A. Dosovitskiy, T. Brox, Artistic Style Transfer for Videos, GCPR 2016, section 4, equations 5
    and 6 (after N. Sundaram, T. Brox, K. Keutzer, Dense point trajectories, ECCV 2010), as Lai et al. use it.
    """
    back = np.stack([warped(backward[..., axis], forward) for axis in (0, 1)], axis=-1)
    length = np.sum(forward * forward, axis=-1)
    closes = np.sum((forward + back) ** 2, axis=-1) <= 0.01 * (length + np.sum(back * back, axis=-1)) + 0.5
    slopes = [np.gradient(forward[..., axis]) for axis in (0, 1)]
    bends = sum(np.asarray(slope) ** 2 for pair in slopes for slope in pair)
    rows, columns = forward.shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    x, y = x + forward[..., 0], y + forward[..., 1]
    inside = (x >= 0) & (x <= columns - 1) & (y >= 0) & (y <= rows - 1)
    return np.asarray(closes & (bends <= 0.01 * length + 0.002) & inside)


def t_of(result: Clip, truth: Clip, flow: Flow = dense_flow) -> float:
    """tOF: mean length (pixels) of the difference between the flows of ``result`` and of ``truth``; 0 is best.

    M. Chu, Y. Xie, J. Mayer, L. Leal-Taixé, N. Thuerey, Learning Temporal Coherence via Self-Supervision for
    GAN-based Video Generation (TecoGAN), ACM Transactions on Graphics 39 (2020), section 5; the length as in
    the authors' programs, with DIS instead of Farnebäck flow. Raises ``UsageError`` (``temporal.clip``).
    """
    a, b = _paired(result, truth)
    errors = [
        float(np.mean(np.linalg.norm(flow(a[i], a[i + 1]) - flow(b[i], b[i + 1]), axis=-1), dtype=np.float64))
        for i in range(len(a) - 1)
    ]
    return float(np.mean(errors))


@dataclass(frozen=True)
class WarpingError:
    """``rms``: grey levels; ``share``: part of all pixels that could be followed and was compared."""

    rms: float
    share: float

    @property
    def normalised(self) -> float:
        """Mean square on the scale 0..1, as Lai et al. print it."""
        return (self.rms / 255.0) ** 2


def warping_error(clip: Clip, motion: Sequence[np.ndarray] | None = None, flow: Flow = dense_flow) -> WarpingError:
    """Difference between each picture and the next one warped back onto it, where it can be followed.

    W.-S. Lai, J.-B. Huang, O. Wang, E. Shechtman, E. Yumer, M.-H. Yang, Learning Blind Video Temporal
    Consistency, ECCV 2018, equations 9 and 10. ``motion`` says whose motion is followed: a clip of the same
    shape (the clean footage, or the one that went in: a clip that flickers must not choose its own flow), or
    the known flows [H, W, 2] between consecutive pictures; None takes ``clip`` itself. Raises ``UsageError``
    (``temporal.clip``, ``temporal.nothing-followed``).
    """
    planes = _checked(clip)
    total, count = 0.0, 0
    known = motion is not None and len(motion) > 0 and motion[0].ndim == 3
    source = planes if motion is None or known else _paired(clip, motion)[1]
    for number in range(len(planes) - 1):
        if known and motion is not None:
            forward = motion[number]
            back = -np.stack([warped(forward[..., axis], -forward) for axis in (0, 1)], axis=-1)
            trusted = followed(forward, back)
        else:
            forward = flow(source[number], source[number + 1])
            trusted = followed(forward, flow(source[number + 1], source[number]))
        difference = (warped(planes[number + 1], forward) - planes[number])[trusted]
        total += float(np.sum(difference * difference, dtype=np.float64))
        count += difference.size
    if count == 0:
        raise UsageError("temporal.nothing-followed", "Nothing in the clip could be followed from picture to picture.")
    return WarpingError(math.sqrt(total / count), count / (planes[0].size * (len(planes) - 1)))


def static_region(clip: Clip, tolerance: float = 4.0, patch: int = 7) -> np.ndarray:
    """Boolean [H, W]: where nothing moves. Look at the clean clip, or at what went in, never at a result.

    A pixel is static if the mean of its ``patch`` x ``patch`` surroundings never departs from its own median
    over time by more than ``tolerance`` grey levels; the region is then drawn in by ``patch`` pixels.
    """
    cv2 = opencv()
    means = np.stack([cv2.blur(plane, (patch, patch), borderType=cv2.BORDER_REPLICATE) for plane in _checked(clip)])
    still = (np.abs(means - np.median(means, axis=0)).max(axis=0) <= tolerance).astype(np.uint8)
    return np.asarray(cv2.erode(still, np.ones((patch, patch), np.uint8))) > 0


@dataclass(frozen=True)
class Flicker:
    """Change over time where nothing moves, in grey levels.

    ``step``: mean absolute difference of consecutive pictures. ``deviation``: root of the mean (over pixels)
    variance over time. ``common``: standard deviation over time of the region's mean brightness (a lamp, a
    gain control). ``share``: part of the picture that was looked at.
    """

    step: float
    deviation: float
    common: float
    share: float

    def above(self, clean: Flicker) -> float:
        """Steps beyond those of ``clean`` footage of the same scene, grey levels; may be negative."""
        return self.step - clean.step


def flicker(clip: Clip, static: np.ndarray | None = None) -> Flicker:
    """Flicker of ``clip`` within ``static`` (boolean [H, W], see :func:`static_region`; everywhere if None).

    The region is stated, not searched for in ``clip``, so that a result cannot hide its own flicker from the
    measure; compare with the clean footage by :meth:`Flicker.above`. Static-region variance as used for
    video denoising, for example in the ITU-R BT.500 sense of impairment by flicker: no perceptual weighting.
    Raises ``UsageError`` (``temporal.clip``, ``temporal.nothing-static``).
    """
    planes = _checked(clip)
    mask = np.ones(planes[0].shape, dtype=bool) if static is None else static
    if mask.shape != planes[0].shape or not mask.any():
        raise UsageError("temporal.nothing-static", f"A region of {mask.shape} leaves nothing of {planes[0].shape}.")
    series = np.stack([plane[mask] for plane in planes]).astype(np.float64)
    return Flicker(
        float(np.mean(np.abs(np.diff(series, axis=0)))),
        math.sqrt(float(np.mean(series.var(axis=0)))),
        float(series.mean(axis=1).std()),
        float(mask.mean()),
    )


@dataclass(frozen=True)
class Jitter:
    """Unsteadiness of a path, in pixels.

    ``step``: root mean square length of its change from frame to frame, less the mean change (a steady pan is
    none). ``place``: root mean square distance from the straight line in time that fits it best.
    """

    step: float
    place: float


def jitter(path: np.ndarray) -> Jitter:
    """Jitter of ``path``, [T, 2] places (x, y) in pixels of the same content over T >= 3 frames."""
    path = np.asarray(path, dtype=np.float64)
    if path.ndim != 2 or path.shape[1] != 2 or path.shape[0] < 3:
        raise UsageError("temporal.path", f"A path of shape {path.shape} cannot be measured: [T, 2], T from 3.")
    steps = np.diff(path, axis=0)
    steps -= steps.mean(axis=0)
    time = np.stack([np.ones(len(path)), np.arange(len(path))], axis=1)
    rest = path - time @ np.linalg.lstsq(time, path, rcond=None)[0]
    return Jitter(*(math.sqrt(float(np.mean(np.sum(part * part, axis=1)))) for part in (steps, rest)))


def displacement(reference: np.ndarray, picture: np.ndarray, valid: np.ndarray | None = None) -> tuple[float, float]:
    """(dx, dy) pixels by which the content of ``picture`` is displaced against ``reference``.

    Enhanced correlation (G. D. Evangelidis, E. Z. Psarakis, Parametric Image Alignment Using Enhanced
    Correlation Coefficient Maximization, PAMI 30 (2008), 1858-1865), by OpenCV: another method than the stages
    use, so that none is measured with itself. ``valid`` (boolean, of ``picture``) leaves out what shows no
    recording. Raises ``UsageError`` (``temporal.displacement``) where it does not settle.
    """
    cv2 = opencv()
    first, second = _checked([reference, picture])
    window = cv2.createHanningWindow(first.shape[::-1], cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate((first - first.mean()) * window, (second - second.mean()) * window)
    matrix = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ROUNDS, _PRECISION)
    mask = np.full(first.shape, 255, np.uint8) if valid is None else (valid.astype(np.uint8) * 255)
    try:
        _, matrix = cv2.findTransformECC(first, second, matrix, cv2.MOTION_TRANSLATION, criteria, mask, _SMOOTHING)
    except cv2.error as error:
        raise UsageError("temporal.displacement", "The pictures do not show the same scene.") from error
    return float(matrix[0, 2]), float(matrix[1, 2])


def residual_jitter(scene: np.ndarray, clip: Clip, valid: Sequence[np.ndarray] | None = None) -> Jitter:
    """Jitter that is left in ``clip``, a static scene seen by a moving camera, measured against still ``scene``.

    ``valid``: per frame, boolean, what shows the recording. For a clip before and after stabilisation the
    ratio of the two says what was taken away (:func:`reduction`).
    """
    planes = _checked(clip, 3)
    masks: Sequence[np.ndarray | None] = [None] * len(planes) if valid is None else valid
    return jitter(np.array([displacement(scene, plane, mask) for plane, mask in zip(planes, masks, strict=True)]))


def reduction(before: float, after: float) -> float:
    """Part of ``before`` that is gone, 1 for all of it; NaN where there was none."""
    return 1.0 - after / before if before > 0.0 else math.nan
