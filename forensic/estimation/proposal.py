"""What follows from a survey: the forward operator, the noise to weigh with, and the recipe to use; and why.

A pure function of the survey, so that the same findings give the same proposal; the examiner may override it.
The thresholds come from the project's comparison of methods on simulated CCTV (docs/estimation.md): fusing frames
gains most while the codec leaves detail that differs from frame to frame, and little from about QP 33 on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.estimation.estimate import Estimate, value_of
from forensic.estimation.pointspread import PIXEL_VARIANCE
from forensic.estimation.survey import Survey

RECIPES = ("classic", "light", "single", "fuse", "multi", "plain-lanczos")
_FEWEST_FOR_FUSION = 3
# Quantiser steps in grey levels: H.264 QP 27 and 33.
_FINE_STEP, _COARSE_STEP = 14.2, 28.3
_DEFAULT_OPTICS = 0.25  # as forensic.fusion.forward
_DEFAULT_NOISE = 2.0
_LEAST_NOISE = 0.29  # rounding to whole grey levels
# Root mean square error that coding leaves, in quantiser steps, by step (measured: docs/estimation.md).
_CODING_ERROR = {
    "h264": ((10.6, 19.6, 36.4, 68.5), (0.29, 0.24, 0.18, 0.13)),
    "mpeg": ((6.0, 16.0), (0.44, 0.32)),
    "jpeg": ((16.0,), (0.20,)),
}
_ENLARGED = 1.15
# Overshoot in percent of a step from which sharpening is strong. Everything that undoes a blur sharpens once more what
# the camera has sharpened: measured against plain interpolation in docs/estimation.md.
_STRONG_HALO = 15.0
# Their filters leave weak steps beside the block edges that look like a grid of another origin.
_LOOP_FILTERED = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "vc1", "rv40"})


@dataclass(frozen=True)
class Proposal:
    """``recipe``: one of those that were available. ``psf_sigma``: Gaussian part of the forward operator's point
    spread function, in pixels of the exhibit, without the pixel's own aperture. ``noise_sigma``: error of a decoded
    sample in grey levels, noise and coding together; ``noise_gain``: of the sensor's variance per grey level.

    ``first``: stages to apply before, by name. ``reasons`` and ``cautions``: plain sentences for the record.
    ``defaults``: names of the numbers that were not measured.
    """

    recipe: str
    psf_sigma: float
    noise_sigma: float
    noise_gain: float
    first: tuple[str, ...]
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]
    defaults: tuple[str, ...]

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "recipe": self.recipe,
            "psf_sigma_px": round(self.psf_sigma, 4),
            "noise_sigma": round(self.noise_sigma, 4),
            "noise_gain": round(self.noise_gain, 6),
            "first": list(self.first),
            "reasons": list(self.reasons),
            "cautions": list(self.cautions),
            "not_measured": list(self.defaults),
        }


def propose(survey: Survey, available: Collection[str] = RECIPES, scale: int | None = None) -> Proposal:
    """The proposal for ``survey`` among the recipes that are ``available`` (``classic`` always is).

    ``scale``: the enlargement that was asked for, if one was; ``available`` are those that can do it.
    """
    reasons: list[str] = []
    recipe = _recipe(survey, available, reasons, "" if scale is None else f" at --scale {scale}")
    defaults: list[str] = []
    return Proposal(
        recipe, _optics(survey, reasons, defaults), _noise(survey, reasons, defaults), _gain(survey, defaults),
        ("deinterlace",) if survey.interlacing.interlaced else (),
        tuple(reasons), tuple(_cautions(survey)), tuple(defaults),
    )  # fmt: skip


def _recipe(survey: Survey, available: Collection[str], reasons: list[str], at: str) -> str:
    def choose(*wanted: str) -> str:
        chosen = next((name for name in wanted if name in available), "classic")
        if chosen != wanted[0]:
            reasons.append(f"Recipe {wanted[0]!r} would be the choice but is not available{at}; {chosen!r} is used.")
        return chosen

    overshoot = survey.halo.overshoot
    if sharpened_strongly(survey) and isinstance(overshoot, Estimate):
        reasons.append(
            f"The camera has sharpened the pictures strongly: edges overshoot by {overshoot.value:.0f} % of their step "
            f"({overshoot.low:.0f} to {overshoot.high:.0f}). 'light', 'single', 'multi' and 'fuse' are not "
            "proposed: they undo a blur, sharpen what is sharp already once more, and were further from the truth than "
            "plain enlargement on such recordings. 'classic' strengthens edges as well."
        )
        return choose("plain-lanczos", "classic")
    distinct = survey.distinct_frames
    if survey.is_image or distinct < _FEWEST_FOR_FUSION:
        what = "one picture" if distinct == 1 else f"{distinct} frames that differ"
        reasons.append(f"There is {what}, too little to fuse (at least {_FEWEST_FOR_FUSION}): one frame at a time.")
        return choose("single", "light", "classic")
    step = survey.quantiser.step
    if step is None and not survey.lossless:
        reasons.append(
            f"{distinct} frames differ; how coarsely they were coded is not known. Fusion uses nothing but what the "
            "frames hold."
        )
        return choose("fuse", "single", "classic")
    coarseness = step or 0.0
    said = "not coded with loss" if not coarseness else f"coded with a step of {coarseness:.1f} grey levels"
    if coarseness <= _FINE_STEP:
        reasons.append(f"{distinct} frames differ and are {said}: they hold detail that fusing them brings out.")
        return choose("fuse", "multi", "single", "classic")
    if coarseness <= _COARSE_STEP:
        reasons.append(
            f"{distinct} frames differ and are {said}: fusing them helps, and what the coding took out evenly is "
            "better judged by a model of it."
        )
        return choose("multi", "fuse", "single", "classic")
    reasons.append(
        f"The frames are {said}: coding has removed most of what differs between them, so that fusion alone gains "
        "little."
    )
    return choose("multi", "single", "light", "fuse", "classic")


def sharpened_strongly(survey: Survey) -> bool:
    """Whether halos were found, and are of a strength at which restoring recipes lost against interpolation."""
    overshoot = survey.halo.overshoot
    return isinstance(overshoot, Estimate) and overshoot.bound is None and overshoot.value >= _STRONG_HALO


def _optics(survey: Survey, reasons: list[str], defaults: list[str]) -> float:
    width = survey.point_spread.width
    if not isinstance(width, Estimate):
        defaults.append("psf_sigma_px")
        reasons.append(f"The blur could not be measured ({width.reason}); the default of {_DEFAULT_OPTICS} px is used.")
        return _DEFAULT_OPTICS
    if width.bound == "upper":
        # As sharp as its pixels: between no optics and the bound.
        reasons.append(f"Edges are as sharp as the pixels allow (at most {width.high:.2f} px wide).")
        return _DEFAULT_OPTICS
    optics = max(width.value**2 - PIXEL_VARIANCE, 0.0) ** 0.5
    reasons.append(
        f"Edges are {width.value:.2f} px wide ({width.low:.2f} to {width.high:.2f}, standard deviation); without the "
        f"pixel's own aperture that is {optics:.2f} px of blur."
    )
    return float(optics)


def _noise(survey: Survey, reasons: list[str], defaults: list[str]) -> float:
    left, step = value_of(survey.noise.left), survey.quantiser.step
    if left is None and step is None:
        defaults.append("noise_sigma")
        reasons.append(f"The noise could not be measured; {_DEFAULT_NOISE} grey levels are assumed.")
        return _DEFAULT_NOISE
    coding = coding_error(survey.quantiser.scale, step)
    total = max(((left or 0.0) ** 2 + coding**2) ** 0.5, _LEAST_NOISE)
    parts = f"{left or 0.0:.2f} of noise" + (f" and about {coding:.2f} of coding error" if coding else "")
    reasons.append(f"A sample is uncertain by {total:.2f} grey levels ({parts}).")
    return float(total)


def coding_error(scale: str | None, step: float | None) -> float:
    """Root mean square error in grey levels that coding with ``step`` leaves; 0 without one. A mean over scenes."""
    if step is None:
        return 0.0
    steps, shares = _CODING_ERROR.get(scale or "h264", _CODING_ERROR["h264"])
    return step * float(np.interp(step, steps, shares))


def _gain(survey: Survey, defaults: list[str]) -> float:
    gain = value_of(survey.noise.gain)
    if gain is None:
        defaults.append("noise_gain")
        return 0.0
    return gain


def _cautions(survey: Survey) -> list[str]:
    found = []
    interlacing, resolution, spread = survey.interlacing, survey.resolution, survey.point_spread
    if interlacing.interlaced and interlacing.agrees is False:
        found.append("The pictures are interlaced although the file calls them progressive.")
    if interlacing.interlaced is False and interlacing.agrees is False:
        found.append("The file calls the pictures interlaced, but no combing was found.")
    if resolution.enlarged is not None:
        columns, lines = value_of(resolution.x.held), value_of(resolution.y.held)
        size = " x ".join("?" if held is None else f"{held:.0f}" for held in (columns, lines))
        found.append(
            f"The pictures were enlarged before they were stored: {survey.width}x{survey.height} pixels hold {size}. "
            "Reducing them to that size first loses nothing."
        )
    elif isinstance(resolution.y.held, Estimate) and resolution.y.held.high * _ENLARGED < survey.height:
        held = resolution.y.held
        found.append(
            f"The {survey.height} lines hold the detail of about {held.value:.0f} ({held.low:.0f} to {held.high:.0f})."
        )
    if spread.shape == "motion" and isinstance(spread.length, Estimate) and isinstance(spread.angle, Estimate):
        found.append(
            f"Motion blur of {spread.length.value:.1f} px at {spread.angle.value:.0f} degrees: the forward operator "
            "here is round and does not describe it; deblur with stage 'wiener' or 'richardson-lucy'."
        )
    if spread.shape == "defocus" and isinstance(spread.radius, Estimate):
        found.append(f"The picture is out of focus by a disc of {spread.radius.value:.1f} px radius.")
    overshoot = survey.halo.overshoot
    if isinstance(overshoot, Estimate) and overshoot.bound is None and not sharpened_strongly(survey):
        found.append(
            f"The camera has sharpened the pictures: edges overshoot by about {overshoot.value:.0f} % of their step "
            f"({overshoot.low:.0f} to {overshoot.high:.0f}). Restoring recipes make such halos stronger."
        )
    if survey.grid.scaled:
        found.append(
            "There is a block grid of a size that no codec uses: the pictures were coded, resized and coded again."
        )
    if survey.grid.shifted and survey.codec not in _LOOP_FILTERED:
        found.append("A block grid does not begin at the corner: the pictures were coded, cropped and coded again.")
    if survey.duplicates.share > 0.1:
        found.append(
            f"{survey.duplicates.share:.0%} of the frames repeat their predecessor; they add nothing to a fusion and "
            "must not count as frames of their own."
        )
    return found
