"""Peers for the media tests: the ffmpeg and ffprobe command lines, which share no code of ours."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import layout_named
from forensic.frames.stageclass import StageClass


def ffmpeg(*arguments: object) -> str:
    """Run ffmpeg, fail on failure, return its standard output."""
    done = subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def probe_field(path: Path, entry: str, stream: str = "v:0", *options: str) -> list[str]:
    """Values of an ffprobe entry such as ``frame=pts_time`` or ``stream=color_range``."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", *options, "-select_streams", stream, "-show_entries", entry, "-of", "csv=p=0", path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line.rstrip(",") for line in done.stdout.splitlines() if line.strip(",")]


def times(path: Path, most: int | None = None) -> list[Fraction]:
    """Presentation times in seconds as ffprobe gives them (microseconds), of the first ``most`` packets."""
    some = () if most is None else ("-read_intervals", f"%+#{most}")
    return [Fraction(text) for text in probe_field(path, "frame=pts_time", "v:0", *some)]


def framehash(path: Path, pixel_format: str, *options: str) -> list[str]:
    """SHA-256 of every frame as the ffmpeg command line computes it; any decoding complaint is a failure."""
    done = subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", *options, "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough",
         "-pix_fmt", pixel_format, "-f", "framehash", "-hash", "sha256", "-"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    if "explode" in str(options):
        assert done.stderr == ""
    return [line.rsplit(",", 1)[1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]


def strict_framehash(path: Path, pixel_format: str) -> list[str]:
    """As :func:`framehash`, with slice checksums enforced."""
    return framehash(path, pixel_format, "-err_detect", "crccheck+explode")


MakeFrame = Callable[..., CodedFrame]


def noise_frame(
    layout: str,
    width: int = 96,
    height: int = 80,
    *,
    index: int = 0,
    pts: int | None = None,
    time_base: Fraction = Fraction(1, 25),
    colour: ColourSpec | None = None,
    aspect: Fraction | None = None,
    stage_class: StageClass = StageClass.FIDELITY,
    seed: int = 0,
) -> CodedFrame:
    """A frame of noise: every sample value of the layout occurs."""
    shape = layout_named(layout)
    rng = np.random.default_rng(seed + 1000 * index)
    planes = tuple(
        rng.integers(0, shape.maximum + 1, size, dtype=shape.dtype) for size in shape.plane_shapes(width, height)
    )
    return CodedFrame(
        planes,
        Geometry(width, height, shape, aspect),
        colour or ColourSpec(matrix=0 if shape.family == "rgb" else 2),
        FrameTiming(index, index if pts is None else pts, time_base),
        stage_class,
    )


@pytest.fixture
def make_frame() -> MakeFrame:
    """:func:`noise_frame`."""
    return noise_frame
