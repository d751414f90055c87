"""Deflickering: one gain and one offset per frame, on the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.opencv import opencv
from forensic.stages.luma import nominal_range, with_luma
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Applied, Stage, StageCard

_BLOCK = 8  # pixels: means of blocks are compared, which noise and small movement hardly change
_FEWEST = 16  # blocks that must be left to judge by
_LEAST_SHARE = 0.4  # of the blocks that must agree on one gain and offset
_LEAST_SPREAD = 6.0  # grey levels (standard deviation) among them: below, a gain cannot be told from an offset
_ROUNDS = 20
_LEAST_TOLERANCE = 0.25  # grey levels by which a block may miss the common change and still count as unmoved
_MARGIN = 3.0  # grey levels from the ends of the range within which a block counts as clipped
_AT_REST = 0.3  # grey levels: where the correction changes nothing by more, a frame is passed on untouched
_GAIN_DECIMALS, _OFFSET_DECIMALS = 5, 3  # as recorded, and as applied


class DeflickerParameters(Parameters):
    """How many frames, what is corrected, and what counts as flicker."""

    radius: int = parameter(
        8, title="Frames on either side", unit="frames", ge=1, le=60,
        description="Frames before and after the present one whose brightness is looked at.",
    )  # fmt: skip
    smoothing: float = parameter(
        4.0, title="Smoothing", unit="frames (standard deviation)", ge=0.5, le=60.0,
        description="Width of the Gaussian weights in time; longer than the flicker's period.",
    )  # fmt: skip
    model: Literal["gain-offset", "gain", "offset"] = parameter(
        "gain-offset", title="Correction", unit="name",
        description="What is estimated and applied; the gain is about nominal black.",
    )  # fmt: skip
    largest_change: float = parameter(
        20.0, title="Largest change", unit="grey levels", ge=0.5, le=100.0,
        description="A frame whose unmoved parts are brighter or darker by more is not compared with: the light has "
        "really changed.",
    )  # fmt: skip


@dataclass(frozen=True)
class _Change:
    """Another frame's brightness is ``gain`` * brightness + ``offset``, both above nominal black."""

    gain: float
    offset: float


class Deflicker(Stage[DeflickerParameters]):
    """Evens the brightness of neighbouring frames out."""

    name = "deflicker"
    title = "Deflickering"
    stage_class = StageClass.PRESENTATION
    parameter_model = DeflickerParameters
    card = StageCard(
        explanation=(
            "Takes the flicker of lamps and of automatic exposure out of a clip. Every frame gets one gain and one "
            "offset for its brightness, the same for all its pixels, so that it agrees with its neighbours. They are "
            "estimated on those parts of the picture that do not move, and stand in the record for every frame, with "
            "the number of samples that went beyond the range by it."
        ),
        artefacts=(
            "One gain and offset for the whole picture: a lamp that lights only a part of it, and the dark bands of "
            "a rolling shutter, are not evened out, and the other parts may be made to flicker a little by them.",
            "Measured on a still scene with independent gains (standard deviation 4 %) and offsets (2 grey levels) "
            "in every frame and noise 2, defaults: the frame-to-frame change of the mean brightness fell by 95 %; in "
            "two recordings made to flicker so, by 91 % and 89 % of what was put in. An 8-bit recording of an even "
            "surface is set to whole levels: half a level of flicker may stay. Corrections of less than 0.3 levels "
            "are not made.",
            "A real change of light smaller than the largest change is spread over the window: measured on a step of "
            "10 levels, no frame changed by more than 2 levels, and 4 of the 10 levels were shown before it "
            "happened. Do not time switched lights in such a picture.",
            "What is brightened beyond the range is lost in the result; the record counts it. What was clipped in "
            "the recording (a sky that burns out in one frame) becomes an even grey where that frame is darkened.",
            "Where most of the picture moves there is nothing to compare; such frames are left as they are. Of a "
            "camera that moves, stabilise the picture first.",
            "Colour is not touched: of a picture made brighter, colours look paler, and the other way round.",
        ),
        references=(
            "P. M. B. van Roosmalen, R. L. Lagendijk, J. Biemond, Correction of Intensity Flicker in Old Film "
            "Sequences, IEEE Transactions on Circuits and Systems for Video Technology 9 (1999), 1013-1019 (gain and "
            "offset model; here one pair for the whole picture).",
            "P. J. Rousseeuw and A. M. Leroy, Robust Regression and Outlier Detection (Wiley, 1987) (trimming by the "
            "median absolute residual).",
            "C. H. Kermack and J. B. S. Haldane, Organic Correlation and Allometry, Biometrika 37 (1950), 30-41 (the "
            "gain as ratio of the spreads, which noise in either picture does not flatten).",
        ),
    )

    @property
    def radius(self) -> int:
        """Frames on either side."""
        return self.parameters.radius

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        own = _blocks(window[at])
        rejected: list[dict[str, Any]] = []
        weights, changes = [1.0], [_Change(1.0, 0.0)]
        for number, other in enumerate(window):
            if number == at:
                continue
            change = self._change(own, _blocks(other))
            if isinstance(change, str):
                rejected.append({"frame": other.timing.index, "why": change})
                continue
            changes.append(change)
            weights.append(float(np.exp(-0.5 * ((number - at) / self.parameters.smoothing) ** 2)))
        total = sum(weights)
        gain = np.exp(sum(w * np.log(c.gain) for w, c in zip(weights, changes, strict=True)) / total)
        offset = sum(w * c.offset for w, c in zip(weights, changes, strict=True)) / total
        gain, offset = round(float(gain), _GAIN_DECIMALS), round(float(offset), _OFFSET_DECIMALS)
        brightest = float(np.percentile(own.means, 95, method="nearest"))
        if max(abs(offset), abs((gain - 1.0) * brightest + offset)) < _AT_REST:
            gain, offset = 1.0, 0.0
        planes, clipped = _lit(window[at], gain, offset)
        note: dict[str, Any] = {
            "gain": gain, "offset": offset, "compared_with": len(changes) - 1, "clipped": clipped,
        }  # fmt: skip
        return Applied(planes, note | ({"not_compared_with": rejected} if rejected else {}))

    def _change(self, own: _Blocks, other: _Blocks) -> _Change | str:
        """How ``other`` differs in brightness, or why that cannot be told."""
        usable = own.usable & other.usable
        x, y = own.means[usable], other.means[usable]
        if x.size < _FEWEST:
            return "clipped, or too small"
        found = _common_change(x, y, self.parameters.model)
        if found is None:
            return "does not match"
        change, level = found
        at_level = change.gain * level + change.offset - level
        return "light changed" if abs(at_level) > self.parameters.largest_change else change

    def _repeat(self, frame: WorkingFrame, note: Mapping[str, Any]) -> Planes:
        """``frame`` lit as ``note`` says that its like was."""
        return _lit(frame, note["gain"], note["offset"])[0]


@dataclass(frozen=True)
class _Blocks:
    """Mean luma above nominal black of each block of a frame (float64, flat), and which blocks are not clipped."""

    means: np.ndarray
    usable: np.ndarray


def _blocks(frame: WorkingFrame) -> _Blocks:
    luma = frame.luma
    rows, columns = (max(1, side // _BLOCK) for side in luma.shape)
    height, width = min(rows * _BLOCK, luma.shape[0]), min(columns * _BLOCK, luma.shape[1])
    whole = np.ascontiguousarray(luma[:height, :width])
    means = opencv().resize(whole, (columns, rows), interpolation=opencv().INTER_AREA).astype(np.float64).ravel()
    black, white = nominal_range(frame)
    top = frame.geometry.layout.maximum / frame.geometry.layout.grey_scale
    # The range used in fact: many cameras write beyond nominal white.
    high = white if float(np.mean(luma > white + 1.0)) < 1e-3 else top
    return _Blocks(means - black, (means > black + _MARGIN) & (means < high - _MARGIN))


def _common_change(x: np.ndarray, y: np.ndarray, model: str) -> tuple[_Change, float] | None:
    """The change from ``x`` to ``y`` on which most blocks agree, and the mean level of these, or None.

    Started from the median ratio or difference, then trimmed again and again: blocks that miss the common
    change by more than three times the spread of the better half have moved, or are lit by something else.
    """
    ratio = float(np.median(y / x))
    change = _Change(1.0, float(np.median(y - x))) if model == "offset" else _Change(ratio, 0.0)
    kept = np.ones(x.shape, dtype=bool)
    for _ in range(_ROUNDS):
        miss = np.abs(y - change.gain * x - change.offset)
        before, kept = kept, miss <= 3.0 * max(1.4826 * float(np.median(miss)), _LEAST_TOLERANCE)
        inside, seen = x[kept], y[kept]
        spread = float(inside.std()), float(seen.std())
        if model == "offset":
            change = _Change(1.0, float(np.mean(seen - inside)))
        elif model == "gain" or min(spread) < _LEAST_SPREAD:
            change = _Change(float(np.sum(seen) / np.sum(inside)), 0.0)
        else:
            gain = spread[1] / spread[0]
            change = _Change(gain, float(np.mean(seen) - gain * np.mean(inside)))
        if np.array_equal(before, kept):
            break
    miss = np.abs(y - change.gain * x - change.offset)
    agreed = miss <= np.maximum(2.0, 0.03 * x)
    if float(np.mean(agreed)) < _LEAST_SHARE or not 0.25 < change.gain < 4.0:
        return None
    return change, float(np.mean(x[kept]))


def _lit(frame: WorkingFrame, gain: float, offset: float) -> tuple[Planes, dict[str, int]]:
    """Planes with ``gain`` and ``offset`` on what lies above nominal black, and how many samples leave the range."""
    if (gain, offset) == (1.0, 0.0):
        return frame.planes, {"dark": 0, "bright": 0}
    black = np.float32(nominal_range(frame)[0])
    top = frame.geometry.layout.maximum / frame.geometry.layout.grey_scale

    def lit(plane: np.ndarray) -> np.ndarray:
        return (plane - black) * np.float32(gain) + (black + np.float32(offset))

    if frame.geometry.layout.family == "rgb":
        planes: Planes = tuple(lit(plane) for plane in frame.planes)
    else:
        planes = with_luma(frame, lit(frame.luma))
    changed = list(zip(planes, frame.planes, strict=True))[: 3 if frame.geometry.layout.family == "rgb" else 1]
    return planes, {
        "dark": sum(int(np.count_nonzero((new < 0.0) & (old >= 0.0))) for new, old in changed),
        "bright": sum(int(np.count_nonzero((new > top) & (old <= top))) for new, old in changed),
    }
