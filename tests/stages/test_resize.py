"""Resampling: analytic references, centres, chroma siting, antialiasing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec
from forensic.stages import catalogue
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, resample

KERNEL_NAMES = sorted(KERNELS)


def direct(line: np.ndarray, axis: AxisMap, kernel_name: str) -> np.ndarray:
    """The definition, sample by sample in float64: the reference that the fast ways are held to."""
    kernel = KERNELS[kernel_name]
    result = np.empty(axis.count)
    stretch = max(float(axis.step), 1.0)
    for i in range(axis.count):
        position = axis.offset + i * axis.step
        if kernel.support == 0:
            result[i] = line[int(np.clip((position + Fraction(1, 2)).__floor__(), 0, len(line) - 1))]
            continue
        reach = int(np.ceil(kernel.support * stretch)) + 1
        taps = np.arange(int(np.floor(position)) - reach, int(np.floor(position)) + reach + 1)
        weights = kernel.weight((taps - float(position)) / stretch)
        result[i] = weights @ line[np.clip(taps, 0, len(line) - 1)] / weights.sum()
    return result


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(1, 40),
    count=st.integers(1, 90),
    numerator=st.integers(1, 60),
    denominator=st.integers(1, 20),
    offset=st.fractions(-2, 2, max_denominator=64),
    kernel=st.sampled_from(KERNEL_NAMES),
    seed=st.integers(0, 99),
)
def test_resampling_equals_its_definition(length, count, numerator, denominator, offset, kernel, seed):
    plane = np.random.default_rng(seed).uniform(0, 255, (3, length)).astype(np.float32)
    axis = AxisMap(count, Fraction(numerator, denominator), offset)
    expected = np.array([direct(row, axis, kernel) for row in plane.astype(np.float64)])
    across = resample(plane, AxisMap(3), axis, KERNELS[kernel])
    down = resample(np.ascontiguousarray(plane.T), axis, AxisMap(3), KERNELS[kernel])
    assert np.abs(across - expected).max() < 2e-3
    assert np.abs(down.T - expected).max() < 2e-3


@pytest.mark.parametrize("kernel", KERNEL_NAMES)
@pytest.mark.parametrize("scale", [0.5, 0.37, 1.5, 2.0, 3.0, 4.0])
def test_a_flat_picture_stays_flat(kernel, scale, working):
    frame = working(30, 22, planes=(np.full((22, 30), 77.25), np.full((11, 15), 128.0), np.full((11, 15), 91.5)))
    made = catalogue.build("resize", {"scale": scale, "kernel": kernel}).process([frame], 0)
    for plane, value in zip(made.planes, (77.25, 128.0, 91.5), strict=True):
        assert np.abs(plane - value).max() < 1e-3


def centroid(plane: np.ndarray) -> tuple[float, float]:
    weight = plane.astype(np.float64)
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    return float((y * weight).sum() / weight.sum()), float((x * weight).sum() / weight.sum())


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("scale", [0.5, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("location", ["unspecified", "left", "center", "topleft"])
def test_nothing_is_shifted_neither_luma_nor_chroma(kernel, scale, location, working):
    """A blob keeps its place: centroids in luma coordinates agree before and after, for every plane."""
    width, height, luma_x, luma_y = 96, 80, 46.3, 41.8
    colour = ColourSpec(chroma_location=location)
    first_x = 0.5 if location == "center" else 0.0
    first_y = 0.0 if location == "topleft" else 0.5
    y, x = np.mgrid[:height, :width]
    luma = 100 * np.exp(-((x - luma_x) ** 2 + (y - luma_y) ** 2) / (2 * 6.0**2))
    y, x = np.mgrid[: height // 2, : width // 2]
    chroma = 100 * np.exp(-((2 * x + first_x - luma_x) ** 2 + (2 * y + first_y - luma_y) ** 2) / (2 * 6.0**2))
    frame = working(width, height, planes=(luma, chroma, chroma), colour=colour)
    made = catalogue.build("resize", {"scale": scale, "kernel": kernel}).process([frame], 0)
    expected_x, expected_y = (luma_x + 0.5) * scale - 0.5, (luma_y + 0.5) * scale - 0.5
    got_y, got_x = centroid(made.planes[0])
    assert abs(got_x - expected_x) < 0.02 * scale and abs(got_y - expected_y) < 0.02 * scale
    for plane in made.planes[1:]:
        got_y, got_x = centroid(plane)
        assert abs(2 * got_x + first_x - expected_x) < 0.03 * scale
        assert abs(2 * got_y + first_y - expected_y) < 0.03 * scale


def test_shrinking_does_not_alias(working):
    x = np.tile(np.arange(64.0), (64, 1))
    stripes = 128 + 100 * np.cos(np.pi * x * 0.9)  # just below the highest frequency: must vanish at half size
    frame = working(64, 64, "gray", planes=(stripes,))
    for kernel in ("bicubic", "lanczos"):
        small = catalogue.build("resize", {"scale": 0.5, "kernel": kernel}).process([frame], 0).planes[0]
        assert np.abs(small[:, 4:-4] - 128).max() < 10
    nearest = catalogue.build("resize", {"scale": 0.5, "kernel": "nearest"}).process([frame], 0).planes[0]
    assert np.abs(nearest - 128).max() > 50  # as its card says, it drops pixels


def test_scale_one_changes_nothing(working):
    frame = working(33, 21)
    made = catalogue.build("resize", {"scale": 1.0}).process([frame], 0)
    assert all(a is b for a, b in zip(made.planes, frame.planes, strict=True))


def test_nearest_repeats_samples_exactly(working):
    frame = working(20, 12)
    made = catalogue.build("resize", {"scale": 3.0, "kernel": "nearest"}).process([frame], 0)
    assert np.array_equal(made.planes[0], frame.planes[0].repeat(3, 0).repeat(3, 1))


def test_enlarging_and_shrinking_back_returns_nearly_the_picture(working):
    frame = working(64, 48)
    up = catalogue.build("resize", {"scale": 2.0}).process([frame], 0)
    back = catalogue.build("resize", {"scale": 0.5}).process([up], 0)
    assert np.abs(back.planes[0] - frame.planes[0])[6:-6, 6:-6].mean() < 2.0


@pytest.mark.parametrize(
    ("values", "size", "aspect"),
    [
        ({"scale": 1.5}, (108, 87), Fraction(16, 15)),
        ({"width": 36}, (36, 29), Fraction(16, 15)),
        ({"height": 116}, (144, 116), Fraction(16, 15)),
        ({"width": 64, "height": 48}, (64, 48), Fraction(16, 15) * Fraction(72, 64) * Fraction(48, 58)),
    ],
)
def test_sizes_and_the_display_shape(values, size, aspect, working):
    frame = working(72, 58, aspect=Fraction(16, 15))
    made = catalogue.build("resize", values).process([frame], 0)
    assert (made.geometry.width, made.geometry.height) == size
    assert made.geometry.sample_aspect == aspect


@pytest.mark.parametrize(
    "values", [{}, {"scale": 2.0, "width": 10}, {"scale": 0.0}, {"scale": float("nan")}, {"width": 0}]
)
def test_contradictory_sizes_are_refused(values):
    with pytest.raises(BadInput) as refusal:
        catalogue.build("resize", values)
    assert refusal.value.code == "stage.parameters"


def test_an_absurd_result_is_refused_before_memory_is_taken(working):
    with pytest.raises(BadInput) as refusal:
        catalogue.build("resize", {"width": 32768, "height": 32768}).output_geometry(working().geometry)
    assert refusal.value.code == "stage.size"
