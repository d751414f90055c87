"""What a stage is: its class, its parameters, its card, and the one way in which it touches a frame.

``Stage.process`` is final. It checks the window, calls the subclass's ``_apply``, checks the result
and derives the class of the new frame from everything that was looked at, so that a stage can
neither forget the taint of a generative neighbour nor lower a class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from inspect import getattr_static
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar, final

import numpy as np

from forensic.errors import BadInput, InternalError, UsageError
from forensic.frames.colour import ColourSpec
from forensic.frames.cut import NOWHERE, Cut
from forensic.frames.frame import Coding, Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.movement import KEEPING, Bound, Movement
from forensic.stages.parameters import Parameters, describe, read_parameters, unit_of

if TYPE_CHECKING:
    from forensic.fusion.options import SplitHalves

P = TypeVar("P", bound=Parameters)

MAXIMUM_SIDE = 32768
MAXIMUM_SAMPLES = 1 << 28


@dataclass(frozen=True)
class StageCard:
    """What a reader of the report needs: what the stage does, what it can do wrong, who described it."""

    explanation: str
    artefacts: tuple[str, ...]
    references: tuple[str, ...]


@dataclass(frozen=True)
class Applied:
    """What ``_apply`` hands back: new planes and, where a stage measured something, a note for the record."""

    planes: Planes
    note: dict[str, Any] = field(default_factory=dict)


class ModelFacts(Protocol):
    """The part of a model card that stages and their records use (see ``forensic.registry``)."""

    @property
    def id(self) -> str: ...
    @property
    def stage_class(self) -> StageClass: ...
    @property
    def scale(self) -> int: ...
    @property
    def engine(self) -> str: ...
    def facts(self) -> dict[str, Any]: ...


class Stage(ABC, Generic[P]):
    """One step of a recipe with its parameters fixed. Immutable; ``process`` may run in many threads."""

    name: ClassVar[str]
    title: ClassVar[str]
    stage_class: ClassVar[StageClass]
    card: ClassVar[StageCard]
    parameter_model: ClassVar[type[Parameters]]
    resamples: ClassVar[bool] = False  # takes a `--scale`
    anchors: ClassVar[bool] = False  # its result does not move when its own places are moved with a crop
    combines: ClassVar[bool] = False  # makes one picture of many frames, and tells how many: `split_halves`
    reads_coding: ClassVar[bool] = False  # wants to know how the frames were coded
    shows_source: ClassVar[bool] = False  # is given the recorded picture too, through the geometric stages before it
    keeps_luma: ClassVar[bool] = False  # hands on the luma plane that it was given: checked for every frame

    def __init__(self, parameters: P, models_dir: Path | None = None) -> None:
        self.parameters = parameters
        self.models_dir = models_dir

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for final_name in ("process", "process_noted", "repeat", "effective_class", "in_reference_chain"):
            # Looked up as an instance would, so that a class mixed in does not slip it past us.
            if getattr_static(cls, final_name) is not Stage.__dict__[final_name]:
                raise TypeError(f"{cls.__name__} must not override {final_name}: it carries the class of a frame.")

    @classmethod
    def create(cls, values: dict[str, Any], models_dir: Path | None = None) -> Stage[Any]:
        """Build from plain ``values``. Raises ``BadInput`` (``stage.parameters``) in plain words."""
        return cls(read_parameters(cls.parameter_model, cls.name, values), models_dir)  # type: ignore[arg-type]

    # --- what it declares -------------------------------------------------------------------

    @property
    def model(self) -> ModelFacts | None:
        """Card of the learned model that the stage runs, or None."""
        return None

    @property
    def engines(self) -> tuple[str, ...]:
        """What computes the learned model: its engine, and a device where one was chosen; none without a model."""
        return () if self.model is None else (self.model.engine,)

    def require_here(self) -> None:
        """Refuse what this machine cannot compute, before a run begins. Raises ``UsageError``."""

    @property
    def learned(self) -> bool:
        """Whether a learned model makes pixels here."""
        return self.model is not None

    @property
    @final
    def effective_class(self) -> StageClass:
        """The stage's class, raised to its model card's where that is higher."""
        model = self.model
        return self.stage_class if model is None else max(self.stage_class, model.stage_class)

    @property
    def radius(self) -> int:
        """Frames needed before and after the one that is made (fewer exist at the ends of a clip)."""
        return 0

    @property
    def scale(self) -> float | None:
        """Resampling factor: 1.0 for none, None where it follows from the picture (``scale_for``)."""
        return 1.0

    def scale_for(self, geometry: Geometry) -> float:
        """Resampling factor for a picture of ``geometry``, the larger of both axes."""
        return 1.0 if self.scale is None else self.scale

    @property
    def positional(self) -> bool:
        """Whether parameters name places in the picture, in pixels of the stage's input."""
        return False

    @property
    def keeps_places(self) -> bool:
        """Whether a shift of its input shifts its result alike: not so where pixels are turned or stretched."""
        return True

    @property
    def movement(self) -> Movement:
        """What it does to the places of what is shown."""
        if self.effective_class is StageClass.GEOMETRIC or self.scale != 1.0:
            return Movement.WARPED
        return Movement.REMADE if self.resamples else Movement.NONE

    @property
    def bound(self) -> Bound | None:
        """What its parameters say of the recording itself; None where they speak of its input, whatever that shows."""
        return None

    def with_scale(self, factor: int) -> Stage[P]:
        """This stage with the resampling factor ``factor``. Raises ``UsageError`` where it cannot have it."""
        raise UsageError("recipe.scale", f"Stage {self.name!r} has no scale to set.")

    @property
    def enlarged_before(self) -> int | None:
        """Factor by which the stages before it must have enlarged the picture; None where it does not matter."""
        return None

    def for_scale(self, factor: int) -> Stage[P] | None:
        """This stage behind an enlargement of ``factor``; None where it has nothing to do there and is left out."""
        return self

    @property
    def uninvented(self) -> Stage[Any] | None:
        """What of a generative stage is left where nothing may be invented: a stage of the same size, or None."""
        return None

    def after_crop(self, x: int, y: int) -> Stage[P]:
        """This stage for a picture whose origin was moved to (``x``, ``y``) by cropping; most do not care."""
        return self

    def turned(self, matrix: np.ndarray, window: Sequence[WorkingFrame]) -> Stage[P] | None:
        """This stage for the frames of ``window`` once their pixels were moved by ``matrix`` (float64 (3, 3), x and y):
        turned or mirrored whole; None where it names places that do not move along.
        """
        return None if self.positional else self

    def varied(self, **values: Any) -> Self:
        """This stage with some parameters replaced; the others stay given or defaulted as they are."""
        return type(self)(
            read_parameters(self.parameter_model, self.name, self.parameters.model_dump(exclude_unset=True) | values),  # type: ignore[arg-type]
            self.models_dir,
        )

    @property
    @final
    def in_reference_chain(self) -> bool:
        """Whether the picture that the risk map compares with has been through this stage too.

        True for presentation and geometric stages that do not change the sampling density.
        """
        return self.effective_class <= StageClass.GEOMETRIC and self.scale == 1.0

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """Geometry of the result. Raises ``BadInput`` where the stage cannot take such a picture."""
        return geometry

    def output_coding(self, coding: Coding) -> Coding | None:
        """How the samples of the result were coded: kept by stages whose samples are those of their input, moved or
        interpolated between, no more."""
        return None

    def output_cut(self, frame: WorkingFrame) -> Cut | None:
        """Where the result of ``frame`` lies in the picture that a moving rectangle was cut out of, if one was."""
        return frame.cut if frame.cut is None or self.movement in KEEPING else NOWHERE

    def output_colour(self, geometry: Geometry, colour: ColourSpec) -> ColourSpec:
        """Colour description of the result of a picture of ``geometry``."""
        return colour

    # --- what it does -----------------------------------------------------------------------

    @abstractmethod
    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied | Planes:
        """New float32 planes for ``window[at]``; must not write into the planes it is given."""

    @final
    def process_noted(
        self, window: Sequence[WorkingFrame], at: int, recorded: WorkingFrame | None = None
    ) -> tuple[WorkingFrame, dict[str, Any]]:
        """Make the frame at ``window[at]`` and return it with the stage's note (may be empty).

        ``window`` holds up to ``radius`` frames before and after it, fewer only at the ends of the
        clip. ``recorded`` is for a stage that ``shows_source``, which gets it as the last of its window.
        Raises ``InternalError``: ``stage.window`` for a window that is not so,
        ``stage.geometry`` or ``stage.luma`` for a result that is not as declared, ``frame.not-finite`` for NaN.
        """
        if not (0 <= at < len(window) and at <= self.radius and len(window) - 1 - at <= self.radius):
            raise InternalError("stage.window", f"{self.name}: frame {at} of a window of {len(window)} frames.")
        frame = window[at]
        if any(other.geometry != frame.geometry for other in window):
            raise InternalError("stage.window", f"{self.name}: frames of different geometry in one window.")
        if self.shows_source != (recorded is not None):
            raise InternalError("stage.window", f"{self.name}: the recorded frame is missing, or not asked for.")
        if recorded is not None:
            window = (*window, recorded)
        result = self._apply(window, at)
        applied = result if isinstance(result, Applied) else Applied(result)
        geometry = self.output_geometry(frame.geometry)
        shapes = tuple(plane.shape for plane in applied.planes)
        if shapes != geometry.plane_shapes or any(plane.dtype != np.float32 for plane in applied.planes):
            raise InternalError("stage.geometry", f"{self.name} made planes {shapes}, declared {geometry}.")
        if self.keeps_luma and applied.planes[0] is not frame.planes[0]:
            raise InternalError("stage.luma", f"{self.name} changed luma, which it says that it keeps.")
        try:
            touched = frame.touched(
                self.effective_class,
                applied.planes,
                geometry=geometry,
                colour=self.output_colour(frame.geometry, frame.colour),
                sources=window,
                coding=None if frame.coding is None else self.output_coding(frame.coding),
                cut=self.output_cut(frame),
            )
        except InternalError as error:
            raise InternalError(error.code, f"Stage {self.name!r}: {error.message}", error.remedy) from error
        return touched, applied.note

    @final
    def process(self, window: Sequence[WorkingFrame], at: int, recorded: WorkingFrame | None = None) -> WorkingFrame:
        """As :meth:`process_noted`, without the note."""
        return self.process_noted(window, at, recorded)[0]

    def split_halves(self, window: Sequence[WorkingFrame], at: int) -> SplitHalves:
        """For a stage that ``combines``: how many frames its picture of ``window[at]`` is made of, and what chance did.

        The window is that of :meth:`process_noted`, and what comes back belongs to the picture which that makes; the
        halves of a stage with a learned model are those of the fusion before the model refines it.
        """
        raise InternalError("stage.split-halves", f"{self.name} does not make one picture of many frames.")

    def replaced(self, note: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """By reason, boolean (rows, columns) of the result: pixels that do not show what was recorded at that moment.

        ``note`` is what :meth:`process_noted` returned. Such pixels are HIGH in the risk map, with the reason.
        """
        return {}

    def _repeat(self, frame: WorkingFrame, note: Mapping[str, Any]) -> Applied | Planes:
        """New planes for ``frame`` alone, with what a stage that looks at neighbours measured taken from ``note``."""
        raise InternalError("stage.repeat", f"{self.name} looks at neighbours and cannot be repeated without them.")

    @final
    def repeat(
        self, frame: WorkingFrame, note: Mapping[str, Any], recorded: WorkingFrame | None = None
    ) -> WorkingFrame:
        """This stage on another version of a frame that it has made: moved alike, lit alike.

        ``note`` is what :meth:`process_noted` returned; only stages with a window read it, others process
        ``frame`` as ever. Raises ``InternalError`` (``stage.repeat``) for a stage that has no way to.
        """
        if not self.radius:
            return self.process([frame], 0, recorded)
        result = self._repeat(frame, note)
        planes = result.planes if isinstance(result, Applied) else result
        return frame.touched(
            self.effective_class,
            planes,
            geometry=self.output_geometry(frame.geometry),
            colour=self.output_colour(frame.geometry, frame.colour),
            coding=None if frame.coding is None else self.output_coding(frame.coding),
            cut=self.output_cut(frame),
        )

    # --- what it says of itself -------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """JSON-able facts with every effective parameter, defaults included and marked as such."""
        model = self.model
        given = self.parameters.model_fields_set
        values = self.parameters.model_dump(mode="json")
        return {
            "name": self.name,
            "title": self.title,
            "class": self.effective_class.label,
            "parameters": {
                name: {"value": value, "unit": unit_of(type(self.parameters), name), "default": name not in given}
                for name, value in values.items()
            },
            "explanation": self.card.explanation,
            "artefacts": list(self.card.artefacts),
            "references": list(self.card.references),
            "learned": self.learned,
            "model": None if model is None else model.facts(),
            "radius": self.radius,
            "scale": self.scale,
        }

    @classmethod
    def describe(cls) -> dict[str, Any]:
        """JSON-able card of the stage type for ``forensic stages show``: needs no parameters, no model."""
        return {
            "name": cls.name,
            "title": cls.title,
            "class": cls.stage_class.label,
            "explanation": cls.card.explanation,
            "artefacts": list(cls.card.artefacts),
            "references": list(cls.card.references),
            "parameters": describe(cls.parameter_model),
        }


def resized_geometry(geometry: Geometry, width: int, height: int, sample_aspect: Fraction | None) -> Geometry:
    """``geometry`` at another size. Raises ``BadInput`` (``stage.size``) beyond what can be handled."""
    if not (1 <= width <= MAXIMUM_SIDE and 1 <= height <= MAXIMUM_SIDE and width * height <= MAXIMUM_SAMPLES):
        raise BadInput(
            "stage.size",
            f"The result would be {width}x{height} pixels.",
            f"Each side must be from 1 to {MAXIMUM_SIDE} and the area at most {MAXIMUM_SAMPLES} pixels.",
        )
    return Geometry(width, height, geometry.layout, sample_aspect)
