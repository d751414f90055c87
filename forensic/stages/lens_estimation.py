"""Estimating lens distortion: from things known to be straight, or from pictures of a checkerboard.

Both are pure functions of what was marked or found. Neither is part of a run: their result goes into a
recipe as parameters of the stage ``undistort``, where it stands on the record.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensic.errors import BadInput
from forensic.media.opencv import opencv
from forensic.stages.lens import Lens, LensEstimate

_ROUNDS = 100
_STEP = 1e-6  # of a parameter's natural size, for differences
_SETTLED = 1e-10
_LEAST_EFFECT = 1e-3  # pixels, all marks together, that a whole unit of an unknown must move them
_NAMES = ("k1", "k2", "k3")


def from_straight_lines(
    lines: Sequence[np.ndarray], width: int, height: int, *, terms: int = 1, centre: bool = False
) -> LensEstimate:
    """Distortion from marks along things that are straight in the scene (the plumb-line method).

    ``lines``: one array (N, 2) of marked places per straight thing, in pixels, at least 3 places each.
    ``terms``: radial coefficients to find (1 to 3). ``centre``: whether to find the centre of distortion too;
    else the middle of the picture is taken. The unit of radius is half the diagonal. Every mark counts by
    its distance, in pixels of the recording, from the curve that a straight line becomes; the sum of squares
    is least (Levenberg-Marquardt). Uncertainties are those of least squares with the scatter of the marks
    themselves as their error (JCGM 100:2008, 4.2 and H.3).

    Raises ``BadInput``: ``lens.marks`` for too few marks, ``lens.undetermined`` where they do not fix the lens.

    F. Devernay and O. Faugeras, Straight lines have to be straight, Machine Vision and Applications 13
    (2001), 14-24; D. C. Brown (1971).
    """
    marks = [np.asarray(line, np.float64).reshape(-1, 2) for line in lines]
    unknowns = terms + (2 if centre else 0) + 2 * len(marks)
    count = sum(len(line) for line in marks)
    if not 1 <= terms <= 3 or not marks or min(len(line) for line in marks) < 3 or count <= unknowns:
        raise BadInput(
            "lens.marks",
            f"{count} marks on {len(marks)} lines do not fix {terms} coefficients.",
            "Mark at least three places on each straight thing, spread along it, and more lines, best near the edges.",
        )
    if not all(np.isfinite(line).all() for line in marks):
        raise BadInput("lens.marks", "A marked place is no number.")
    start = Lens(((width - 1) / 2, (height - 1) / 2), (float(np.hypot(width, height)) / 2,) * 2)
    # One unknown after the other: begun with all at once from nothing, the model may fold within the marks.
    problem = _StraightLines(marks, start, 1, False)
    values = problem.start()
    before = problem.residuals(values)
    values, residuals = _least_squares(problem, values)
    for further, moving in [(number, False) for number in range(2, terms + 1)] + ([(terms, True)] if centre else []):
        found = values[: problem.terms]
        problem = _StraightLines(marks, start, further, moving)
        added = np.zeros(problem.terms - found.size + (2 if moving else 0))
        values, residuals = _least_squares(problem, np.concatenate([found, added, values[found.size :]]))
    covariance = _covariance(problem.jacobian(values), residuals)
    names = [*_NAMES[:terms], *(("centre_x", "centre_y") if centre else ())]
    deviations = np.sqrt(np.diag(covariance))[: len(names)]
    sizes = [1.0] * terms + ([start.focal[0]] * 2 if centre else [])
    return LensEstimate(
        problem.lens(values),
        "straight lines",
        {name: float(deviation * size) for name, deviation, size in zip(names, deviations, sizes, strict=True)},
        float(np.sqrt(np.mean(residuals**2))),
        float(np.sqrt(np.mean(before**2))),
        count,
        count - unknowns,
    )


class _StraightLines:
    """Unknowns: coefficients, centre (in focal lengths), then angle and offset of every line."""

    def __init__(self, marks: list[np.ndarray], start: Lens, terms: int, centre: bool) -> None:
        self.marks, self.base, self.terms, self.centre = marks, start, terms, centre
        self.places = np.concatenate(marks)
        self.owner = np.repeat(np.arange(len(marks)), [len(line) for line in marks])

    def lens(self, values: np.ndarray) -> Lens:
        coefficients = dict(zip(_NAMES, map(float, values[: self.terms]), strict=False))
        middle = self.base.centre
        if self.centre:
            off = values[self.terms : self.terms + 2] * self.base.focal[0]
            middle = (float(middle[0] + off[0]), float(middle[1] + off[1]))
        return Lens(middle, self.base.focal, **coefficients)

    def start(self) -> np.ndarray:
        fits = []
        for line in self.marks:
            scaled = (line - self.base.centre) / self.base.focal[0]
            middle = scaled.mean(axis=0)
            _, _, axes = np.linalg.svd(scaled - middle)
            fits += [float(np.arctan2(axes[1, 1], axes[1, 0])), float(axes[1] @ middle)]
        return np.array([0.0] * (self.terms + (2 if self.centre else 0)) + fits)

    def residuals(self, values: np.ndarray) -> np.ndarray:
        """Signed distance of each mark from its line's curve in the recording, in pixels, to first order."""
        lens = self.lens(values)
        straight = (lens.straightened(self.places) - self.base.centre) / self.base.focal[0]
        fits = values[self.terms + (2 if self.centre else 0) :].reshape(-1, 2)[self.owner]
        across_x, across_y = np.cos(fits[:, 0]), np.sin(fits[:, 0])
        away = across_x * straight[:, 0] + across_y * straight[:, 1] - fits[:, 1]
        offset = (np.array(lens.centre) - self.base.centre) / self.base.focal[0]
        xx, xy, yy = lens.slopes(straight[:, 0] - offset[0], straight[:, 1] - offset[1])
        # Gradient of `away` by the place in the recording: the inverse of the slopes times the normal.
        determinant = xx * yy - xy * xy
        slope = np.hypot(yy * across_x - xy * across_y, xx * across_y - xy * across_x) / np.abs(determinant)
        return np.asarray(away / slope * self.base.focal[0])

    def jacobian(self, values: np.ndarray) -> np.ndarray:
        columns = []
        for number in range(values.size):
            step = np.zeros_like(values)
            step[number] = _STEP
            columns.append((self.residuals(values + step) - self.residuals(values - step)) / (2 * _STEP))
        return np.stack(columns, axis=1)


def _least_squares(problem: _StraightLines, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    residuals, damping = problem.residuals(values), 1e-3
    for _ in range(_ROUNDS):
        cost = float(residuals @ residuals)
        jacobian = problem.jacobian(values)
        if not np.isfinite(jacobian).all():
            break
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ residuals
        if (np.diag(normal) == 0.0).any():
            break
        # What an undamped step could still gain, to first order.
        if float(gradient @ np.linalg.lstsq(normal, gradient, rcond=None)[0]) <= _SETTLED * max(cost, _SETTLED):
            return values, residuals
        while damping < 1e12:
            tried = values + np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -gradient)
            missed = problem.residuals(tried)
            if np.isfinite(missed).all() and float(missed @ missed) <= cost:
                values, residuals, damping = tried, missed, max(damping / 10.0, 1e-12)
                break
            damping *= 10.0
        else:
            break
    raise _undetermined()


def _covariance(jacobian: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    normal = jacobian.T @ jacobian
    size = np.sqrt(np.diag(normal))
    if (size < _LEAST_EFFECT).any() or np.linalg.cond(normal / np.outer(size, size)) > 1e10:
        raise _undetermined()
    variance = float(residuals @ residuals) / (residuals.size - jacobian.shape[1])
    return np.asarray(np.linalg.inv(normal / np.outer(size, size)) / np.outer(size, size) * variance)


def _undetermined() -> BadInput:
    return BadInput(
        "lens.undetermined",
        "The marks do not fix the lens.",
        "Use lines that do not run through the middle of the picture, fewer coefficients, or more marks.",
    )


def find_checkerboard(luma: np.ndarray, columns: int, rows: int) -> np.ndarray | None:
    """Inner corners of a checkerboard in a float32 luma plane: (rows * columns, 2) pixels, or None.

    ``columns`` and ``rows`` count inner corners. The finder is OpenCV's sector-based one (A. Duda and
    U. Frese, Accurate Detection and Localization of Checkerboard Corners for Calibration, BMVC 2018).
    """
    cv2 = opencv()
    picture = np.clip(np.rint(luma), 0, 255).astype(np.uint8)
    found, corners = cv2.findChessboardCornersSB(picture, (columns, rows), flags=cv2.CALIB_CB_ACCURACY)
    return np.asarray(corners, np.float64).reshape(-1, 2) if found else None


def from_checkerboards(
    views: Sequence[np.ndarray],
    columns: int,
    rows: int,
    width: int,
    height: int,
    *,
    terms: int = 2,
    tangential: bool = False,
) -> LensEstimate:
    """Distortion, centre and focal length from a flat checkerboard seen in at least 3 positions.

    ``views``: per picture the inner corners (rows * columns, 2) in pixels, row by row, as
    :func:`find_checkerboard` gives them. Minimised is the distance of the corners from where the board would
    be seen (OpenCV's ``calibrateCameraExtended``; Z. Zhang, A flexible new technique for camera calibration,
    PAMI 22 (2000), 1330-1334); the uncertainties are its, from the scatter of the corners.

    Raises ``BadInput``: ``lens.marks``; ``lens.undetermined`` where the views do not fix the lens.
    """
    if len(views) < 3 or any(np.shape(view) != (columns * rows, 2) for view in views) or not 1 <= terms <= 3:
        raise BadInput(
            "lens.marks",
            f"{len(views)} views of a board of {columns}x{rows} inner corners do not fix the lens.",
            "Use at least three pictures with the whole board, tilted differently in each.",
        )
    cv2 = opencv()
    board = np.zeros((rows * columns, 3), np.float32)
    board[:, 0], board[:, 1] = np.tile(np.arange(columns), rows), np.repeat(np.arange(rows), columns)
    flags = 0 if tangential else cv2.CALIB_ZERO_TANGENT_DIST
    for number, flag in enumerate((cv2.CALIB_FIX_K1, cv2.CALIB_FIX_K2, cv2.CALIB_FIX_K3), start=1):
        flags |= flag if number > terms else 0
    corners = [np.asarray(view, np.float32).reshape(-1, 1, 2) for view in views]

    def calibrated(chosen: int) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        try:
            rms, camera, coefficients, *_, deviations, _, _ = cv2.calibrateCameraExtended(
                [board] * len(corners), corners, (width, height), np.eye(3), np.zeros(5), flags=chosen
            )
        except cv2.error:
            raise _undetermined() from None
        return float(rms), camera, np.ravel(coefficients), np.ravel(deviations)

    none = cv2.CALIB_FIX_K1 | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST
    before, *_ = calibrated(none)
    rms, camera, k, deviations = calibrated(flags)
    if not np.isfinite([rms, *camera.ravel(), *k[:5], *deviations[:9]]).all():
        raise _undetermined()
    lens = Lens(
        (float(camera[0, 2]), float(camera[1, 2])), (float(camera[0, 0]), float(camera[1, 1])),
        k1=float(k[0]), k2=float(k[1]), k3=float(k[4]), p1=float(k[2]), p2=float(k[3]),
    )  # fmt: skip
    order = ("focal_x", "focal_y", "centre_x", "centre_y", "k1", "k2", "p1", "p2", "k3")
    used = {"focal_x", "focal_y", "centre_x", "centre_y", *_NAMES[:terms], *(("p1", "p2") if tangential else ())}
    uncertainty = {name: float(value) for name, value in zip(order, deviations, strict=False) if name in used}
    count = columns * rows * len(views)
    freedom = 2 * count - 6 * len(views) - len(uncertainty)
    return LensEstimate(lens, "checkerboard", uncertainty, rms, before, count, freedom)
