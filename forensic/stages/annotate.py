"""Annotation: arrows, lines, rings, boxes and words drawn on top, and places blacked out for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from forensic.errors import BadInput
from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.lettering import line_of_text, unknown_characters
from forensic.stages.drawing import Canvas, caption, filled, lay_over, text_size
from forensic.stages.marking import Place, Side, active, carried, enlargement, marked_on_parameter, refuse_moved
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Applied, Stage, StageCard

FrameNumber = Annotated[int, Field(ge=0, le=2**31 - 1)]
_NEEDS_TO = ("arrow", "line", "box", "redact")


class Mark(Parameters):
    """One thing to draw."""

    kind: Literal["arrow", "line", "circle", "box", "text", "redact"]
    at: Place
    to: Place | None = None
    radius: Annotated[float, Field(ge=0.5, le=32768)] | None = None
    text: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    colour: Literal["yellow", "orange", "red", "magenta", "cyan", "green", "white", "black"] | None = None
    thickness: Annotated[float, Field(ge=1.0, le=64.0)] | None = None
    first_frame: FrameNumber | None = None
    last_frame: FrameNumber | None = None

    @field_validator("text")
    @classmethod
    def _drawable(cls, text: str | None) -> str | None:
        if text is not None and unknown_characters(text):
            raise ValueError(f"the text holds characters that cannot be drawn: {unknown_characters(text)!r}")
        return text

    @model_validator(mode="after")
    def _whole(self) -> Mark:
        if (self.kind in _NEEDS_TO) != (self.to is not None):
            raise ValueError(f"'to' goes with {', '.join(_NEEDS_TO)}, and only with them")
        if (self.kind == "circle") != (self.radius is not None):
            raise ValueError("'radius' goes with circle, and only with it")
        if self.kind == "text" and self.text is None:
            raise ValueError("a mark of kind text needs its 'text'")
        if None not in (self.first_frame, self.last_frame) and self.last_frame < self.first_frame:  # type: ignore[operator]
            raise ValueError("'last_frame' lies before 'first_frame'")
        if self.kind == "redact" and self.thickness is not None:
            raise ValueError("a redaction is filled and has no 'thickness'")
        return self


class AnnotateParameters(Parameters):
    """What is drawn, and on which picture its places were marked."""

    marks: tuple[Mark, ...] = parameter(
        title="Marks",
        unit="list of marks, places in pixels (x, y)",
        min_length=1,
        max_length=64,
        description="Each has kind (arrow, line, circle, box, text or redact) and at: the arrow's tip, the circle's "
        "middle, the text's top left, else one end or corner; to: the arrow's tail, else the other end or corner; "
        "radius of a circle; and, where wished, text, colour (yellow, orange, red, magenta, cyan, green, white or "
        "black), "
        "thickness, first_frame and last_frame.",
    )
    marked_on: tuple[Side, Side] | None = marked_on_parameter()


class Annotate(Stage[AnnotateParameters]):
    """Draws marks on top of the picture."""

    name = "annotate"
    title = "Annotation and redaction"
    stage_class = StageClass.PRESENTATION
    parameter_model = AnnotateParameters
    card = StageCard(
        explanation=(
            "Draws arrows, lines, circles, boxes and words on top of the picture, in full colour with a dark rim so "
            "that they cannot be taken for part of the scene. A redaction overwrites a rectangle with one colour: what "
            "was there is gone from the output, and no processing brings it back. Pixels that no mark covers are "
            "not changed. Every mark is on the record."
        ),
        artefacts=(
            "A mark hides what lies under it.",
            "A mark stays at its place in the picture when the thing it points at moves: limit it to the frames for "
            "which it is right.",
            "Colour is stored more coarsely than brightness in most recordings: within one colour sample (2 pixels in "
            "4:2:0) beside a mark the scene's colour is mixed with the mark's.",
            "A redaction is in the output only. The recording, and the 'before' stills that a run writes for "
            "comparison, still show what was redacted.",
            "Stages after this one treat marks like the scene: put it last (after a change of size with 'marked_on').",
        ),
        references=(
            "SWGDE Best Practices for Digital Forensic Video Analysis (annotations are added to copies and "
            "documented).",
            "M. Okabe and K. Ito, Color Universal Design (2008): colours told apart by colour-blind readers.",
            "S. Hill, Z. Zhou, L. Saul, H. Shacham, On the (In)effectiveness of Mosaicing and Blurring as Tools "
            "for Document Redaction, Proceedings on Privacy Enhancing Technologies 2016(4), 403-417 (why it fills).",
        ),
    )

    @property
    def positional(self) -> bool:
        """Marks are places of this very picture, unless it is said on which they were marked."""
        return self.parameters.marked_on is None

    def after_crop(self, x: int, y: int) -> Annotate:
        """The same places of the exhibit. Raises ``BadInput`` (``stage.marked-on``) where a size was stated."""
        if self.parameters.marked_on is not None:
            raise refuse_moved(self.name)
        moved = []
        for mark in self.parameters.marks:
            values = mark.model_dump(exclude_unset=True)
            for name in ("at", "to"):
                if values.get(name) is not None:
                    values[name] = (values[name][0] - x, values[name][1] - y)
            moved.append(values)
        return self.varied(marks=tuple(moved))

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """As it comes in.

        Raises ``BadInput``: ``stage.marked-on``; ``stage.annotate`` for a mark that would not show.
        """
        factor = enlargement(self.parameters.marked_on, geometry, self.name)
        for number, mark in enumerate(self.parameters.marks, start=1):
            if mark.text is not None:
                ink = line_of_text(mark.text, text_size(geometry))
                size = text_size(geometry)
                if ink.shape[1] + 4 * size > geometry.width or ink.shape[0] + 2 * size > geometry.height:
                    raise BadInput(
                        "stage.annotate",
                        f"The text of mark {number} does not fit into the {geometry.width}x{geometry.height} picture.",
                        "Use a shorter one.",
                    )
            left, top, right, bottom = _extent(mark, factor)
            if right < -0.5 or bottom < -0.5 or left > geometry.width - 0.5 or top > geometry.height - 0.5:
                raise BadInput(
                    "stage.annotate",
                    f"Mark {number} ({mark.kind}) lies outside the {geometry.width}x{geometry.height} picture.",
                )
        return geometry

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame = window[at]
        factor = enlargement(self.parameters.marked_on, frame.geometry, self.name)
        shown = [
            (number, mark)
            for number, mark in enumerate(self.parameters.marks, start=1)
            if active(mark.first_frame, mark.last_frame, frame.timing.index)
        ]
        planes: Planes = frame.planes
        for _, mark in sorted(shown, key=lambda item: item[1].kind != "redact"):  # stable: redactions first
            planes = _drawn(frame, planes, mark, factor)
        limited = any(mark.first_frame is not None or mark.last_frame is not None for mark in self.parameters.marks)
        return Applied(planes, {"marks": [number for number, _ in shown]} if limited else {})


def _extent(mark: Mark, factor: float) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of what a mark names, in luma pixels of the picture."""
    places = [carried(place, factor) for place in (mark.at, mark.to) if place is not None]
    grow = 0.0 if mark.radius is None else mark.radius * factor
    xs, ys = [place[0] for place in places], [place[1] for place in places]
    return min(xs) - grow, min(ys) - grow, max(xs) + grow, max(ys) + grow


def _drawn(frame: WorkingFrame, planes: Planes, mark: Mark, factor: float) -> Planes:
    size = text_size(frame.geometry)
    left, top, right, bottom = _extent(mark, factor)
    if mark.kind == "redact":
        x, y = int(np.floor(left + 0.5)), int(np.floor(top + 0.5))
        box = (x, y, int(np.floor(right + 0.5)) - x + 1, int(np.floor(bottom + 0.5)) - y + 1)
        planes = filled(frame, planes, box, mark.colour or "black")
    elif mark.kind != "text":
        thickness = (mark.thickness or 2.0) * (size if mark.thickness is None else factor)
        for colour, width in (("black", thickness + 2.0 * size), (mark.colour or "yellow", thickness)):
            canvas = Canvas(frame.geometry.width, frame.geometry.height)
            _outline(canvas, mark, factor, width, head=max(6.0 * thickness, 8.0))
            planes = lay_over(frame, planes, canvas, colour)
    if mark.text is None:
        return planes
    colour = "white" if mark.colour in (None, "black") else mark.colour
    start = carried(mark.at, factor)
    place = (round(start[0]), round(start[1])) if mark.kind == "text" else (round(left), round(bottom) + 3 * size)
    return caption(frame, planes, mark.text, place, size, colour)


def _outline(canvas: Canvas, mark: Mark, factor: float, thickness: float, head: float) -> None:
    start = carried(mark.at, factor)
    if mark.kind == "circle":
        assert mark.radius is not None  # noqa: S101 - by Mark._whole
        canvas.circle(start, mark.radius * factor, thickness)
        return
    assert mark.to is not None  # noqa: S101 - by Mark._whole
    end = carried(mark.to, factor)
    if mark.kind == "box":
        canvas.outline([start, (end[0], start[1]), end, (start[0], end[1])], thickness)
    elif mark.kind == "arrow":
        canvas.arrow(end, start, thickness, min(head, float(np.hypot(start[0] - end[0], start[1] - end[1]))))
    else:
        canvas.line(start, end, thickness)
