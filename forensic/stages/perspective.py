"""Perspective rectification: a flat thing seen at an angle, shown as if seen straight on."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache, partial
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from forensic.errors import BadInput
from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.homography import depths, homography, mapped, quadrilateral_fault
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import MAXIMUM_SIDE, Applied, Stage, StageCard, resized_geometry
from forensic.stages.warping import LARGEST_SHRINK, Coverage, coverage, warp

Place = Annotated[float, Field(ge=-MAXIMUM_SIDE, le=2 * MAXIMUM_SIDE)]
Corner = tuple[Place, Place]
_NEAREST_HORIZON = 0.02  # depth at a corner of the result over that at the rectangle's nearest corner


class PerspectiveParameters(Parameters):
    """Four marked corners of a rectangle in the scene, and the size it gets."""

    corners: tuple[Corner, Corner, Corner, Corner] = parameter(
        title="Corners",
        unit="pixels (x, y)",
        description="Top left, top right, bottom right and bottom left of a rectangle in the scene, as seen upright; "
        "0, 0 is the middle of the top left pixel.",
    )
    width: int = parameter(
        title="Width", unit="pixels", ge=2, le=MAXIMUM_SIDE, description="Columns that the rectangle gets."
    )
    height: int = parameter(
        title="Height", unit="pixels", ge=2, le=MAXIMUM_SIDE, description="Rows that the rectangle gets."
    )
    margin: int = parameter(
        0, title="Margin", unit="pixels", ge=0, le=4096,
        description="Surroundings shown on every side, as if they lay in the same plane.",
    )  # fmt: skip
    kernel: Literal["nearest", "bilinear", "bicubic", "lanczos"] = parameter(
        "lanczos", title="Kernel", unit="name", description="Interpolation, as in the stage 'resize'."
    )

    @model_validator(mode="after")
    def _rectangle(self) -> PerspectiveParameters:
        fault = quadrilateral_fault(np.array(self.corners))
        if fault is not None:
            raise ValueError(f"'corners' cannot be used: {fault}")
        return self


class Perspective(Stage[PerspectiveParameters]):
    """Rectifies a plane."""

    name = "perspective"
    title = "Perspective rectification"
    stage_class = StageClass.GEOMETRIC
    parameter_model = PerspectiveParameters
    anchors = True
    card = StageCard(
        explanation=(
            "Shows a flat thing that was recorded at an angle (a number plate, a sign, a stretch of road) as if seen "
            "straight on. Four corners of a rectangle in the scene are marked; every pixel of the result is "
            "interpolated from the recording by a fixed formula. What lies outside the recording is shown in a "
            "neutral grey and never made up. The record has the range of local magnification and the share outside."
        ),
        artefacts=(
            "Only what lies in the marked plane comes out right: everything in front of it or behind is sheared and "
            "stretched, and must not be measured or compared.",
            "Parts far from the camera are magnified most: they look soft, because fewer pixels were recorded there.",
            "The shape of the result is that of the stated width and height; a wrong proportion makes characters and "
            "objects too wide or too narrow.",
            "An error in a marked corner moves the result. Measured on an upright rectangle of 200 x 100 pixels shown "
            "in the same size: a corner off by 1 pixel along the long side moves the middle by 0.28 pixel, along the "
            "short side by 0.56 pixel.",
            "A lens that bends straight lines must be corrected first ('undistort').",
            "Lanczos and bicubic overshoot at sharp edges: a faint light or dark line may run beside an edge.",
        ),
        references=(
            "R. Hartley and A. Zisserman, Multiple View Geometry in Computer Vision, 2nd edition (Cambridge University "
            "Press, 2004), section 2.3 (removing the projective distortion of a plane) and 4.1 (direct linear "
            "transformation).",
            "P. S. Heckbert, Fundamentals of Texture Mapping and Image Warping (University of California, Berkeley, "
            "1989), section 3 (resampling filters).",
            "Recommendation ITU-T H.273, clause 8.7 (chroma sample location).",
        ),
    )

    @property
    def positional(self) -> bool:
        """Corners are places."""
        return True

    def after_crop(self, x: int, y: int) -> Perspective:
        """The same corners of the exhibit; they may lie outside a cropped picture."""
        return self.varied(corners=tuple((px - x, py - y) for px, py in self.parameters.corners))

    def scale_for(self, geometry: Geometry) -> float:
        """Largest local magnification of what the result shows of the recording."""
        return self._coverage(geometry).largest

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """The stated size with the margin; pixels are square.

        Raises ``BadInput`` (``stage.perspective``) where the margin reaches the plane's horizon, where the
        picture would shrink too far, or where nothing of the recording is shown.
        """
        if self._is_identity(geometry):
            return geometry
        chosen = self.parameters
        aspect = None if geometry.sample_aspect is None else Fraction(1)
        result = resized_geometry(geometry, chosen.width + 2 * chosen.margin, chosen.height + 2 * chosen.margin, aspect)
        self._coverage(geometry)
        return result

    def _coverage(self, geometry: Geometry) -> Coverage:
        return _planned(self.parameters, geometry)

    def _is_identity(self, geometry: Geometry) -> bool:
        right, bottom = geometry.width - 0.5, geometry.height - 0.5
        whole = ((-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom))
        chosen = self.parameters
        return (chosen.corners, chosen.width, chosen.height, chosen.margin) == (
            whole, geometry.width, geometry.height, 0,
        )  # fmt: skip

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame = window[at]
        seen = self._coverage(frame.geometry)
        note = {"magnification": {"smallest": round(seen.smallest, 4), "largest": round(seen.largest, 4)}}
        if self._is_identity(frame.geometry):
            return Applied(frame.planes, note)
        point_map = partial(mapped, _to_recording(self.parameters))
        planes, outside = warp(frame, point_map, self.output_geometry(frame.geometry),
                               self.parameters.kernel, same=("perspective", self.parameters))  # fmt: skip
        return Applied(planes, {**note, **outside})


def _to_recording(chosen: PerspectiveParameters) -> np.ndarray:
    """3x3 map from places of the result to places of the recording: outer edges of the rectangle onto the marks."""
    near_x = near_y = chosen.margin - 0.5
    far_x, far_y = near_x + chosen.width, near_y + chosen.height
    rectangle = np.array([[near_x, near_y], [far_x, near_y], [far_x, far_y], [near_x, far_y]])
    return homography(rectangle, np.array(chosen.corners))


@lru_cache(maxsize=32)
def _planned(chosen: PerspectiveParameters, geometry: Geometry) -> Coverage:
    """Coverage of the whole result. Raises ``BadInput`` (``stage.perspective``)."""
    matrix = _to_recording(chosen)
    width, height = chosen.width + 2 * chosen.margin, chosen.height + 2 * chosen.margin
    outline = np.array([[x, y] for x in (-1.5, width + 0.5) for y in (-1.5, height + 0.5)])
    inner = outline + np.sign(np.array([width / 2, height / 2]) - outline) * chosen.margin
    depth, reference = depths(matrix, outline), depths(matrix, inner)
    if (depth / np.abs(reference).max() * np.sign(reference[0]) < _NEAREST_HORIZON).any():
        raise BadInput(
            "stage.perspective",
            "The surroundings asked for reach the horizon of the marked plane.",
            "Choose a smaller margin.",
        )
    seen = coverage(partial(mapped, matrix), geometry, width, height)
    if seen is None:
        raise BadInput("stage.perspective", "The marked rectangle lies outside the recorded picture.")
    if seen.smallest < 1.0 / LARGEST_SHRINK:
        raise BadInput(
            "stage.perspective",
            f"Somewhere the picture would be made {1 / seen.smallest:.0f} times smaller.",
            f"Choose a larger width and height, or a smaller margin; at most {LARGEST_SHRINK:g} times is possible.",
        )
    return seen
