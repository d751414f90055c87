"""The recorder's processing between sensor and codec: halos, range, size, fields, text, chroma, rounding."""

from __future__ import annotations

import cv2
import numpy as np

from forensic.simulation.degradation import Recorder
from forensic.simulation.psf import gaussian_profile

Planes = tuple[np.ndarray, ...]
_BORDER = cv2.BORDER_REFLECT
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BT601 = np.array(
    [[0.299, 0.587, 0.114], [-0.299 / 1.772, -0.587 / 1.772, 0.5], [0.5, -0.587 / 1.402, -0.114 / 1.402]], np.float32
)


def luma_of(picture: np.ndarray) -> np.ndarray:
    """BT.601 luma of full-range RGB (rows, columns, 3), or the grey picture itself; float32."""
    return np.asarray(cv2.transform(picture, _BT601[:1])) if picture.ndim == 3 else picture


def to_planes(picture: np.ndarray) -> Planes:
    """Grey to (Y,), RGB to full-range BT.601 (Y, Cb, Cr), chroma around 128; float32."""
    if picture.ndim == 2:
        return (picture,)
    luma, blue, red = cv2.split(cv2.transform(picture, _BT601))
    return luma, blue + np.float32(128), red + np.float32(128)


def in_recorded_range(levels: np.ndarray, recorder: Recorder) -> np.ndarray:
    """Luma levels after range compression: 0 becomes ``black``, 255 becomes ``white``."""
    if recorder.black == 0.0 and recorder.white == 255.0:
        return levels
    return levels * np.float32((recorder.white - recorder.black) / 255.0) + np.float32(recorder.black)


def processed(planes: Planes, recorder: Recorder) -> Planes:
    """Sharpening of luma, range compression, resizing: one picture (or the picture one field is taken from)."""
    luma, chroma = planes[0], planes[1:]
    if recorder.sharpen > 0:
        profile = gaussian_profile(recorder.sharpen_sigma).astype(np.float32)
        soft = cv2.sepFilter2D(luma, cv2.CV_32F, profile, profile, borderType=_BORDER)
        luma = luma + np.float32(recorder.sharpen) * (luma - soft)
    luma = in_recorded_range(luma, recorder)
    if chroma and (recorder.black, recorder.white) != (0.0, 255.0):
        share = np.float32((recorder.white - recorder.black) / 255.0)
        chroma = tuple((plane - np.float32(128)) * share + np.float32(128) for plane in chroma)
    planes = (luma, *chroma)
    if recorder.resize_x < 1 or recorder.resize_y < 1:
        planes = tuple(_resized(plane, recorder) for plane in planes)
    return planes


def stored_size(width: int, height: int, recorder: Recorder) -> tuple[int, int]:
    """(columns, rows) that the recorder really keeps of a picture."""
    return max(2, round(width * recorder.resize_x)), max(2, round(height * recorder.resize_y))


def _resized(plane: np.ndarray, recorder: Recorder) -> np.ndarray:
    height, width = plane.shape
    small = cv2.resize(plane, stored_size(width, height, recorder), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def woven(first: Planes, second: Planes, bottom_first: bool) -> Planes:
    """Rows of the earlier and the later picture in turn, as an interlaced frame holds them."""
    result = []
    for early, late in zip(first, second, strict=True):
        frame = early.copy()
        start = 0 if bottom_first else 1
        frame[start::2] = late[start::2]
        result.append(frame)
    return tuple(result)


def text_layers(recorder: Recorder, width: int, height: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(ink, ink or rim), boolean (height, width), of the on-screen display; None where there is none."""
    if not recorder.text:
        return None
    scale = min(1.5, max(0.4, height / 500))
    (across, up), below = cv2.getTextSize(recorder.text, _FONT, scale, 1)
    left = 4 if recorder.text_corner.endswith("left") else width - across - 4
    base = up + 4 if recorder.text_corner.startswith("top") else height - below - 3
    ink, rim = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    cv2.putText(ink, recorder.text, (left, base), _FONT, scale, 255, 1, cv2.LINE_8)
    cv2.putText(rim, recorder.text, (left, base), _FONT, scale, 255, 3, cv2.LINE_8)
    return ink > 0, (ink > 0) | (rim > 0)


def with_text(planes: Planes, layers: tuple[np.ndarray, np.ndarray] | None) -> Planes:
    """White letters with a black rim, without colour."""
    if layers is None:
        return planes
    ink, any_of_it = layers
    luma = np.where(ink, np.float32(235), np.where(any_of_it, np.float32(16), planes[0]))
    return (luma, *(np.where(any_of_it, np.float32(128), plane) for plane in planes[1:]))


def halved_chroma(plane: np.ndarray, interlaced: bool, centred: bool) -> np.ndarray:
    """Chroma at half resolution both ways; sited left (H.264 and kin) or ``centred`` (JPEG) horizontally.

    Vertically it is the mean of two rows, of one field where ``interlaced``.
    """
    if interlaced:
        result = np.empty((plane.shape[0] // 2, plane.shape[1] // 2), np.float32)
        result[0::2] = halved_chroma(plane[0::2], False, centred)
        result[1::2] = halved_chroma(plane[1::2], False, centred)
        return result
    rows = (plane[0::2] + plane[1::2]) * np.float32(0.5)
    if centred:
        return (rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.5)
    before = np.concatenate([rows[:, :1], rows[:, 1:-1:2]], axis=1)
    return np.float32(0.25) * (before + rows[:, 1::2]) + np.float32(0.5) * rows[:, 0::2]


def rounded(plane: np.ndarray) -> np.ndarray:
    """To 8 bits: nearest level, half to even, clipped to 0..255."""
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8)
