"""What processing or a codec adds where nothing was: overshoot at edges, block steps, mosquito noise.

All need the truth: they look at it to know where edges are, and at the difference to it to know what was
added. Planes are luma [H, W] in grey levels (0..255). ``factor`` is the enlargement that led to the
result's grid: artefacts of a recording are that many pixels large. The definitions are this program's,
after the cited ones, and are stated so that they can be computed again.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from forensic.errors import UsageError

EDGE = 12.0  # grey levels per recorded pixel: gradient from which a place of the truth is a strong edge
_LOW, _HIGH = 50.0, 200.0  # the step's levels, grey


def _planes(result: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if result.ndim != 2 or result.shape != truth.shape or result.size == 0:
        raise UsageError("fidelity.shape", f"Planes of {result.shape} and {truth.shape} cannot be compared.")
    return result.astype(np.float32), truth.astype(np.float32)


def edges(truth: np.ndarray, factor: int, threshold: float = EDGE) -> np.ndarray:
    """Where ``truth`` rises by ``threshold`` grey levels or more over ``factor`` pixels: bool [H, W].

    The difference is the central one over ``factor`` pixels (two for a factor of 1), both ways, by its
    Euclidean length; beyond the border the edge pixel is repeated.
    """
    plane = truth.astype(np.float32)
    reach = max(1, factor // 2)
    padded = np.pad(plane, reach, mode="edge")
    across = (padded[reach:-reach, 2 * reach :] - padded[reach:-reach, : -2 * reach]) * (factor / (2 * reach))
    down = (padded[2 * reach :, reach:-reach] - padded[: -2 * reach, reach:-reach]) * (factor / (2 * reach))
    return np.asarray(np.hypot(across, down) >= threshold)


def _disc(radius: int) -> np.ndarray:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))


def edge_overshoot(result: np.ndarray, truth: np.ndarray, factor: int) -> float:
    """Mean overshoot at the truth's strong edges in grey levels; NaN where the truth has none.

    At every edge pixel the lightest and the darkest value of both pictures within two recorded pixels are
    compared; what the result has beyond the truth's range, above and below, is summed and averaged over
    the edge pixels. After P. Marziliano, F. Dufaux, S. Winkler, T. Ebrahimi, Perceptual blur and ringing
    metrics: application to JPEG2000, Signal Processing: Image Communication 19 (2004), 163-172, who search
    either side of each edge for oscillation. Noise at edges counts too: compare pictures of equal noise.
    """
    a, b = _planes(result, truth)
    where = edges(b, factor)
    if not where.any():
        return float("nan")
    disc = _disc(2 * factor)
    above = cv2.dilate(a, disc, borderType=cv2.BORDER_REPLICATE) - cv2.dilate(b, disc, borderType=cv2.BORDER_REPLICATE)
    below = cv2.erode(b, disc, borderType=cv2.BORDER_REPLICATE) - cv2.erode(a, disc, borderType=cv2.BORDER_REPLICATE)
    excess = np.maximum(above, 0.0) + np.maximum(below, 0.0)
    return float(excess[where].mean(dtype=np.float64))


def step_overshoot(
    enlarge: Callable[[np.ndarray], np.ndarray], factor: int, *, optics: float = 0.0, side: int = 48
) -> tuple[float, float]:
    """(mean, largest) overshoot of ``enlarge`` at a vertical step from 50 to 200, over all sub-pixel places.

    The step is blurred by a Gaussian of ``optics`` recorded pixels and recorded as the mean over ``factor`` x
    ``factor`` pixels (no noise, no codec) at each of ``factor`` places. ``enlarge`` takes float32 [side, side]
    and returns ``factor`` times as much. What counts is how far the result goes above 200 or below 50, in grey
    levels, of either the larger one, away from the border by a quarter of the picture.
    """
    found = []
    for phase in range(factor):
        scene = np.full((side * factor, side * factor), _LOW, np.float32)
        scene[:, side * factor // 2 + phase :] = _HIGH
        if optics > 0.0:
            scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), optics * factor), np.float32)
        small = scene.reshape(side, factor, side, factor).mean(axis=(1, 3))
        quarter = side * factor // 4
        middle = enlarge(np.ascontiguousarray(small))[quarter:-quarter, quarter:-quarter]
        found.append(max(float(middle.max()) - _HIGH, _LOW - float(middle.min()), 0.0))
    return float(np.mean(found)), max(found)


def flat(truth: np.ndarray, factor: int, threshold: float = EDGE) -> np.ndarray:
    """Where ``truth`` spans less than ``threshold`` grey levels within two recorded pixels: bool [H, W]."""
    plane, disc = truth.astype(np.float32), _disc(2 * factor)
    low, high = (way(plane, disc, borderType=cv2.BORDER_REPLICATE) for way in (cv2.erode, cv2.dilate))
    return np.asarray(high - low < threshold)


def block_steps(
    result: np.ndarray, truth: np.ndarray, factor: int, block: int = 8, phase: tuple[int, int] = (0, 0)
) -> float:
    """Energy of false steps at block boundaries in flat places, grey levels squared; NaN without such places.

    Taken on the error (result less truth) and only where the truth is flat (:func:`flat`), so that neither
    the scene's own steps nor lost detail count: the mean squared difference of the error over ``factor``
    pixels centred on a block boundary (interpolation spreads a step over that many), less the same at the
    middle of blocks. Negative where there is less than elsewhere. ``block`` is in recorded pixels; ``phase``
    (rows, columns), in pixels of the result, is where a boundary lies. After the blocking effect factor of
    Yim and Bovik (2011), which takes the result itself and steps between neighbours. Raises ``UsageError``
    (``fidelity.block``) for a picture that is smaller than two blocks.
    """
    a, b = _planes(result, truth)
    error, quiet, pitch = (a - b).astype(np.float64), flat(b, factor), block * factor
    if block < 2 or min(error.shape) < 2 * pitch + factor:
        raise UsageError("fidelity.block", f"A picture of {error.shape} has no blocks of {pitch} pixels to compare.")
    at: list[np.ndarray] = []
    off: list[np.ndarray] = []
    for axis in (0, 1):
        turned, calm = (error, quiet) if axis == 0 else (error.T, quiet.T)
        before = (factor + 1) // 2  # boundary x: from pixel x - before to x - before + factor
        places = np.arange(before, turned.shape[0] - factor + before)
        start, end = places - before, places - before + factor
        difference, counts = (turned[end] - turned[start]) ** 2, calm[end] & calm[start]
        for chosen, offset in ((at, 0), (off, pitch // 2)):
            rows = (places - phase[axis]) % pitch == offset
            chosen.append(difference[rows][counts[rows]])
    boundary, middle = np.concatenate(at), np.concatenate(off)
    return float(boundary.mean() - middle.mean()) if boundary.size and middle.size else float("nan")


def mosquito_energy(result: np.ndarray, truth: np.ndarray, factor: int) -> float:
    """Energy of what flickers around edges in grey levels squared; NaN where no such place exists.

    The places are those within four recorded pixels (half a transform block of 8) of a strong edge of the
    truth but further than one and a half from any, so that the blur of the edge itself does not count. The
    error there (result less truth), less its mean over 3x3 recorded pixels, is squared and averaged. After
    C. Fenimore, J. Libert, P. Roitman, Mosquito noise in MPEG-compressed video: test patterns and metrics,
    SPIE 3959 (2000), 604-612, who take the RMS difference to the original on patterns with crisp edges.
    """
    a, b = _planes(result, truth)
    strong = edges(b, factor).astype(np.uint8)
    near = cv2.dilate(strong, _disc(4 * factor)) > 0
    own = cv2.dilate(strong, _disc((3 * factor + 1) // 2)) > 0
    where = near & ~own
    if not where.any():
        return float("nan")
    error = a - b
    high = error - cv2.blur(error, (3 * factor, 3 * factor), borderType=cv2.BORDER_REFLECT_101)
    return float(np.mean(high[where].astype(np.float64) ** 2))
