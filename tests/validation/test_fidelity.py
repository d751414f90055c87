"""PSNR, SSIM and PSNR-B against closed forms and against the papers' formulas computed the slow way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from forensic.errors import UsageError
from forensic.validation import fidelity


def _slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004 as printed: one weighted window at a time, deviations about the weighted mean."""
    offsets = np.arange(11) - 5.0
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            first, second = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mean_a, mean_b = (window * first).sum(), (window * second).sum()
            spread_a, spread_b = (window * (first - mean_a) ** 2).sum(), (window * (second - mean_b) ** 2).sum()
            shared = (window * (first - mean_a) * (second - mean_b)).sum()
            luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
            contrast = (2 * math.sqrt(spread_a * spread_b) + c2) / (spread_a + spread_b + c2)
            structure = (shared + c2 / 2) / (math.sqrt(spread_a * spread_b) + c2 / 2)
            values.append(luminance * contrast * structure)
    return float(np.mean(values))


def _slow_bef(picture: np.ndarray, block: int, top: int, left: int) -> float:
    """Yim and Bovik 2011, pair by pair."""
    at, off = [], []
    height, width = picture.shape
    for y in range(height):
        for x in range(width):
            if x + 1 < width:
                (at if (x + 1 - left) % block == 0 else off).append((picture[y, x + 1] - picture[y, x]) ** 2)
            if y + 1 < height:
                (at if (y + 1 - top) % block == 0 else off).append((picture[y + 1, x] - picture[y, x]) ** 2)
    excess = sum(at) / len(at) - sum(off) / len(off)
    return max(excess, 0.0) * math.log2(block) / math.log2(min(height, width))


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    truth = np.cumsum(rng.normal(0, 8, (24, 29)), axis=1) + 128
    return truth + rng.normal(0, 6, truth.shape), truth


def test_psnr_of_known_errors() -> None:
    truth = np.full((8, 9), 50.0)
    assert fidelity.psnr(truth + 1, truth) == pytest.approx(48.1308036086791, abs=1e-12)  # 20 log10 255
    assert fidelity.psnr(truth + 255, truth) == pytest.approx(0.0, abs=1e-12)
    assert fidelity.psnr(truth, truth) == math.inf
    assert fidelity.psnr(truth.astype(np.uint8), (truth + 200).astype(np.uint8)) == pytest.approx(
        20 * math.log10(255 / 200)
    ), "8-bit planes do not wrap around"


def test_ssim_is_the_paper_s(pair: tuple[np.ndarray, np.ndarray]) -> None:
    result, truth = pair
    assert fidelity.ssim(result, truth) == pytest.approx(_slow_ssim(result, truth), abs=1e-10)
    assert fidelity.ssim(truth, truth) == pytest.approx(1.0, abs=1e-12)
    assert fidelity.ssim(result, truth) == pytest.approx(fidelity.ssim(truth, result), abs=1e-12)


def test_ssim_of_flat_pictures_has_a_closed_form() -> None:
    c1 = (0.01 * 255) ** 2
    expected = (2 * 60 * 90 + c1) / (60**2 + 90**2 + c1)
    assert fidelity.ssim(np.full((16, 16), 60.0), np.full((16, 16), 90.0)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("phase", [(0, 0), (3, 5)])
def test_blocking_effect_factor_is_the_paper_s(pair: tuple[np.ndarray, np.ndarray], phase: tuple[int, int]) -> None:
    picture = pair[0].copy()
    for edge in range(phase[1], picture.shape[1], 8):
        picture[:, edge:] += 40 if (edge // 8) % 2 else -40
    assert fidelity.blocking_effect_factor(picture, 8, phase) == pytest.approx(_slow_bef(picture, 8, *phase), rel=1e-12)
    assert _slow_bef(picture, 8, *phase) > 0


def test_psnr_b_of_a_picture_of_flat_blocks() -> None:
    rows, columns = np.indices((32, 32)) // 8
    blocks = np.where((rows + columns) % 2, 110.0, 100.0)
    truth = np.full((32, 32), 105.0)
    # every boundary pair differs by 10 grey levels, no other; the error is 5 everywhere
    expected = 25 + 100 * math.log2(8) / math.log2(32)
    assert fidelity.psnr_b(blocks, truth, 8) == pytest.approx(10 * math.log10(255**2 / expected), abs=1e-12)
    assert fidelity.psnr_b(blocks, truth, 8, (4, 4)) == pytest.approx(fidelity.psnr(blocks, truth)), "off the grid"


def test_border_and_shape_are_checked() -> None:
    plane = np.arange(30.0).reshape(5, 6)
    np.testing.assert_array_equal(fidelity.inside(plane, 2), [[14, 15]])
    with pytest.raises(UsageError, match=r"nothing"):
        fidelity.inside(plane, 3)
    with pytest.raises(UsageError, match=r"compared"):
        fidelity.psnr(plane, plane.T)
    with pytest.raises(UsageError, match=r"11 rows"):
        fidelity.ssim(plane, plane)
