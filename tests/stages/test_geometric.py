"""Crop, rotation, aspect: samples where they belong, chroma included."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec
from forensic.stages import catalogue


def test_crop_takes_samples_unchanged(working):
    frame = working(96, 64)
    made = catalogue.build("crop", {"x": 10, "y": 6, "width": 31, "height": 17}).process([frame], 0)
    assert np.array_equal(made.planes[0], frame.planes[0][6:23, 10:41])
    assert np.array_equal(made.planes[1], frame.planes[1][3:12, 5:21])


@pytest.mark.parametrize("box", [(0, 0, 97, 10), (90, 0, 8, 8), (1, 0, 8, 8), (0, 3, 8, 8)])
def test_a_crop_that_does_not_fit_is_refused_not_rounded(box, working):
    x, y, width, height = box
    stage = catalogue.build("crop", {"x": x, "y": y, "width": width, "height": height})
    with pytest.raises(BadInput) as refusal:
        stage.output_geometry(working().geometry)
    assert refusal.value.code == "stage.crop"


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["none", "horizontal", "vertical"])
def test_rotation_moves_luma_without_loss_and_chroma_with_it(rotate, flip, working):
    """A coloured blob stays on its luma blob, whatever the siting and parity of the size."""
    for width, height in ((96, 80), (97, 79)):
        for location in ("left", "center", "topleft"):
            first_x, first_y = (0.5 if location == "center" else 0.0), (0.0 if location == "topleft" else 0.5)
            y, x = np.mgrid[:height, :width]
            luma = 100 * np.exp(-((x - 40.3) ** 2 + (y - 33.6) ** 2) / 50)
            y, x = np.mgrid[: -(-height // 2), : -(-width // 2)]
            chroma = 100 * np.exp(-((2 * x + first_x - 40.3) ** 2 + (2 * y + first_y - 33.6) ** 2) / 50)
            frame = working(width, height, planes=(luma, chroma, chroma), colour=ColourSpec(chroma_location=location))
            made = catalogue.build("rotate-flip", {"rotate": rotate, "flip": flip}).process([frame], 0)
            expected = np.rot90(frame.planes[0], -rotate // 90)
            expected = {"none": expected, "horizontal": expected[:, ::-1], "vertical": expected[::-1]}[flip]
            assert np.array_equal(made.planes[0], expected)
            y, x = np.mgrid[: made.planes[0].shape[0], : made.planes[0].shape[1]]
            place = [(axis * made.planes[0]).sum() / made.planes[0].sum() for axis in (x, y)]
            y, x = np.mgrid[: made.planes[1].shape[0], : made.planes[1].shape[1]]
            colour = [(axis * made.planes[1]).sum() / made.planes[1].sum() for axis in (x, y)]
            assert abs(2 * colour[0] + first_x - place[0]) < 0.05
            assert abs(2 * colour[1] + first_y - place[1]) < 0.05


def test_four_quarter_turns_of_full_colour_change_no_bit(working):
    frame = working(50, 34, "yuv444p")
    turned, stage = frame, catalogue.build("rotate-flip", {"rotate": 90})
    for _ in range(4):
        turned = stage.process([turned], 0)
    assert all(np.array_equal(a, b) for a, b in zip(turned.planes, frame.planes, strict=True))


def test_rotation_turns_the_pixel_shape(working):
    made = catalogue.build("rotate-flip", {"rotate": 270}).process([working(aspect=Fraction(16, 15))], 0)
    assert made.geometry.sample_aspect == Fraction(15, 16)


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(16, 11), (1047, 576)), (Fraction(10, 11), (720, 634)), (None, (720, 576))]
)
def test_aspect_correction_only_enlarges(aspect, size, working):
    stage = catalogue.build("aspect", {})
    geometry = stage.output_geometry(working(720, 576, "gray", planes=(np.zeros((576, 720)),), aspect=aspect).geometry)
    assert (geometry.width, geometry.height) == size
    assert geometry.sample_aspect == (None if aspect is None else 1)


@pytest.mark.parametrize("text", ["16/11", "0:1", "1:0", "-1:1", "a:b", "1:1 ", "999999:1"])
def test_a_pixel_shape_that_is_none_is_refused(text):
    with pytest.raises(BadInput):
        catalogue.build("aspect", {"sample_aspect": text})
