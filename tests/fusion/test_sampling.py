"""The camera operator is the linear operator that it says it is, and its adjoint is exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.fusion.forward import ForwardModel
from forensic.fusion.motion import Motion, grid_through
from forensic.fusion.sampling import Canvas, ShiftedSampling
from forensic.fusion.scattered import ScatteredSampling
from forensic.fusion.transforms import block_cosine, cosine, haar, inverse_cosine, inverse_haar
from tests.fusion.recordings import drawn, recording

canvases = st.builds(Canvas, st.integers(6, 20), st.integers(6, 20), st.integers(1, 4), st.integers(0, 4))


def dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sum(a.astype(np.float64) * b))


@settings(max_examples=60, deadline=None)
@given(canvases, st.floats(0, 0.8), st.floats(-9, 9), st.floats(-9, 9), st.integers(0, 2**32 - 1))
def test_adjoint_of_a_shifted_frame_passes_the_dot_product_test(canvas, sigma, x, y, seed):
    random = np.random.default_rng(seed)
    sampling = ShiftedSampling(canvas, sigma * canvas.scale, x, y)
    large = random.standard_normal(canvas.shape).astype(np.float32)
    small = random.standard_normal(canvas.small_shape).astype(np.float32)
    assert dot(sampling.apply(large), small) == pytest.approx(dot(large, sampling.adjoint(small)), abs=2e-4)


@settings(max_examples=30, deadline=None)
@given(canvases, st.floats(0, 0.8), st.floats(0.8, 1.25), st.integers(0, 2**32 - 1))
def test_adjoint_of_a_scattered_frame_passes_the_dot_product_test(canvas, sigma, magnification, seed):
    random = np.random.default_rng(seed)
    columns, rows = grid_through(np.eye(3), canvas.small_shape)
    moved = [(p + random.uniform(-2, 2, p.shape)).astype(np.float32) for p in (columns, rows)]
    sampling = ScatteredSampling(canvas, sigma * canvas.scale, *moved, magnification)
    large = random.standard_normal(canvas.shape).astype(np.float32)
    small = random.standard_normal(canvas.small_shape).astype(np.float32)
    assert dot(sampling.apply(large), small) == pytest.approx(dot(large, sampling.adjoint(small)), abs=2e-4)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_reference_is_sampled_as_the_risk_map_declares(scale):
    """Same centre convention, same block mean, same Gaussian."""
    picture = drawn(24 * scale, 30 * scale)
    canvas = Canvas(24, 30, scale, 0)
    sampling = ShiftedSampling(canvas, 0.3 * scale)
    expected = ForwardModel(scale, 0.3 * scale).apply(picture)
    assert np.abs(sampling.apply(picture) - expected)[sampling.covered].max() < 0.2


def test_a_shifted_frame_is_predicted_to_about_the_noise_of_rounding():
    made = recording(drawn(160, 192), noise=0.0, frames=5, jitter=1.0)
    truth = made.truth[made.reference]
    canvas = Canvas(*made.frames[0].shape, 4, 0)
    for frame, (dx, dy) in zip(made.frames, made.shifts, strict=True):
        sampling = ShiftedSampling(canvas, 1.4, -dx, -dy)
        error = (frame - sampling.apply(truth))[sampling.covered]
        assert float(np.sqrt(np.mean(error**2))) < 0.6  # rounding alone makes 0.29


def test_scattered_and_shifted_sampling_agree_on_a_shift():
    picture, canvas = drawn(80, 96), Canvas(20, 24, 4, 0)
    columns, rows = grid_through(np.linalg.inv(Motion.shift(0.5, -0.25).matrix), (20, 24))
    scattered = ScatteredSampling(canvas, 1.4, columns, rows)
    shifted = ShiftedSampling(canvas, 1.4, -0.5, 0.25)
    both = np.zeros((20, 24), bool)
    both[shifted.covered] = True
    both &= scattered.covered
    assert both.sum() > 250
    assert np.abs(scattered.apply(picture) - shifted.apply(picture))[both].max() < 0.2


def test_a_flat_picture_is_sampled_flat_however_it_is_moved():
    canvas = Canvas(12, 12, 3, 2)
    flat = np.full(canvas.shape, 77.0, np.float32)
    for x, y in ((0.0, 0.0), (0.31, -0.77), (1.5, 0.999)):
        sampling = ShiftedSampling(canvas, 1.0, x, y)
        assert np.abs(sampling.apply(flat)[sampling.covered] - 77.0).max() < 1e-3


def test_transforms_are_orthonormal_and_invert():
    random = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32)
    for forward, inverse in ((cosine, inverse_cosine), (haar, inverse_haar)):
        made = forward(random)
        assert float(np.sum(made**2)) == pytest.approx(float(np.sum(random**2)), rel=1e-5)
        np.testing.assert_allclose(inverse(made), random, atol=2e-6)
    assert np.abs(cosine(np.ones((8, 1), np.float32))[1:]).max() == 0.0
    picture = np.random.default_rng(1).standard_normal((19, 21)).astype(np.float32)
    np.testing.assert_allclose(block_cosine(block_cosine(picture), inverse=True), picture, atol=4e-6)
