"""Tone, colour and channel stages: exact identities, luma and chroma apart, neutral stays neutral."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec, to_rgb
from forensic.stages import catalogue

LIMITED, FULL = ColourSpec(full_range=False), ColourSpec(full_range=True)

IDENTITIES = {
    "levels": {},
    "curves": {},
    "clahe": {"clip_limit": 1.0},
    "white-balance": {},
    "rotate-flip": {},
    "aspect": {},
    "resize": {"scale": 1.0},
    "undistort": {"centre": [20.0, 10.0], "focal": [30.0, 30.0]},
    "perspective": {"corners": [[-0.5, -0.5], [49.5, -0.5], [49.5, 37.5], [-0.5, 37.5]], "width": 50, "height": 38},
    "selective-colour": {"hue": 120.0, "others": 1.0},
    "annotate": {"marks": [{"kind": "circle", "at": [9, 9], "radius": 4, "first_frame": 7}]},
    "deblock": {"luma_strength": 0, "chroma_strength": 15},
    "nlmeans": {"luma_noise": 0.0, "chroma_noise": 0.0},
    "unsharp": {"amount": 0.0},
    "richardson-lucy": {"psf": "gaussian", "sigma": 1.0, "iterations": 0},
    "temporal-average": {},  # alone in its window
    "steady": {},  # likewise
}


@pytest.mark.parametrize("name", IDENTITIES)
@pytest.mark.parametrize("layout", ["yuv420p", "rgb24"])
def test_identity_parameters_change_no_bit(name, layout, working):
    frame = working(50, 38, layout)
    made = catalogue.build(name, IDENTITIES[name]).process([frame], 0)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(made.planes, frame.planes, strict=True))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("levels", {"black": 30.0, "gamma": 1.5}),
        ("curves", {"points": [[0, 20], [255, 200]]}),
        ("clahe", {}),
        ("unsharp", {"amount": 2.0}),
        ("wiener", {"psf": "gaussian", "sigma": 1.0}),
        ("richardson-lucy", {"psf": "gaussian", "sigma": 1.0}),
        ("nlmeans", {"chroma_noise": 0.0}),
        ("deblock", {"luma_strength": 40, "chroma_strength": 0}),
    ],
)
def test_luma_work_does_not_touch_chroma(name, values, working):
    frame = working()
    made = catalogue.build(name, values).process([frame], 0)
    assert not np.array_equal(made.planes[0], frame.planes[0])
    assert all(np.array_equal(a, b) for a, b in zip(made.planes[1:], frame.planes[1:], strict=True))


@pytest.mark.parametrize(
    ("name", "values"), [("nlmeans", {"luma_noise": 0.0}), ("deblock", {"luma_strength": 0, "chroma_strength": 40})]
)
def test_chroma_work_does_not_touch_luma(name, values, working):
    frame = working()
    made = catalogue.build(name, values).process([frame], 0)
    assert np.array_equal(made.planes[0], frame.planes[0])
    assert not np.array_equal(made.planes[1], frame.planes[1])


@pytest.mark.parametrize(("colour", "black", "white"), [(LIMITED, 16.0, 235.0), (FULL, 0.0, 255.0)])
def test_levels_work_on_the_nominal_range(colour, black, white, working):
    ramp = np.tile(np.linspace(0, 255, 64), (4, 1))
    chroma = np.full((2, 32), 128.0)
    frame = working(64, 4, planes=(ramp, chroma, chroma), colour=colour)
    made = catalogue.build("levels", {"black": 51.0, "white": 204.0, "gamma": 2.0}).process([frame], 0).planes[0]
    share = (ramp - black) / (white - black)
    expected = black + (white - black) * np.clip((share - 0.2) / 0.6, 0, 1) ** 0.5
    assert np.abs(made - expected).max() < 0.01


def test_a_curve_goes_through_its_points_and_never_falls(working):
    points = [[10, 5], [60, 120], [61, 120], [200, 130], [250, 255]]
    ramp = np.tile(np.linspace(0, 255, 2041), (2, 1))
    frame = working(2041, 2, "gray", planes=(ramp,))
    made = catalogue.build("curves", {"points": points}).process([frame], 0).planes[0][0]
    assert np.diff(made).min() >= -1e-4
    for x, y in points:
        assert abs(made[round(x * 8)] - y) < 0.05


@pytest.mark.parametrize(
    "points",
    [
        [[0, 0]],
        [[0, 0], [0, 9]],
        [[0, 9], [255, 3]],
        [[0, 0], [300, 255]],
        [[0, 0, 0], [1, 1, 1]],
        "steep",
        [["0", 0], [9, 9]],
    ],
)
def test_impossible_curves_are_refused(points):
    with pytest.raises(BadInput) as refusal:
        catalogue.build("curves", {"points": points})
    assert refusal.value.code == "stage.parameters" and "points" in refusal.value.message


def test_clahe_brings_out_contrast_without_seams(working):
    x = np.tile(np.arange(160.0), (120, 1))
    dull = 100 + 3 * np.sin(x / 3) + 0.25 * x
    frame = working(160, 120, "gray", planes=(dull,))
    made = catalogue.build("clahe", {"clip_limit": 4.0, "columns": 4, "rows": 4}).process([frame], 0).planes[0]
    assert np.diff(made, axis=1).std() > 1.5 * np.diff(dull, axis=1).std()
    # A seam would be a step between neighbouring columns that the smooth input does not have.
    steps, smooth = np.abs(np.diff(made, axis=1)).max(axis=0), np.abs(np.diff(dull, axis=1)).max()
    assert steps.max() < 6 * smooth
    assert np.abs(np.diff(made, axis=0)).max() < 1.0, "rows of a picture without vertical detail stay alike"


def test_clahe_never_exceeds_its_slope(working):
    ramp = np.tile(np.linspace(90, 110, 256), (64, 1))
    frame = working(256, 64, "gray", planes=(ramp,))
    made = catalogue.build("clahe", {"clip_limit": 3.0, "columns": 1, "rows": 1}).process([frame], 0).planes[0]
    assert np.diff(made[0]).max() / np.diff(ramp[0]).max() < 3.05


def rgb_means(frame) -> np.ndarray:
    coded = frame.quantise()
    return to_rgb(coded.planes, coded.geometry.layout, coded.colour).reshape(-1, 3).mean(axis=0)


@pytest.mark.parametrize("colour", [LIMITED, FULL])
@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p"])
def test_white_balance_removes_a_cast_and_keeps_brightness(layout, colour, working):
    shapes = working(32, 32, layout).geometry.plane_shapes
    planes = (np.full(shapes[0], 120.0), np.full(shapes[1], 115.0), np.full(shapes[2], 140.0))
    frame = working(32, 32, layout, planes=planes, colour=colour)
    for values in ({"method": "gray-world"}, {"method": "neutral-region", "region": [4, 4, 8, 8]}):
        made = catalogue.build("white-balance", values).process([frame], 0)
        means = rgb_means(made)
        assert np.ptp(means) <= 1.0
        assert abs(made.planes[0].mean() - 120.0) < 2.0


def test_white_balance_leaves_neutral_pixels_bright_as_they_were(working):
    ramp = np.tile(np.linspace(20, 230, 32), (32, 1))
    neutral = np.full((16, 16), 128.0)
    frame = working(32, 32, planes=(ramp, neutral, neutral))
    made = catalogue.build("white-balance", {"gains": [1.3, 1.0, 0.8]}).process([frame], 0)
    assert np.abs(made.planes[0] - ramp).max() < 1e-2


def test_white_balance_measures_nothing_in_the_dark(working):
    frame = working(32, 32, planes=(np.full((32, 32), 17.0), np.full((16, 16), 126.0), np.full((16, 16), 131.0)))
    made, note = catalogue.build("white-balance", {"method": "gray-world"}).process_noted([frame], 0)
    assert note == {"measured": False}
    assert np.array_equal(made.planes[1], frame.planes[1])


@pytest.mark.parametrize(
    "values",
    [
        {"method": "neutral-region"},
        {"region": [0, 0, 1, 1]},
        {"method": "gray-world", "gains": [1, 1, 1]},
        {"gains": [0, 1, 1]},
        {"method": "neutral-region", "region": [0, 0, 0, 4]},
        {"gains": [1, 1]},
    ],
)
def test_contradictory_white_balance_is_refused(values):
    with pytest.raises(BadInput):
        catalogue.build("white-balance", values)


def test_a_neutral_region_outside_the_picture_is_refused(working):
    stage = catalogue.build("white-balance", {"method": "neutral-region", "region": [90, 0, 20, 20]})
    with pytest.raises(BadInput) as refusal:
        stage.output_geometry(working().geometry)
    assert refusal.value.code == "stage.region"


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_extracted_red_green_blue_agree_with_the_display_conversion(matrix, full, working):
    colour = ColourSpec(matrix=matrix, full_range=full)
    planes = (np.linspace(40, 200, 64 * 64).reshape(64, 64), np.full((32, 32), 110.0), np.full((32, 32), 150.0))
    frame = working(64, 64, planes=tuple(np.rint(plane) for plane in planes), colour=colour)
    coded = frame.quantise()
    shown = to_rgb(coded.planes, coded.geometry.layout, coded.colour)
    for number, name in enumerate("RGB"):
        made = catalogue.build("channel", {"channel": name}).process([frame], 0)
        assert made.geometry.layout.name == "gray" and made.colour.full_range is True
        assert np.abs(made.quantise().planes[0].astype(int) - shown[..., number]).max() <= 1


def test_extracted_luma_is_the_recorded_luma_with_its_range_stated(working):
    frame = working(layout="yuv422p10le")
    made = catalogue.build("channel", {"channel": "Y"}).process([frame], 0)
    assert np.array_equal(made.planes[0], frame.planes[0])
    assert made.geometry.layout.name == "gray10le" and made.colour.full_range is False
