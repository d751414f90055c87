"""Point spread functions against closed formulas and tables."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.media.opencv import opencv
from forensic.simulation import psf
from forensic.simulation.degradation import Optics
from forensic.simulation.optics import blurred, kernel
from tests.simulation.scenes import centroid, spot

_PIXEL = 1 / 12  # variance of a pixel's own extent


def _moments(values: np.ndarray) -> np.ndarray:
    """Covariance matrix (x, y) of a kernel about its middle pixel; y upwards."""
    rows, columns = values.shape
    x = np.arange(columns) - columns // 2
    y = rows // 2 - np.arange(rows)
    return np.array(
        [
            [(values * x[None, :] ** 2).sum(), (values * x[None, :] * y[:, None]).sum()],
            [(values * x[None, :] * y[:, None]).sum(), (values * y[:, None] ** 2).sum()],
        ]
    )


@pytest.mark.parametrize(
    "values",
    [psf.gaussian(1.3), psf.anisotropic_gaussian(2.0, 1.0, 20.0), psf.disc(3.3), psf.line(7.0, 35.0), psf.airy(2.0)],
)
def test_kernels_sum_to_one_are_centred_and_not_negative(values: np.ndarray) -> None:
    assert values.sum() == pytest.approx(1.0, abs=1e-12)
    assert values.min() >= 0
    assert values.shape[0] % 2 == values.shape[1] % 2 == 1
    assert np.allclose(values, values[::-1, ::-1], atol=1e-12)


@pytest.mark.parametrize("radius", [3.0, 7.25, 12.0])
def test_disc_has_the_second_moment_of_a_disc(radius: float) -> None:
    moments = _moments(psf.disc(radius))
    assert moments[0, 0] == pytest.approx(radius**2 / 4 + _PIXEL, rel=0.01)
    assert moments[1, 1] == pytest.approx(radius**2 / 4 + _PIXEL, rel=0.01)


def test_gaussian_has_the_stated_covariance_turned_counter_clockwise() -> None:
    along, across, angle = 3.0, 1.2, 25.0
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    expected = rotation @ np.diag([along**2, across**2]) @ rotation.T
    assert np.allclose(_moments(psf.anisotropic_gaussian(along, across, angle)), expected, rtol=0.002, atol=0.002)


def test_line_has_the_second_moment_of_a_line_along_its_angle() -> None:
    length, angle = 9.0, 40.0
    turn = np.deg2rad(angle)
    direction, normal = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    moments = _moments(psf.line(length, angle))
    assert direction @ moments @ direction == pytest.approx(length**2 / 12 + _PIXEL, rel=0.01)
    assert normal @ moments @ normal == pytest.approx(2 * _PIXEL, rel=0.06)  # one pixel wide, seen by pixels


def test_bessel_function_agrees_with_the_tables() -> None:
    # Abramowitz and Stegun, table 9.1.
    x = np.array([0.5, 1.0, 5.0, 10.0, 16.0])
    table = [0.2422684577, 0.4400505857, -0.3275791376, 0.0434727462, 0.0903971757]
    assert np.allclose(psf.bessel_j1(x), table, atol=1e-10)


def test_airy_pattern_has_its_first_dark_ring_at_the_radius() -> None:
    radius = 20.0
    distance = np.linspace(15, 25, 2001)
    intensity = psf.airy_intensity(distance, radius)
    assert distance[int(intensity.argmin())] == pytest.approx(radius, abs=0.02)
    assert psf.airy_intensity(np.array([0.0]), radius)[0] == 1.0
    # First bright ring: 1.75 % of the middle at 1.3397 times the first zero (Born and Wolf, table 8.2).
    ring = np.linspace(22, 32, 4001)
    strength = psf.airy_intensity(ring, radius)
    assert strength.max() == pytest.approx(0.0175, abs=1e-4)
    assert ring[int(strength.argmax())] == pytest.approx(1.3397 * radius, rel=0.002)


def test_airy_kernel_holds_the_known_share_of_light_within_the_first_ring() -> None:
    radius = 20.0
    values = psf.airy(radius)
    y, x = np.mgrid[0 : values.shape[0], 0 : values.shape[1]] - values.shape[0] // 2
    # 83.8 % of all light lies within the first dark ring, 96.1 % within the fifth, where the kernel ends.
    assert values[np.hypot(x, y) <= radius].sum() == pytest.approx(0.838 / 0.961, abs=0.004)


def test_optics_are_given_in_recorded_pixels() -> None:
    assert _moments(kernel(Optics("gaussian", sigma_x=0.5, sigma_y=0.5), 4))[0, 0] == pytest.approx(4.0, rel=0.01)
    assert _moments(kernel(Optics("defocus", radius=1.0), 3))[0, 0] == pytest.approx(9 / 4 + _PIXEL, rel=0.02)


@pytest.mark.parametrize(
    "optics",
    [
        Optics("gaussian", sigma_x=0.6, sigma_y=0.4),
        Optics("gaussian", sigma_x=0.8, sigma_y=0.4, angle=30.0),
        Optics("defocus", radius=1.2),
        Optics("airy", radius=0.8),
        Optics("motion", length=3.0, angle=-50.0),
    ],
)
def test_blur_is_a_convolution_with_the_kernel(optics: Optics) -> None:
    opencv()
    picture = np.random.default_rng(5).uniform(0, 255, (96, 80)).astype(np.float32)
    values = kernel(optics, 4)
    rows, columns = values.shape
    padded = np.pad(picture.astype(np.float64), ((rows, rows), (columns, columns)), mode="symmetric")
    spectrum = np.fft.fft2(padded) * np.fft.fft2(values, padded.shape)
    full = np.fft.ifft2(spectrum).real
    top, left = rows + rows // 2, columns + columns // 2
    expected = full[top : top + 96, left : left + 80]
    assert np.abs(blurred(picture, optics, 4) - expected).max() < 2e-3


def test_rotation_blurs_along_the_arc_and_not_in_the_middle() -> None:
    opencv()
    arc, size = 12.0, 129
    optics = Optics("rotation", arc=arc)
    distance = 50.0
    outer = blurred(spot(size, size, 64 + distance, 64, 1.5).astype(np.float32), optics, 1)
    inner = blurred(spot(size, size, 64, 64, 1.5).astype(np.float32), optics, 1)
    rows = np.arange(size) - 64.0
    weights = outer.sum(axis=1) / outer.sum()
    spread = float((weights * rows**2).sum() - (weights * rows).sum() ** 2)
    assert spread == pytest.approx(1.5**2 + (distance * np.deg2rad(arc)) ** 2 / 12, rel=0.05)
    assert np.abs(inner - spot(size, size, 64, 64, 1.5)).max() < 20
    assert centroid(inner) == pytest.approx((64, 64), abs=0.01)
