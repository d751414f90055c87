"""Side by side: the picture as recorded and as enhanced, in one picture, with captions and a divider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from forensic.errors import BadInput
from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.lettering import LINE_ROWS, line_of_text
from forensic.stages.drawing import Canvas, colour_values, lay_over, text_size
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.resampling import resample_planes, scaled_axes
from forensic.stages.stage import Applied, Stage, StageCard, resized_geometry

_CHROMA_GRID = 4  # luma samples: largest colour sample of any layout


class SideBySideParameters(Parameters):
    """How both pictures are put together."""

    arrangement: Literal["beside", "below"] = parameter(
        "beside",
        title="Arrangement",
        unit="name",
        description="'beside': recorded left, enhanced right; 'below': recorded above, enhanced below.",
    )
    kernel: Literal["nearest", "bilinear", "bicubic", "lanczos"] = parameter(
        "lanczos",
        title="Kernel",
        unit="name",
        description="How the recorded picture is brought to the size of the enhanced one, as in the stage 'resize'.",
    )


class SideBySide(Stage[SideBySideParameters]):
    """Before and after in one picture."""

    name = "side-by-side"
    title = "Side by side"
    stage_class = StageClass.GEOMETRIC
    parameter_model = SideBySideParameters
    shows_source = True
    card = StageCard(
        explanation=(
            "Puts the picture as recorded beside the picture as the stages before this one made it, at the same size, "
            "with a divider. Under each stands what it is: the recorded one with its enlargement (and 'class "
            "geometric' once it was cropped, turned or rectified), the other with the class of processing that it "
            "carries. The recorded picture goes through the same crops, turns and rectifications and no others; it is "
            "enlarged only as far as the other one is."
        ),
        artefacts=(
            "Interpolation makes the recorded picture look smoother than its pixels are; 'nearest' shows them as they "
            "are.",
            "Each picture has half the room: on a screen or on paper both are shown smaller than one alone would be.",
            "No risk map is made of a picture of two pictures; run the same recipe without this stage for it.",
        ),
        references=(
            "SWGDE Best Practices for Digital Forensic Video Analysis (comparison of processed and unprocessed "
            "images).",
        ),
    )

    @property
    def scale(self) -> float | None:
        """None: it follows from the captions' size."""
        return None

    def scale_for(self, geometry: Geometry) -> float:
        """Nothing is enlarged here: the enhanced picture is shown as it comes."""
        return 1.0

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """Twice the picture, the divider and the captions. Raises ``BadInput`` where captions have no room."""
        panel, divider, bar = _layout(geometry)
        widest = max(
            line_of_text(text, text_size(geometry)).shape[1]
            for text in (
                _recorded_caption(999.99, "bilinear", StageClass.GEOMETRIC),
                _enhanced_caption(StageClass.PRESENTATION),
            )
        )
        if widest + 4 * text_size(geometry) > geometry.width:
            raise BadInput(
                "stage.side-by-side",
                f"A picture {geometry.width} pixels wide has no room for the captions, which need "
                f"{widest + 4 * text_size(geometry)}.",
                "Enlarge it first.",
            )
        if self.parameters.arrangement == "beside":
            width, height = panel[0] * 2 + divider, panel[1] + bar
        else:
            width, height = panel[0], 2 * (panel[1] + bar) + divider
        return resized_geometry(geometry, width, height, geometry.sample_aspect)

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        enhanced, recorded = window[at], window[-1]
        geometry, result = enhanced.geometry, self.output_geometry(enhanced.geometry)
        if recorded.geometry.layout.family != geometry.layout.family:
            raise BadInput(
                "stage.side-by-side",
                f"The recorded picture is {recorded.geometry.layout.name}, the enhanced one {geometry.layout.name}: "
                "they cannot stand in one picture.",
                "Leave the stage that changes the channels out.",
            )
        factor = geometry.width / recorded.geometry.width
        if abs(geometry.height - factor * recorded.geometry.height) > 0.5 * (1 + factor):
            raise BadInput(
                "stage.side-by-side",
                f"The enhanced picture ({geometry.width}x{geometry.height}) is not the recorded one "
                f"({recorded.geometry.width}x{recorded.geometry.height}) in another size.",
                "Enlarge by the same factor in both directions.",
            )
        axes = scaled_axes(recorded.geometry, geometry, recorded.colour)
        shown = resample_planes(recorded.planes, axes, self.parameters.kernel)
        panel, divider, bar = _layout(geometry)
        if self.parameters.arrangement == "beside":
            second = (panel[0] + divider, 0)
        else:
            second = (0, panel[1] + bar + divider)
        canvas = WorkingFrame(
            tuple(
                np.full(shape, value, np.float32)
                for shape, value in zip(result.plane_shapes, colour_values(enhanced, "black"), strict=True)
            ),
            result, enhanced.colour, enhanced.timing, enhanced.stage_class,
        )  # fmt: skip
        planes: Planes = tuple(plane.copy() for plane in canvas.planes)
        for picture, (x, y) in ((shown, (0, 0)), (enhanced.planes, second)):
            _placed(planes, picture, geometry, x, y)
        captions = (
            _recorded_caption(factor, self.parameters.kernel, recorded.stage_class),
            _enhanced_caption(enhanced.stage_class),
        )
        ink = Canvas(result.width, result.height)
        if self.parameters.arrangement == "beside":
            ink.box(panel[0], 0, divider, result.height)
        else:
            ink.box(0, panel[1] + bar, result.width, divider)
        size = text_size(geometry)
        for text, (x, y) in zip(captions, ((0, 0), second), strict=True):
            ink.dots(line_of_text(text, size), x + 2 * size, y + panel[1] + size)
        note: dict[str, Any] = {
            "captions": list(captions),
            "recorded_class": recorded.stage_class.label,
            "enhanced_class": enhanced.stage_class.label,
            "recorded_enlarged": round(factor, 6),
        }
        drawn = lay_over(canvas, planes, ink, "white")
        # White on black needs no colour: the colour samples of both pictures are left as they are.
        return Applied((drawn[0], *planes[1:]) if geometry.layout.family == "yuv" else drawn, note)


def _recorded_caption(factor: float, kernel: str, stage_class: StageClass) -> str:
    what = "AS RECORDED"
    if stage_class is StageClass.GENERATIVE:
        what = "AI-GENERATED EXHIBIT"
    elif stage_class is not StageClass.PRESENTATION:  # cropped, turned, rectified like the other
        what = f"RECORDED, CLASS {stage_class.label.upper()}"
    return what if factor == 1.0 else f"{what}, ×{factor:.3g} {kernel.upper()}"


def _enhanced_caption(stage_class: StageClass) -> str:
    if stage_class is StageClass.GENERATIVE:
        return "AI-GENERATED DETAIL"
    return f"ENHANCED, CLASS {stage_class.label.upper()}"


def _layout(geometry: Geometry) -> tuple[tuple[int, int], int, int]:
    """Panel (width, height) on the colour grid, width of the divider, height of a caption; in luma samples."""
    size = text_size(geometry)
    panel = (geometry.width + -geometry.width % _CHROMA_GRID, geometry.height + -geometry.height % _CHROMA_GRID)
    bar = (LINE_ROWS + 2) * size
    return panel, 4 * size, bar + -bar % _CHROMA_GRID


def _placed(planes: Planes, picture: Planes, geometry: Geometry, x: int, y: int) -> None:
    """Copy ``picture`` into ``planes`` sample for sample; (x, y) lies on the colour grid."""
    layout = geometry.layout
    for number, (target, plane) in enumerate(zip(planes, picture, strict=True)):
        chroma = layout.family == "yuv" and number > 0
        top, left = (y >> layout.chroma_shift_y, x >> layout.chroma_shift_x) if chroma else (y, x)
        target[top : top + plane.shape[0], left : left + plane.shape[1]] = plane
