"""An invisible mark in generative pixels that survives re-encoding, scaling and cropping: the writer's side.

A spread-spectrum watermark (I. Cox et al., "Secure Spread Spectrum Watermarking for Multimedia", IEEE TIP 6 (1997)): a
tile of ``PERIOD`` pixels, repeated over the whole picture so that every part of it carries the mark, is added to
the luma. It is a sum of waves of between 8 and 32 pixels, coarse enough to outlive coding and a reduction to half size,
fine enough not to compete with the picture's large shapes; the phases of the waves follow from a key by a hash. Where
the picture is busy the mark is stronger, where it is even it is weaker; its standard deviation is between 1.2 and 3
grey levels.

Three quarters of the waves have the phases of ``PUBLIC_KEY``, which is the same in every copy of this program, so
that any workspace knows the output of any other. The rest have those of a key that belongs to exhibit and recipe
(:func:`forensic.media.watermark_keys.run_key`). **The public key is no secret**: who reads this can subtract the mark.
It is a net for output that is taken for footage by mistake or without such knowledge. Of a picture that does not carry
it, it proves nothing.

All arithmetic is integer or elementwise IEEE, so the same frame and keys give the same samples. The reader's side is
:mod:`forensic.media.watermark_search`.
"""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache

import numpy as np

from forensic.frames.frame import CodedFrame
from forensic.media.label import EVERYWHERE, burn, is_labelled
from forensic.media.opencv import opencv
from forensic.media.watermark_keys import PERIOD, PUBLIC_KEY, PUBLIC_MARK, STRONGEST, WEAKEST, Mark

_COARSEST, _FINEST = 4, 16  # waves in a period: 32 pixels to 8 pixels
_OFF_AXIS = 2  # waves along the axes compete with edges of the picture, letterboxes and coding blocks
_SHARE = 4  # every fourth wave belongs to the run's key
_WINDOW = 11  # pixels, of which the deviation says how busy the picture is
_GAIN = 0.16  # grey levels of mark for each grey level of deviation
_UNITS = 256  # of the tile: it is an integer, so that no library's rounding can change a sample


@cache
def waves() -> np.ndarray:
    """int [M, 2]: waves in a period along columns (rows of the picture) and along rows; the second is positive."""
    reach = range(-_FINEST, _FINEST + 1)
    found = [
        (down, right)
        for down in reach
        for right in range(_OFF_AXIS, _FINEST + 1)
        if abs(down) >= _OFF_AXIS and _COARSEST**2 <= down**2 + right**2 <= _FINEST**2
    ]
    return np.array(found)


@cache
def public_waves() -> np.ndarray:
    """bool [M]: the waves that belong to the public key; the others belong to the run's."""
    return np.arange(len(waves())) % _SHARE != _SHARE - 1


@lru_cache(maxsize=256)
def phases(key: bytes) -> np.ndarray:
    """float64 [M]: the phase of every wave under ``key``, radians."""
    drawn = hashlib.shake_256(key).digest(2 * len(waves()))
    return np.frombuffer(drawn, "<u2").astype(np.float64) * (2.0 * np.pi / 65536.0)


@lru_cache(maxsize=8)
def _tile(mark: Mark) -> np.ndarray:
    """int64 [PERIOD, PERIOD], mean square 1 in units of 1/256."""
    own = phases(PUBLIC_KEY).copy()
    there = public_waves().copy()
    if mark.key is not None:
        own[~there] = phases(mark.key)[~there]
        there[:] = True
    spectrum = np.zeros((PERIOD, PERIOD), np.complex128)
    down, right = waves()[there].T
    spectrum[down % PERIOD, right] = np.exp(1j * own[there])
    tile = np.fft.ifft2(spectrum).real
    return np.rint(tile / np.sqrt(np.mean(tile**2)) * _UNITS).astype(np.int64)


def sealed(frame: CodedFrame, mark: Mark | None = PUBLIC_MARK, label_form: int = EVERYWHERE) -> CodedFrame:
    """``frame``, GENERATIVE, as it may be written: with ``mark`` and, over it, the label.

    A label that is there already says nothing of the mark: it may be that of the exhibit. ``mark`` None: label only,
    to repeat a run of a version that had no mark; ``label_form`` likewise (``media.label``). Raises
    ``InternalError`` (``label.too-small``).
    """
    return burn(frame if mark is None else marked(frame, mark), label_form)


def sealed_once(frame: CodedFrame) -> CodedFrame:
    """``frame``, GENERATIVE, for a copy of what was written: with its label as it is, without sealed as any.

    For frames of a master or of its writer alone, which puts in both. Raises as :func:`sealed`.
    """
    return frame if is_labelled(frame) else sealed(frame)


def marked(frame: CodedFrame, mark: Mark) -> CodedFrame:
    """``frame`` with ``mark`` in its luma (in all three planes of RGB); class, timing and the rest are unchanged.

    Done in strips of a period's height, so that little is held beside the frame.
    """
    layout = frame.geometry.layout
    luma = np.ascontiguousarray(frame.planes[0] if layout.family != "rgb" else frame.planes[1])
    rows, columns = luma.shape
    tile = np.tile(_tile(mark), (1, -(-columns // PERIOD)))[:, :columns]
    planes = [plane if layout.family == "yuv" and number else plane.copy() for number, plane in enumerate(frame.planes)]
    changed = planes[:1] if layout.family == "yuv" else planes
    for top in range(0, rows, PERIOD):
        below = min(top + PERIOD, rows)
        strength = np.clip(WEAKEST + _GAIN * _deviation(luma, top, below) / layout.grey_scale, WEAKEST, STRONGEST)
        added = np.rint(tile[: below - top] * strength * (layout.grey_scale / _UNITS)).astype(np.int64)
        for plane in changed:
            plane[top:below] = np.clip(plane[top:below].astype(np.int64) + added, 0, layout.maximum)
    return CodedFrame(tuple(planes), frame.geometry, frame.colour, frame.timing, frame.stage_class)


def _deviation(luma: np.ndarray, top: int, below: int) -> np.ndarray:
    """float64 [rows, columns]: standard deviation around the samples of some rows, code values. Sums are exact."""
    cv2 = opencv()
    half = _WINDOW // 2
    first_row, last_row = max(0, top - half), min(len(luma), below + half)
    margins = half - (top - first_row), half - (last_row - below), half, half
    padded = cv2.copyMakeBorder(luma[first_row:last_row], *margins, cv2.BORDER_REFLECT_101)
    first, second = cv2.integral2(padded, sdepth=cv2.CV_64F, sqdepth=cv2.CV_64F)
    count = _WINDOW * _WINDOW

    def boxed(summed: np.ndarray) -> np.ndarray:
        rows, columns = summed[_WINDOW:], summed[:-_WINDOW]
        across = rows - columns
        return np.asarray(across[:, _WINDOW:] - across[:, :-_WINDOW])

    total, squares = boxed(first), boxed(second)
    return np.sqrt(np.maximum(count * squares - total * total, 0.0)) / count
