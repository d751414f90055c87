"""Selective colour: the hue that was asked for, brightness untouched, the rest grey."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec, to_rgb
from forensic.stages import catalogue
from forensic.stages.chroma import rgb_matrix


def patches(working, layout, hues, saturation=0.6, colour=None):
    """A frame with one 8 x 8 patch per hue."""
    frame = working(8 * len(hues), 8, layout, colour=colour)
    rgb = np.array([colorsys.hls_to_rgb(hue / 360, 0.5, saturation) for hue in hues]) * 255
    if layout == "rgb24":
        planes = [np.kron(rgb[:, i][None], np.ones((8, 8))) for i in range(3)]
    else:
        limited = not frame.colour.assumed_full_range()
        coded = np.linalg.inv(rgb_matrix(frame)) @ (rgb.T * (219 / 255 if limited else 1.0))
        coded += np.array([[16.0 if limited else 0.0], [128.0], [128.0]])
        shapes = frame.geometry.plane_shapes
        planes = [np.kron(coded[i][None], np.ones((shape[0], shape[1] // len(hues)))) for i, shape in enumerate(shapes)]
    return working(8 * len(hues), 8, layout, planes=tuple(planes), colour=frame.colour)


def saturations(frame) -> np.ndarray:
    coded = frame.quantise()
    shown = to_rgb(coded.planes, coded.geometry.layout, coded.colour)[4, 4::8].astype(int)
    return np.ptp(shown, axis=1)


HUES = list(range(0, 360, 30))


@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p", "rgb24"])
@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("wanted", [0, 90, 240, 360])
def test_the_hue_asked_for_stays_and_the_others_turn_grey(layout, matrix, wanted, working):
    colour = ColourSpec(matrix=matrix, full_range=True) if layout != "rgb24" else None
    frame = patches(working, layout, HUES, colour=colour)
    made = catalogue.build("selective-colour", {"hue": float(wanted), "width": 40.0, "softness": 5.0}).process(
        [frame], 0
    )
    before, after = saturations(frame), saturations(made)
    for hue, old, new in zip(HUES, before, after, strict=True):
        away = abs((hue - wanted + 180) % 360 - 180)
        assert (abs(new - old) <= 2) if away == 0 else (new <= 2), (hue, old, new)


def test_brightness_is_not_touched_and_colour_not_turned(working):
    frame = working(96, 64)
    made = catalogue.build("selective-colour", {"hue": 200.0, "gain": 2.5}).process([frame], 0)
    assert np.array_equal(made.planes[0], frame.planes[0])
    (b0, r0), (b1, r1) = ([plane - 128.0 for plane in f.planes[1:]] for f in (frame, made))
    assert np.abs(b0 * r1 - b1 * r0).max() < 1e-2, "each colour is only made weaker or stronger"
    assert ((b0 * b1 >= 0) & (r0 * r1 >= 0)).all()
    rgb = working(96, 64, "rgb24")
    made = catalogue.build("selective-colour", {"hue": 200.0, "gain": 2.5}).process([rgb], 0)
    assert np.abs(made.luma - rgb.luma).max() < 1e-3


def test_noise_in_nearly_grey_places_is_not_taken_for_colour(working):
    frame = patches(working, "yuv444p", [0, 0, 0], saturation=0.02)
    assert saturations(frame).max() > 2
    assert saturations(catalogue.build("selective-colour", {"hue": 0.0}).process([frame], 0)).max() <= 1
    free = catalogue.build("selective-colour", {"hue": 0.0, "least_colour": 0.0}).process([frame], 0)
    assert saturations(free).max() > 2


def test_the_fade_is_as_wide_as_stated(working):
    hues = [0, 10, 20, 30, 40, 50, 60]
    frame = patches(working, "yuv444p", hues, colour=ColourSpec(full_range=True))
    made = catalogue.build("selective-colour", {"hue": 0.0, "width": 40.0, "softness": 20.0}).process([frame], 0)
    share = saturations(made) / saturations(frame)
    assert np.abs(share - [1, 1, 1, 0.5, 0, 0, 0]).max() < 0.03


def test_a_gray_picture_is_refused(working):
    with pytest.raises(BadInput) as refusal:
        catalogue.build("selective-colour", {"hue": 0.0}).output_geometry(working(layout="gray").geometry)
    assert refusal.value.code == "stage.layout"
