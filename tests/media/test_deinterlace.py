"""bwdif through libavfilter: the kept field untouched, the other rebuilt, the same result every time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from forensic.errors import InternalError
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.media.deinterlace import bwdif
from forensic.media.reader import ExhibitReader
from tests.media.conftest import ffmpeg


def working(planes: list[np.ndarray], layout: str, number: int) -> WorkingFrame:
    height, width = planes[0].shape
    return WorkingFrame(
        tuple(plane.astype(np.float32) for plane in planes),
        Geometry(width, height, LAYOUTS[layout]),
        ColourSpec(),
        FrameTiming(number, number, Fraction(1, 25)),
        StageClass.PRESENTATION,
    )


def moving(layout: str, number: int, offset: float) -> WorkingFrame:
    """Smooth pattern moving sideways; odd lines are ``offset`` frames later."""
    planes = []
    for rows, columns in LAYOUTS[layout].plane_shapes(96, 64):
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float64)
        time = number + offset * (y % 2)
        planes.append(128 + 80 * np.sin((x - 4 * time * columns / 96) / columns * 25) * np.cos(y / rows * 4))
    return working(planes, layout, number)


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv411p", "gray", "rgb24"])
@pytest.mark.parametrize("parity", ["top", "bottom"])
def test_kept_lines_stay_and_the_others_are_rebuilt(layout: str, parity: str) -> None:
    later = 0.5 if parity == "top" else -0.5
    frames = [moving(layout, number, later) for number in range(3)]
    truth = moving(layout, 1, 0.0)
    result = bwdif(*frames, parity)
    kept = 0 if parity == "top" else 1
    for plane, source, true in zip(result, frames[1].planes, truth.planes, strict=True):
        assert plane.dtype == np.float32 and plane.shape == source.shape
        assert np.abs(plane[kept::2] - source[kept::2]).max() <= 1 / 512
        if parity == "top":
            combed = np.abs(source[1::2] - true[1::2]).mean()
            assert np.abs(plane[1::2] - true[1::2]).mean() < combed / 2


def test_same_arguments_same_bits_and_no_input_is_changed() -> None:
    frames = [moving("yuv420p", number, 0.5) for number in range(3)]
    before = [plane.copy() for frame in frames for plane in frame.planes]
    first, second = bwdif(*frames, "top"), bwdif(*frames, "top")
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(before, [p for f in frames for p in f.planes], strict=True))


def test_agrees_with_the_ffmpeg_command_line(tmp_path: Path, real_clip: Path) -> None:
    combed, clean = tmp_path / "combed.mkv", tmp_path / "clean.mkv"
    ffmpeg(
        "-i", real_clip, "-frames:v", 12, "-vf", "interlace=scan=tff:lowpass=off,format=yuv420p", "-c:v", "ffv1", combed
    )
    ffmpeg("-i", combed, "-vf", "bwdif=mode=send_frame:parity=tff:deint=all", "-c:v", "ffv1", clean)
    with ExhibitReader(combed) as reader:
        source = [frame.to_working() for frame in reader.frames()]
    with ExhibitReader(clean) as reader:
        theirs = [frame.to_working() for frame in reader.frames()]
    for number in range(1, len(source) - 1):
        ours = bwdif(source[number - 1], source[number], source[number + 1], "top")
        for mine, other in zip(ours, theirs[number].planes, strict=True):
            # They work in 8 bits, we in 16: a rounding step apart, not more, but for single decisions at edges.
            assert np.abs(mine - other).mean() < 0.3
            assert np.mean(np.abs(mine - other) > 1.01) < 0.01


def test_nonsense_is_refused() -> None:
    frame, other = moving("gray", 0, 0.0), moving("yuv420p", 0, 0.0)
    for arguments in ((frame, frame, other, "top"), (frame, frame, frame, "sideways")):
        with pytest.raises(InternalError) as caught:
            bwdif(*arguments)
        assert caught.value.code == "deinterlace.arguments"
