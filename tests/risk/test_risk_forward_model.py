"""The forward model is the linear operator that it says it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import UsageError
from forensic.frames.frame import Geometry
from forensic.frames.layout import LAYOUTS
from forensic.fusion.conjugate_gradients import solve
from forensic.fusion.forward import ForwardModel

models = st.builds(
    lambda scale, sigma: ForwardModel(scale, None if sigma is None else sigma * scale),
    st.integers(1, 5),
    st.none() | st.floats(0.0, 1.5),
)


@settings(max_examples=60, deadline=None)
@given(models, st.integers(1, 33), st.integers(1, 33), st.integers(0, 2**32 - 1))
def test_adjoint_passes_the_dot_product_test(forward, rows, columns, seed):
    random = np.random.default_rng(seed)
    y = random.normal(0, 1, (rows, columns)).astype(np.float32)
    x = random.normal(0, 1, forward.output_shape(y.shape)).astype(np.float32)
    left = np.sum(forward.apply(x).astype(np.float64) * y)
    right = np.sum(x.astype(np.float64) * forward.adjoint(y))
    assert left == pytest.approx(right, abs=1e-5 * np.sqrt(x.size))


@settings(max_examples=60, deadline=None)
@given(models, st.integers(1, 33), st.integers(1, 33), st.integers(0, 2**32 - 1))
def test_gram_on_the_input_grid_equals_apply_of_adjoint(forward, rows, columns, seed):
    y = np.random.default_rng(seed).normal(0, 1, (rows, columns)).astype(np.float32)
    np.testing.assert_allclose(forward.gram(y), forward.apply(forward.adjoint(y)), atol=2e-6)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_flat_picture_keeps_its_grey_level(scale):
    forward = ForwardModel(scale)
    flat = np.full(forward.output_shape((11, 13)), 93.0, np.float32)
    np.testing.assert_allclose(forward.apply(flat), 93.0, rtol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pixel_centres_follow_the_half_pixel_convention(scale):
    forward = ForwardModel(scale, 0.6 * scale)
    ramp = np.tile(np.arange(40 * scale, dtype=np.float32), (8 * scale, 1))
    seen = forward.apply(ramp)[4]
    expected = scale * np.arange(40) + (scale - 1) / 2
    np.testing.assert_allclose(seen[6:-6], expected[6:-6], atol=1e-3)


def test_scale_one_without_psf_is_the_identity():
    picture = np.random.default_rng(1).random((9, 9), np.float32)
    np.testing.assert_array_equal(ForwardModel(1).apply(picture), picture)
    np.testing.assert_array_equal(ForwardModel(1).adjoint(picture), picture)


@pytest.mark.parametrize("scale", [0, 0.5, 1.5, 2.0001, 17, float("nan"), float("inf"), -2])
def test_scale_factors_without_a_model_are_refused(scale):
    with pytest.raises(UsageError) as caught:
        ForwardModel(scale)
    assert caught.value.code == "risk.scale"


@pytest.mark.parametrize("sigma", [-0.1, 9.0, float("nan"), float("inf")])
def test_impossible_psf_is_refused(sigma):
    with pytest.raises(UsageError) as caught:
        ForwardModel(2, sigma)
    assert caught.value.code == "risk.psf"


def test_the_default_psf_is_recorded_as_a_default():
    assert ForwardModel(2).to_record()["psf_source"] == "default, not measured"
    assert ForwardModel(2).to_record()["psf_sigma_px"] == 0.5
    assert ForwardModel(2, 0.5).to_record()["psf_source"] == "declared"


@pytest.mark.parametrize("size", [(200, 100), (100, 75), (150, 75), (99, 50), (50, 25), (1700, 850)])
def test_geometries_that_are_no_whole_multiple_have_no_model(size):
    layout = LAYOUTS["gray"]
    reference, output = Geometry(100, 50, layout), Geometry(*size, layout)
    if size == (200, 100):
        assert ForwardModel.between(reference, output).factor == 2
        return
    with pytest.raises(UsageError) as caught:
        ForwardModel.between(reference, output)
    assert caught.value.code == "risk.geometry"


def test_conjugate_gradients_solve_a_known_system():
    weights = np.linspace(1, 9, 30, dtype=np.float32).reshape(5, 6)
    truth = np.random.default_rng(3).normal(0, 1, (5, 6)).astype(np.float32)
    solution = solve(lambda v: weights * v, weights * truth, iterations=60, tolerance=1e-6)
    np.testing.assert_allclose(solution.x, truth, atol=1e-4)
    assert solution.relative_residual <= 1e-6


def test_conjugate_gradients_stop_at_the_iteration_limit_and_say_so():
    weights = np.linspace(1, 900, 30, dtype=np.float32).reshape(5, 6)
    solution = solve(lambda v: weights * v, np.ones((5, 6), np.float32), iterations=2, tolerance=1e-9)
    assert solution.iterations == 2
    assert solution.relative_residual > 1e-9
