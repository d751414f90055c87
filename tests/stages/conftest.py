"""Pictures and a test-only generative stage for the stages' tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry, Planes, WorkingFrame
from forensic.frames.layout import layout_named
from forensic.frames.stageclass import StageClass
from forensic.stages.parameters import NoParameters
from forensic.stages.stage import Stage, StageCard

MakeFrame = Callable[..., WorkingFrame]


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with edges, ramps and texture, 20..230, float32: rectangles and discs on a gradient."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    picture = 60 + 80 * x / width + 30 * y / height
    for _ in range(12):
        level = generator.uniform(20, 230)
        cy, cx = generator.uniform(0, height), generator.uniform(0, width)
        ry, rx = generator.uniform(0.03, 0.2, 2) * (height, width)
        if generator.random() < 0.5:
            inside = (abs(y - cy) < ry) & (abs(x - cx) < rx)
        else:
            inside = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        picture[inside] = level
    picture += 4 * np.sin(x / 2.3) * np.sin(y / 3.1)
    return np.clip(picture, 20, 230).astype(np.float32)


@pytest.fixture
def picture() -> Callable[..., np.ndarray]:
    return scene


@pytest.fixture
def working() -> MakeFrame:
    """Make a working frame: from given planes, or of a scene in every plane."""

    def make(
        width: int = 96,
        height: int = 64,
        layout: str = "yuv420p",
        *,
        planes: Planes | None = None,
        index: int = 0,
        seed: int = 0,
        colour: ColourSpec | None = None,
        aspect: Fraction | None = None,
        stage_class: StageClass = StageClass.PRESENTATION,
    ) -> WorkingFrame:
        geometry = Geometry(width, height, layout_named(layout), aspect)
        if planes is None:
            planes = tuple(scene(*shape, seed + number) for number, shape in enumerate(geometry.plane_shapes))
        timing = FrameTiming(index, index, Fraction(1, 25))
        return WorkingFrame(
            tuple(np.array(plane, dtype=np.float32) for plane in planes),
            geometry,
            colour or ColourSpec(),
            timing,
            stage_class,
        )

    return make


@pytest.fixture
def clip(working: MakeFrame) -> Callable[..., list[CodedFrame]]:
    """A short clip: a still scene with a bright square that moves, and noise that differs per frame."""

    def make(
        count: int, width: int = 64, height: int = 48, noise: float = 2.0, layout: str = "yuv420p"
    ) -> list[CodedFrame]:
        generator = np.random.default_rng(7)
        frames = []
        for index in range(count):
            shapes = Geometry(width, height, layout_named(layout)).plane_shapes
            planes = []
            for number, shape in enumerate(shapes):
                plane = scene(*shape, number) + generator.normal(0, noise, shape)
                if number == 0:
                    plane[10:18, 3 * index % width : 3 * index % width + 8] = 235
                planes.append(plane.astype(np.float32))
            frames.append(working(width, height, layout, planes=tuple(planes), index=index).quantise())
        return frames

    return make


class Invent(Stage[NoParameters]):
    """Test-only generative stage: it changes nothing and is generative all the same."""

    name = "test-invent"
    title = "Test-only generative stage"
    stage_class = StageClass.GENERATIVE
    parameter_model = NoParameters
    card = StageCard("Stands for a stage that makes pixels up.", ("Everything.",), ("None: for tests only.",))

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        return window[at].planes


@pytest.fixture
def generative() -> type[Stage[NoParameters]]:
    return Invent
