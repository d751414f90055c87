"""Deblurring with a stated point spread function, and sharpening."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.simulation.psf import disc, gaussian, line
from forensic.stages import catalogue


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255.0**2 / np.mean((a.astype(np.float64) - b) ** 2)))


BLURS = {
    "gaussian": ({"psf": "gaussian", "sigma": 1.6}, gaussian(1.6)),
    "defocus": ({"psf": "defocus", "disc_radius": 3.2}, disc(3.2)),
    "motion": ({"psf": "motion", "length": 9.0, "angle": 25.0}, line(9.0, 25.0)),
}


def blurred(clean: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    flipped = kernel[::-1, ::-1].astype(np.float32)  # filter2D correlates
    soft = cv2.filter2D(clean, cv2.CV_32F, flipped, borderType=cv2.BORDER_REFLECT)
    return soft + np.random.default_rng(2).normal(0, 0.5, clean.shape).astype(np.float32)


@pytest.mark.parametrize("blur", BLURS)
@pytest.mark.parametrize(
    ("name", "more"), [("wiener", {"noise_to_signal": 0.002}), ("richardson-lucy", {"iterations": 20})]
)
def test_deconvolution_brings_a_blurred_picture_nearer_to_the_truth(blur, name, more, picture, working):
    values, kernel = BLURS[blur]
    clean = picture(128, 160)
    soft = blurred(clean, kernel)
    frame = working(160, 128, "gray", planes=(soft,))
    made = catalogue.build(name, values | more).process([frame], 0).planes[0]
    assert psnr(made, clean) > psnr(soft, clean) + 1.2
    # The border must not ring. It cannot be much better: a mirrored picture does not blur to a mirrored blur.
    rim = np.ones(clean.shape, bool)
    rim[6:-6, 6:-6] = False
    assert psnr(made[rim], clean[rim]) > psnr(soft[rim], clean[rim]) - 1.2


def test_a_wrong_blur_does_not_help(picture, working):
    """What the card warns of: the examiner's statement decides."""
    clean = picture(128, 160)
    soft = blurred(clean, line(9.0, 25.0))
    frame = working(160, 128, "gray", planes=(soft,))
    values = {"psf": "motion", "length": 9.0, "angle": -65.0, "iterations": 20}
    made = catalogue.build("richardson-lucy", values).process([frame], 0).planes[0]
    assert psnr(made, clean) < psnr(soft, clean)


@pytest.mark.parametrize("name", ["wiener", "richardson-lucy"])
def test_deconvolution_keeps_flat_brightness(name, working):
    frame = working(64, 48, "gray", planes=(np.full((48, 64), 140.0),))
    made = catalogue.build(name, {"psf": "defocus", "disc_radius": 4.0}).process([frame], 0).planes[0]
    assert np.abs(made - 140.0).max() < 0.05


def test_richardson_lucy_does_not_go_below_black(picture, working):
    frame = working(96, 64, "yuv444p")
    made = catalogue.build("richardson-lucy", {"psf": "gaussian", "sigma": 2.0, "iterations": 30}).process([frame], 0)
    assert made.planes[0].min() >= 16.0


@pytest.mark.parametrize(("kernel", "mass"), [(gaussian(1.3), 1.3), (disc(4.0), 2.0), (line(11.0, 0.0), 11 / 12**0.5)])
def test_point_spread_functions_have_sum_one_their_centre_and_their_width(kernel, mass):
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[1]]
    assert abs(kernel.sum() - 1) < 1e-12 and kernel.min() >= 0
    assert abs((kernel * x).sum() - kernel.shape[1] // 2) < 1e-9
    assert abs((kernel * y).sum() - kernel.shape[0] // 2) < 1e-9
    spread = np.sqrt((kernel * (x - kernel.shape[1] // 2) ** 2).sum())
    assert abs(spread - mass) < 0.06 * mass + 0.05


def test_the_angle_of_motion_is_counter_clockwise():
    kernel = line(21.0, 45.0)
    middle = kernel.shape[0] // 2
    assert kernel[middle - 5, middle + 5] > 0 and kernel[middle + 5, middle + 5] == 0


@pytest.mark.parametrize(
    "values",
    [{}, {"psf": "gaussian"}, {"psf": "gaussian", "length": 3.0}, {"psf": "gaussian", "sigma": 1.0, "angle": 5.0},
     {"psf": "motion", "length": 3.0, "sigma": 1.0}, {"psf": "defocus", "disc_radius": 1e9}],
)  # fmt: skip
def test_an_incomplete_or_contradictory_blur_is_refused(values):
    for name in ("wiener", "richardson-lucy"):
        with pytest.raises(BadInput) as refusal:
            catalogue.build(name, values)
        assert refusal.value.code == "stage.parameters"


def test_unsharp_holds_to_its_overshoot_limit(picture, working):
    frame = working(96, 64)
    made = catalogue.build("unsharp", {"amount": 5.0, "overshoot": 2.0}).process([frame], 0).planes[0]
    square = np.ones((3, 3), np.uint8)
    assert (made <= cv2.dilate(frame.planes[0], square) + 2.001).all()
    assert (made >= cv2.erode(frame.planes[0], square) - 2.001).all()


def test_unsharp_leaves_weak_detail_below_the_threshold_alone(working):
    faint = 120 + np.random.default_rng(0).uniform(-1, 1, (48, 64))
    frame = working(64, 48, "gray", planes=(faint,))
    made = catalogue.build("unsharp", {"amount": 3.0, "threshold": 3.0}).process([frame], 0).planes[0]
    assert np.array_equal(made, frame.planes[0])
