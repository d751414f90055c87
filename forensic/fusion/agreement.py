"""Where another frame shows the same thing as the reference: the guard against ghosts.

A frame is judged against the reference only, never against a consensus: whatever most frames show, a pixel
of the result shows what the reference frame shows or is made from the reference alone. Both pictures are
smoothed a little, since what sampling has folded differs between frames that agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from forensic.fusion.interpolation import inside, sampled, shifted
from forensic.fusion.motion import Motion

LEAST_SHARE = 0.05  # of a frame's pixels that must agree for it to be used at all
_SMOOTHING = 0.7  # px
_PATCH = 5  # px: neighbourhood in which frames are compared
_TOLERANCE = 6.0  # times the expected difference power: no weight from here on, full weight up to half of it
_SINGLE = 16.0  # the same for a single pixel, which a patch dilutes
_SLOPE = 0.1  # px: difference that displacement and folded detail make beside an edge
_LEAST_SPREAD = 0.5  # grey levels
_STEP_SPREAD = 0.1  # of a quantisation step
_CONTRAST = 4.0  # grey levels (standard deviation): with less in the picture only an offset is estimated
_LIGHT = 1.0  # grey levels: a smaller change of light is left as it is


@dataclass(frozen=True)
class Light:
    """Change of light: ``gain * frame + offset`` is as bright as the reference."""

    gain: float = 1.0
    offset: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether anything is to be done."""
        return self.gain != 1.0 or self.offset != 0.0

    def applied(self, frame: np.ndarray) -> np.ndarray:
        """``frame`` in the reference's light."""
        return np.float32(self.gain) * frame + np.float32(self.offset) if self.changed else frame


@dataclass(frozen=True)
class Agreement:
    """``weight``: float32 (rows, columns) 0..1 on the frame's own grid; ``share``: its mean; ``light``."""

    weight: np.ndarray
    share: float
    light: Light


def agreement(reference: np.ndarray, frame: np.ndarray, motion: Motion, step: float) -> Agreement:
    """Compare ``frame`` with the ``reference`` (float32 luma) that ``motion`` leads from.

    ``step``: quantisation step of the codec, grey levels of an orthonormal transform, 0 if there is none.
    """
    shape = frame.shape
    smooth = cv2.GaussianBlur(reference, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REFLECT)
    own = cv2.GaussianBlur(frame, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REFLECT)
    columns, rows = motion.places_in_reference(shape)
    shift = motion.as_shift(shape)
    if shift is not None and shape == reference.shape:
        expected = shifted(smooth, -shift[0], -shift[1])
    else:
        expected = sampled(smooth, columns, rows)
    valid = inside(columns, rows, reference.shape)
    if not valid.any():
        return Agreement(np.zeros(shape, np.float32), 0.0, Light())
    light = _light(own[valid], expected[valid])
    difference = light.applied(own) - expected
    spread = 1.4826 * float(np.median(np.abs(difference[valid])))
    floor = max(spread, _LEAST_SPREAD, _STEP_SPREAD * step)
    slope_x = cv2.Sobel(expected, cv2.CV_32F, 1, 0, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
    slope_y = cv2.Sobel(expected, cv2.CV_32F, 0, 1, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
    allowed = np.float32(floor**2) + np.float32(_SLOPE**2) * (slope_x * slope_x + slope_y * slope_y)
    weight = _patches(difference, allowed)
    weight[~valid] = 0.0
    if motion.trust is not None:
        weight = np.minimum(weight, motion.trust)
    return Agreement(weight, float(np.mean(weight, dtype=np.float64)), light)


def _patches(difference: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    square = difference * difference
    box = np.full(_PATCH, 1.0 / _PATCH, np.float32)
    third = np.full(3, 1.0 / 3, np.float32)
    mean_square, mean, room = (
        cv2.sepFilter2D(plane, cv2.CV_32F, box, box, borderType=cv2.BORDER_REFLECT)
        for plane in (square, difference, allowed)
    )
    # A patch that is brighter as a whole is more telling than one that only differs: 5 independent samples of 25.
    score = np.maximum(mean_square, np.float32(_PATCH) * mean * mean) / room
    weight = np.clip(np.float32(2.0) - score * np.float32(2.0 / _TOLERANCE), 0.0, 1.0)
    weight = cv2.erode(weight, np.ones((3, 3), np.uint8))
    near = cv2.sepFilter2D(square, cv2.CV_32F, third, third, borderType=cv2.BORDER_REFLECT)
    room = cv2.sepFilter2D(allowed, cv2.CV_32F, third, third, borderType=cv2.BORDER_REFLECT)
    single = np.float32(2.0) - np.maximum(near, square / np.float32(2.0)) / room * np.float32(4.0 / _SINGLE)
    return np.minimum(weight, np.clip(cv2.erode(single, np.ones((3, 3), np.uint8)), 0.0, 1.0))


def _power(picture: np.ndarray, mean: float, weight: np.ndarray) -> float:
    centred = picture - np.float32(mean)
    return float(np.sum(weight * centred * centred, dtype=np.float64))


def _light(frame: np.ndarray, reference: np.ndarray) -> Light:
    """Gain and offset by three rounds of robust least squares; no change where it is below a grey level."""
    gain, offset = 1.0, 0.0
    weight = np.ones(frame.shape, np.float32)
    for _ in range(3):
        total = float(np.sum(weight, dtype=np.float64))
        mean_frame = float(np.sum(weight * frame, dtype=np.float64)) / total
        mean_reference = float(np.sum(weight * reference, dtype=np.float64)) / total
        power = _power(frame, mean_frame, weight) / total
        # The ratio of spreads, not the slope of one on the other: noise, which both have, lowers only the latter.
        gain = (
            1.0 if power < _CONTRAST**2 else float(np.sqrt(_power(reference, mean_reference, weight) / total / power))
        )
        if not 0.5 <= gain <= 2.0:
            return Light()
        offset = mean_reference - gain * mean_frame
        residual = np.float32(gain) * frame + np.float32(offset) - reference
        spread = np.float32(max(3.0 * 1.4826 * float(np.median(np.abs(residual))), 1.0))
        weight = 1.0 / (1.0 + (residual / spread) ** 2) ** 2
    low, high = (float(np.quantile(frame, share)) for share in (0.05, 0.95))
    change = max(abs((gain - 1.0) * level + offset) for level in (low, high))
    return Light(gain, offset) if change > _LIGHT else Light()
