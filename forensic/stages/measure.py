"""Measurement: the distance between two marked points of a plane, drawn with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from forensic.errors import BadInput
from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.lettering import line_of_text
from forensic.stages.drawing import Canvas, caption, lay_over, text_size
from forensic.stages.homography import quadrilateral_fault
from forensic.stages.marking import Place, Side, active, carried, enlargement, marked_on_parameter, refuse_moved
from forensic.stages.measurement import Distance, Marking, beyond_horizon, measure_distance
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Applied, Stage, StageCard

Length = Annotated[float, Field(gt=0.0, le=1e6)]
_LEAST_USABLE = 0.99  # of the Monte Carlo trials: below, the marks are too close together for their uncertainty
_ASSUMPTIONS = (
    "The four corners and both points (and the reference) lie in one flat plane of the scene, and were marked on the "
    "same frame.",
    "The corners are those of a rectangle of the stated size, the reference has the stated length.",
    "The lens does not bend lines, or was corrected before ('undistort'); what is left of its distortion is not in the "
    "interval.",
    "Marks are off by independent, normally distributed amounts of the stated standard uncertainty. Several people "
    "marking the same places independently show how large it is.",
    "Compression and blur do not move edges one way; if they do, that is not in the interval.",
)


class MeasureParameters(Parameters):
    """What was marked, what is known of it, and how well."""

    corners: tuple[Place, Place, Place, Place] = parameter(
        title="Corners",
        unit="pixels (x, y)",
        description="Top left, top right, bottom right and bottom left of a rectangle of known size in the plane; "
        "0, 0 is the middle of the top left pixel.",
    )
    size: tuple[Length, Length] = parameter(
        title="Size of the rectangle", unit="unit of length (width, height)", description="As measured at the scene."
    )
    size_uncertainty: float = parameter(
        title="Uncertainty of the size", unit="unit of length (standard uncertainty)", ge=0.0, le=1e6,
        description="Of either side.",
    )  # fmt: skip
    points: tuple[Place, Place] = parameter(
        title="Points", unit="pixels (x, y)", description="Both ends of the distance that is asked for."
    )
    corners_uncertainty: float = parameter(
        title="Marking of the corners", unit="pixels (standard uncertainty)", ge=0.05, le=100.0,
        description="How far a marked corner is off, along each axis.",
    )  # fmt: skip
    points_uncertainty: float = parameter(
        title="Marking of the points", unit="pixels (standard uncertainty)", ge=0.05, le=100.0,
        description="How far a marked point, or end of the reference, is off, along each axis.",
    )  # fmt: skip
    unit: Literal["mm", "cm", "m", "in", "ft"] = parameter(
        "m", title="Unit of length", unit="name", description="Of every length here and of the result."
    )
    reference: tuple[Place, Place] | None = parameter(
        None, title="Reference", unit="pixels (x, y)",
        description="Both ends of a known length in the plane; the rectangle then gives the shape only.",
    )  # fmt: skip
    reference_length: float | None = parameter(
        None, title="Length of the reference", unit="unit of length", ge=0.0, le=1e6,
        description="With a reference: its known length.",
    )  # fmt: skip
    reference_uncertainty: float | None = parameter(
        None, title="Uncertainty of the reference", unit="unit of length (standard uncertainty)", ge=0.0, le=1e6,
        description="With a reference: how well its length is known.",
    )  # fmt: skip
    first_frame: int | None = parameter(
        None, title="First frame", unit="frame number", ge=0, le=2**31 - 1,
        description="From which the marks are drawn; without it, from the first.",
    )  # fmt: skip
    last_frame: int | None = parameter(
        None, title="Last frame", unit="frame number", ge=0, le=2**31 - 1,
        description="Up to which the marks are drawn; without it, to the last.",
    )  # fmt: skip
    marked_on: tuple[Side, Side] | None = marked_on_parameter()

    @model_validator(mode="after")
    def _sound(self) -> MeasureParameters:
        fault = quadrilateral_fault(np.array(self.corners))
        if fault is not None:
            raise ValueError(f"'corners' cannot be used: {fault}")
        given = [self.reference is not None, bool(self.reference_length), self.reference_uncertainty is not None]
        if len(set(given)) > 1:
            raise ValueError("'reference', 'reference_length' (above 0) and 'reference_uncertainty' go together")
        for pair in (self.points, self.reference):
            if pair is not None and np.hypot(pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]) < 1.0:
                raise ValueError("both ends of a length must be at least a pixel apart")
        if beyond_horizon(_marking(self)):
            raise ValueError("a point lies at or beyond the horizon of the plane that the corners mark")
        if measure_distance(_marking(self)).usable < _LEAST_USABLE:
            raise ValueError("the corners are too close together for the uncertainty of their marking")
        return self


class Measure(Stage[MeasureParameters]):
    """Draws a measured distance."""

    name = "measure"
    title = "Measurement in a plane"
    stage_class = StageClass.PRESENTATION
    parameter_model = MeasureParameters
    card = StageCard(
        explanation=(
            "Gives the distance between two marked points that lie in one plane with a rectangle of known size (for "
            "example on the ground), with the interval that holds the true distance in 95 of 100 such measurements, "
            "as far as its assumptions hold. Errors of marking and of the known lengths are carried through the "
            "perspective map to the result. The rectangle, the distance and the interval are drawn on the picture and "
            "stand on the record with the assumptions."
        ),
        artefacts=(
            "Wrong by any amount for points that are not in the plane: a head, a hand or the roof of a car is not in "
            "the plane of the ground.",
            "The interval holds for the stated uncertainty of marking; stated too small, so is the interval.",
            "Lens distortion that was not corrected is not in the interval.",
            "Measured in 1000 simulated measurements of 3.67 m on a 3.5 x 5 m rectangle (marks off by 1 and 1.5 "
            "pixels, sides by 0.02 m): the interval held the true distance in 95.2 % of them; with a reference of 2 m "
            "marked as well, in 93.6 % of another 1000.",
            "A long way from the rectangle, and far from the camera, the interval grows quickly.",
        ),
        references=(
            "JCGM 100:2008, Evaluation of measurement data - Guide to the expression of uncertainty in measurement.",
            "JCGM 101:2008, Supplement 1: Propagation of distributions using a Monte Carlo method.",
            "A. Criminisi, I. Reid, A. Zisserman, A plane measuring device, Image and Vision Computing 17 (1999), "
            "625-634 (uncertainty of measurements in a plane).",
            "R. Hartley and A. Zisserman, Multiple View Geometry in Computer Vision, 2nd edition (Cambridge University "
            "Press, 2004), section 5.2 (covariance of an estimated homography).",
        ),
    )

    @property
    def positional(self) -> bool:
        """Marks are places of this very picture, unless it is said on which they were marked."""
        return self.parameters.marked_on is None

    def after_crop(self, x: int, y: int) -> Measure:
        """The same places of the exhibit. Raises ``BadInput`` (``stage.marked-on``) where a size was stated."""
        chosen = self.parameters
        if chosen.marked_on is not None:
            raise refuse_moved(self.name)
        moved: dict[str, Any] = {
            name: tuple((px - x, py - y) for px, py in places)
            for name, places in (
                ("corners", chosen.corners),
                ("points", chosen.points),
                ("reference", chosen.reference),
            )
            if places is not None
        }
        return self.varied(**moved)

    @property
    def distance(self) -> Distance:
        """The distance with its uncertainty."""
        return measure_distance(_marking(self.parameters))

    def record(self) -> dict[str, Any]:
        """As every stage's, with the measurement and its assumptions."""
        measured = {"unit": self.parameters.unit, **self.distance.to_record(), "shown": self._caption()}
        return {**super().record(), "measured": {**measured, "assumptions": list(_ASSUMPTIONS)}}

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """As it comes in. Raises ``BadInput``: ``stage.marked-on``; ``stage.measure`` where a point is outside or the
        result has no room."""
        factor = enlargement(self.parameters.marked_on, geometry, self.name)
        for x, y in (carried(point, factor) for point in self.parameters.points):
            if not (-0.5 <= x <= geometry.width - 0.5 and -0.5 <= y <= geometry.height - 0.5):
                raise BadInput(
                    "stage.measure",
                    f"A marked point lies outside the {geometry.width}x{geometry.height} picture.",
                )
        size = text_size(geometry)
        ink = line_of_text(self._caption(), size)
        if ink.shape[1] + 4 * size > geometry.width or ink.shape[0] + 2 * size > geometry.height:
            raise BadInput(
                "stage.measure",
                f"The result, {self._caption()!r}, has no room in a picture of {geometry.width}x{geometry.height}.",
                "Enlarge the picture first and state the size on which was marked (marked_on).",
            )
        return geometry

    def _caption(self) -> str:
        """Value and interval, to two digits of the uncertainty."""
        found = self.distance
        digits = min(max(0, 1 - int(np.floor(np.log10(found.u)))), 6)
        value, low, high = (f"{number:.{digits}f}" for number in (found.value, found.low, found.high))
        return f"{value} {self.parameters.unit} (95 %: {low} to {high})"

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame, chosen = window[at], self.parameters
        if not active(chosen.first_frame, chosen.last_frame, frame.timing.index):
            return Applied(frame.planes)
        factor, size = enlargement(chosen.marked_on, frame.geometry, self.name), text_size(frame.geometry)
        planes = frame.planes
        corners, points = ([carried(place, factor) for place in places] for places in (chosen.corners, chosen.points))
        for rim in (True, False):
            canvas = Canvas(frame.geometry.width, frame.geometry.height)
            canvas.outline(corners, (3.0 if rim else 1.0) * size)
            planes = lay_over(frame, planes, canvas, "black" if rim else "cyan")
        if chosen.reference is not None:
            ends = [carried(place, factor) for place in chosen.reference]
            planes = _ruled(frame, planes, ends[0], ends[1], size, "orange")
        planes = _ruled(frame, planes, points[0], points[1], size, "yellow")
        lowest = max(points, key=lambda point: point[1])
        width = line_of_text(self._caption(), size).shape[1]
        place = (round(lowest[0]) - width // 2, round(lowest[1]) + 8 * size)
        planes = caption(frame, planes, self._caption(), place, size, "yellow")
        found = self.distance
        return Applied(planes, {"distance": found.value, "interval_95": [found.low, found.high], "unit": chosen.unit})


def _ruled(
    frame: WorkingFrame, planes: tuple[np.ndarray, ...], start: tuple[float, float], end: tuple[float, float],
    size: int, colour: str,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """A line with a tick across each end, in ``colour`` with a dark rim."""
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    across = (-(end[1] - start[1]) / length * 6.0 * size, (end[0] - start[0]) / length * 6.0 * size)
    for ink, thickness in (("black", 4.0 * size), (colour, 2.0 * size)):
        canvas = Canvas(frame.geometry.width, frame.geometry.height)
        canvas.line(start, end, thickness)
        for x, y in (start, end):
            canvas.line((x - across[0], y - across[1]), (x + across[0], y + across[1]), thickness)
        planes = lay_over(frame, planes, canvas, ink)
    return planes


def _marking(chosen: MeasureParameters) -> Marking:
    return Marking(
        chosen.corners, chosen.size, chosen.points,
        chosen.corners_uncertainty, chosen.points_uncertainty, chosen.size_uncertainty,
        chosen.reference or (), chosen.reference_length or 0.0, chosen.reference_uncertainty or 0.0,
    )  # fmt: skip
