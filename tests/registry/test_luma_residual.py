"""The promises that the architecture makes by construction, for any weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.registry.architectures.luma_residual.network import LumaResidual, cubic_kernels


def network(scale: int = 2, width: int = 8, depth: int = 3) -> LumaResidual:
    torch.manual_seed(5)
    return LumaResidual(scale, width, depth).eval()


def run(net: LumaResidual, luma: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        padded = torch.from_numpy(np.pad(luma, net.radius, mode="edge").astype(np.float32))
        out: np.ndarray = net(padded[None, None])[0, 0].numpy()
    return out


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(0, 4), offset=st.floats(-200, 200))
def test_gain_and_offset_pass_through(gain: float, offset: float) -> None:
    luma = np.random.default_rng(1).uniform(0, 255, (24, 30)).astype(np.float32)
    net = network()
    expected = gain * run(net, luma) + offset
    assert np.abs(run(net, gain * luma + offset) - expected).max() < 0.02


@pytest.mark.parametrize("level", [0.0, 16.0, 127.0, 255.0])
def test_a_flat_area_stays_at_its_level_up_to_the_border(level: float) -> None:
    out = run(network(), np.full((12, 17), level))
    assert np.abs(out - level).max() < 1e-3


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_enlargement_has_no_shift(scale: int) -> None:
    net = network(scale)
    torch.nn.init.zeros_(net.tail.weight)
    ramp = np.tile(np.arange(20.0), (20, 1))
    centre = run(net, ramp)[scale * 8, scale * 5 : scale * 15]
    expected = (np.arange(scale * 5, scale * 15) + 0.5) / scale - 0.5
    assert np.abs(centre - expected).max() < 1e-4


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_cubic_kernels_sum_to_one_and_are_mirror_images(scale: int) -> None:
    kernels = cubic_kernels(scale)
    assert kernels.shape == (scale * scale, 1, 5, 5)
    assert torch.allclose(kernels.sum(dim=(1, 2, 3)), torch.ones(scale * scale))
    assert torch.allclose(kernels.flip(0), kernels.flip(2, 3))


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
def test_radius_is_what_the_unpadded_network_eats(depth: int) -> None:
    net = network(depth=depth)
    out = net(torch.zeros(1, 1, 10 + 2 * net.radius, 12 + 2 * net.radius))
    assert out.shape == (1, 1, 20, 24)


@pytest.mark.parametrize("wrong", [(1, 8, 2), (2, 0, 2), (2, 999, 2), (2, 8, -1), (2, 8, 99)])
def test_absurd_hyperparameters(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="outside"):
        LumaResidual(*wrong)
