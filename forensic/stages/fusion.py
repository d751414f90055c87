"""Fusion of many frames into one picture: the stage around ``forensic.fusion``."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.fusion.motion import Motion, placed
from forensic.fusion.options import Fused, FusionOptions, SplitHalves
from forensic.media.opencv import opencv
from forensic.stages.coding import coding_of_window
from forensic.stages.kernels import KERNELS
from forensic.stages.luma import combine, separate
from forensic.stages.movement import CUTTING, FOLLOWING, KEEPING, Bound, Movement
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.resampling import resample, scaled_axes
from forensic.stages.stage import Applied, Stage, StageCard, resized_geometry

FrameNumber = Annotated[int, Field(ge=0, le=2**31 - 1)]
Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
GivenMotion = tuple[FrameNumber, Number, Number, Number, Number, Number, Number, Number, Number, Number]
_SINGULAR = 1e12  # condition of a matrix that has no inverse to speak of
_LEAST_SCALE = 1e-9  # of the last number, by which a homography is divided


class FusionParameters(Parameters):
    """How many frames, how much larger, and what is known of camera and codec."""

    frames: int = parameter(
        4, title="Frames on either side", unit="frames", ge=0, le=16, description="4 fuses up to nine frames."
    )
    scale: int = parameter(
        2, title="Scale", unit="times", ge=1, le=4, description="Factor for both sides; 1 only denoises and deblurs."
    )
    psf_sigma: float = parameter(
        0.35,
        title="Blur of the optics",
        unit="input pixels (standard deviation)",
        ge=0.0,
        le=3.0,
        description="Gaussian blur of lens and low-pass that is undone. Set too high, it draws halos.",
    )
    estimate_psf: bool = parameter(
        False,
        title="Estimate the blur",
        unit="yes or no",
        description="Take the width, of seven from 0.2 to 0.9, with which frames best predict frames left out.",
    )
    registration: Literal["none", "translation", "affine", "homography", "mesh", "flow"] = parameter(
        "affine",
        title="Registration",
        unit="name",
        description="Richest motion tried; 'mesh' may differ over the picture, 'flow' follows moving things too.",
    )
    largest_shift: float = parameter(
        32.0,
        title="Largest shift",
        unit="pixels",
        ge=0.0,
        le=500.0,
        description="Frames that seem to be shifted further are not used.",
    )
    noise: float | None = parameter(
        None,
        title="Noise",
        unit="grey levels (standard deviation)",
        ge=0.1,
        le=50.0,
        description="Noise that differs from frame to frame; estimated where not given.",
    )
    quantiser: float | None = parameter(
        None,
        title="Quantiser",
        unit="H.264 quantiser index",
        ge=0.0,
        le=51.0,
        description=(
            "Of all frames; where not given, each frame's own from the bitstream, and if that tells none, 28 if the "
            "finest detail is missing."
        ),
    )
    strength: float = parameter(
        1.0,
        title="Smoothing",
        unit="times",
        ge=0.05,
        le=20.0,
        description="Factor on the weight of what is assumed of pictures against what was recorded.",
    )
    self_similarity: bool = parameter(
        True,
        title="Self-similarity",
        unit="yes or no",
        description="Keep what repeats in the picture and smooth what stands alone; several times slower.",
    )
    split_half: bool = parameter(
        True,
        title="Split-half pair",
        unit="yes or no",
        description="For frames with a risk map also fuse every second frame alone, twice; about doubles their time.",
    )
    chroma_kernel: Literal["bilinear", "bicubic", "lanczos"] = parameter(
        "lanczos", title="Colour kernel", unit="name", description="Interpolation of colour, as in the stage 'resize'."
    )
    motions: tuple[GivenMotion, ...] = parameter(
        (),
        title="Motions",
        unit="frame number and the nine numbers of a homography, row by row",
        max_length=4000,
        description=(
            "Where what is seen lies in each frame, by rising frame number: the homography takes the pixels of one "
            "frame of reference, the same for all, to those of this frame. Frames that are not listed are not "
            "used. Where none is given, motion is estimated. Tracking a region gives them."
        ),
    )
    motions_in: Literal["input", "before-follow"] = parameter(
        "input",
        title="Pixels of the motions",
        unit="name",
        description=(
            "Of which picture the motions are: 'input', as this stage gets it; 'before-follow', as it is before a "
            "stage 'follow' cuts its moving rectangle out, whose place in every frame is then taken into account."
        ),
    )

    @field_validator("motions")
    @classmethod
    def _usable(cls, motions: tuple[GivenMotion, ...]) -> tuple[GivenMotion, ...]:
        if any(later[0] <= earlier[0] for earlier, later in pairwise(motions)):
            raise ValueError("the frame numbers must rise")
        if any(abs(given[9]) < _LEAST_SCALE or np.linalg.cond(_matrix(given)) > _SINGULAR for given in motions):
            raise ValueError("a motion cannot be undone")
        return motions


class Fusion(Stage[FusionParameters]):
    """Multi-frame super-resolution without a learned prior."""

    name = "fusion"
    title = "Multi-frame fusion"
    stage_class = StageClass.FIDELITY
    parameter_model = FusionParameters
    resamples = True
    combines = True
    reads_coding = True
    card = StageCard(
        explanation=(
            "Each frame of a recording samples the scene at slightly other places. This stage measures how the frames "
            "lie to each other, to a few hundredths of a pixel, and looks for the one picture that, seen through the "
            "camera's optics and pixels, gives all of them. Of the many pictures that do, it takes the smoothest one "
            "between edges whose details repeat within the picture. Nothing is learned from other pictures. Where "
            "another frame does not match the present one it is left out, down to using the present frame alone. "
            "Shift, weight and, where a frame was not used, the reason are recorded for every frame. Colour is "
            "interpolated."
        ),
        artefacts=(
            "Moving things are made from few frames or one, so that sharpness and noise differ over the picture.",
            "A blur stated larger than it was draws halos along edges; smaller, the picture stays soft. With the right "
            "blur, a step from 50 to 200 overshot by 2.9 levels at 4 times the size (bicubic interpolation 3.4, "
            "Lanczos 4.2). Inserted text, which no lens has blurred, overshoots more.",
            "Fine texture that does not stand out of noise and compression is smoothed away.",
            "Details lost to compression in all frames alike do not come back; with strong compression little is "
            "gained over interpolation.",
            "Compression makes frames imitate their predecessors: shifts measured between them erred by 0.08 pixels "
            "on average and up to 0.2 at H.264 quantisers of 33 to 37.",
            "Where the camera does not move at all, frames hold the same samples: noise falls, detail does not grow, "
            "and slanted edges may look stepped.",
            "A faint thing that moves and does not stand out of noise and edges may be averaged away. Measured with "
            "nine frames and noise 1.5 in front of a scene full of edges: of a moving line one pixel wide, 8 grey "
            "levels strong, 4.0 were left on average, of 12 levels 11.1; from one frame alone 7.7 and 11.7.",
        ),
        references=(
            "S. Farsiu, M. D. Robinson, M. Elad, P. Milanfar, Fast and Robust Multiframe Super Resolution, IEEE "
            "Transactions on Image Processing 13 (2004), 1327-1344.",
            "B. D. Lucas and T. Kanade, An Iterative Image Registration Technique with an Application to Stereo "
            "Vision, IJCAI 1981, 674-679.",
            "L. I. Rudin, S. Osher, E. Fatemi, Nonlinear total variation based noise removal algorithms, Physica D 60 "
            "(1992), 259-268.",
            "K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian, Image Denoising by Sparse 3-D Transform-Domain "
            "Collaborative Filtering, IEEE Transactions on Image Processing 16 (2007), 2080-2095.",
            "S. V. Venkatakrishnan, C. A. Bouman, B. Wohlberg, Plug-and-Play Priors for Model Based Reconstruction, "
            "IEEE GlobalSIP 2013, 945-948.",
            "B. K. Gunturk, Y. Altunbasak, R. M. Mersereau, Super-Resolution Reconstruction of Compressed Video Using "
            "Transform-Domain Statistics, IEEE Transactions on Image Processing 13 (2004), 33-43.",
        ),
    )

    @property
    def positional(self) -> bool:
        """Given motions are in pixels of the input."""
        return bool(self.parameters.motions)

    @property
    def bound(self) -> Bound | None:
        """Motions are given before a run: none can be those of pictures that the run itself moves."""
        if not self.parameters.motions:
            return None
        remedy = "Leave the motions out: they are then estimated. Or leave the other stage out."
        if self.parameters.motions_in == "before-follow":
            behind = KEEPING | CUTTING | FOLLOWING
            return Bound("is given motions of the recorded picture", behind, remedy, uncut=True)
        return Bound("is given motions of pictures", frozenset(Movement) - {Movement.UNSTEADY}, remedy)

    def after_crop(self, x: int, y: int) -> Fusion:
        """The same motions seen from the corner of a crop."""
        if not self.parameters.motions:
            return self
        moved = [
            (given[0], *np.ravel(_normal(placed(-x, -y) @ _matrix(given) @ placed(x, y))).tolist())
            for given in self.parameters.motions
        ]
        return self.varied(motions=moved)

    def turned(self, matrix: np.ndarray, window: Sequence[WorkingFrame]) -> Fusion:
        """With the same motions of the turned pictures; weights of a model stay loaded."""
        given = self._given()
        seen = [(frame.timing.index, self._seen(frame, given.get(frame.timing.index))) for frame in window]
        moved = [[index, *np.ravel(_normal(matrix @ own)).tolist()] for index, own in seen if own is not None]
        if not moved:
            return self
        made = copy(self)
        made.parameters = self.varied(motions=moved, motions_in="input").parameters
        return made

    @property
    def radius(self) -> int:
        """Frames on either side."""
        return self.parameters.frames

    @property
    def scale(self) -> float:
        """The given factor."""
        return float(self.parameters.scale)

    def with_scale(self, factor: int) -> Fusion:
        """By ``factor``, all else as it is. Raises ``BadInput`` (``stage.parameters``) above 4."""
        return self.varied(scale=factor)

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """Both sides times the factor."""
        factor = self.parameters.scale
        return resized_geometry(geometry, geometry.width * factor, geometry.height * factor, geometry.sample_aspect)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        from forensic.fusion.fuse import fuse  # OpenCV is loaded only where a pixel is touched

        opencv()
        chosen, frame = self.parameters, window[at]
        parts = separate(frame)
        fused = fuse([other.luma for other in window], at, self._known(window, at))
        luma = self._finished(window, at, fused)
        axes = scaled_axes(frame.geometry, self.output_geometry(frame.geometry), frame.colour)
        kernel = KERNELS[chosen.chroma_kernel]
        colour = [
            resample(part, rows, columns, kernel) for part, (rows, columns) in zip(parts[1:], axes[1:], strict=True)
        ]
        return Applied(combine(frame, (luma, *colour)), {"fusion": self._note(fused.report, window)})

    def _finished(self, window: Sequence[WorkingFrame], at: int, fused: Fused) -> np.ndarray:
        """The luma that is handed out, of the size of ``fused.luma``."""
        return fused.luma

    def split_halves(self, window: Sequence[WorkingFrame], at: int) -> SplitHalves:
        """Frames at even and at odd distance fused separately where ``split_half`` is set; weights in any case."""
        from forensic.fusion.fuse import split_halves

        opencv()
        options = replace(self._known(window, at), halves=self.parameters.split_half)
        found = split_halves([other.luma for other in window], at, options)
        return replace(found, report=self._note(found.report, window), refined=self.learned)

    def _known(self, window: Sequence[WorkingFrame], at: int) -> FusionOptions:
        """All that fusion is told of this window."""
        return replace(self._options(window), motions=self._motions(window, at))

    def _options(self, window: Sequence[WorkingFrame]) -> FusionOptions:
        if self.parameters.quantiser is None:
            return self._told(coding_of_window(window).quantisers)
        return self._told((self.parameters.quantiser,) * len(window))

    def _told(self, quantisers: tuple[float | None, ...]) -> FusionOptions:
        chosen = self.parameters
        return FusionOptions(
            scale=chosen.scale,
            psf_sigma=None if chosen.estimate_psf else chosen.psf_sigma,
            registration=chosen.registration,
            largest_shift=chosen.largest_shift,
            noise=chosen.noise,
            quantisers=quantisers,
            strength=chosen.strength,
            detail=chosen.self_similarity,
        )

    def _motions(self, window: Sequence[WorkingFrame], at: int) -> tuple[Motion | None, ...]:
        """From the frame that is made to every frame of the window, where motions are given: () where none are."""
        if not self.parameters.motions:
            return ()
        given = self._given()
        places = [self._seen(frame, given.get(frame.timing.index)) for frame in window]
        own = places[at]
        found: list[Motion | None] = []
        for matrix in places:
            between = np.zeros((3, 3)) if own is None or matrix is None else matrix @ np.linalg.inv(own)
            found.append(Motion(_normal(between)) if abs(between[2, 2]) >= _LEAST_SCALE else None)
        return tuple(found)

    def _given(self) -> dict[int, np.ndarray]:
        """Motions by the frame's number, as they are given."""
        return {motion[0]: _matrix(motion) for motion in self.parameters.motions}

    def _seen(self, frame: WorkingFrame, given: np.ndarray | None) -> np.ndarray | None:
        """The motion ``given`` in pixels of ``frame``; None where that shows nothing of the picture it is for."""
        cut = None if self.parameters.motions_in == "input" else frame.cut
        if given is None or cut is None:
            return given
        return placed(-cut.left, -cut.top) @ given if cut.shows else None

    def _note(self, report: dict[str, Any], window: Sequence[WorkingFrame]) -> dict[str, Any]:
        """The report with the frames' numbers in the exhibit for their places in the window, and their coding."""
        coding = coding_of_window(window)
        rows = [
            {"frame": window[row["place"]].timing.index}
            | {key: value for key, value in row.items() if key != "place"}
            | coding.facts[row["place"]]
            for row in report["frames"]
        ]
        stated = self.parameters.quantiser is None and coding.quantisers
        return report | {"frames": rows} | ({"quantiser_source": coding.source} if stated else {})


def _matrix(given: GivenMotion) -> np.ndarray:
    return np.array(given[1:], np.float64).reshape(3, 3)


def _normal(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(matrix / matrix[2, 2])
