"""What the NAFNet architecture promises by construction, for any weights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import BadInput
from forensic.registry.architectures.catalogue import build
from forensic.registry.architectures.nafnet.network import NafNet
from forensic.registry.cards import load_card
from forensic.registry.loading import LoadedModel, load_model
from tests.registry.conftest import ModelMaker

#: Scale, fold, blocks, fused.
SHAPES = [
    (4, 2, 2, 0),
    (4, 2, 2, 1),
    (4, 1, 2, 1),
    (2, 2, 1, 0),
    (1, 2, 1, 1),
    (3, 4, 1, 0),
    (2, 1, 0, 0),
    (2, 3, 0, 1),
]


def network(scale: int = 4, fold: int = 2, blocks: int = 2, fused: int = 1, width: int = 8) -> NafNet:
    torch.manual_seed(5)
    net = NafNet(scale, width, blocks, fold, fused).eval()
    for name, weight in net.named_parameters():
        if name.endswith(("gain", "bias")):  # away from their starting values
            torch.nn.init.normal_(weight)
    return net


def run(net: NafNet, luma: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        padded = torch.from_numpy(np.pad(luma, net.context, mode="edge").astype(np.float32))
        out: np.ndarray = net(padded[None, None])[0, 0].numpy()
    return out


def noise(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)


@pytest.mark.parametrize(("scale", "fold", "blocks", "fused"), SHAPES)
@pytest.mark.parametrize("level", [0.0, 16.0, 127.0, 255.0])
def test_a_flat_area_stays_at_its_level_up_to_the_border(
    scale: int, fold: int, blocks: int, fused: int, level: float
) -> None:
    out = run(network(scale, fold, blocks, fused), np.full((12, 24), level))
    assert out.shape == (12 * scale, 24 * scale)
    assert np.abs(out - level).max() < 2e-3


@settings(max_examples=20, deadline=None)
@given(offset=st.floats(-200, 200))
def test_an_offset_passes_through(offset: float) -> None:
    luma, net = noise(24, 32), network()
    assert np.abs(run(net, luma + np.float32(offset)) - run(net, luma) - offset).max() < 0.01


def test_a_gain_does_not_pass_through_so_that_the_size_of_noise_can_be_learnt() -> None:
    luma, net = noise(24, 32), network()
    assert np.abs(run(net, luma / 2) - run(net, luma) / 2).max() > 1.0


@pytest.mark.parametrize(("scale", "fold", "blocks", "fused"), SHAPES)
def test_a_pixel_reaches_as_far_as_the_radius_says_and_no_farther(
    scale: int, fold: int, blocks: int, fused: int
) -> None:
    net = network(scale, fold, blocks, fused)
    luma = noise(48, 48)
    plain = run(net, luma)
    reach = 0
    for place in range(24, 24 + fold):
        touched = luma.copy()
        touched[place, place] += 100
        rows, columns = np.nonzero(np.abs(run(net, touched) - plain) > 1e-3)
        reach = max(reach, int(np.abs(rows // scale - place).max()), int(np.abs(columns // scale - place).max()))
    assert reach == net.radius


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_enlargement_has_no_shift(scale: int) -> None:
    net = network(scale)
    torch.nn.init.zeros_(net.tail.weight)
    ramp = np.tile(np.arange(20.0), (20, 1))
    centre = run(net, ramp)[scale * 8, scale * 5 : scale * 15]
    assert np.abs(centre - ((np.arange(scale * 5, scale * 15) + 0.5) / scale - 0.5)).max() < 1e-4


@pytest.mark.parametrize(
    "wrong", [(0, 8, 2, 2), (5, 8, 2, 2), (2, 0, 2, 2), (2, 999, 2, 2), (2, 8, -1, 2), (2, 8, 1, 9)]
)
def test_absurd_hyperparameters(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="outside"):
        NafNet(*wrong)
    with pytest.raises(BadInput) as caught:
        build("nafnet", wrong[0], {"width": wrong[1], "blocks": wrong[2], "fold": wrong[3]})
    assert caught.value.code == "model.hyperparameters"


def loaded(models: ModelMaker, fold: int = 2) -> LoadedModel:
    """A model behind a card on the disk, with random weights."""
    net = network(4, fold)
    state: dict[str, Any] = {name: weight.contiguous() for name, weight in net.state_dict().items()}
    models.make(
        "tiny-x4",
        data=safetensors.torch.save(state),
        architecture="nafnet",
        scale=4,
        hyperparameters=f"width = 8, blocks = 2, fold = {fold}, fused = 1",
        parameters=sum(weight.numel() for weight in net.parameters()),
        radius=net.radius,
    )
    return load_model(load_card("tiny-x4", models.root))


@pytest.mark.parametrize("fold", [1, 2, 3])
@pytest.mark.parametrize("size", [(40, 52), (41, 53), (70, 33), (16, 90)])
@pytest.mark.parametrize("extra", [0, 1, 6])
def test_tiles_of_any_plane_equal_the_whole_without_a_seam(
    models: ModelMaker, fold: int, size: tuple[int, int], extra: int
) -> None:
    model = loaded(models, fold)
    luma = noise(*size)
    whole = model.upscale_luma(luma)
    assert whole.shape == (4 * size[0], 4 * size[1])
    for tile in (16, 19, 33):
        tiled = model.upscale_luma_tiled(luma, tile, model.radius + extra)
        assert tiled.shape == whole.shape and np.abs(tiled - whole).max() < 5e-3


def test_bytes_do_not_depend_on_workers(models: ModelMaker) -> None:
    model, luma = loaded(models), noise(70, 90)
    alone = model.upscale_luma_tiled(luma, 32, model.radius)
    for workers in (1, 2, 3):
        with ThreadPoolExecutor(workers) as pool:
            assert model.upscale_luma_tiled(luma, 32, model.radius, pool).tobytes() == alone.tobytes()


def test_the_weights_load_whatever_their_order_in_memory_was(models: ModelMaker) -> None:
    assert loaded(models).upscale_luma(noise(20, 20)).tobytes() == _direct(noise(20, 20)).tobytes()


def _direct(luma: np.ndarray) -> np.ndarray:
    return run(network(), luma)
