"""Registers a recorded frame on its reference, brought to the recording's range."""

from __future__ import annotations

import numpy as np

from forensic.errors import BadInput
from forensic.frames.colour import LUMA_WEIGHTS, UNSPECIFIED, to_rgb
from forensic.frames.frame import CodedFrame, WorkingFrame
from forensic.fusion.forward import ForwardModel
from forensic.fusion.registration import Model, register
from forensic.media.opencv import opencv
from forensic.risk.calibration.alignment import LEAST_CORRELATION, Alignment

_BLACK, _SPAN = 16.0, 219.0  # limited range (ITU-R BT.601)
_FLAT = 1.0  # grey levels
_SMALL = 64  # pixels: a turn or scale fitted to a smaller picture is guesswork


def align(y: np.ndarray, truth: np.ndarray, scale: int) -> Alignment:
    """Hold float32 luma ``y`` (rows, columns) against ``truth`` of ``scale`` times its size, in the same range.

    Raises ``BadInput`` (``calibration.pair``) for a truth of another size, or pictures without contrast.
    """
    opencv()
    rows, columns = y.shape
    if truth.shape != (rows * scale, columns * scale):
        raise BadInput(
            "calibration.pair",
            f"the reference has {truth.shape[1]}x{truth.shape[0]} pixels, {columns * scale}x{rows * scale} are "
            f"{scale} times the recorded {columns}x{rows}",
        )
    seen = ForwardModel(scale).apply(np.ascontiguousarray(truth, np.float32))
    if min(float(seen.std()), float(y.std())) < _FLAT:
        raise BadInput("calibration.pair", "the picture has no contrast: nothing can be held against anything")
    together = float(np.mean((seen - seen.mean()) * (y - y.mean()), dtype=np.float64))
    gain = together / float(seen.var(dtype=np.float64))
    offset = float(y.mean(dtype=np.float64)) - gain * float(seen.mean(dtype=np.float64))
    correlation = together / float(seen.std(dtype=np.float64)) / float(y.std(dtype=np.float64))
    # Registration takes brightness for constant: another tone is no other place.
    toned = np.ascontiguousarray(seen * np.float32(gain) + np.float32(offset))
    model: Model = "affine" if min(y.shape) >= _SMALL else "translation"
    found = register(toned, np.ascontiguousarray(y), model) if correlation >= LEAST_CORRELATION else None
    across = down = furthest = None
    if found is not None:
        right, bottom = columns - 1.0, rows - 1.0
        places = np.array([[right / 2, bottom / 2], [0, 0], [right, 0], [0, bottom], [right, bottom]], np.float64)
        moved = found.motion.of(places) - places
        across, down = round(float(moved[0, 0]), 4), round(float(moved[0, 1]), 4)
        furthest = round(float(np.hypot(moved[:, 0], moved[:, 1]).max()), 4)
    return Alignment(
        across=across,
        down=down,
        furthest=furthest,
        correlation=round(correlation, 4),
        gain=round(gain, 4),
        offset=round(offset, 4),
    )


def truth_for(reference: CodedFrame, frame: WorkingFrame) -> np.ndarray:
    """Luma of ``reference`` as the recorder of ``frame`` would have coded it: float32, grey levels of its range.

    RGB is weighted by the matrix that ``frame`` is read with; between a full and a limited range (:func:`range_of`) is
    converted. Raises
    ``BadInput`` (``calibration.pair``) where the frame is RGB and the reference is not.
    """
    family = reference.geometry.layout.family
    if frame.geometry.layout.family == "rgb":
        if family != "rgb":
            raise BadInput("calibration.pair", "the recording is RGB and the reference is not: give it as RGB too")
        return reference.to_working().luma
    matrix = frame.colour.assumed_matrix(frame.geometry.height)
    full = range_of(reference).startswith("full")
    own = reference.colour.matrix
    if family == "rgb":
        luma, full = _weighted(reference.to_working().planes, matrix), True
    elif family == "yuv" and own != UNSPECIFIED and own in LUMA_WEIGHTS and LUMA_WEIGHTS[own] != LUMA_WEIGHTS[matrix]:
        red, green, blue = np.moveaxis(to_rgb(reference.planes, reference.geometry.layout, reference.colour), -1, 0)
        luma, full = _weighted((red, green, blue), matrix), True
    else:
        luma = reference.to_working().planes[0]
    wanted = range_of(frame).startswith("full")
    if full and not wanted:
        luma = luma * np.float32(_SPAN / 255.0) + np.float32(_BLACK)
    elif wanted and not full:
        luma = (luma - np.float32(_BLACK)) * np.float32(255.0 / _SPAN)
    return np.ascontiguousarray(luma, np.float32)


def range_of(frame: CodedFrame | WorkingFrame) -> str:
    """``full`` or ``limited``; with ``, assumed`` where the file does not say: RGB and grey are full then, as in
    :func:`forensic.frames.colour.to_rgb` (JPEG, TIFF and PGM say nothing), and Y'CbCr is limited."""
    if frame.geometry.layout.family == "rgb":
        return "full"
    stated = frame.colour.full_range
    if stated is None:
        return "full, assumed" if frame.geometry.layout.family == "gray" else "limited, assumed"
    return "full" if stated else "limited"


def _weighted(planes: tuple[np.ndarray, ...], matrix: int) -> np.ndarray:
    of_red, of_blue = LUMA_WEIGHTS[matrix]
    red, green, blue = (plane.astype(np.float32) for plane in planes)
    return np.float32(of_red) * red + np.float32(1.0 - of_red - of_blue) * green + np.float32(of_blue) * blue
