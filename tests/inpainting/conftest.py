"""Real frames to be damaged."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import layout_named
from forensic.frames.stageclass import StageClass

COUNT = 9


@pytest.fixture(scope="session")
def recorded(real_clip: Path) -> list[tuple[np.ndarray, ...]]:
    """Y'CbCr 4:2:0 planes (uint8) of nine consecutive frames, 176x144."""
    planes = []
    with av.open(str(real_clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= 40:
                data = frame.reformat(format="yuv420p").to_ndarray().reshape(-1)
                parts = np.split(data, [176 * 144, 176 * 144 * 5 // 4])
                planes.append(tuple(p.reshape(s).copy() for p, s in zip(parts, _SHAPES, strict=True)))
            if len(planes) == COUNT:
                return planes
    raise AssertionError("the clip is shorter than it was")


_SHAPES = ((144, 176), (72, 88), (72, 88))


@pytest.fixture
def as_frames() -> Callable[[list[tuple[np.ndarray, ...]]], list[CodedFrame]]:
    """Coded frames of Y'CbCr 4:2:0 planes."""

    def make(clip: list[tuple[np.ndarray, ...]]) -> list[CodedFrame]:
        rows, columns = clip[0][0].shape
        geometry = Geometry(columns, rows, layout_named("yuv420p"))
        return [
            CodedFrame(
                tuple(plane.copy() for plane in planes), geometry, ColourSpec(),
                FrameTiming(number, number, Fraction(1, 30)), StageClass.PRESENTATION,
            )
            for number, planes in enumerate(clip)
        ]  # fmt: skip

    return make
