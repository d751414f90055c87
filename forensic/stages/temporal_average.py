"""Registered, robust averaging over neighbouring frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar, Literal

import numpy as np

from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.opencv import opencv
from forensic.stages.kernels import KERNELS
from forensic.stages.luma import combine, separate
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.registration import Shift, translation
from forensic.stages.resampling import AxisMap, resample
from forensic.stages.stage import Applied, Stage, StageCard

_PATCH = 5  # pixels: neighbourhood in which two frames are compared
# Full weight up to, none from: mean square difference of 1 and 9 samples over that of noise, in times the tolerance.
_ONE_SAMPLE = (1.2, 2.0)
_NINE_SAMPLES = (0.45, 0.65)
_LEAST_SHARE = 0.05  # of a frame's pixels that must match for the frame to be used at all


class TemporalAverageParameters(Parameters):
    """How many frames, and what counts as a match."""

    frames: int = parameter(
        2, title="Frames on either side", unit="frames", ge=1, le=8, description="2 averages up to five frames."
    )
    noise: float = parameter(
        3.0,
        title="Noise",
        unit="grey levels (standard deviation)",
        ge=0.2,
        le=50.0,
        description="Expected noise of a single frame; differences far beyond it count as motion.",
    )
    tolerance: float = parameter(
        4.0,
        title="Tolerance",
        unit="times the noise power",
        ge=1.0,
        le=20.0,
        description="Local difference at which a pixel of another frame is not used at all.",
    )
    registration: Literal["translation", "none"] = parameter(
        "translation",
        title="Registration",
        unit="name",
        description="Whether frames of a shaking camera are first shifted onto each other.",
    )
    largest_shift: float = parameter(
        32.0,
        title="Largest shift",
        unit="pixels",
        ge=0.0,
        le=500.0,
        description="Frames that seem to be shifted further are not used.",
    )


class TemporalAverage(Stage[TemporalAverageParameters]):
    """Averages what stays the same over a few frames."""

    name = "temporal-average"
    title = "Temporal averaging"
    stage_class = StageClass.FIDELITY
    parameter_model = TemporalAverageParameters
    _least_share: ClassVar[float] = _LEAST_SHARE
    card = StageCard(
        explanation=(
            "Averages a few neighbouring frames, so that noise, which differs from frame to frame, is reduced and the "
            "scene, which does not, stays. A shaking camera is compensated by shifting. Wherever another frame does "
            "not match the present one, because something moved or the light changed, it is left out at that place. "
            "The shift and the mean weight of every frame are recorded."
        ),
        artefacts=(
            "Moving things keep their noise, so that noise differs over the picture.",
            "Moving detail that does not stand out of the stated noise in a single frame is blurred over the averaged "
            "time or lost. Measured with five frames, noise 3 and the other defaults: of a moving line one pixel wide, "
            "8 grey levels strong, 5.1 were left (6 levels: 2.6; 12 levels: 11.7); of a single moving pixel of 12 "
            "levels, 9.9. Without actual noise in the picture, a line of 8 levels kept 1.6. The mean weight of a frame "
            "on the record does not show such a loss.",
            "Too high a stated noise erases more: set it no higher than what is measured.",
            "A flickering light may be smoothed.",
        ),
        references=(
            "C. D. Kuglin and D. C. Hines, The phase correlation image alignment method, IEEE International Conference "
            "on Cybernetics and Society (1975), 163-165.",
            "B. D. Lucas and T. Kanade, An Iterative Image Registration Technique with an Application to Stereo "
            "Vision, IJCAI 1981, 674-679.",
            "J.-M. Odobez and P. Bouthemy, Robust Multiresolution Estimation of Parametric Motion Models, Journal of "
            "Visual Communication and Image Representation 6 (1995), 348-365 (weights against outliers).",
            "E. Dubois and S. Sabri, Noise Reduction in Image Sequences Using Motion-Compensated Temporal Filtering, "
            "IEEE Transactions on Communications 32 (1984), 826-831.",
        ),
    )

    @property
    def radius(self) -> int:
        """Frames on either side."""
        return self.parameters.frames

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame = window[at]
        own = separate(frame)
        totals = [part.copy() for part in own]
        weights = [np.ones_like(part) for part in own]
        rows: list[dict[str, Any]] = []
        for number, other in enumerate(window):
            if number == at:
                continue
            row: dict[str, Any] = {"frame": other.timing.index, "shift": None, "weight": 0.0, "rejected": None}
            rows.append(row)
            shift = Shift(0, 0)
            if self.parameters.registration == "translation":
                found = translation(own[0], other.luma)
                if found is None:
                    row["rejected"] = "no registration"
                    continue
                shift = found
            row["shift"] = [shift.dx, shift.dy]
            if max(abs(shift.dx), abs(shift.dy)) > self.parameters.largest_shift:
                row["rejected"] = "shift too large"
                continue
            moved = self._aligned(other, shift)
            matches = self._matches(frame, own, moved, shift)
            share = float(np.mean(matches[0], dtype=np.float64))
            row["weight"] = round(share, 6)
            if share < self._least_share:
                row["rejected"] = "does not match"
                continue
            for total, weight, part, match in zip(totals, weights, moved, matches, strict=True):
                total += match * part
                weight += match
        if all(row["rejected"] for row in rows):
            return Applied(frame.planes, {"averaged": rows})
        averaged = tuple(total / weight for total, weight in zip(totals, weights, strict=True))
        return Applied(combine(frame, averaged), {"averaged": rows})

    @staticmethod
    def _aligned(other: WorkingFrame, shift: Shift) -> tuple[np.ndarray, ...]:
        """Planes of ``other`` shifted onto the present frame."""
        moved = []
        for number, part in enumerate(separate(other)):
            pitch_y, pitch_x = _pitch(other, number)
            rows = AxisMap(part.shape[0], offset=Fraction(shift.dy_64, 64 * pitch_y))
            columns = AxisMap(part.shape[1], offset=Fraction(shift.dx_64, 64 * pitch_x))
            moved.append(resample(part, rows, columns, KERNELS["lanczos"]))
        return tuple(moved)

    def _matches(
        self, frame: WorkingFrame, own: tuple[np.ndarray, ...], moved: tuple[np.ndarray, ...], shift: Shift
    ) -> list[np.ndarray]:
        """Weight 0..1 of every sample of ``moved``. Colour is used where it and luma match."""
        matches = [self._match(own[0], moved[0])]
        _drop_outside(matches[0], shift)
        if len(own) == 1:
            return matches
        colour = np.minimum(self._match(own[1], moved[1]), self._match(own[2], moved[2]))
        pitch_y, pitch_x = _pitch(frame, 1)
        if (pitch_y, pitch_x) == (1, 1):
            both = np.minimum(colour, matches[0])
        else:
            luma = opencv().erode(matches[0], np.ones((pitch_y + 1, pitch_x + 1), np.uint8))
            both = np.minimum(colour, luma[::pitch_y, ::pitch_x][: colour.shape[0], : colour.shape[1]])
        return [*matches, both, both]

    def _match(self, own: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """1 up to half the tolerance, 0 from the tolerance on, in units of the difference that noise makes.

        Compared are the mean square difference and, more sensitive to faint movement, the mean
        difference of a neighbourhood (allowing for noise that is correlated over a few pixels).
        """
        cv2 = opencv()
        box = np.full(_PATCH, 1.0 / _PATCH, np.float32)
        difference = self._compared(moved - own)
        square = cv2.sepFilter2D(difference * difference, cv2.CV_32F, box, box, borderType=cv2.BORDER_REPLICATE)
        mean = cv2.sepFilter2D(difference, cv2.CV_32F, box, box, borderType=cv2.BORDER_REPLICATE)
        expected = np.float32(2.0 * self.parameters.noise**2)
        correlated = np.float32(_PATCH)  # independent samples taken as 5 of 25
        score = np.maximum(square, mean * mean * correlated) / expected
        tolerance = np.float32(self.parameters.tolerance)
        match = np.clip(np.float32(2.0) - np.float32(2.0) * score / tolerance, 0.0, 1.0)
        # A moving thing's rim matches in part: keep clear of it.
        match = cv2.erode(match, np.ones((_PATCH, _PATCH), np.uint8))
        return np.minimum(match, self._thin(difference))

    def _compared(self, difference: np.ndarray) -> np.ndarray:
        """What of the difference of two aligned pictures is judged: all of it."""
        return difference

    def _thin(self, difference: np.ndarray) -> np.ndarray:
        """Weight 0..1 against lines and dots, which a patch of 25 samples dilutes below its tolerance.

        Each sample is judged by itself and by its 3x3 neighbourhood. At the default tolerance, independent
        noise of the stated strength alone is left out at 5 in 1000 places by each of the two (chi-square of 1
        and 9 degrees of freedom beyond 8 and 23.4). Samples beside a line match and are used: nothing is eroded.
        """
        cv2 = opencv()
        square = difference * difference / np.float32(2.0 * self.parameters.noise**2)
        third = np.full(3, 1.0 / 3, np.float32)
        near = cv2.sepFilter2D(square, cv2.CV_32F, third, third, borderType=cv2.BORDER_REPLICATE)
        tolerance = np.float32(self.parameters.tolerance)
        match = np.ones_like(difference)
        for score, (full, none) in ((square, _ONE_SAMPLE), (near, _NINE_SAMPLES)):
            np.minimum(match, (np.float32(none) - score / tolerance) / np.float32(none - full), out=match)
        return np.clip(match, 0.0, 1.0)


def _pitch(frame: WorkingFrame, number: int) -> tuple[int, int]:
    """Luma rows and columns in one sample of plane ``number``."""
    layout = frame.geometry.layout
    if number == 0 or layout.family != "yuv":
        return 1, 1
    return 1 << layout.chroma_shift_y, 1 << layout.chroma_shift_x


def _drop_outside(match: np.ndarray, shift: Shift) -> None:
    """No weight where the other frame, shifted, has no picture."""
    down, right = int(np.ceil(abs(shift.dy))), int(np.ceil(abs(shift.dx)))
    if down:
        match[-down if shift.dy > 0 else 0 : None if shift.dy > 0 else down] = 0.0
    if right:
        match[:, -right if shift.dx > 0 else 0 : None if shift.dx > 0 else right] = 0.0
