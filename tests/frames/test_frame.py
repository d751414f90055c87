"""Frames: exact, immutable, and of a class that can only rise."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import InternalError, PolicyRefused
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS, layout_named, pack_planes, unpack_planes
from forensic.frames.stageclass import StageClass


def _frame(name: str = "yuv420p", stage_class: StageClass = StageClass.PRESENTATION, seed: int = 0) -> CodedFrame:
    layout = layout_named(name)
    generator = np.random.default_rng(seed)
    planes = tuple(
        generator.integers(0, layout.maximum + 1, shape).astype(layout.dtype) for shape in layout.plane_shapes(10, 7)
    )
    return CodedFrame(planes, Geometry(10, 7, layout), ColourSpec(), FrameTiming(0, 0, Fraction(1, 25)), stage_class)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_to_working_and_back_is_exact(name: str) -> None:
    frame = _frame(name)
    assert frame.to_working().quantise().sha256 == frame.sha256


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_packing_and_unpacking_is_exact(name: str) -> None:
    frame = _frame(name)
    packed = pack_planes(frame.geometry.layout, frame.planes)
    again = unpack_planes(frame.geometry.layout, 10, 7, packed)
    assert all(np.array_equal(a, b) for a, b in zip(frame.planes, again, strict=True))


@given(st.sampled_from(StageClass), st.sampled_from(StageClass), st.sampled_from(StageClass))
def test_class_is_the_maximum_over_frame_stage_and_neighbours(
    own: StageClass, stage: StageClass, neighbour: StageClass
) -> None:
    frame = _frame(stage_class=own).to_working()
    other = _frame(stage_class=neighbour, seed=1).to_working()
    touched = frame.touched(stage, frame.planes, sources=[other])
    assert touched.stage_class is max(own, stage, neighbour)
    assert touched.quantise().stage_class is touched.stage_class


@pytest.mark.parametrize("name", ["stage_class", "planes", "timing", "geometry", "colour", "_sha256"])
def test_nothing_about_a_frame_can_be_set(name: str) -> None:
    for frame in (_frame(stage_class=StageClass.GENERATIVE), _frame().to_working()):
        with pytest.raises(InternalError):
            setattr(frame, name, StageClass.PRESENTATION)


def test_pixels_of_a_frame_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        _frame().planes[0][0, 0] = 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_a_number_stops_the_run(value: float) -> None:
    frame = _frame().to_working()
    planes = [plane.copy() for plane in frame.planes]
    planes[1][2, 3] = value
    with pytest.raises(InternalError) as stopped:
        frame.touched(StageClass.FIDELITY, tuple(planes))
    assert stopped.value.code == "frame.not-finite"


def test_planes_of_the_wrong_shape_or_type_are_refused() -> None:
    frame = _frame()
    with pytest.raises(InternalError):
        CodedFrame(frame.planes[:1], frame.geometry, frame.colour, frame.timing, frame.stage_class)
    with pytest.raises(InternalError):
        WorkingFrame(frame.planes, frame.geometry, frame.colour, frame.timing, frame.stage_class)


@pytest.mark.parametrize("text", ["Generative", "GENERATIVE", "", None, "fidelity ", 3, "unknown"])
def test_unknown_class_is_refused_never_guessed(text: object) -> None:
    with pytest.raises(PolicyRefused):
        StageClass.parse(text)


def test_quantising_rounds_half_to_even_and_clips() -> None:
    layout = layout_named("gray")
    values = np.array([[-3.0, 0.5, 1.5, 2.5, 254.5, 300.0]], np.float32)
    frame = WorkingFrame(
        (values,), Geometry(6, 1, layout), ColourSpec(), FrameTiming(0, 0, Fraction(1)), StageClass.PRESENTATION
    )
    assert frame.quantise().planes[0].tolist() == [[0, 0, 2, 2, 254, 255]]
