"""The integer conversion to RGB against FFmpeg's and against the equations of H.273."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from forensic.frames.colour import LUMA_WEIGHTS, ColourSpec, to_rgb
from forensic.frames.layout import LAYOUTS, layout_named


def _exact(y: float, cb: float, cr: float, matrix: int, full: bool) -> np.ndarray:
    kr, kb = LUMA_WEIGHTS[matrix]
    luma = y if full else (y - 16) * 255 / 219
    span = 255 if full else 224
    blue, red = (cb - 128) * 255 / span, (cr - 128) * 255 / span
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.clip([r, g, b], 0, 255)


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", ["yuv444p", "yuv420p", "yuv422p10le", "yuv420p16le"])
def test_flat_colours_follow_the_equations(matrix: int, full: bool, name: str) -> None:
    layout = layout_named(name)
    generator = np.random.default_rng(1)
    for y, cb, cr in generator.integers(0, 256, (40, 3)):
        # H.273: full range spans all codes, chroma is centred on the middle code in either range
        scale = layout.maximum / 255 if full else float(1 << (layout.bits - 8))
        middle = 1 << (layout.bits - 1)
        codes = (round(y * scale), round((cb - 128) * scale) + middle, round((cr - 128) * scale) + middle)
        planes = tuple(
            np.full(shape, np.clip(code, 0, layout.maximum), layout.dtype)
            for code, shape in zip(codes, layout.plane_shapes(6, 4), strict=True)
        )
        colour = ColourSpec(matrix=matrix, full_range=full)
        found = to_rgb(planes, layout, colour)
        assert found.shape == (4, 6, 3)
        assert np.ptp(found.reshape(-1, 3), axis=0).max() == 0
        assert np.abs(found[0, 0] - _exact(y, cb, cr, matrix, full)).max() <= (0.51 if layout.bits == 8 else 0.8)


def test_agrees_with_ffmpegs_accurate_conversion_on_real_footage(real_clip: Path) -> None:
    """swscale interpolates chroma otherwise, hence a tolerance on the mean, not on every pixel."""
    size = (176, 144)
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", real_clip, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    reference = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", real_clip, "-frames:v", "1", "-vf",
         "scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp+bilinear:in_color_matrix=bt601:in_range=tv",
         "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    from forensic.frames.layout import unpack_planes

    layout = layout_named("yuv420p")
    ours = to_rgb(unpack_planes(layout, *size, raw), layout, ColourSpec(matrix=6, full_range=False))
    theirs = np.frombuffer(reference, np.uint8).reshape(size[1], size[0], 3)
    assert np.abs(ours.astype(int) - theirs).mean() < 1.0


@pytest.mark.parametrize("location", ["left", "center", "topleft", "top", "bottomleft", "bottom", "unspecified"])
def test_chroma_sits_where_the_file_says(location: str) -> None:
    """A chroma ramp over position comes out as the same ramp, displaced by the stated siting."""
    layout = layout_named("yuv420p")
    step = 4
    ramp = (np.arange(32) * step + 20).astype(np.uint8)
    across = np.tile(ramp, (32, 1))
    flat = np.full((32, 32), 128, np.uint8)
    for axis, chroma in ((1, across), (0, np.ascontiguousarray(across.T))):
        planes = (np.full((64, 64), 128, np.uint8), flat, chroma)
        red = to_rgb(planes, layout, ColourSpec(matrix=6, full_range=True, chroma_location=location))[..., 0]
        line = red[32] if axis == 1 else red[:, 32]
        inner = np.arange(64)[30:34]
        offset = {
            1: 0.5 if location in ("center", "top", "bottom") else 0.0,
            0: 0.0 if location.startswith("top") else 1.0 if location.startswith("bottom") else 0.5,
        }[axis]
        chroma_there = (inner - offset) / 2 * step + 20
        expected = 128 + 2 * (1 - 0.299) * (chroma_there - 128)
        assert np.abs(line[30:34] - expected).max() <= 1.5


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_converts_at_odd_sizes(name: str) -> None:
    layout = layout_named(name)
    generator = np.random.default_rng(2)
    for width, height in ((1, 1), (2, 3), (7, 5), (33, 18)):
        planes = tuple(
            generator.integers(0, layout.maximum + 1, shape).astype(layout.dtype)
            for shape in layout.plane_shapes(width, height)
        )
        rgb = to_rgb(planes, layout, ColourSpec())
        assert rgb.shape == (height, width, 3)
        assert rgb.dtype == np.uint8
