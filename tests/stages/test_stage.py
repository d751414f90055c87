"""What every stage promises: class, parameters, window, finite samples, an honest record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from forensic.errors import BadInput, InternalError
from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json
from forensic.stages import catalogue
from forensic.stages.parameters import NoParameters, Parameters, parameter
from forensic.stages.stage import Stage, StageCard

CARD = StageCard("Test.", (), ())

EXAMPLES = {
    "channel": {"channel": "Cb"},
    "levels": {"black": 20.0, "white": 200.0, "gamma": 1.4},
    "curves": {"points": [[0, 0], [100, 160], [255, 255]]},
    "clahe": {"clip_limit": 3.0, "columns": 4, "rows": 3},
    "white-balance": {"method": "gray-world"},
    "crop": {"x": 2, "y": 4, "width": 31, "height": 20},
    "rotate-flip": {"rotate": 90, "flip": "vertical"},
    "aspect": {"sample_aspect": "16:11"},
    "resize": {"scale": 1.7},
    "perspective": {"corners": [[0, 0], [40, 2], [42, 28], [2, 30]], "width": 40, "height": 30, "margin": 2},
    "undistort": {"centre": [23.5, 15.5], "focal": [29.0, 29.0], "k1": -0.02, "p1": 0.001},
    "selective-colour": {"hue": 30.0, "gain": 1.5},
    "local-contrast": {"radius": 4},
    "follow": {"points": [[0, 10.0, 8.0], [4, 20.0, 12.0]], "width": 16, "height": 12},
    "annotate": {
        "marks": [{"kind": "arrow", "at": [1, 1], "to": [30, 20]}, {"kind": "redact", "at": [0, 0], "to": [9, 5]}],
    },
    "stabilise": {"radius": 1, "smoothing": 1.0},
    "deflicker": {"radius": 1, "smoothing": 1.0},
    "deblock": {"luma_strength": 40, "chroma_strength": 40},
    "nlmeans": {"search_radius": 2},
    "temporal-average": {"frames": 2},
    "steady": {"frames": 2},
    "unsharp": {"amount": 1.0, "threshold": 1.0, "overshoot": 5.0},
    "wiener": {"psf": "motion", "length": 5.0, "angle": 30.0},
    "richardson-lucy": {"psf": "defocus", "disc_radius": 2.0, "iterations": 3},
}
LAYOUTS = ["yuv420p", "yuv422p10le", "yuv444p", "yuv411p", "gray", "rgb24"]


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_stage_takes_every_layout_and_declares_what_it_makes(name, layout, working):
    stage = catalogue.build(name, EXAMPLES[name])
    frames = [working(48, 32, layout, index=index, seed=index) for index in range(3)]
    window = frames if stage.radius else frames[:1]
    if layout == "gray" and name in ("channel", "white-balance", "selective-colour"):
        with pytest.raises(BadInput) as refusal:
            stage.output_geometry(frames[0].geometry)
        assert refusal.value.code == "stage.layout"
        return
    if name == "crop" and layout == "yuv411p":
        with pytest.raises(BadInput) as refusal:
            stage.output_geometry(frames[0].geometry)
        assert refusal.value.code == "stage.crop" and "0,4" in refusal.value.remedy
        return
    before = [[plane.copy() for plane in frame.planes] for frame in window]
    made = stage.process(window, len(window) // 2)
    assert made.geometry == stage.output_geometry(frames[0].geometry)
    assert made.stage_class == stage.effective_class
    assert all(
        np.array_equal(a, b)
        for old, frame in zip(before, window, strict=True)
        for a, b in zip(old, frame.planes, strict=True)
    )
    again = stage.process(window, len(window) // 2)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(made.planes, again.planes, strict=True))
    canonical_json(stage.record())
    values = made.planes[0]
    # Wiener has no bound by itself: undoing a blur that is not there overshoots at every edge.
    assert name == "wiener" or (values.min() > -80 and values.max() < 335), "no out-of-range surprises"


def test_odd_sizes_are_carried(working):
    for name in ("resize", "rotate-flip", "aspect", "nlmeans", "temporal-average", "deblock", "clahe", "wiener"):
        stage = catalogue.build(name, EXAMPLES[name])
        frame = working(33, 17)
        assert stage.process([frame], 0).geometry == stage.output_geometry(frame.geometry)


def test_tiny_pictures_are_carried(working):
    for name, values in EXAMPLES.items():
        if name == "crop":
            continue
        stage = catalogue.build(name, values)
        frame = working(2, 2, planes=(np.full((2, 2), 90.0), np.full((1, 1), 120.0), np.full((1, 1), 130.0)))
        assert stage.process([frame], 0).geometry == stage.output_geometry(frame.geometry), name


class Neighbours(Stage[NoParameters]):
    name, title, card = "test-neighbours", "Test", CARD
    stage_class, parameter_model = StageClass.PRESENTATION, NoParameters

    @property
    def radius(self) -> int:
        return 1

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        return window[at].planes


def test_generative_neighbour_taints_every_later_frame(working, generative):
    tainted = generative(NoParameters()).process([working(index=1)], 0)
    assert tainted.stage_class is StageClass.GENERATIVE
    clean = working(index=0)
    made = Neighbours(NoParameters()).process([clean, tainted], 0)
    assert made.stage_class is StageClass.GENERATIVE
    later = catalogue.build("crop", {"x": 0, "y": 0, "width": 8, "height": 8}).process([made], 0)
    assert later.stage_class is StageClass.GENERATIVE
    assert later.quantise().stage_class is StageClass.GENERATIVE


def test_a_stage_cannot_bypass_the_taint():
    with pytest.raises(TypeError, match="must not override process"):

        class Sly(Stage[NoParameters]):
            def process(self, window, at):  # type: ignore[no-untyped-def]
                return window[at]


class Broken(Stage[NoParameters]):
    name, title, card = "test-broken", "Test", CARD
    stage_class, parameter_model = StageClass.FIDELITY, NoParameters
    value: float = float("nan")

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        planes = tuple(plane.copy() for plane in window[at].planes)
        planes[1][3, 5] = self.value
        return planes


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_sample_that_is_not_finite_stops_the_run_and_names_the_stage(working, value):
    stage = Broken(NoParameters())
    stage.value = value
    with pytest.raises(InternalError) as failure:
        stage.process([working()], 0)
    assert failure.value.code == "frame.not-finite"
    assert "test-broken" in failure.value.message and "plane 1" in failure.value.message


class Shrinks(Stage[NoParameters]):
    name, title, card = "test-shrinks", "Test", CARD
    stage_class, parameter_model = StageClass.GEOMETRIC, NoParameters

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        return tuple(np.ascontiguousarray(plane[:-2]) for plane in window[at].planes)


def test_undeclared_geometry_is_an_internal_error(working):
    with pytest.raises(InternalError) as failure:
        Shrinks(NoParameters()).process([working()], 0)
    assert failure.value.code == "stage.geometry"


@pytest.mark.parametrize(("count", "at"), [(1, 1), (3, 0), (4, 1), (0, 0), (3, -1)])
def test_a_window_that_is_not_as_declared_is_refused(working, count, at):
    stage = Neighbours(NoParameters())
    with pytest.raises(InternalError) as failure:
        stage.process([working(index=index) for index in range(count)], at)
    assert failure.value.code == "stage.window"


def test_frames_of_different_size_in_a_window_are_refused(working):
    with pytest.raises(InternalError) as failure:
        Neighbours(NoParameters()).process([working(), working(32, 32)], 0)
    assert failure.value.code == "stage.window"


def test_record_lists_every_parameter_and_says_which_are_defaults():
    record = catalogue.build("unsharp", {"amount": 1.0}).record()
    assert record["parameters"]["amount"] == {"value": 1.0, "unit": "times", "default": False}
    assert record["parameters"]["sigma"]["default"] is True
    assert set(record["parameters"]) == {"sigma", "amount", "threshold", "overshoot"}
    assert record["class"] == "fidelity" and record["references"] and record["artefacts"]


def test_reference_chain_holds_what_does_not_change_the_sampling():
    inside = {name: catalogue.build(name, values).in_reference_chain for name, values in EXAMPLES.items()}
    assert {name for name, value in inside.items() if value} == {
        "channel", "levels", "curves", "clahe", "white-balance", "crop", "rotate-flip", "aspect",
        "stabilise", "deflicker", "perspective", "undistort", "selective-colour", "annotate",
        "local-contrast", "follow",
    }  # fmt: skip
    assert catalogue.build("resize", {"width": 40}).in_reference_chain is False


class Typed(Parameters):
    whole: int = parameter(1, title="Whole", unit="pixels", ge=0, le=4, description="A whole number.")


@pytest.mark.parametrize(
    "values", [{"whole": "1"}, {"whole": 1.5}, {"whole": True}, {"whole": None}, {"whole": 9}, {"other": 1}]
)
def test_parameters_are_not_coerced(values):
    class Stub(Stage[Typed]):
        name, title, card = "test-stub", "Test", CARD
        stage_class, parameter_model = StageClass.PRESENTATION, Typed

        def _apply(self, window, at):  # type: ignore[no-untyped-def]
            return window[at].planes

    with pytest.raises(BadInput) as refusal:
        Stub.create(values)
    assert refusal.value.code == "stage.parameters"
    assert "whole" in refusal.value.message
    if "other" not in values:
        assert "pixels" in refusal.value.message and "from 0 to 4" in refusal.value.message
