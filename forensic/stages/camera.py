"""Motion of the camera between two pictures of one scene: shift, turn and zoom, in fractions of a pixel.

A similarity is a pair of complex numbers: with places as x + iy about the middle of the picture,
``second`` shows at ``turn * z + shift`` what ``first`` shows at ``z``.
"""

from __future__ import annotations

import cmath
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Literal

import numpy as np

from forensic.media.opencv import opencv

Model = Literal["translation", "similarity"]

_LONGEST_SIDE = 960  # pixels: larger pictures are reduced by a whole factor before they are compared
_LEAST_SIDE = 24  # pixels of a picture that can be registered at all
_FINE, _COARSE = 1.0, 5.0  # pixels: band of detail that is compared; a change of light is not in it
_ROUNDS = 16
_SETTLED, _NEARLY = 1.0 / 512, 1.0 / 64  # pixels: at once, and at the last round
_GRID = 32  # OpenCV interpolates at 1/32 of a pixel
_LEAST_AGREEMENT = 0.35  # correlation of the registered bands: below, they do not show the same scene
_LEAST_CONTRAST = 0.3  # grey levels: below, there is nothing to be registered by
_LIMIT = 2.0  # times the usual strength of detail: much stronger detail counts little more
_REMEMBERED = 4096  # pairs


@dataclass(frozen=True)
class Similarity:
    """z → ``turn`` * z + ``shift`` (pixels, about the picture's middle)."""

    turn: complex = 1.0 + 0j
    shift: complex = 0j

    def after(self, other: Similarity) -> Similarity:
        """First ``other``, then this one."""
        return Similarity(self.turn * other.turn, self.turn * other.shift + self.shift)

    def inverse(self) -> Similarity:
        """What undoes it."""
        return Similarity(1.0 / self.turn, -self.shift / self.turn)

    @property
    def logarithm(self) -> tuple[float, float, float, float]:
        """(dx, dy, natural logarithm of the zoom, turn in radians): numbers that can be averaged."""
        grown = cmath.log(self.turn)
        return self.shift.real, self.shift.imag, grown.real, grown.imag

    @classmethod
    def of_logarithm(cls, dx: float, dy: float, grown: float, turned: float) -> Similarity:
        """Inverse of :attr:`logarithm`."""
        return cls(cmath.exp(complex(grown, turned)), complex(dx, dy))

    def farthest(self, width: int, height: int) -> float:
        """How far it moves that corner of a ``width`` x ``height`` picture which it moves most, pixels."""
        corners = [complex(x, y) for x in (-0.5 * width, 0.5 * width) for y in (-0.5 * height, 0.5 * height)]
        return max(abs(self.turn * corner + self.shift - corner) for corner in corners)


@dataclass(frozen=True)
class View:
    """A picture made ready to be compared: luma reduced by ``factor``, and a digest that stands for it."""

    plane: np.ndarray
    factor: int
    digest: bytes


def view(luma: np.ndarray) -> View:
    """Make ``luma`` (float32, rows x columns, grey levels) ready for :func:`motion`."""
    factor = -(-max(luma.shape) // _LONGEST_SIDE)
    plane = luma
    if factor > 1:
        rows, columns = (side // factor for side in luma.shape)
        whole = np.ascontiguousarray(luma[: rows * factor, : columns * factor])
        plane = opencv().resize(whole, (columns, rows), interpolation=opencv().INTER_AREA)
    plane = np.ascontiguousarray(plane)
    shape = np.array(luma.shape, np.int64).tobytes()
    return View(plane, factor, hashlib.blake2b(shape + plane.tobytes(), digest_size=16).digest())


_known: OrderedDict[tuple[bytes, bytes, Model], Similarity | None] = OrderedDict()
_lock = Lock()


def motion(first: View, second: View, model: Model) -> Similarity | None:
    """Motion from ``first`` to ``second`` in pixels of the whole picture, or None where it cannot be told.

    Iterated least squares on the gradient of a band of detail, coarse to fine (B. D. Lucas and T. Kanade,
    IJCAI 1981; inverse compositional form of S. Baker and I. Matthews, IJCV 56 (2004), 221-255), with weights
    that fall with the residual, so that what moves in the scene does not pull (Odobez and Bouthemy 1995).

    A pure function of both pictures; what was found is remembered by their digests, because neighbouring
    frames of a clip ask for the same pairs again.
    """
    key = (first.digest, second.digest, model)
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    found = _motion(first, second, model)
    with _lock:
        _known[key] = found
        while len(_known) > _REMEMBERED:
            _known.popitem(last=False)
    return found


def _motion(first: View, second: View, model: Model) -> Similarity | None:
    if first.plane.shape != second.plane.shape or min(first.plane.shape) < _LEAST_SIDE:
        return None
    if first.digest == second.digest:
        return Similarity()
    bands = _band(first.plane), _band(second.plane)
    coarse = _coarse(first.plane, second.plane, model)
    found = _refined(*bands, coarse, model)
    if abs(coarse.shift) > 0.5:
        # Seen small, a moving thing may outweigh a still ground: what explains more of the area counts.
        still = _refined(*bands, Similarity(), model)
        found = min((one for one in (found, still) if one is not None), key=lambda one: one.misses, default=None)
    if found is None:  # started again from phase correlation (Kuglin and Hines 1975)
        rows, columns = first.plane.shape
        window = opencv().createHanningWindow((columns, rows), opencv().CV_32F)
        (dx, dy), _ = opencv().phaseCorrelate(bands[0] * window, bands[1] * window)
        found = _refined(*bands, Similarity(shift=complex(dx, dy)), model)
    if found is None:
        return None
    return Similarity(found.motion.turn, found.motion.shift * first.factor)


def _coarse(first: np.ndarray, second: np.ndarray, model: Model) -> Similarity:
    """Motion as seen in pictures reduced again and again, in pixels of the given ones."""
    cv2 = opencv()
    pyramid = [(first, second)]
    while min(pyramid[-1][0].shape) >= 2 * _LEAST_SIDE:
        half = tuple(side // 2 for side in reversed(pyramid[-1][0].shape))
        one, two = (cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in pyramid[-1])
        pyramid.append((one, two))
    found = Similarity()
    for one, two in reversed(pyramid[1:]):
        # A turn is not looked for where a pixel is a large part of the picture.
        level: Model = "translation" if min(one.shape) < 64 else model
        refined = _refined(_band(one), _band(two), found, level)
        found = found if refined is None else refined.motion
        found = Similarity(found.turn, 2 * found.shift)
    return found


def _band(plane: np.ndarray) -> np.ndarray:
    """Detail of ``plane``, its strength limited to about 1: a few strong edges must not outvote the whole picture.

    Zero where there is too little to be registered by.
    """
    cv2 = opencv()
    fine, coarse = (
        cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for sigma in (_FINE, _COARSE)
    )
    band = fine - coarse
    if float(band.std()) < _LEAST_CONTRAST:
        return np.zeros_like(band)
    usual = max(_LIMIT * float(np.median(np.abs(band))), _LEAST_CONTRAST)
    return np.asarray(band / np.sqrt(band * band + np.float32(usual**2)))


@dataclass(frozen=True)
class _Found:
    """A motion, and the median difference of the pictures' detail that it leaves."""

    motion: Similarity
    misses: float


def _refined(first: np.ndarray, second: np.ndarray, start: Similarity, model: Model) -> _Found | None:
    """``start`` made exact, or None where it does not settle or the pictures do not agree."""
    cv2 = opencv()
    if not (first.any() and second.any()):
        return None
    rows, columns = first.shape
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    x, y = x - np.float32(0.5 * (columns - 1)), y - np.float32(0.5 * (rows - 1))
    slope_x = cv2.Sobel(first, cv2.CV_32F, 1, 0, ksize=3, scale=0.125, borderType=cv2.BORDER_REPLICATE)
    slope_y = cv2.Sobel(first, cv2.CV_32F, 0, 1, ksize=3, scale=0.125, borderType=cv2.BORDER_REPLICATE)
    descent = [slope_x, slope_y]
    if model == "similarity":
        descent += [slope_x * x + slope_y * y, slope_y * x - slope_x * y]  # zoom, turn
    size = 0.5 * float(np.hypot(rows, columns))
    inner = np.zeros(first.shape, np.float32)
    inner[2:-2, 2:-2] = 1.0
    found, change = start, np.inf
    for _ in range(_ROUNDS):
        # Compared where OpenCV can place it exactly; the remaining fraction is in the step.
        near = [round(value * _GRID) / _GRID for value in (found.shift.real, found.shift.imag)]
        by = Similarity(found.turn, complex(*near))
        moved, seen = _seen(second, inner, by)
        if float(seen.mean()) < 0.25:
            return None
        residual = moved - first
        spread = max(1.4826 * float(np.median(np.abs(residual[seen > 0]))), 1e-4)
        weight = seen / (1.0 + (residual / np.float32(2.0 * spread)) ** 2) ** 2
        normal = np.array([[np.sum(weight * a * b, dtype=np.float64) for b in descent] for a in descent])
        right = np.array([np.sum(weight * a * residual, dtype=np.float64) for a in descent])
        # Stripes do not show the shift along them: the system is then nearly singular. Compare in pixels.
        unit = np.array([1.0, 1.0, size, size][: len(descent)])
        scaled = normal / unit / unit[:, None]
        values = np.linalg.eigvalsh(scaled)
        if not values[0] > 1e-3 * values[-1]:
            return None
        step = np.linalg.solve(scaled, right / unit) / unit
        # The increment moves `first`; composing with its inverse moves `second` (Baker and Matthews).
        turn = complex(1.0 + step[2], step[3]) if model == "similarity" else 1.0 + 0j
        before, found = found, by.after(Similarity(turn, complex(step[0], step[1])).inverse())
        if not (abs(found.shift) < max(rows, columns) and 0.5 < abs(found.turn) < 2.0):
            return None
        change = abs(found.shift - before.shift) + size * abs(found.turn - before.turn)
        if change < _SETTLED:
            break
    if change >= _NEARLY:
        return None
    moved, seen = _seen(second, inner, found)
    if _agreement(first, moved, seen > 0) < _LEAST_AGREEMENT:
        return None
    return _Found(found, float(np.median(np.abs(moved - first)[seen > 0])))


def _seen(second: np.ndarray, inner: np.ndarray, by: Similarity) -> tuple[np.ndarray, np.ndarray]:
    """``second`` as ``by`` places it on the first picture, and where both show something (0 or 1)."""
    cv2 = opencv()
    rows, columns = second.shape
    matrix = _matrix(by, columns, rows)
    how = cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(
        second, matrix, (columns, rows), flags=cv2.INTER_LANCZOS4 | how, borderMode=cv2.BORDER_REPLICATE
    )
    seen = cv2.warpAffine(inner, matrix, (columns, rows), flags=cv2.INTER_LINEAR | how, borderMode=cv2.BORDER_CONSTANT)
    return moved, (seen > 0.999).astype(np.float32) * inner


def _matrix(by: Similarity, columns: int, rows: int) -> np.ndarray:
    middle = complex(0.5 * (columns - 1), 0.5 * (rows - 1))
    rest = middle + by.shift - by.turn * middle
    return np.array([[by.turn.real, -by.turn.imag, rest.real], [by.turn.imag, by.turn.real, rest.imag]])


def placed(second: np.ndarray, by: Similarity) -> tuple[np.ndarray, np.ndarray]:
    """``second`` (float32) as ``by`` places it on the first picture, and where it shows something (boolean)."""
    moved, seen = _seen(second, np.ones_like(second), by)
    return moved, seen > 0


def _agreement(first: np.ndarray, moved: np.ndarray, where: np.ndarray) -> float:
    """Correlation coefficient of both within ``where``."""
    a, b = (plane[where].astype(np.float64) for plane in (first, moved))
    a, b = a - a.mean(), b - b.mean()
    power = float(np.sqrt(np.dot(a, a) * np.dot(b, b)))
    return float(np.dot(a, b)) / power if power > 0.0 else 0.0
